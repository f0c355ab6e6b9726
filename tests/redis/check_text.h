// Comparison of texts that may be temporaries or hold NUL. A function, because what Check's own
// macros expand to is slow to compile hundreds of times.
#pragma once

#include <string>

namespace transcribe {

void check_same(const std::string& got, const std::string& wanted, const char* file, int line);

}  // namespace transcribe

// In the order in which they are written: both may be calls to a server.
#define ck_same(got, wanted)                                    \
  do {                                                          \
    const std::string got_ = (got);                             \
    transcribe::check_same(got_, (wanted), __FILE__, __LINE__); \
  } while (0)
