// Comparison of texts that may be temporaries or hold NUL.
#pragma once

#include <algorithm>
#include <string>

namespace transcribe {

// The surroundings of the first difference, on one line: the report is TAP.
inline std::string excerpt(const std::string& text, const std::string& other) {
  const auto differ = std::mismatch(text.begin(), text.end(), other.begin(), other.end()).first;
  const auto at = static_cast<std::size_t>(differ - text.begin());
  std::string part = text.substr(at > 300 ? at - 300 : 0, 900);
  std::replace(part.begin(), part.end(), '\n', ' ');
  return part;
}

}  // namespace transcribe

#define ck_same(got, wanted)                                                                       \
  do {                                                                                             \
    const std::string got_ = (got);                                                                \
    const std::string wanted_ = (wanted);                                                          \
    ck_assert_msg(got_ == wanted_, "%s instead of %s", transcribe::excerpt(got_, wanted_).c_str(), \
                  transcribe::excerpt(wanted_, got_).c_str());                                     \
  } while (0)
