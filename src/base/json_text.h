// Writes a JSON object on one line: members in the order of the calls, valid UTF-8, finite numbers
// in their shortest form that reads back exactly. (json-glib 1.6 writes 1e-9 as "1e-9.0" and 0.1
// with 17 digits.) Pure; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace transcribe {

// A string as JSON writes it, with its quotes. Invalid UTF-8 becomes U+FFFD; ends at a NUL.
std::string quote_json(const std::string& text);

class JsonText {
 public:
  void text(const char* name, const std::string& value) { member(name, quote_json(value)); }
  // Left out when empty, absent, false or not finite.
  void text_if_any(const char* name, const std::string& value);
  void number_if_any(const char* name, const std::optional<double>& value);
  void time_if_any(const char* name, const std::optional<std::chrono::nanoseconds>& value);
  void flag_if_set(const char* name, bool value);

  void number(const char* name, std::uint64_t value) { member(name, std::to_string(value)); }
  void time(const char* name, std::chrono::nanoseconds value);

  void begin_array(const char* name) { open(name, '['); }
  void element(std::uint64_t value);
  void element(const std::string& value);
  void end_array() { close(']'); }
  // Without a name: an element of an array.
  void begin_object(const char* name = nullptr) { open(name, '{'); }
  void end_object() { close('}'); }

  // Closes the object; the last call.
  std::string take();

 private:
  void separate();
  void member(const char* name, std::string_view value);
  void open(const char* name, char bracket);
  void close(char bracket);

  std::string text_ = "{";
  bool first_ = true;  // of the innermost array or object
};

}  // namespace transcribe
