#include <optional>
#include <string_view>

#include "openai/request.h"

namespace transcribe {
namespace {

constexpr std::string_view kTranscriptionsPath = "/audio/transcriptions";
constexpr std::string_view kTranslationsPath = "/audio/translations";
constexpr const char* kUnreadable = "(invalid URL)";

UriPtr parse(const std::string& url) {
  return UriPtr(g_uri_parse(url.c_str(), G_URI_FLAGS_ENCODED, nullptr));
}

std::string_view host_of(GUri* uri) {
  const char* host = g_uri_get_host(uri);
  std::string_view view = host == nullptr ? "" : host;
  if (view.ends_with('.')) view.remove_suffix(1);
  return view;
}

std::string to_lower(std::string_view text) {
  CharPtr lower(g_ascii_strdown(text.data(), static_cast<gssize>(text.size())));
  return lower.get();
}

std::string join(GUri* uri, const std::string& path, const char* query) {
  CharPtr joined(g_uri_join(G_URI_FLAGS_ENCODED, g_uri_get_scheme(uri), nullptr,
                            g_uri_get_host(uri), g_uri_get_port(uri), path.c_str(), query,
                            nullptr));
  return joined.get();
}

bool has_space_or_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace

// The URL itself is never quoted in an error: it may hold a secret.
Result<std::string> endpoint_url(const std::string& base_url, Task task) {
  if (base_url.empty()) return Error{"base-url is empty: set it, e.g. https://api.openai.com/v1"};
  if (has_space_or_control(base_url)) {
    return Error{"base-url holds a space or a control character: remove it"};
  }
  const UriPtr uri = parse(base_url);
  if (!uri) return Error{"base-url is no valid URL: it looks like https://api.openai.com/v1"};
  const std::string_view scheme = g_uri_get_scheme(uri.get());
  if (scheme != "https" && scheme != "http") {
    return Error{"base-url must begin with https:// or http://"};
  }
  if (host_of(uri.get()).empty()) {
    return Error{"base-url names no host: it looks like https://api.openai.com/v1"};
  }
  if (g_uri_get_userinfo(uri.get()) != nullptr) {
    return Error{"base-url must not hold a user name or password: use api-key or extra-headers"};
  }
  if (g_uri_get_fragment(uri.get()) != nullptr) {
    return Error{"base-url must not hold a fragment (#…): remove it"};
  }
  std::string path = g_uri_get_path(uri.get());
  const auto strip_slashes = [&path] {
    while (path.ends_with('/')) path.pop_back();
  };
  strip_slashes();
  for (const std::string_view known : {kTranscriptionsPath, kTranslationsPath}) {
    if (!path.ends_with(known)) continue;
    path.erase(path.size() - known.size());
    strip_slashes();
    break;
  }
  path += task == Task::kTranslate ? kTranslationsPath : kTranscriptionsPath;
  return join(uri.get(), path, g_uri_get_query(uri.get()));
}

std::string printable_url(const std::string& url) {
  const UriPtr uri = parse(url);
  if (!uri || host_of(uri.get()).empty()) return kUnreadable;
  return join(uri.get(), g_uri_get_path(uri.get()), nullptr);
}

bool is_loopback(const std::string& url) {
  const UriPtr uri = parse(url);
  if (!uri) return false;
  const std::string host = to_lower(host_of(uri.get()));
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  ObjectPtr<GInetAddress> address(g_inet_address_new_from_string(host.c_str()));
  return address && g_inet_address_get_is_loopback(address.get());
}

bool is_openai(const std::string& base_url) {
  const UriPtr uri = parse(base_url);
  if (!uri) return false;
  const std::string host = to_lower(host_of(uri.get()));
  return host == "api.openai.com" || host.ends_with(".api.openai.com");
}

}  // namespace transcribe
