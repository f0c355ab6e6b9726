#include "openai/error_body.h"

#include "openai/json.h"
#include "openai/response.h"

namespace transcribe {
namespace {

constexpr std::size_t kMaxExcerptBytes = 512;
// No error object is larger; a page that is need not be parsed.
constexpr std::size_t kMaxParsedBytes = 256 * 1024;

std::string fold_white_space(const std::string& text) {
  std::string folded;
  bool pending = false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) {
      pending = !folded.empty();
      continue;
    }
    if (pending) folded += ' ';
    pending = false;
    folded += c;
  }
  return folded;
}

void truncate_utf8(std::string& text, std::size_t size) {
  if (text.size() <= size) return;
  const char* end = g_utf8_find_prev_char(text.data(), text.data() + size + 1);
  text.resize(end == nullptr ? 0 : static_cast<std::size_t>(end - text.data()));
}

std::string scalar(JsonObject* object, const char* name) {
  return excerpt(find_scalar(object, name).value_or(""));
}

void read_members(JsonObject* object, ErrorBody& result) {
  result.message = scalar(object, "message");
  result.type = scalar(object, "type");
  result.code = scalar(object, "code");
  result.param = scalar(object, "param");
}

// FastAPI: [{"loc": ["body", "model"], "msg": "Field required", "type": "missing"}, …]
void read_validation_errors(const std::vector<JsonNode*>& elements, ErrorBody& result) {
  for (JsonNode* node : elements) {
    JsonObject* object = as_object(node);
    if (object == nullptr) continue;
    std::string field;
    for (JsonNode* part : find_elements(object, "loc")) {
      const auto name = as_string(part);
      if (name && *name != "body" && field.empty()) field = *name;
    }
    if (!result.message.empty()) result.message += "; ";
    if (!field.empty()) result.message += field + ": ";
    result.message += find_scalar(object, "msg").value_or("");
    if (result.param.empty()) result.param = excerpt(field);
    if (result.type.empty()) result.type = scalar(object, "type");
  }
  result.message = excerpt(result.message);
}

ErrorBody read_object(JsonObject* root) {
  ErrorBody result;
  JsonNode* error = find_member(root, "error");
  if (JsonObject* object = as_object(error)) {
    read_members(object, result);
  } else {
    read_members(root, result);
    if (const auto text = as_string(error)) result.message = excerpt(*text);
  }
  if (!result.message.empty()) return result;
  if (const auto detail = find_string(root, "detail")) {
    result.message = excerpt(*detail);
  } else if (JsonObject* object = find_object(root, "detail")) {
    read_members(object, result);
  } else {
    read_validation_errors(find_elements(root, "detail"), result);
  }
  return result;
}

bool says_nothing(const ErrorBody& body) {
  return body.message.empty() && body.code.empty() && body.type.empty();
}

}  // namespace

std::string excerpt(std::string_view bytes) {
  // A few more than needed: folding may shorten the text. The last character may be cut.
  std::string_view start = bytes.substr(0, 2 * kMaxExcerptBytes);
  if (start.size() < bytes.size()) {
    while (!start.empty() && (static_cast<unsigned char>(bytes[start.size()]) & 0xC0) == 0x80) {
      start.remove_suffix(1);
    }
  }
  std::string text = fold_white_space(make_utf8(start));
  truncate_utf8(text, kMaxExcerptBytes);
  return text;
}

ErrorBody read_error_body(std::string_view body) {
  if (body.size() <= kMaxParsedBytes) {
    const JsonNodePtr node = parse_json(make_utf8(body));
    if (JsonObject* root = as_object(node.get())) {
      ErrorBody result = read_object(root);
      result.readable = !result.message.empty();
      if (!says_nothing(result)) return result;
    }
  }
  ErrorBody result;
  result.message = excerpt(body);
  result.readable =
      !result.message.empty() && result.message.front() != '<' && result.message.front() != '{';
  return result;
}

}  // namespace transcribe
