#include "openai/json.h"

#include <cmath>
#include <string_view>

namespace transcribe {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kReplacementEscape = "\\uFFFD";
constexpr std::string_view kEscapes = "\"\\/bfnrt";
constexpr std::string_view kOutsideStrings = " \t\r\n,:+-.";

std::optional<unsigned> read_unicode_escape(std::string_view text, std::size_t at) {
  if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  unsigned value = 0;
  for (std::size_t i = at + 2; i < at + 6; i++) {
    const int digit = g_ascii_xdigit_value(text[i]);
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return value;
}

// json-glib 1.6 ends a string at \u0000, loses characters after half a surrogate pair, and takes
// octal escapes for bytes.
// Returns the number of bytes to go on by; 0: not an escape of JSON, which it would misread.
std::size_t repair_escape(std::string& text, std::size_t at) {
  if (at + 1 < text.size() && kEscapes.find(text[at + 1]) != std::string_view::npos) return 2;
  const auto value = read_unicode_escape(text, at);
  if (!value) return 0;
  const bool high = *value >= 0xD800 && *value <= 0xDBFF;
  const bool low = *value >= 0xDC00 && *value <= 0xDFFF;
  if (high) {
    const auto next = read_unicode_escape(text, at + 6);
    if (next && *next >= 0xDC00 && *next <= 0xDFFF) return 12;
  }
  if (high || low || *value == 0) text.replace(at, kReplacementEscape.size(), kReplacementEscape);
  return 6;
}

// Python's json module writes these, though JSON has none of them.
bool blank_non_number(std::string& text, std::size_t at) {
  for (const std::string_view token : {"NaN", "-Infinity", "Infinity"}) {
    if (text.compare(at, token.size(), token) != 0) continue;
    text.replace(at, token.size(), "null");
    return true;
  }
  return false;
}

// json-glib's parser recurses without a limit and takes comments and other quotes, behind which
// nesting could hide: only what JSON has outside of strings gets to it.
bool prepare(std::string& text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') {
        const std::size_t length = repair_escape(text, i);
        if (length == 0) return false;
        i += length;
        continue;
      }
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return false;
    } else if (c == '}' || c == ']') {
      depth--;
    } else if (blank_non_number(text, i)) {
      i += 4;
      continue;
    } else if (!g_ascii_isalnum(c) && kOutsideStrings.find(c) == std::string_view::npos) {
      return false;
    }
    i++;
  }
  return !quoted && depth == 0;
}

std::optional<double> as_number(JsonNode* node) {
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node)) return std::nullopt;
  double value = 0;
  const GType type = json_node_get_value_type(node);
  if (type == G_TYPE_INT64 || type == G_TYPE_DOUBLE) {
    value = json_node_get_double(node);
  } else if (type == G_TYPE_STRING) {
    const char* text = json_node_get_string(node);
    char* end = nullptr;
    value = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0') return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

JsonNodePtr parse_json(std::string text) {
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  if (!prepare(text)) return nullptr;
  ObjectPtr<JsonParser> parser(json_parser_new());
  if (!json_parser_load_from_data(parser.get(), text.data(), static_cast<gssize>(text.size()),
                                  nullptr)) {
    return nullptr;
  }
  return JsonNodePtr(json_parser_steal_root(parser.get()));
}

JsonObject* as_object(JsonNode* node) {
  return node != nullptr && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : nullptr;
}

JsonNode* find_member(JsonObject* object, const char* name) {
  JsonNode* node = json_object_get_member(object, name);
  return node != nullptr && !json_node_is_null(node) ? node : nullptr;
}

JsonObject* find_object(JsonObject* object, const char* name) {
  return as_object(find_member(object, name));
}

std::optional<std::string> as_string(JsonNode* node) {
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node)) return std::nullopt;
  if (json_node_get_value_type(node) != G_TYPE_STRING) return std::nullopt;
  return json_node_get_string(node);
}

std::optional<std::string> find_string(JsonObject* object, const char* name) {
  return as_string(find_member(object, name));
}

std::optional<double> find_number(JsonObject* object, const char* name) {
  return as_number(find_member(object, name));
}

std::optional<std::string> find_scalar(JsonObject* object, const char* name) {
  JsonNode* node = find_member(object, name);
  if (auto text = as_string(node)) return text;
  if (node == nullptr || !JSON_NODE_HOLDS_VALUE(node)) return std::nullopt;
  if (json_node_get_value_type(node) == G_TYPE_INT64)
    return std::to_string(json_node_get_int(node));
  return std::nullopt;
}

std::vector<JsonNode*> find_elements(JsonObject* object, const char* name) {
  JsonNode* node = find_member(object, name);
  if (node == nullptr || !JSON_NODE_HOLDS_ARRAY(node)) return {};
  JsonArray* array = json_node_get_array(node);
  std::vector<JsonNode*> elements;
  for (guint i = 0; i < json_array_get_length(array); i++) {
    elements.push_back(json_array_get_element(array, i));
  }
  return elements;
}

}  // namespace transcribe
