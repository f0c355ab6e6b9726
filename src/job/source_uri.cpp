#include "job/source_uri.h"

#include <algorithm>
#include <string_view>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

// In lower case, without the colon; empty: there is none.
std::string scheme_of(const std::string& uri) {
  const char* scheme = g_uri_peek_scheme(uri.c_str());
  return scheme ? scheme : "";
}

bool is_plain_text(const std::string& text) {
  return g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Behind the scheme: "//HOST:PORT".
struct Authority {
  std::size_t begin = 0;
  std::size_t end = 0;
};

Authority authority_of(const std::string& uri, std::size_t scheme_end) {
  if (uri.compare(scheme_end, 2, "//") != 0) return {scheme_end, scheme_end};
  const std::size_t begin = scheme_end + 2;
  return {begin, std::min(uri.find_first_of("/?#", begin), uri.size())};
}

}  // namespace

std::string source_text(const std::string& uri) {
  const std::string scheme = scheme_of(uri);
  if (scheme.empty() || scheme == "fd" || scheme == "data" || !is_plain_text(uri)) return "";
  const Authority authority = authority_of(uri, scheme.size() + 1);
  const std::size_t at = uri.rfind('@', authority.end);
  const bool has_user = at != std::string::npos && at >= authority.begin && at < authority.end;
  if (authority.end == uri.size() && authority.begin == authority.end) return "";
  if (scheme == "file") return has_user || uri.size() > kMaxSource ? "" : uri;

  if (!UriPtr(g_uri_parse(uri.c_str(), G_URI_FLAGS_ENCODED, nullptr))) return "";
  // HOST:PORT, or the beginning of a password that has a '/', '?' or '#' in it?
  const std::string_view place(uri.data() + authority.begin, authority.end - authority.begin);
  if ((has_user || place.find(':') != std::string_view::npos) &&
      uri.find('@', authority.end) != std::string::npos)
    return "";
  const std::size_t end = std::min(uri.find_first_of("?#", authority.end), uri.size());
  const std::size_t host = has_user ? at + 1 : authority.begin;
  std::string text = uri.substr(0, authority.begin) + uri.substr(host, end - host);
  if (end < uri.size() || has_user) text += kSourceCut;
  return text.size() > kMaxSource ? "" : text;
}

bool is_whole_source(const std::string& text) {
  const std::string scheme = scheme_of(text);
  return !scheme.empty() && is_plain_text(text) &&
         (scheme == "file" || !text.ends_with(kSourceCut));
}

}  // namespace transcribe
