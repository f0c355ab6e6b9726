#include "base/uri_text.h"

#include <algorithm>

namespace transcribe {

std::string without_password(const std::string& uri) {
  // Up to the last '@': a password that holds '/' or '@' unescaped must not show either.
  const std::size_t at = uri.rfind('@');
  if (at == std::string::npos) return uri;
  const std::size_t scheme_end = uri.find("://");
  const std::size_t begin = scheme_end == std::string::npos || scheme_end > at ? 0 : scheme_end + 3;
  const std::string user = uri.substr(begin, std::min(uri.find(':', begin), at) - begin);
  return uri.substr(0, begin) + (user.empty() ? "" : user + "@") + uri.substr(at + 1);
}

}  // namespace transcribe
