#include "openai/response.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "openai/json.h"

namespace transcribe {
namespace {

// Far beyond any chunk, far below the end of Nanoseconds.
constexpr double kMaxSeconds = 1e6;
constexpr std::size_t kMaxRequestIdBytes = 128;

std::string trim(const std::string& text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

Nanoseconds to_time(double seconds) {
  return Nanoseconds(std::llround(std::clamp(seconds, 0.0, kMaxSeconds) * 1e9));
}

// A missing start continues what came before, a missing end makes an instant.
template <typename Timed>
void read_span(JsonObject* object, const std::vector<Timed>& before, Timed& timed) {
  const auto start = find_number(object, "start");
  const auto end = find_number(object, "end");
  const Nanoseconds previous_end = before.empty() ? Nanoseconds(0) : before.back().end;
  timed.start = start ? to_time(*start) : previous_end;
  timed.end = end ? std::max(to_time(*end), timed.start) : timed.start;
}

template <typename Timed>
void sort_by_start(std::vector<Timed>& list) {
  std::stable_sort(list.begin(), list.end(),
                   [](const Timed& a, const Timed& b) { return a.start < b.start; });
}

std::optional<double> as_probability(std::optional<double> value) {
  if (!value) return std::nullopt;
  return std::clamp(*value, 0.0, 1.0);
}

std::optional<double> from_logarithm(std::optional<double> log_probability) {
  if (!log_probability) return std::nullopt;
  return as_probability(std::exp(*log_probability));
}

void read_words(JsonObject* owner, std::vector<Word>& words) {
  for (JsonNode* node : find_elements(owner, "words")) {
    JsonObject* object = as_object(node);
    if (object == nullptr) continue;
    auto text = find_string(object, "word");
    if (!text) text = find_string(object, "text");
    Word word;
    word.text = trim(text.value_or(""));
    if (word.text.empty()) continue;
    auto confidence = find_number(object, "probability");
    if (!confidence) confidence = find_number(object, "confidence");
    word.confidence = as_probability(confidence);
    read_span(object, words, word);
    words.push_back(std::move(word));
  }
}

void read_segments(JsonObject* root, Transcription& result) {
  const bool words_inside = result.words.empty();
  for (JsonNode* node : find_elements(root, "segments")) {
    JsonObject* object = as_object(node);
    if (object == nullptr) continue;
    if (words_inside) read_words(object, result.words);
    Segment segment;
    segment.text = trim(find_string(object, "text").value_or(""));
    if (segment.text.empty()) continue;
    segment.speaker = trim(find_scalar(object, "speaker").value_or(""));
    segment.avg_logprob = find_number(object, "avg_logprob");
    segment.confidence = from_logarithm(segment.avg_logprob);
    segment.no_speech_prob = find_number(object, "no_speech_prob");
    segment.compression_ratio = find_number(object, "compression_ratio");
    read_span(object, result.segments, segment);
    result.segments.push_back(std::move(segment));
  }
}

std::string read_language(JsonObject* root) {
  if (const auto language = find_string(root, "language")) return trim(*language);
  for (JsonNode* node : find_elements(root, "languages")) {
    if (const auto code = as_string(node)) return trim(*code);
    JsonObject* object = as_object(node);
    if (object == nullptr) continue;
    if (const auto code = find_string(object, "code")) return trim(*code);
  }
  return {};
}

std::optional<double> read_confidence(JsonObject* root) {
  double sum = 0;
  std::size_t count = 0;
  for (JsonNode* node : find_elements(root, "logprobs")) {
    JsonObject* object = as_object(node);
    if (object == nullptr) continue;
    const auto logprob = find_number(object, "logprob");
    if (!logprob) continue;
    sum += *logprob;
    count++;
  }
  if (count == 0) return std::nullopt;
  return from_logarithm(sum / static_cast<double>(count));
}

// Some gateways put an error into an answer whose status says success.
bool has_error(JsonObject* root) {
  JsonNode* error = find_member(root, "error");
  if (error == nullptr) return false;
  if (const auto text = as_string(error)) return !text->empty();
  return JSON_NODE_HOLDS_OBJECT(error);
}

}  // namespace

Result<Transcription> parse_response(const HttpResponse& response) {
  Transcription result;
  result.raw = make_utf8(response.body);
  if (trim(result.raw).empty()) return Error{"the answer is empty"};
  const JsonNodePtr node = parse_json(result.raw);
  if (!node) return Error{"the answer is cut off or no JSON"};
  JsonObject* root = as_object(node.get());
  if (root == nullptr) return Error{"the answer is no JSON object"};
  if (has_error(root)) return Error{"the answer says success but carries an error"};
  const auto text = find_string(root, "text");
  if (!text) return Error{"the answer has no text"};
  result.text = trim(*text);
  result.language = read_language(root);
  read_words(root, result.words);
  read_segments(root, result);
  sort_by_start(result.words);
  sort_by_start(result.segments);
  result.confidence = read_confidence(root);
  result.request_id = find_request_id(response.headers);
  return result;
}

void clamp_times(Transcription& transcription, Nanoseconds duration) {
  const auto clamp = [duration](auto& timed) {
    timed.start = std::min(timed.start, duration);
    timed.end = std::min(timed.end, duration);
  };
  for (Segment& segment : transcription.segments) clamp(segment);
  for (Word& word : transcription.words) clamp(word);
}

std::string find_request_id(const Headers& headers) {
  for (const char* name : {"x-request-id", "apim-request-id", "x-ms-request-id"}) {
    if (const auto id = find_header(headers, name))
      return make_utf8(id->substr(0, kMaxRequestIdBytes));
  }
  return {};
}

std::string make_utf8(std::string_view bytes) {
  if (bytes.empty()) return {};
  CharPtr valid(g_utf8_make_valid(bytes.data(), static_cast<gssize>(bytes.size())));
  return valid.get();
}

}  // namespace transcribe
