// How long to go on: a moment, or with TRANSCRIBE_FULL until something is found that seldom
// happens.
#pragma once

#include <glib.h>

namespace transcribe::testing {

inline unsigned rounds(unsigned quick, unsigned full) {
  const char* const value = g_getenv("TRANSCRIBE_FULL");
  return value != nullptr && *value != '\0' ? full : quick;
}

}  // namespace transcribe::testing
