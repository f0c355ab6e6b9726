// Speech without a pause: chunks that share audio, answers that share words, each of which is in
// the transcript once.
#include <glib/gstdio.h>
#include <gst/gst.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kRate = 16000;
constexpr std::size_t kSeconds = 24;
constexpr std::size_t kWordFrames = kRate * 2 / 5;  // one begins every 0.4 s
constexpr std::size_t kWords = kSeconds * kRate / kWordFrames;

// Loud throughout, no two moments alike; the background lies in the first 0.3 s.
std::vector<std::int16_t> breathless() {
  std::mt19937 random(5);
  std::vector<std::int16_t> samples;
  const auto add = [&](std::size_t milliseconds, int loudness) {
    for (std::size_t i = 0; i < milliseconds * kRate / 1000; ++i)
      samples.push_back(static_cast<std::int16_t>(
          static_cast<int>(random() % 2001) * loudness / 1000 - loudness));
  };
  add(300, 30);
  while (samples.size() < kSeconds * kRate) {
    add(60 + random() % 200, 10000);
    add(10 + random() % 100, 2000);
  }
  samples.resize(kSeconds * kRate);
  return samples;
}

std::string json_word(const std::string& word, double start, double end) {
  return R"({"word":")" + word + R"(","start":)" + std::to_string(start) + R"(,"end":)" +
         std::to_string(end) + "}";
}

// A service that understands this speech: word k is said from 0.4 k to 0.4 k + 0.35 s. One that is
// cut off it takes for another.
Answer understand(const Request& request, const std::vector<std::int16_t>& speech) {
  const auto& heard = *request.samples;
  const std::size_t known = std::min<std::size_t>(heard.size(), 200);
  const auto found = std::search(speech.begin(), speech.end(), heard.begin(),
                                 heard.begin() + static_cast<std::ptrdiff_t>(known));
  const auto begin = static_cast<std::size_t>(found - speech.begin());
  const std::size_t end = begin + heard.size();
  std::string text;
  std::string words;
  for (std::size_t k = 0; k < kWords; ++k) {
    const std::size_t first = k * kWordFrames;
    const std::size_t last = first + kWordFrames * 7 / 8;
    if (last <= begin || first >= end) continue;
    const bool whole = first >= begin && last <= end;
    const std::string word = (whole ? "w" : "cut") + std::to_string(k);
    const auto time = [&](std::size_t frame) {
      return static_cast<double>(std::clamp(frame, begin, end) - begin) / kRate;
    };
    text += (text.empty() ? "" : " ") + word;
    words += (words.empty() ? "" : ",") + json_word(word, time(first), time(last));
  }
  std::string body = R"({"text":")" + text + "\"";
  body += R"(,"task":"transcribe","language":"english","duration":1.0,"words":[)" + words + "]";
  body += "}";
  Answer answer;
  answer.body = body;
  // Earlier chunks are answered later.
  answer.delay = std::chrono::milliseconds(*request.chunk % 3 == 0 ? 300 : 0);
  return answer;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

GST_START_TEST(test_words_of_both_chunks_are_there_once) {
  const std::vector<std::int16_t> speech = breathless();
  char* directory = g_dir_make_tmp("overlap-XXXXXX", nullptr);
  const std::string file = std::string(directory) + "/talk.srt";
  FakeService service;
  service.answer_with([&](const Request& request) { return understand(request, speech); });
  {
    SinkPipeline pipeline =
        SinkPipeline::with_source(service.url(),
                                  "max-chunk-duration=4000000000 min-chunk-duration=2000000000 "
                                  "forced-overlap=1000000000 requests-per-second=0 location=" +
                                      file + " model=whisper-1 timestamp-granularities=word");
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(speech, 0);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);

    const std::string transcript = pipeline.transcript();
    const auto words = split(transcript);
    for (std::size_t k = 0; k < std::min(words.size(), kWords); ++k) {
      const std::string expected = "w" + std::to_string(k);
      ck_assert_msg(words[k] == expected, "%s", transcript.c_str());
    }
    ck_assert_uint_eq(words.size(), kWords);

    std::size_t seams = 0;
    GstClockTime end = 0;
    for (const GstStructure* text : pipeline.named("openaitranscribe/text")) {
      // The pieces follow each other without a gap.
      ck_assert_uint_eq(uint64_field(text, "timestamp"), end);
      ck_assert_uint_eq(uint64_field(text, "stream-time"), end);
      ck_assert_uint_eq(uint64_field(text, "running-time"), end);
      end += uint64_field(text, "duration");
      const GValue* value = gst_structure_get_value(text, "seam");
      if (value == nullptr) continue;
      ++seams;
      const GstStructure* seam = gst_value_get_structure(value);
      ck_assert_str_eq(gst_structure_get_string(seam, "kind"), "match");
      ck_assert_uint_le(uint64_field(seam, "duration"), GST_SECOND);
      ck_assert_uint_ge(uint64_field(seam, "duration"), GST_SECOND - GST_MSECOND);
      ck_assert_uint_gt(std::string(gst_structure_get_string(seam, "dropped-right")).size(), 0);
    }
    ck_assert_uint_eq(end, kSeconds * GST_SECOND);
    const auto results = pipeline.named("openaitranscribe/result");
    ck_assert_uint_ge(results.size(), kSeconds / 4);
    ck_assert_uint_eq(seams, results.size() - 1);
    std::size_t heard = 0;
    for (const GstStructure* result : results) heard += split(string_field(result, "text")).size();
    ck_assert_uint_gt(heard, kWords + seams);
  }
  char* content = nullptr;
  ck_assert(g_file_get_contents(file.c_str(), &content, nullptr, nullptr));
  std::size_t shown = 0;
  for (const std::string& word : split(content)) shown += word.starts_with("w") ? 1 : 0;
  ck_assert_uint_eq(shown, kWords);
  ck_assert(std::string(content).find("cut") == std::string::npos);
  g_free(content);
  g_unlink(file.c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

// A chunk that fails is a hole; the words that its neighbours heard of it are there.
GST_START_TEST(test_a_failed_chunk_between_others) {
  const std::vector<std::int16_t> speech = breathless();
  FakeService service;
  service.answer_with([&](const Request& request) {
    if (*request.chunk != 2) return understand(request, speech);
    Answer answer;
    answer.status = 400;
    answer.body = R"({"error":{"message":"no","type":"invalid_request_error"}})";
    return answer;
  });
  SinkPipeline pipeline = SinkPipeline::with_source(
      service.url(),
      "max-chunk-duration=4000000000 min-chunk-duration=2000000000 forced-overlap=1000000000 "
      "requests-per-second=0 on-error=ignore model=whisper-1 timestamp-granularities=word");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(speech, 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto failed = pipeline.named("openaitranscribe/chunk-failed");
  ck_assert_uint_eq(failed.size(), 1);
  const GstClockTime begin = uint64_field(failed[0], "timestamp");
  const GstClockTime end = begin + uint64_field(failed[0], "duration");
  const std::string transcript = " " + pipeline.transcript() + " ";
  for (std::size_t k = 0; k < kWords; ++k) {
    const GstClockTime first = k * 400 * GST_MSECOND;
    const GstClockTime last = first + 350 * GST_MSECOND;
    const bool there = transcript.find(" w" + std::to_string(k) + " ") != std::string::npos;
    const bool expected = last <= begin + 500 * GST_MSECOND || first >= end - 500 * GST_MSECOND;
    ck_assert_msg(there == expected, "w%zu: %s", k, transcript.c_str());
  }
  // What the chunk before it heard of it is told before the hole.
  const std::uint64_t before = uint64_field(failed[0], "chunk-index") - 1;
  std::string order;
  for (const Seen& seen : pipeline.messages()) {
    if (seen.name == "openaitranscribe/text" &&
        uint64_field(seen.structure, "chunk-index") == before)
      order += "t";
    if (seen.name == "openaitranscribe/chunk-failed") order += "f";
  }
  ck_assert_str_eq(order.c_str(), "ttf");
}
GST_END_TEST;

// The journal holds what joining needs: replayed, the job gives the same transcript, seams
// included.
GST_START_TEST(test_joined_anew_from_the_journal) {
  const std::vector<std::int16_t> speech = breathless();
  char* directory = g_dir_make_tmp("overlap-XXXXXX", nullptr);
  const std::string file = std::string(directory) + "/said.jsonl";
  const std::string journal = std::string(directory) + "/talk.jsonl";
  FakeService service;
  service.answer_with([&](const Request& request) { return understand(request, speech); });
  std::string files[2];
  for (std::string& written : files) {
    const std::size_t before = service.requests().size();
    SinkPipeline pipeline = SinkPipeline::with_source(
        service.url(),
        "max-chunk-duration=4000000000 min-chunk-duration=2000000000 forced-overlap=1000000000 "
        "model=whisper-1 timestamp-granularities=word job-id=talk journal-directory=" +
            std::string(directory) + " location=" + file);
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(speech, 0);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    ck_assert_int_eq(service.requests().size() > before, &written == files);
    char* content = nullptr;
    ck_assert(g_file_get_contents(file.c_str(), &content, nullptr, nullptr));
    written = content;
    g_free(content);
    // Whatever the transcript is: it can be made of the journal alone.
    g_unlink(file.c_str());
  }
  ck_assert(files[0].find("\"seam\"") != std::string::npos);
  ck_assert_msg(files[0] == files[1], "%s\n%s", files[0].c_str(), files[1].c_str());
  g_unlink(journal.c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

// Killed while somebody speaks and started again: the new run's chunks follow the old ones by their
// index, but begin anew in time. Nothing of either is lost.
GST_START_TEST(test_a_live_job_that_goes_on) {
  const std::vector<std::int16_t> speech = breathless();
  char* directory = g_dir_make_tmp("overlap-XXXXXX", nullptr);
  const std::string properties =
      std::string("max-chunk-duration=4000000000 min-chunk-duration=2000000000 ") +
      "forced-overlap=1000000000 pause-duration=300000000 model=whisper-1 " +
      "timestamp-granularities=word job-id=talk journal-directory=" + directory;
  const auto live = [&](FakeService& service) {
    SinkPipeline pipeline = SinkPipeline::with_source(service.url(), properties);
    g_object_set(pipeline.source(), "is-live", TRUE, nullptr);
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(speech, 0);
    return pipeline;
  };
  FakeService service;
  service.answer_with([&](const Request& request) {
    Answer answer = understand(request, speech);
    if (*request.chunk > 2) answer.gate = "never";
    return answer;
  });
  std::size_t heard = 0;  // of the words, by the first two chunks
  {
    SinkPipeline pipeline = live(service);
    pipeline.wait_for("openaitranscribe/result", 2);
    const GstStructure* last = pipeline.named("openaitranscribe/result").back();
    // It heard more than its core.
    heard = (uint64_field(last, "payload-timestamp") + uint64_field(last, "payload-duration")) /
            (400 * GST_MSECOND);
    pipeline.set_state(GST_STATE_NULL);
  }
  service.answer_with([&](const Request& request) { return understand(request, speech); });
  SinkPipeline pipeline = live(service);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const std::string transcript = pipeline.transcript();
  std::vector<std::string> expected;
  for (std::size_t k = 0; k < heard; ++k) expected.push_back("w" + std::to_string(k));
  auto words = split(transcript);
  // The last word of the first run may be cut off.
  ck_assert_uint_gt(words.size(), heard);
  if (words[heard].starts_with("cut") || words[heard] == "w" + std::to_string(heard))
    expected.push_back(words[heard]);
  for (std::size_t k = 0; k < kWords; ++k) expected.push_back("w" + std::to_string(k));
  ck_assert_msg(words == expected, "%s", transcript.c_str());
  g_unlink((std::string(directory) + "/talk.jsonl").c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

// Silence that a service makes words of.
GST_START_TEST(test_suspect_results) {
  const bool drop = __i__ == 1;
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.body = R"({"text":"Thank you for watching."})";
    return answer;
  });
  SinkPipeline pipeline = SinkPipeline::with_source(
      service.url(), std::string("skip-silence=false requests-per-second=0 drop-suspect=") +
                         (drop ? "true" : "false"));
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(std::vector<std::int16_t>(5 * kRate), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 1);
  ck_assert(string_field(results[0], "text") == "Thank you for watching.");
  const GValue* suspect = gst_structure_get_value(results[0], "suspect");
  ck_assert(suspect != nullptr && gst_value_array_get_size(suspect) == 1);
  ck_assert_str_eq(g_value_get_string(gst_value_array_get_value(suspect, 0)), "silence");
  gboolean dropped = FALSE;
  ck_assert(gst_structure_get_boolean(results[0], "dropped", &dropped));
  ck_assert_int_eq(dropped, drop);
  ck_assert(pipeline.transcript() == (drop ? "" : "Thank you for watching."));
}
GST_END_TEST;

// In the document, and the same when the job is replayed from its journal.
GST_START_TEST(test_suspect_results_of_an_earlier_run) {
  char* directory = g_dir_make_tmp("overlap-XXXXXX", nullptr);
  const std::string file = std::string(directory) + "/said.json";
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.body = R"({"text":"Thank you for watching."})";
    return answer;
  });
  for (const bool resumed : {false, true}) {
    SinkPipeline pipeline = SinkPipeline::with_source(
        service.url(), "skip-silence=false job-id=talk drop-suspect=true journal-directory=" +
                           std::string(directory) + " location=" + file);
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(std::vector<std::int16_t>(5 * kRate), 0);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    ck_assert_uint_eq(pipeline.stat("chunks-resumed"), resumed ? 1 : 0);
    const auto results = pipeline.named("openaitranscribe/result");
    ck_assert_uint_eq(results.size(), 1);
    ck_assert(gst_structure_has_field(results[0], "suspect"));
    ck_assert(pipeline.transcript().empty());
    char* content = nullptr;
    ck_assert(g_file_get_contents(file.c_str(), &content, nullptr, nullptr));
    const std::string document = content;
    g_free(content);
    for (const char* part : {"\"suspect\"", "\"silence\"", "\"dropped\""})
      ck_assert_msg(document.find(part) != std::string::npos, "%s", document.c_str());
    ck_assert(document.find("Thank you") == std::string::npos);
    g_unlink(file.c_str());
  }
  ck_assert_uint_eq(service.requests().size(), 1);
  g_unlink((std::string(directory) + "/talk.jsonl").c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

static Suite* overlap_suite(void) {
  Suite* suite = suite_create("overlap");
  TCase* tcase = tcase_create("general");
  tcase_add_test(tcase, test_words_of_both_chunks_are_there_once);
  tcase_add_test(tcase, test_a_failed_chunk_between_others);
  tcase_add_test(tcase, test_joined_anew_from_the_journal);
  tcase_add_test(tcase, test_a_live_job_that_goes_on);
  tcase_add_loop_test(tcase, test_suspect_results, 0, 2);
  tcase_add_test(tcase, test_suspect_results_of_an_earlier_run);
  suite_add_tcase(suite, tcase);
  return suite;
}

GST_CHECK_MAIN(overlap);
