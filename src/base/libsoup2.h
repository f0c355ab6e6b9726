// libsoup 2 and 3 can't share a process: the one that finds the other aborts it. Any thread.
#pragma once

#include <dlfcn.h>

namespace transcribe {

inline bool libsoup2_is_loaded() {
  void* library = dlopen("libsoup-2.4.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return false;
  dlclose(library);
  return true;
}

}  // namespace transcribe
