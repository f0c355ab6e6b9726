#include "fake_script.h"

#include <glib.h>
#include <json-glib/json-glib.h>

#include <functional>
#include <map>

#include "base/glib_ptr.h"

namespace transcribe::testing {
namespace {

// One member of a rule: false when the value has the wrong type.
using Setter = std::function<bool(JsonNode*, Rule&)>;

bool read_integer(JsonNode* node, std::int64_t& value) {
  if (json_node_get_value_type(node) != G_TYPE_INT64) {
    return false;
  }
  value = json_node_get_int(node);
  return value >= 0;
}

template <typename Function>
Setter number(Function set) {
  return [set](JsonNode* node, Rule& rule) {
    std::int64_t value = 0;
    if (!read_integer(node, value)) {
      return false;
    }
    set(rule, value);
    return true;
  };
}

template <typename Function>
Setter flag(Function set) {
  return [set](JsonNode* node, Rule& rule) {
    if (json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
      return false;
    }
    set(rule, json_node_get_boolean(node) != FALSE);
    return true;
  };
}

template <typename Function>
Setter text(Function set) {
  return [set](JsonNode* node, Rule& rule) {
    if (json_node_get_value_type(node) != G_TYPE_STRING) {
      return false;
    }
    set(rule, json_node_get_string(node));
    return true;
  };
}

bool set_headers(JsonNode* node, Rule& rule) {
  if (!JSON_NODE_HOLDS_OBJECT(node)) {
    return false;
  }
  JsonObjectIter iterator;
  json_object_iter_init(&iterator, json_node_get_object(node));
  const char* name = nullptr;
  JsonNode* value = nullptr;
  while (json_object_iter_next(&iterator, &name, &value)) {
    if (json_node_get_value_type(value) != G_TYPE_STRING) {
      return false;
    }
    rule.answer.headers.emplace_back(name, json_node_get_string(value));
  }
  return true;
}

bool set_body(JsonNode* node, Rule& rule) {
  if (json_node_get_value_type(node) == G_TYPE_STRING) {
    rule.answer.body = json_node_get_string(node);
  } else {
    rule.answer.body = CharPtr(json_to_string(node, FALSE)).get();
  }
  return true;
}

bool set_reset(JsonNode* node, Rule& rule) {
  const char* when =
      json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : "";
  rule.answer.reset = g_str_equal(when, "before-body")  ? Reset::kBeforeBody
                      : g_str_equal(when, "after-body") ? Reset::kAfterBody
                                                        : Reset::kNone;
  return rule.answer.reset != Reset::kNone;
}

const std::map<std::string, Setter>& setters() {
  using std::chrono::milliseconds;
  static const std::map<std::string, Setter> table = {
      {"request", number([](Rule& r, auto n) { r.request = n; })},
      {"chunk", number([](Rule& r, auto n) { r.chunk = n; })},
      {"attempt", number([](Rule& r, auto n) { r.attempt = n; })},
      {"times", number([](Rule& r, auto n) { r.times = n; })},
      {"status", number([](Rule& r, auto n) { r.answer.status = n; })},
      {"headers", set_headers},
      {"body", set_body},
      {"before_body", flag([](Rule& r, bool on) { r.answer.before_body = on; })},
      {"delay_ms", number([](Rule& r, auto n) { r.answer.delay = milliseconds(n); })},
      {"gate", text([](Rule& r, const char* name) { r.answer.gate = name; })},
      {"hang", flag([](Rule& r, bool on) { r.answer.hang = on; })},
      {"reset", set_reset},
      {"raw", text([](Rule& r, const char* bytes) { r.answer.raw = bytes; })},
      {"drip_bytes", number([](Rule& r, auto n) { r.answer.drip_bytes = n; })},
      {"drip_ms", number([](Rule& r, auto n) { r.answer.drip_interval = milliseconds(n); })},
      {"cut_body_after", number([](Rule& r, auto n) { r.answer.cut_body_after = n; })},
      {"close", flag([](Rule& r, bool on) { r.answer.close = on; })},
      {"close_idle_ms", number([](Rule& r, auto n) { r.answer.close_idle = milliseconds(n); })},
  };
  return table;
}

bool read_rule(JsonNode* node, Rule& rule, std::string& error) {
  if (!JSON_NODE_HOLDS_OBJECT(node)) {
    error = "an answer must be an object";
    return false;
  }
  JsonObjectIter iterator;
  json_object_iter_init(&iterator, json_node_get_object(node));
  const char* name = nullptr;
  JsonNode* value = nullptr;
  while (json_object_iter_next(&iterator, &name, &value)) {
    const auto setter = setters().find(name);
    if (setter == setters().end()) {
      error = std::string("unknown member '") + name + "'";
      return false;
    }
    if (!setter->second(value, rule)) {
      error = std::string("wrong value for '") + name + "'";
      return false;
    }
  }
  if (rule.answer.decided_on_head() && rule.chunk) {
    error = "before the body is read the chunk is not known: use 'request' or 'attempt'";
    return false;
  }
  return true;
}

}  // namespace

Script::Script(const std::vector<Answer>& queue, Answer otherwise)
    : otherwise_(std::move(otherwise)) {
  for (const auto& answer : queue) {
    Rule rule;
    rule.answer = answer;
    add(std::move(rule));
  }
}

std::optional<Script> Script::parse(const std::string& json, std::string& error) {
  const ObjectPtr<JsonParser> parser(json_parser_new());
  ErrorPtr problem;
  if (!json_parser_load_from_data(parser.get(), json.data(), static_cast<gssize>(json.size()),
                                  out(problem))) {
    error = problem->message;
    return std::nullopt;
  }
  JsonNode* root = json_parser_get_root(parser.get());
  JsonNode* list = root;
  JsonNode* otherwise = nullptr;
  if (root && JSON_NODE_HOLDS_OBJECT(root)) {
    list = json_object_get_member(json_node_get_object(root), "answers");
    otherwise = json_object_get_member(json_node_get_object(root), "default");
  }
  if (!root || (list && !JSON_NODE_HOLDS_ARRAY(list)) || (!list && !otherwise)) {
    error = "a script is a list of answers, or an object with 'answers' and 'default'";
    return std::nullopt;
  }
  Script script;
  for (guint i = 0; list && i < json_array_get_length(json_node_get_array(list)); ++i) {
    Rule rule;
    if (!read_rule(json_array_get_element(json_node_get_array(list), i), rule, error)) {
      return std::nullopt;
    }
    script.add(std::move(rule));
  }
  Rule rule;
  if (otherwise && !read_rule(otherwise, rule, error)) {
    return std::nullopt;
  }
  if (rule.answer.decided_on_head()) {
    error = "the default can't be decided before the body is read: use an answer with 'times'";
    return std::nullopt;
  }
  script.otherwise(std::move(rule.answer));
  return script;
}

Script& Script::add(Rule rule) {
  const bool conditional = rule.request || rule.chunk || rule.attempt;
  if (!rule.times && !conditional) {
    rule.times = 1;
  }
  entries_.push_back({std::move(rule), 0});
  return *this;
}

Script& Script::otherwise(Answer answer) {
  otherwise_ = std::move(answer);
  return *this;
}

Script::Entry* Script::find(const Request& request, bool head) {
  for (auto& entry : entries_) {
    const Rule& rule = entry.rule;
    if (rule.answer.decided_on_head() == head &&
        (!rule.request || *rule.request == request.number) &&
        (!rule.chunk || rule.chunk == request.chunk) &&
        (!rule.attempt || *rule.attempt == request.attempt) &&
        (!rule.times || entry.used < *rule.times)) {
      ++entry.used;
      return &entry;
    }
  }
  return nullptr;
}

std::optional<Answer> Script::on_head(const Request& request) {
  if (Entry* entry = find(request, true)) {
    return entry->rule.answer;
  }
  return std::nullopt;
}

Answer Script::on_request(const Request& request) {
  Entry* entry = find(request, false);
  return entry ? entry->rule.answer : otherwise_;
}

}  // namespace transcribe::testing
