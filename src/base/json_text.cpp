#include "base/json_text.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/glib_ptr.h"

namespace transcribe {

std::string quote_json(const std::string& text) {
  const CharPtr valid(g_utf8_make_valid(text.c_str(), -1));
  const JsonNodePtr node(json_node_init_string(json_node_alloc(), valid.get()));
  const CharPtr quoted(json_to_string(node.get(), FALSE));
  return quoted.get();
}

void JsonText::text_if_any(const char* name, const std::string& value) {
  if (!value.empty()) text(name, value);
}

void JsonText::number_if_any(const char* name, const std::optional<double>& value) {
  if (!value || !std::isfinite(*value)) return;
  char digits[32];
  const auto written = std::to_chars(std::begin(digits), std::end(digits), *value);
  member(name, {digits, static_cast<std::size_t>(written.ptr - digits)});
}

void JsonText::time(const char* name, std::chrono::nanoseconds value) {
  member(name, std::to_string(value.count()));
}

void JsonText::time_if_any(const char* name, const std::optional<std::chrono::nanoseconds>& value) {
  if (value) time(name, *value);
}

void JsonText::flag_if_set(const char* name, bool value) {
  if (value) member(name, "true");
}

void JsonText::element(std::uint64_t value) {
  separate();
  text_ += std::to_string(value);
}

void JsonText::element(const std::string& value) {
  separate();
  text_ += quote_json(value);
}

std::string JsonText::take() {
  close('}');
  return std::move(text_);
}

void JsonText::separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

void JsonText::member(const char* name, std::string_view value) {
  separate();
  text_ += '"';
  text_ += name;
  text_ += "\":";
  text_ += value;
}

void JsonText::open(const char* name, char bracket) {
  if (name != nullptr) {
    member(name, {&bracket, 1});
  } else {
    separate();
    text_ += bracket;
  }
  first_ = true;
}

void JsonText::close(char bracket) {
  text_ += bracket;
  first_ = false;
}

}  // namespace transcribe
