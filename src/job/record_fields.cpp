#include "job/record_fields.h"

#include <cmath>
#include <utility>

#include "openai/json.h"

namespace transcribe {

JsonNodePtr RecordFields::parse(const std::string& text) {
  if (!g_utf8_validate_len(text.data(), text.size(), nullptr)) return nullptr;
  JsonNodePtr root = parse_json(text);
  return as_object(root.get()) == nullptr ? nullptr : std::move(root);
}

void RecordFields::refuse(const char* name) {
  if (problem_.empty()) problem_ = std::string("the record's “") + name + "” is missing or wrong";
}

JsonNode* RecordFields::value(const char* name, GType type) {
  JsonNode* node = json_object_get_member(object_, name);
  if (node == nullptr) return nullptr;
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != type) {
    refuse(name);
    return nullptr;
  }
  return node;
}

gint64 RecordFields::integer(const char* name, gint64 min, gint64 max) {
  JsonNode* node = value(name, G_TYPE_INT64);
  const gint64 number = node == nullptr ? 0 : json_node_get_int(node);
  if (node == nullptr || number < min || number > max) {
    refuse(name);
    return 0;
  }
  return number;
}

std::string RecordFields::text(const char* name) {
  if (!has(name)) refuse(name);
  return optional_text(name);
}

std::string RecordFields::optional_text(const char* name) {
  JsonNode* node = value(name, G_TYPE_STRING);
  return node == nullptr ? std::string() : std::string(json_node_get_string(node));
}

std::optional<double> RecordFields::optional_number(const char* name) {
  JsonNode* node = json_object_get_member(object_, name);
  if (node == nullptr) return std::nullopt;
  if (JSON_NODE_HOLDS_VALUE(node)) {
    const GType type = json_node_get_value_type(node);
    const double number =
        type == G_TYPE_DOUBLE || type == G_TYPE_INT64 ? json_node_get_double(node) : NAN;
    if (std::isfinite(number)) return number;
  }
  refuse(name);
  return std::nullopt;
}

bool RecordFields::flag(const char* name) {
  JsonNode* node = value(name, G_TYPE_BOOLEAN);
  return node != nullptr && json_node_get_boolean(node);
}

JsonArray* RecordFields::array(const char* name) {
  JsonNode* node = json_object_get_member(object_, name);
  if (node == nullptr) return nullptr;
  if (!JSON_NODE_HOLDS_ARRAY(node)) {
    refuse(name);
    return nullptr;
  }
  return json_node_get_array(node);
}

std::vector<std::uint32_t> RecordFields::run_lengths(const char* name) {
  std::vector<std::uint32_t> runs;
  JsonArray* elements = array(name);
  const guint length = elements == nullptr ? 0 : json_array_get_length(elements);
  runs.reserve(length);
  for (guint i = 0; i < length; ++i) {
    JsonNode* node = json_array_get_element(elements, i);
    const bool whole =
        JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64;
    const gint64 run = whole ? json_node_get_int(node) : -1;
    if (run < 0 || run > G_MAXUINT32) {
      refuse(name);
      return {};
    }
    runs.push_back(static_cast<std::uint32_t>(run));
  }
  return runs;
}

std::vector<std::string> RecordFields::texts(const char* name) {
  std::vector<std::string> found;
  JsonArray* elements = array(name);
  const guint length = elements == nullptr ? 0 : json_array_get_length(elements);
  for (guint i = 0; i < length; ++i) {
    JsonNode* node = json_array_get_element(elements, i);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
      refuse(name);
      return {};
    }
    found.emplace_back(json_node_get_string(node));
  }
  return found;
}

void RecordFields::each(const char* name, const std::function<void(RecordFields&)>& visit) {
  JsonArray* elements = array(name);
  const guint length = elements == nullptr ? 0 : json_array_get_length(elements);
  for (guint i = 0; i < length; ++i) {
    JsonNode* node = json_array_get_element(elements, i);
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
      refuse(name);
      return;
    }
    RecordFields fields(json_node_get_object(node), problem_);
    visit(fields);
  }
}

void RecordFields::inside(const char* name, const std::function<void(RecordFields&)>& visit) {
  JsonNode* node = json_object_get_member(object_, name);
  if (node == nullptr || !JSON_NODE_HOLDS_OBJECT(node)) {
    refuse(name);
    return;
  }
  RecordFields fields(json_node_get_object(node), problem_);
  visit(fields);
}

}  // namespace transcribe
