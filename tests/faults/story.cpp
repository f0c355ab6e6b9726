#include "story.h"

#include <algorithm>
#include <map>
#include <set>

#include "mirror_check.h"

#include <gst/check/gstcheck.h>

namespace transcribe::testing {
namespace {

constexpr const char* kPrefix = "openaitranscribe/";

bool begins_with(const std::string& word, const std::string& start) {
  return word.rfind(start, 0) == 0;
}

std::string word_of(const Seen& seen) {
  GstMessage* message = seen.message;
  GError* error = nullptr;
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      return "eos";
    case GST_MESSAGE_ERROR:
      gst_message_parse_error(message, &error, nullptr);
      break;
    case GST_MESSAGE_WARNING:
      gst_message_parse_warning(message, &error, nullptr);
      break;
    case GST_MESSAGE_PROGRESS: {
      GstProgressType type = GST_PROGRESS_TYPE_ERROR;
      gst_message_parse_progress(message, &type, nullptr, nullptr);
      static const std::map<GstProgressType, std::string> names = {
          {GST_PROGRESS_TYPE_START, "START"},
          {GST_PROGRESS_TYPE_CONTINUE, "CONTINUE"},
          {GST_PROGRESS_TYPE_COMPLETE, "COMPLETE"},
          {GST_PROGRESS_TYPE_CANCELED, "CANCELED"},
          {GST_PROGRESS_TYPE_ERROR, "ERROR"}};
      return "progress:" + names.at(type);
    }
    default:
      break;
  }
  if (error != nullptr) {
    const bool warning = GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING;
    const std::string word = (warning ? "warning:" : "error:") + code_name(error);
    g_error_free(error);
    return word;
  }
  if (seen.name.rfind(kPrefix, 0) != 0) return {};
  std::string word = seen.name.substr(std::string(kPrefix).size());
  if (word == "job" || word == "complete") {
    return word + ":" + string_field(seen.structure, "state") + ":" +
           string_field(seen.structure, "reason");
  }
  word += ":" + std::to_string(uint64_field(seen.structure, "chunk-index"));
  if (word.rfind("chunk-skipped", 0) == 0) word += ":" + string_field(seen.structure, "reason");
  return word;
}

std::size_t count_of(const std::vector<std::string>& words, const std::string& start) {
  return static_cast<std::size_t>(std::count_if(
      words.begin(), words.end(), [&](const auto& word) { return begins_with(word, start); }));
}

bool settles(const std::string& word) {
  return begins_with(word, "result:") || begins_with(word, "chunk-failed:") ||
         begins_with(word, "chunk-skipped:");
}

}  // namespace

std::string code_name(const GError* error) {
  if (error->domain != GST_RESOURCE_ERROR) {
    return std::string(g_quark_to_string(error->domain)) + "/" + std::to_string(error->code);
  }
  switch (error->code) {
    case GST_RESOURCE_ERROR_NOT_AUTHORIZED:
      return "NOT_AUTHORIZED";
    case GST_RESOURCE_ERROR_NOT_FOUND:
      return "NOT_FOUND";
    case GST_RESOURCE_ERROR_BUSY:
      return "BUSY";
    case GST_RESOURCE_ERROR_OPEN_WRITE:
      return "OPEN_WRITE";
    case GST_RESOURCE_ERROR_WRITE:
      return "WRITE";
    case GST_RESOURCE_ERROR_READ:
      return "READ";
    case GST_RESOURCE_ERROR_SETTINGS:
      return "SETTINGS";
    case GST_RESOURCE_ERROR_NO_SPACE_LEFT:
      return "NO_SPACE_LEFT";
    default:
      return std::to_string(error->code);
  }
}

std::vector<std::string> story(const SinkPipeline& pipeline) {
  std::vector<std::string> words;
  bool failed = false;
  for (const Seen& seen : pipeline.messages()) {
    // What the source says when it is told that the sink has failed.
    const bool echo = failed && GST_MESSAGE_SRC(seen.message) != GST_OBJECT(pipeline.sink());
    failed = failed || GST_MESSAGE_TYPE(seen.message) == GST_MESSAGE_ERROR;
    std::string word = word_of(seen);
    if (word.empty() || (echo && begins_with(word, "error:"))) continue;
    words.push_back(std::move(word));
  }
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

bool is_mirrored() { return g_getenv("TRANSCRIBE_REDIS_PORT") != nullptr; }

void check_mirrored(SinkPipeline& pipeline) {
  if (const char* port = g_getenv("TRANSCRIBE_REDIS_PORT"))
    check_mirror(pipeline, static_cast<std::uint16_t>(std::stoul(port)));
}

void check_ending(SinkPipeline& pipeline, const Ending& ending) {
  // The last word is stored before EOS or ERROR is posted.
  check_mirrored(pipeline);
  pipeline.set_state(GST_STATE_READY);
  pipeline.collect();
  const std::vector<std::string> words = story(pipeline);
  const std::string all = joined(words);

  const std::string state = std::string(ending.state) + ":" + ending.reason;
  std::vector<std::string> expected = {"job:" + state, std::string("progress:") + ending.progress};
  if (ending.warning != nullptr) expected.push_back(std::string("warning:") + ending.warning);
  expected.push_back("complete:" + state);
  const bool good = std::string(ending.last) == "eos";
  expected.push_back(good ? "eos" : std::string("error:") + ending.last);
  ck_assert_msg(words.size() >= expected.size(), "%s", all.c_str());
  const std::vector<std::string> tail(words.end() - static_cast<std::ptrdiff_t>(expected.size()),
                                      words.end());
  ck_assert_msg(tail == expected, "ends with: %s\n  expected: %s\n  all: %s", joined(tail).c_str(),
                joined(expected).c_str(), all.c_str());

  ck_assert_msg(count_of(words, "error:") + count_of(words, "eos") == 1, "%s", all.c_str());
  ck_assert_msg(count_of(words, "complete:") == 1, "%s", all.c_str());
  ck_assert_msg(count_of(words, "job:") == 3, "%s", all.c_str());
  ck_assert_msg(count_of(words, "progress:START") == 1, "%s", all.c_str());
  const std::size_t ends = count_of(words, "progress:COMPLETE") +
                           count_of(words, "progress:CANCELED") + count_of(words, "progress:ERROR");
  ck_assert_msg(ends == 1, "%s", all.c_str());

  const auto start = std::find(words.begin(), words.end(), "progress:START");
  ck_assert_msg(start != words.begin() && begins_with(*(start - 1), "job:PROCESSING:"), "%s",
                all.c_str());
  std::uint64_t next = 0;
  std::size_t settled = 0;
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (!settles(*word)) continue;
    ck_assert_msg(word > start, "%s", all.c_str());
    const std::uint64_t index = std::stoull(word->substr(word->find(':') + 1));
    ck_assert_msg(index >= next, "%s is out of order: %s", word->c_str(), all.c_str());
    next = index + 1;
    settled++;
  }
  ck_assert_msg(count_of(words, "progress:CONTINUE") == settled, "%s", all.c_str());
}

void check_counters(const SinkPipeline& pipeline, bool all) {
  const std::vector<std::string> words = story(pipeline);
  const auto complete = pipeline.named("openaitranscribe/complete");
  ck_assert_uint_eq(complete.size(), 1);
  const auto counter = [&](const char* name) { return uint64_field(complete[0], name); };
  ck_assert_uint_eq(counter("chunks-submitted"), count_of(words, "chunk-queued:"));
  ck_assert_uint_eq(counter("chunks-completed"), count_of(words, "result:"));
  ck_assert_uint_eq(counter("chunks-failed"), count_of(words, "chunk-failed:"));
  ck_assert_uint_eq(counter("chunks-skipped"), count_of(words, "chunk-skipped:"));
  ck_assert_uint_eq(counter("retries"), count_of(words, "chunk-retry:"));
  if (!all) return;
  ck_assert_uint_eq(
      counter("chunks-submitted"),
      counter("chunks-completed") + counter("chunks-failed") + counter("chunks-skipped"));
  ck_assert_uint_eq(counter("audio-duration"), counter("audio-settled"));
}

void push_seconds(SinkPipeline& pipeline, unsigned seconds) {
  pipeline.push(noise(seconds * kSecond), 0);
  pipeline.end_of_stream();
}

}  // namespace transcribe::testing
