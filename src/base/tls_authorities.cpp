#include "base/tls_authorities.h"

namespace transcribe {

Result<ObjectPtr<GTlsDatabase>> load_tls_authorities(const std::string& file) {
  if (file.empty()) return ObjectPtr<GTlsDatabase>();
  const auto unusable = [&](const GError* error) {
    return Error{"tls-ca-file \"" + file + "\" can't be used: " +
                 (error ? error->message : "it holds no certificate in PEM format")};
  };
  ErrorPtr error;
  // The database itself is content with a file that holds nothing.
  GList* certificates = g_tls_certificate_list_new_from_file(file.c_str(), out(error));
  const bool empty = certificates == nullptr;
  g_list_free_full(certificates, g_object_unref);
  if (empty) return unusable(error.get());

  const CharPtr path(g_canonicalize_filename(file.c_str(), nullptr));
  ObjectPtr<GTlsDatabase> database(G_TLS_DATABASE(g_tls_file_database_new(path.get(), out(error))));
  if (!database) return unusable(error.get());
  return database;
}

}  // namespace transcribe
