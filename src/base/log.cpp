#include "base/log.h"

#include <cstdarg>

#include "base/glib_ptr.h"

namespace transcribe {

void Log::print(LogLevel level, const char* format, ...) const {
  if (!enabled(level)) return;
  va_list args;
  va_start(args, format);
  CharPtr text(g_strdup_vprintf(format, args));
  va_end(args);
  write(level, text.get());
}

}  // namespace transcribe
