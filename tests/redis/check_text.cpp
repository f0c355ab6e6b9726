#include "check_text.h"

#include <check.h>

#include <algorithm>

namespace transcribe {
namespace {

// The surroundings of the first difference, on one line: the report is TAP.
std::string excerpt(const std::string& text, const std::string& other) {
  const auto differ = std::mismatch(text.begin(), text.end(), other.begin(), other.end()).first;
  const auto at = static_cast<std::size_t>(differ - text.begin());
  std::string part = text.substr(at > 300 ? at - 300 : 0, 900);
  std::replace(part.begin(), part.end(), '\n', ' ');
  return part;
}

}  // namespace

void check_same(const std::string& got, const std::string& wanted, const char* file, int line) {
  if (got == wanted) return;
  _ck_assert_failed(file, line, "texts differ", "%s instead of %s", excerpt(got, wanted).c_str(),
                    excerpt(wanted, got).c_str());
}

}  // namespace transcribe
