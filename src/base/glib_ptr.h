// Owning handles for GLib objects: one alias per type, no overhead over a raw pointer.
// A handle owns one reference; a raw pointer is borrowed and never stored.
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include <memory>

namespace transcribe {

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* pointer) const noexcept {
    Release(pointer);
  }
};

template <typename T, auto Release>
using Handle = std::unique_ptr<T, Releaser<Release>>;

template <typename T>
using ObjectPtr = Handle<T, g_object_unref>;
using BytesPtr = Handle<GBytes, g_bytes_unref>;
using ErrorPtr = Handle<GError, g_error_free>;
using CharPtr = Handle<char, g_free>;
using UriPtr = Handle<GUri, g_uri_unref>;
using DateTimePtr = Handle<GDateTime, g_date_time_unref>;
using MainContextPtr = Handle<GMainContext, g_main_context_unref>;
using JsonNodePtr = Handle<JsonNode, json_node_unref>;

// Adapts a handle to a C out-parameter: `g_file_get_contents(path, out(text), &size, out(error))`.
template <typename Pointer>
class Out {
 public:
  explicit Out(Pointer& target) : target_(target) {}
  Out(const Out&) = delete;
  Out& operator=(const Out&) = delete;
  ~Out() { target_.reset(value_); }
  operator typename Pointer::pointer *() { return &value_; }

 private:
  Pointer& target_;
  typename Pointer::pointer value_ = nullptr;
};

template <typename Pointer>
Out<Pointer> out(Pointer& target) {
  return Out<Pointer>(target);
}

template <typename T>
ObjectPtr<T> share(T* object) {
  return ObjectPtr<T>(static_cast<T*>(g_object_ref(object)));
}

inline BytesPtr share(GBytes* bytes) { return BytesPtr(g_bytes_ref(bytes)); }

}  // namespace transcribe
