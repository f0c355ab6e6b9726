#include "conformance.h"

#include <glib.h>
#include <json-glib/json-glib.h>

#include <cmath>
#include <map>

#include "base/glib_ptr.h"

namespace transcribe::testing {
namespace {

constexpr std::size_t kMaxUploadBytes = 26214400;
constexpr std::size_t kMinFrames = 1600;

// Null-safe reading: a missing member is null, a null object has no members.
JsonNode* member(JsonObject* object, const char* name) {
  return object ? json_object_get_member(object, name) : nullptr;
}
JsonObject* as_object(JsonNode* node) {
  return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : nullptr;
}
JsonArray* as_array(JsonNode* node) {
  return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : nullptr;
}
JsonObject* object_member(JsonObject* object, const char* name) {
  return as_object(member(object, name));
}
JsonArray* array_member(JsonObject* object, const char* name) {
  return as_array(member(object, name));
}
std::string string_member(JsonObject* object, const char* name) {
  JsonNode* node = member(object, name);
  const char* text = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : nullptr;
  return text ? text : "";
}

bool is_number(const std::string& text, bool integer) {
  char* end = nullptr;
  const double value = g_ascii_strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() || !std::isfinite(value)) {
    return false;
  }
  return !integer || value == std::floor(value);
}

// A part name: `name`, `name[]` or `name[sub]`.
struct FieldName {
  explicit FieldName(const std::string& text) : base(text) {
    const auto open = text.find('[');
    if (open != std::string::npos && text.back() == ']') {
      base = text.substr(0, open);
      sub = text.substr(open + 1, text.size() - open - 2);
      bracketed = true;
    }
  }
  std::string base;
  std::string sub;
  bool bracketed = false;
};

// The description's path for this one, and whether the URL names the model. Exactly these shapes:
// a doubled or missing piece of path is a mistake that real servers answer with 404.
struct Route {
  std::string path;
  bool deployment = false;
};
Route find_route(const Request& request) {
  for (const char* task : {"transcriptions", "translations"}) {
    const std::string tail = std::string("/audio/") + task;
    const std::string path = "/v1" + tail;
    if (request.path == path || request.path == "/openai" + path) {
      return {path, false};
    }
    const std::string prefix = "/openai/deployments/";
    if (g_str_has_prefix(request.path.c_str(), prefix.c_str()) &&
        g_str_has_suffix(request.path.c_str(), tail.c_str())) {
      const auto size = request.path.size();
      const bool named = size > prefix.size() + tail.size();
      const auto name =
          named ? request.path.substr(prefix.size(), size - prefix.size() - tail.size()) : "";
      if (!name.empty() && name.find('/') == std::string::npos) {
        return {path, true};
      }
    }
  }
  return {};
}

}  // namespace

struct Conformance::Private {
  ObjectPtr<JsonParser> parser{json_parser_new()};
  JsonObject* root = nullptr;
  const Request* request = nullptr;
  std::vector<Violation> found;

  JsonObject* resolve(JsonObject* schema) const {
    for (auto ref = string_member(schema, "$ref"); !ref.empty();
         ref = string_member(schema, "$ref")) {
      JsonObject* target = root;
      char** names = g_strsplit(ref.c_str(), "/", -1);
      for (char** name = names + 1; *name; ++name) {
        target = object_member(target, *name);
      }
      g_strfreev(names);
      schema = target;
    }
    return schema;
  }

  // The variant of a schema that has this type, looked for in all branches of its anyOf.
  JsonObject* variant(JsonObject* schema, const std::string& type) const {
    schema = resolve(schema);
    if (string_member(schema, "type") == type) {
      return schema;
    }
    JsonArray* any = array_member(schema, "anyOf");
    for (guint i = 0; any && i < json_array_get_length(any); ++i) {
      if (JsonObject* match = variant(as_object(json_array_get_element(any, i)), type)) {
        return match;
      }
    }
    return nullptr;
  }

  bool allows(JsonObject* schema, const std::string& value) const {
    schema = resolve(schema);
    if (JsonArray* any = array_member(schema, "anyOf")) {
      for (guint i = 0; i < json_array_get_length(any); ++i) {
        if (allows(as_object(json_array_get_element(any, i)), value)) {
          return true;
        }
      }
      return false;
    }
    if (JsonArray* values = array_member(schema, "enum")) {
      for (guint i = 0; i < json_array_get_length(values); ++i) {
        if (value == json_array_get_string_element(values, i)) {
          return true;
        }
      }
      return false;
    }
    const auto type = string_member(schema, "type");
    return type == "string" || (type == "number" && is_number(value, false)) ||
           (type == "integer" && is_number(value, true)) ||
           (type == "boolean" && (value == "true" || value == "false"));
  }

  void add(const std::string& message, const std::string& param, const std::string& code = {},
           unsigned status = 400) {
    found.push_back({message, param, code, status});
  }

  void check_file(const Part& part) {
    const std::string name = part.filename.value_or("");
    const auto dot = name.rfind('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == name.size()) {
      add("Unrecognized file format: the file name '" + name + "' has no name and extension",
          part.name);
    } else if (!request->wav_error.empty()) {
      add("Audio file might be corrupted or unsupported: " + request->wav_error, part.name,
          "invalid_value");
    } else if (request->frames < kMinFrames) {
      add("Audio file is too short: " + std::to_string(request->frames) + " frames", part.name,
          "audio_too_short");
    }
  }

  void check_value(const Part& part, JsonObject* schema) {
    if (part.filename) {
      add("'" + part.name + "' is no file but has a file name", part.name);
    } else if (!g_utf8_validate_len(part.content->data(), part.content->size(), nullptr)) {
      add("'" + part.name + "' is not valid UTF-8", part.name);
    } else if (!allows(schema, *part.content)) {
      add("Invalid value for '" + part.name + "': '" + *part.content + "'", part.name,
          "invalid_value");
    }
  }

  void check_part(const Part& part, JsonObject* properties, std::map<std::string, guint>& seen) {
    const FieldName name(part.name);
    JsonObject* schema = resolve(object_member(properties, name.base.c_str()));
    const bool first = ++seen[name.bracketed && name.sub.empty() ? name.base : part.name] == 1;
    if (!schema) {
      add("Unrecognized request argument supplied: " + part.name, part.name, "unknown_parameter");
    } else if (string_member(schema, "type") == "array") {
      if (!name.bracketed || !name.sub.empty()) {
        add("'" + part.name + "' is an array: its name must be '" + name.base + "[]'", part.name);
      } else {
        check_value(part, object_member(schema, "items"));
      }
    } else if (!first) {
      add("'" + part.name + "' is given twice", part.name);
    } else if (name.bracketed) {
      JsonObject* object = variant(schema, "object");
      JsonObject* sub = object_member(object_member(object, "properties"), name.sub.c_str());
      if (!sub) {
        add("'" + part.name + "' is not known", part.name, "unknown_parameter");
      } else {
        check_value(part, sub);
      }
    } else if (string_member(schema, "format") == "binary") {
      check_file(part);
    } else {
      check_value(part, schema);
    }
  }

  void check_required(JsonObject* schema, bool deployment,
                      const std::map<std::string, guint>& seen) {
    JsonArray* required = array_member(schema, "required");
    for (guint i = 0; required && i < json_array_get_length(required); ++i) {
      const std::string name = json_array_get_string_element(required, i);
      if (seen.count(name) == 0 && !(deployment && name == "model")) {
        add("you must provide a " + name + " parameter", name);
      }
    }
  }

  void check_counts(JsonObject* properties, const std::map<std::string, guint>& seen) {
    for (const auto& [name, count] : seen) {
      JsonObject* schema = resolve(object_member(properties, name.c_str()));
      if (schema && json_object_has_member(schema, "maxItems") &&
          count > json_object_get_int_member(schema, "maxItems")) {
        add("'" + name + "' has too many values", name);
      }
    }
  }

  void check_combinations() {
    const auto has = [&](const char* name) { return !request->fields(name).empty(); };
    const auto format = request->field("response_format");
    if (has("language") && has("languages[]")) {
      add("'language' and 'languages' exclude each other", "languages");
    }
    if (has("timestamp_granularities[]") && format != "verbose_json") {
      add("'timestamp_granularities' needs the response format 'verbose_json'",
          "timestamp_granularities");
    }
    if (has("include[]") && !format.empty() && format != "json") {
      add("'include' needs the response format 'json'", "include");
    }
    for (const auto& keyword : request->fields("keywords[]")) {
      if (keyword.find_first_of("<>\r\n") != std::string::npos) {
        add("a keyword must be one line without < and >", "keywords");
      }
    }
  }

  void check_form(const Route& route) {
    JsonObject* schema = object_member(object_member(root, "paths"), route.path.c_str());
    for (const char* name : {"post", "requestBody", "content", "multipart/form-data", "schema"}) {
      schema = object_member(schema, name);
    }
    schema = resolve(schema);
    JsonObject* properties = object_member(schema, "properties");
    g_assert(properties);
    std::map<std::string, guint> seen;
    for (const auto& part : request->parts) {
      check_part(part, properties, seen);
    }
    check_required(schema, route.deployment, seen);
    check_counts(properties, seen);
    check_combinations();
  }
};

Conformance::Conformance() : d_(std::make_unique<Private>()) {
  ErrorPtr error;
  if (!json_parser_load_from_file(d_->parser.get(), TRANSCRIBE_AUDIO_SCHEMA, out(error))) {
    g_error("the API description can't be read: %s", error->message);
  }
  d_->root = as_object(json_parser_get_root(d_->parser.get()));
}

Conformance::~Conformance() = default;

std::vector<Violation> Conformance::check(const Request& request) const {
  d_->request = &request;
  d_->found.clear();
  const Route route = find_route(request);
  if (route.path.empty()) {
    d_->add("Invalid URL (" + request.method + " " + request.path + ")", "", "", 404);
  } else if (route.deployment && request.query.find("api-version=") == std::string::npos) {
    d_->add("a deployment needs the query 'api-version'", "", "", 404);
  } else if (request.method != "POST") {
    d_->add("Not allowed to " + request.method + " on " + request.path, "", "", 405);
  } else if (request.body_bytes > kMaxUploadBytes) {
    d_->add("Maximum content size limit (26214400) exceeded (" +
                std::to_string(request.body_bytes) + " bytes read)",
            "");
  } else if (!request.body_error.empty()) {
    d_->add("Could not parse multipart form: " + request.body_error, "");
  } else {
    d_->check_form(route);
  }
  return d_->found;
}

}  // namespace transcribe::testing
