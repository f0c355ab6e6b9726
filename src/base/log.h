// Where the engine's debug log goes. The plugin passes one that feeds its GStreamer debug
// category; the default swallows everything. Any thread; must not block. No secret is ever logged.
#pragma once

#include <glib.h>

#include <string>

namespace transcribe {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

class Log {
 public:
  virtual ~Log() = default;
  virtual bool enabled(LogLevel) const { return false; }
  virtual void write(LogLevel, const std::string&) const {}

  void print(LogLevel level, const char* format, ...) const G_GNUC_PRINTF(3, 4);
};

}  // namespace transcribe
