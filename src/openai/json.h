// JSON as servers send it, read without trust: what is missing, null or of another type is absent.
// Pure. Nodes and objects handed out are borrowed from the root.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/glib_ptr.h"

namespace transcribe {

// `text` is valid UTF-8 without NUL. Null when it is no JSON document, or one nested deeper than
// any answer is. Accepts a byte order mark, and NaN and Infinity as null; escaped NULs and lone
// surrogates become U+FFFD.
JsonNodePtr parse_json(std::string text);

JsonObject* as_object(JsonNode* node);
// Null for a missing member and for JSON's null.
JsonNode* find_member(JsonObject* object, const char* name);
JsonObject* find_object(JsonObject* object, const char* name);
std::optional<std::string> find_string(JsonObject* object, const char* name);
// A finite number, also one written as a string.
std::optional<double> find_number(JsonObject* object, const char* name);
// A string, or a number as text (`code` is either).
std::optional<std::string> find_scalar(JsonObject* object, const char* name);
// The elements of an array; empty when there is none.
std::vector<JsonNode*> find_elements(JsonObject* object, const char* name);
std::optional<std::string> as_string(JsonNode* node);

}  // namespace transcribe
