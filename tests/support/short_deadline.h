// How long a request may take that is to miss its deadline.
#pragma once

#include <glib.h>

#include "base/clock.h"

namespace transcribe {

// Long enough for the request to reach the server, in valgrind too.
inline Milliseconds short_deadline() {
  return Milliseconds(g_getenv("TRANSCRIBE_SLOW") == nullptr ? 300 : 5000);
}

}  // namespace transcribe
