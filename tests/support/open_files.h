// What this process has open.
#pragma once

#include <glib.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace transcribe::testing {

inline std::size_t open_files() {
  std::size_t count = 0;
  GDir* directory = g_dir_open("/proc/self/fd", 0, nullptr);
  while (g_dir_read_name(directory) != nullptr) ++count;
  g_dir_close(directory);
  return count;
}

// Path to the temporary file without a name that was opened last; empty: there is none. (Check has
// one of its own.)
inline std::string last_unlinked_file() {
  std::string found;
  gint64 last = -1;
  GDir* directory = g_dir_open("/proc/self/fd", 0, nullptr);
  while (const char* name = g_dir_read_name(directory)) {
    const std::string path = std::string("/proc/self/fd/") + name;
    char* target = g_file_read_link(path.c_str(), nullptr);
    // O_TMPFILE's have a number for a name; valgrind has others.
    if (target != nullptr && g_str_has_prefix(target, g_get_tmp_dir()) &&
        target[strlen(g_get_tmp_dir())] == '/' && target[strlen(g_get_tmp_dir()) + 1] == '#' &&
        g_str_has_suffix(target, "(deleted)") && g_ascii_strtoll(name, nullptr, 10) > last) {
      last = g_ascii_strtoll(name, nullptr, 10);
      found = path;
    }
    g_free(target);
  }
  g_dir_close(directory);
  return found;
}

}  // namespace transcribe::testing
