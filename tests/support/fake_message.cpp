#include "fake_message.h"

#include <glib.h>
#include <json-glib/json-glib.h>

#include <algorithm>
#include <sstream>

#include "base/glib_ptr.h"

namespace transcribe::testing {
namespace {

// Builds objects from name/value pairs; values may be objects and arrays again.
class Json {
 public:
  Json() : builder_(json_builder_new()) { json_builder_begin_object(get()); }
  Json& key(const char* name) {
    json_builder_set_member_name(get(), name);
    return *this;
  }
  Json& text(const char* name, const std::string& value) {
    key(name);
    json_builder_add_string_value(get(), value.c_str());
    return *this;
  }
  Json& text_or_null(const char* name, const std::string& value) {
    if (!value.empty()) {
      return text(name, value);
    }
    key(name);
    json_builder_add_null_value(get());
    return *this;
  }
  Json& number(const char* name, double value) {
    key(name);
    json_builder_add_double_value(get(), value);
    return *this;
  }
  Json& integer(const char* name, std::int64_t value) {
    key(name);
    json_builder_add_int_value(get(), value);
    return *this;
  }
  Json& object(const char* name) {
    key(name);
    return item();
  }
  Json& item() {
    json_builder_begin_object(get());
    return *this;
  }
  Json& end() {
    json_builder_end_object(get());
    return *this;
  }
  Json& array(const char* name) {
    key(name);
    json_builder_begin_array(get());
    return *this;
  }
  Json& end_array() {
    json_builder_end_array(get());
    return *this;
  }
  std::string finish() {
    end();
    const JsonNodePtr root(json_builder_get_root(get()));
    const CharPtr text(json_to_string(root.get(), FALSE));
    return text.get();
  }

 private:
  JsonBuilder* get() const { return builder_.get(); }
  ObjectPtr<JsonBuilder> builder_;
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return words;
}

void add_usage(Json& json, double seconds) {
  json.object("usage").text("type", "duration").number("seconds", seconds).end();
}

void add_segment(Json& json, double seconds, const std::string& text) {
  json.array("segments").item();
  json.integer("id", 0).integer("seek", 0).number("start", 0).number("end", seconds);
  json.text("text", text).array("tokens").end_array().number("temperature", 0);
  json.number("avg_logprob", -0.25).number("compression_ratio", 1).number("no_speech_prob", 0.01);
  json.end().end_array();
}

// The words share the whole length evenly.
void add_words(Json& json, double seconds, const std::string& text) {
  const auto words = words_of(text);
  json.array("words");
  for (std::size_t i = 0; i < words.size(); ++i) {
    const double each = seconds / static_cast<double>(words.size());
    json.item().text("word", words[i]).number("start", each * static_cast<double>(i));
    json.number("end", each * static_cast<double>(i + 1)).end();
  }
  json.end_array();
}

void add_logprobs(Json& json, const std::string& text) {
  json.array("logprobs");
  for (const auto& word : words_of(text)) {
    json.item().text("token", word).number("logprob", -0.25).array("bytes").end_array().end();
  }
  json.end_array();
}

}  // namespace

std::string find_header(const Headers& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (g_ascii_strcasecmp(key.c_str(), name.c_str()) == 0) {
      return value;
    }
  }
  return {};
}

std::vector<std::string> Request::fields(const std::string& name) const {
  std::vector<std::string> values;
  for (const auto& part : parts) {
    if (part.name == name && part.content) {
      values.push_back(*part.content);
    }
  }
  return values;
}

std::string Request::field(const std::string& name) const {
  const auto values = fields(name);
  return values.size() == 1 ? values.front() : std::string();
}

const Part* Request::file() const {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [](const Part& part) { return part.name == "file"; });
  return found == parts.end() ? nullptr : &*found;
}

Answer Answer::error(unsigned status, const std::string& code, const std::string& type,
                     const std::string& message, const std::string& param) {
  Json json;
  json.object("error").text("message", message);
  json.text("type", type.empty() ? "invalid_request_error" : type);
  json.text_or_null("param", param).text_or_null("code", code).end();
  Answer answer;
  answer.status = status;
  answer.body = json.finish();
  return answer;
}

std::string default_text(const Request& request) {
  if (request.chunk) {
    return "chunk " + std::to_string(*request.chunk);
  }
  return "audio " + request.sha256.substr(0, 8);
}

std::string default_body(const Request& request, std::string& content_type) {
  const std::string text = default_text(request);
  const std::string format = request.field("response_format");
  const bool translate = g_str_has_suffix(request.path.c_str(), "/translations");
  const double seconds = static_cast<double>(request.frames) / 16000.0;
  if (format == "text" || format == "srt" || format == "vtt") {
    content_type = "text/plain; charset=utf-8";
    return text + "\n";
  }
  content_type = "application/json";
  Json json;
  if (format == "diarized_json") {
    json.text("task", "transcribe").number("duration", seconds).text("text", text);
    json.array("segments").item().text("type", "transcript.text.segment").text("id", "seg_001");
    json.number("start", 0).number("end", seconds).text("text", text).text("speaker", "A");
    json.end().end_array();
    add_usage(json, seconds);
  } else if (format == "verbose_json") {
    const auto wanted = request.fields("timestamp_granularities[]");
    const auto wants = [&](const char* name) {
      return std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    };
    json.text("task", translate ? "translate" : "transcribe").text("language", "english");
    json.number("duration", seconds).text("text", text);
    if (wanted.empty() || wants("segment")) {
      add_segment(json, seconds, text);
    }
    if (wants("word")) {
      add_words(json, seconds, text);
    }
    add_usage(json, seconds);
  } else {
    json.text("text", text);
    if (request.field("include[]") == "logprobs") {
      add_logprobs(json, text);
    }
    if (!translate) {
      add_usage(json, seconds);
    }
  }
  return json.finish();
}

}  // namespace transcribe::testing
