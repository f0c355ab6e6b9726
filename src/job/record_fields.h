// Reads the members of a stored JSON object of unknown origin: wrong types, missing members, bad
// numbers and broken text all end as one Error. Pure; one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/glib_ptr.h"
#include "base/result.h"

namespace transcribe {

// After a member was refused the readers still return harmless values; the first refusal counts.
class RecordFields {
 public:
  // Calls `read` with the members of the object in `text`.
  template <typename Read>
  static auto read(const std::string& text, Read read_members)
      -> Result<decltype(read_members(std::declval<RecordFields&>()))> {
    const JsonNodePtr root = parse(text);
    if (!root) return Error{"not a JSON record"};
    std::string problem;
    RecordFields fields(json_node_get_object(root.get()), problem);
    auto value = read_members(fields);
    if (!problem.empty()) return Error{problem};
    return value;
  }

  bool has(const char* name) const { return json_object_has_member(object_, name); }
  // Refused when missing, of another type, or out of range.
  gint64 integer(const char* name, gint64 min, gint64 max);
  std::string text(const char* name);
  // A missing member is no problem, one of another type is.
  std::string optional_text(const char* name);
  std::optional<double> optional_number(const char* name);
  bool flag(const char* name);
  std::vector<std::uint32_t> run_lengths(const char* name);
  std::vector<std::string> texts(const char* name);
  void each(const char* name, const std::function<void(RecordFields&)>& visit);
  // Refused when there is no such object.
  void inside(const char* name, const std::function<void(RecordFields&)>& visit);

  void refuse(const char* name);

 private:
  RecordFields(JsonObject* object, std::string& problem) : object_(object), problem_(problem) {}
  static JsonNodePtr parse(const std::string& text);
  JsonNode* value(const char* name, GType type);
  JsonArray* array(const char* name);

  JsonObject* object_;
  std::string& problem_;
};

}  // namespace transcribe
