#include "api.h"

#include <json-glib/json-glib.h>

#include <cstddef>
#include <memory>
#include <span>

#include "wav.h"

namespace local_recognizer {
namespace {

constexpr double kShortestSeconds = 0.1;
constexpr double kSegmentPause = 0.5;  // seconds without a word that end a segment

struct ObjectUnref {
  void operator()(gpointer object) const noexcept { g_object_unref(object); }
};
struct NodeFree {
  void operator()(JsonNode* node) const noexcept { json_node_unref(node); }
};
struct GFree {
  void operator()(char* text) const noexcept { g_free(text); }
};
using Builder = std::unique_ptr<JsonBuilder, ObjectUnref>;

std::string finish(const Builder& builder) {
  const std::unique_ptr<JsonNode, NodeFree> root(json_builder_get_root(builder.get()));
  const std::unique_ptr<char, GFree> text(json_to_string(root.get(), FALSE));
  return text.get();
}

void add_string(JsonBuilder* builder, const char* name, const std::string& value) {
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, value.c_str());
}

void add_string_or_null(JsonBuilder* builder, const char* name, const std::string& value) {
  json_builder_set_member_name(builder, name);
  if (value.empty())
    json_builder_add_null_value(builder);
  else
    json_builder_add_string_value(builder, value.c_str());
}

void add_number(JsonBuilder* builder, const char* name, double value) {
  json_builder_set_member_name(builder, name);
  json_builder_add_double_value(builder, value);
}

void add_integer(JsonBuilder* builder, const char* name, std::size_t value) {
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, static_cast<gint64>(value));
}

std::string join(std::span<const Word> words) {
  std::string text;
  for (const Word& word : words) {
    if (!text.empty()) text += ' ';
    text += word.text;
  }
  return text;
}

void add_words(JsonBuilder* builder, std::span<const Word> words) {
  json_builder_set_member_name(builder, "words");
  json_builder_begin_array(builder);
  for (const Word& word : words) {
    json_builder_begin_object(builder);
    add_string(builder, "word", word.text);
    add_number(builder, "start", word.start);
    add_number(builder, "end", word.end);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

// The figures that only Whisper has are there because the official description requires them.
void add_segment(JsonBuilder* builder, std::size_t id, std::span<const Word> words) {
  json_builder_begin_object(builder);
  add_integer(builder, "id", id);
  add_integer(builder, "seek", 0);
  add_number(builder, "start", words.front().start);
  add_number(builder, "end", words.back().end);
  add_string(builder, "text", join(words));
  json_builder_set_member_name(builder, "tokens");
  json_builder_begin_array(builder);
  json_builder_end_array(builder);
  for (const char* name : {"temperature", "avg_logprob", "compression_ratio", "no_speech_prob"})
    add_number(builder, name, 0);
  json_builder_end_object(builder);
}

void add_segments(JsonBuilder* builder, std::span<const Word> words) {
  json_builder_set_member_name(builder, "segments");
  json_builder_begin_array(builder);
  std::size_t id = 0;
  std::size_t first = 0;
  for (std::size_t i = 1; i <= words.size(); i++) {
    if (i < words.size() && words[i].start - words[i - 1].end < kSegmentPause) continue;
    add_segment(builder, id++, words.subspan(first, i - first));
    first = i;
  }
  json_builder_end_array(builder);
}

bool refuse(ApiError& error, std::string param, std::string message,
            std::string code = "unsupported_value") {
  error = {.message = std::move(message), .param = std::move(param), .code = std::move(code)};
  return false;
}

bool is_english(std::string_view language) {
  return language == "en" || language.starts_with("en-") || language == "english";
}

}  // namespace

std::string to_json(const ApiError& error) {
  const Builder builder(json_builder_new());
  json_builder_begin_object(builder.get());
  json_builder_set_member_name(builder.get(), "error");
  json_builder_begin_object(builder.get());
  add_string(builder.get(), "message", error.message);
  add_string(builder.get(), "type", error.type);
  add_string_or_null(builder.get(), "param", error.param);
  add_string_or_null(builder.get(), "code", error.code);
  json_builder_end_object(builder.get());
  json_builder_end_object(builder.get());
  return finish(builder);
}

bool parse_request(const std::vector<FormField>& form, TranscriptionRequest& request,
                   ApiError& error) {
  const FormField* file = nullptr;
  bool have_model = false;
  bool granularities = false;
  bool segments = false;
  bool wants_language = false;
  bool wants_english = false;
  for (const FormField& field : form) {
    if (field.name == "file" && field.is_file) {
      file = &field;
    } else if (field.name == "model") {
      have_model = !field.value.empty();
    } else if (field.name == "response_format") {
      if (field.value != "json" && field.value != "verbose_json")
        return refuse(error, field.name,
                      "response_format '" + field.value +
                          "' is not supported by this server. Use 'json' or 'verbose_json'.");
      request.verbose = field.value == "verbose_json";
    } else if (field.name == "timestamp_granularities[]") {
      granularities = true;
      if (field.value != "word" && field.value != "segment")
        return refuse(error, "timestamp_granularities",
                      "timestamp_granularities '" + field.value + "' is neither word nor segment.");
      (field.value == "word" ? request.words : segments) = true;
    } else if (field.name == "language" || field.name == "languages[]") {
      wants_language = true;
      wants_english = wants_english || is_english(field.value);
    } else if (field.name == "stream" && field.value == "true") {
      return refuse(error, field.name, "This server does not stream.");
    }
  }
  if (!file) return refuse(error, "file", "The form has no file.", "missing_required_parameter");
  if (!have_model)
    return refuse(error, "model", "you must provide a model parameter",
                  "missing_required_parameter");
  if (wants_language && !wants_english)
    return refuse(error, "language", "This server recognises English (en) only.");
  if (granularities && !request.verbose)
    return refuse(error, "timestamp_granularities",
                  "timestamp_granularities need response_format 'verbose_json'.");
  if (granularities) request.segments = segments;

  std::string reason;
  if (!read_wav(file->value, request.samples, reason))
    return refuse(error, "file", std::move(reason), "invalid_value");
  if (static_cast<double>(request.samples.size()) < kShortestSeconds * kSampleRate)
    return refuse(error, "file", "Minimum audio length is 0.1 seconds.", "audio_too_short");
  return true;
}

std::string to_json(const TranscriptionRequest& request, const std::vector<Word>& words) {
  const Builder builder(json_builder_new());
  json_builder_begin_object(builder.get());
  if (request.verbose) {
    add_string(builder.get(), "task", "transcribe");
    add_string(builder.get(), "language", "english");
    add_number(builder.get(), "duration",
               static_cast<double>(request.samples.size()) / kSampleRate);
  }
  add_string(builder.get(), "text", join(words));
  if (request.verbose && request.segments) add_segments(builder.get(), words);
  if (request.verbose && request.words) add_words(builder.get(), words);
  json_builder_end_object(builder.get());
  return finish(builder);
}

}  // namespace local_recognizer
