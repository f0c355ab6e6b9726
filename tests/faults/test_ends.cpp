// Every way a job can end, under each `on-error`: what is told last and in which order.
#include <gst/gst.h>

#include <cstring>

#include "fake_service.h"
#include "story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

const char* const kOnError[] = {"continue", "abort", "ignore"};
enum { kContinue, kAbort, kIgnore };
constexpr int kPolicies = 3;

std::string policy(int index) { return std::string(" on-error=") + kOnError[index] + " "; }

void answer_chunk(FakeService& service, std::uint64_t chunk, const Answer& answer) {
  service.answer_with(
      [=](const Request& request) { return request.chunk == chunk ? answer : Answer(); });
}

Answer hang() {
  Answer answer;
  answer.hang = true;
  return answer;
}

// How a job ends in which one chunk failed and nothing else happened.
Ending after_failure(int policy_index, const char* code) {
  if (policy_index == kContinue) return {"FAILED", "chunks-failed", "ERROR", code};
  if (policy_index == kAbort) return {"FAILED", "error", "ERROR", code};
  return {"FAILED", "chunks-failed", "COMPLETE", "eos", code};
}

SinkPipeline start(const FakeService& service, const std::string& properties) {
  auto pipeline = SinkPipeline::with_source(service.url(), kOneByOne + properties);
  pipeline.set_state(GST_STATE_PLAYING);
  return pipeline;
}

std::size_t chunk_count(const SinkPipeline& pipeline, const char* what) {
  return pipeline.count(std::string("openaitranscribe/") + what);
}

}  // namespace

GST_START_TEST(test_all_done) {
  FakeService service;
  auto pipeline = start(service, policy(__i__));
  push_seconds(pipeline, 3);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
}
GST_END_TEST;

GST_START_TEST(test_no_chunk) {
  FakeService service;
  auto pipeline = start(service, policy(__i__));
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
}
GST_END_TEST;

GST_START_TEST(test_job_wide_error) {
  FakeService service;
  answer_chunk(service, 2, Answer::error(403, "forbidden"));
  auto pipeline = start(service, policy(__i__));
  // Upstream goes on: the ERROR does not wait for the end of the stream.
  pipeline.push(noise(4 * kSecond), 0);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "error", "ERROR", "NOT_AUTHORIZED"});
  check_counters(pipeline, false);
  ck_assert_uint_eq(service.requests().size(), 2);
}
GST_END_TEST;

// With what is transcribed behind the chunk that ended the job: it is not lost.
GST_START_TEST(test_results_behind_a_job_wide_error) {
  FakeService service;
  service.answer_with([](const Request& request) {
    if (request.chunk == 2) {
      Answer answer = Answer::error(401, "invalid_api_key");
      answer.gate = "go";
      return answer;
    }
    return request.chunk == 4 ? hang() : Answer();
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(), "split=fixed max-chunk-duration=1000000000 max-parallel=4" + policy(__i__));
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, 4);
  ck_assert(service.wait_for_answers(2, std::chrono::seconds(20)));
  while (pipeline.stat("chunks-completed") < 2) g_thread_yield();
  service.open_gate("go");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "error", "ERROR", "NOT_AUTHORIZED"});
  check_counters(pipeline, false);
  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 2);
  ck_assert_uint_eq(uint64_field(results[1], "chunk-index"), 2);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 3");
}
GST_END_TEST;

GST_START_TEST(test_chunk_failed) {
  FakeService service;
  answer_chunk(service, 2, Answer::error(413));
  auto pipeline = start(service, policy(__i__));
  push_seconds(pipeline, 4);
  pipeline.wait();
  check_ending(pipeline, after_failure(__i__, "WRITE"));
  const bool abort = __i__ == kAbort;
  check_counters(pipeline, !abort);
  ck_assert_uint_eq(service.requests().size(), abort ? 2 : 4);
  ck_assert_uint_eq(chunk_count(pipeline, "chunk-failed"), 1);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, abort ? "chunk 1" : "chunk 1 chunk 3 chunk 4");
  if (__i__ == kContinue) {
    const std::string message = pipeline.error()->message;
    ck_assert_msg(message.find("1 of 4 chunks") != std::string::npos, "%s", message.c_str());
    ck_assert_msg(message.find("index 1") != std::string::npos, "%s", message.c_str());
  }
}
GST_END_TEST;

// In the order of the chunks, whichever was the first in time; the lowest twenty are named.
GST_START_TEST(test_many_failed_in_another_order) {
  constexpr unsigned kChunks = 26;
  FakeService service;
  service.answer_with([](const Request& request) {
    const std::uint64_t chunk = *request.chunk;
    if (chunk <= 3) return Answer();
    Answer answer = Answer::error(chunk == 4 ? 413 : 415);
    answer.gate = chunk == 4 ? "last" : chunk < 10 ? "middle" : "";
    return answer;
  });
  auto pipeline = start(
      service, "max-parallel=30 max-queued-chunks=30 requests-per-second=0 on-error=continue");
  pipeline.push(noise(kChunks * kSecond), 0);
  pipeline.end_of_stream();
  while (pipeline.stat("chunks-failed") < kChunks - 9) g_thread_yield();
  service.open_gate("middle");
  while (pipeline.stat("chunks-failed") < kChunks - 4) g_thread_yield();
  service.open_gate("last");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  const std::string message = pipeline.error()->message;
  ck_assert_msg(message.starts_with("23 of 26 chunks could not be transcribed (index 3, 4, 5, 6, "
                                    "7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, "
                                    "22, …); the first: The service finds the chunk too large"),
                "%s", message.c_str());
  const GstStructure* details = pipeline.error_details();
  ck_assert_uint_eq(uint64_field(details, "chunk-index"), 3);
  ck_assert_uint_eq(uint_field(details, "http-status-code"), 413);
  check_ending(pipeline, after_failure(kContinue, "WRITE"));
  check_counters(pipeline, true);
}
GST_END_TEST;

GST_START_TEST(test_last_chunk_failed) {
  FakeService service;
  answer_chunk(service, 3, Answer::error(413));
  auto pipeline = start(service, policy(__i__));
  push_seconds(pipeline, 3);
  pipeline.wait();
  check_ending(pipeline, after_failure(__i__, "WRITE"));
  check_counters(pipeline, true);
}
GST_END_TEST;

GST_START_TEST(test_abort_does_not_wait_for_the_stream) {
  FakeService service;
  answer_chunk(service, 2, Answer::error(413));
  auto pipeline = start(service, "on-error=abort");
  pipeline.push(noise(4 * kSecond), 0);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, after_failure(kAbort, "WRITE"));
}
GST_END_TEST;

GST_START_TEST(test_retries_used_up) {
  FakeService service;
  answer_chunk(service, 2, Answer::error(503));
  auto pipeline = start(service, "retries=1" + policy(__i__));
  push_seconds(pipeline, 3);
  pipeline.wait();
  check_ending(pipeline, after_failure(__i__, "BUSY"));
  ck_assert_uint_eq(chunk_count(pipeline, "chunk-retry"), 1);
}
GST_END_TEST;

// In flight, in the back-off and in the queue.
GST_START_TEST(test_chunk_timeout) {
  for (int where = 0; where < 3; where++) {
    FakeService service;
    const char* properties = "chunk-timeout=400 max-parallel=2";
    if (where == 0) answer_chunk(service, 2, hang());
    if (where == 1) {
      Answer busy = Answer::error(503);
      answer_chunk(service, 2, busy);
      properties =
          "chunk-timeout=400 max-parallel=2 retry-delay=300 max-retry-delay=300 retries=-1";
    }
    if (where == 2) {
      // The second may still get the slot of the first, when it was cut a little later.
      service.answer_with([](const Request&) { return hang(); });
      properties = "chunk-timeout=300 request-timeout=100000 max-parallel=1 retries=0";
    }
    auto pipeline = start(service, properties + policy(__i__));
    push_seconds(pipeline, where == 2 ? 2 : 3);
    pipeline.wait();
    check_ending(pipeline, after_failure(__i__, "WRITE"));
    check_counters(pipeline, __i__ != kAbort);
    const auto failed = pipeline.named("openaitranscribe/chunk-failed");
    if (__i__ != kAbort) ck_assert_uint_eq(failed.size(), where == 2 ? 2 : 1);
    for (const GstStructure* one : failed) {
      assert_text(string_field(one, "reason"), "chunk-timeout");
    }
    if (__i__ != kIgnore) {
      assert_text(string_field(pipeline.error_details(), "reason"), "chunk-timeout");
    }
  }
}
GST_END_TEST;

GST_START_TEST(test_eos_timeout) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk < 3 ? Answer() : hang(); });
  auto pipeline = start(service, "eos-timeout=300000000" + policy(__i__));
  // The time starts at EOS only.
  pipeline.push(noise(5 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/result", 2);
  const gint64 begin = g_get_monotonic_time();
  pipeline.end_of_stream();
  pipeline.wait();
  const gint64 took = g_get_monotonic_time() - begin;
  ck_assert_int_ge(took, 290 * G_TIME_SPAN_MILLISECOND);
  ck_assert_int_lt(took, 3 * G_TIME_SPAN_SECOND);
  check_ending(pipeline, after_failure(__i__, "WRITE"));
  check_counters(pipeline, true);
  const auto failed = pipeline.named("openaitranscribe/chunk-failed");
  ck_assert_uint_eq(failed.size(), 3);
  for (const GstStructure* one : failed) {
    assert_text(string_field(one, "reason"), "eos-timeout");
  }
  ck_assert_uint_eq(service.requests().size(), 3);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 2");
}
GST_END_TEST;

// A service that is busy all the time rejects nothing for what it is: BUSY, or out of time.
GST_START_TEST(test_always_busy) {
  for (int how = 0; how < 3; how++) {
    FakeService service;
    service.answer_with([](const Request&) { return Answer::error(429, "rate_limit_exceeded"); });
    const char* const properties[] = {"retries=0", "eos-timeout=300000000 retries=-1",
                                      "chunk-timeout=300 retries=-1"};
    auto pipeline = start(service, properties[how] + policy(__i__));
    push_seconds(pipeline, 4);
    pipeline.wait();
    const bool busy = how == 0;
    check_ending(pipeline, after_failure(__i__, busy ? "BUSY" : "WRITE"));
    check_counters(pipeline, __i__ != kAbort || how == 1);
    const auto failed = pipeline.named("openaitranscribe/chunk-failed");
    if (__i__ != kAbort) ck_assert_uint_eq(failed.size(), 4);
    const char* const reasons[] = {"http-status", "eos-timeout", "chunk-timeout"};
    for (const GstStructure* one : failed) {
      assert_text(string_field(one, "reason"), reasons[how]);
    }
  }
}
GST_END_TEST;

// The first three chunks are those that are sent; a skipped one is none of them.
GST_START_TEST(test_rejected_alike_around_silence) {
  FakeService service;
  service.answer_with([](const Request&) { return Answer::error(415, "unsupported_format"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(),
      "max-chunk-duration=1000000000 min-chunk-duration=500000000 max-parallel=1 " + policy(__i__));
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(std::vector<std::int16_t>(5 * kSecond, 0), 0);
  pipeline.push(noise(8 * kSecond), 5 * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "error", "ERROR", "WRITE"});
  const std::size_t sent = __i__ == kAbort ? 1 : 3;
  ck_assert_uint_eq(service.requests().size(), sent);
  ck_assert_uint_eq(chunk_count(pipeline, "chunk-failed"), sent);
  const auto skipped = pipeline.named("openaitranscribe/chunk-skipped");
  // The first failure of all may end the job before there is silence.
  if (__i__ != kAbort) {
    ck_assert_uint_ge(skipped.size(), 1);
    ck_assert_uint_lt(uint64_field(skipped[0], "chunk-index"), 3);
  }
  assert_text(string_field(pipeline.error_details(), "reason"),
              __i__ == kAbort ? "http-status" : "rejected");
}
GST_END_TEST;

GST_START_TEST(test_eos_timeout_that_is_not_needed) {
  FakeService service;
  auto pipeline = start(service, "eos-timeout=20000000000");
  push_seconds(pipeline, 3);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
}
GST_END_TEST;

// One in flight, two in the queue: `upstream` drops what comes, `downstream` what waits longest.
GST_START_TEST(test_leaky) {
  const bool downstream = __i__ >= kPolicies;
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "go";
    return answer;
  });
  auto pipeline =
      start(service, std::string("max-queued-chunks=2 leaky=") +
                         (downstream ? "downstream" : "upstream") + policy(__i__ % kPolicies));
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, std::chrono::seconds(20)));
  pipeline.push(noise(6 * kSecond), GST_SECOND);
  pipeline.wait_for("openaitranscribe/chunk-queued", 7);
  service.open_gate("go");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
  const std::vector<std::string> words = story(pipeline);
  std::string told;
  for (const std::string& word : words) {
    const bool matters = word.rfind("result", 0) == 0 || word.rfind("chunk-skipped", 0) == 0 ||
                         word.rfind("warning", 0) == 0;
    if (matters) told += (told.empty() ? "" : " ") + word;
  }
  assert_text(told, downstream
                        ? "result:0 warning:BUSY chunk-skipped:1:queue-full "
                          "chunk-skipped:2:queue-full chunk-skipped:3:queue-full "
                          "chunk-skipped:4:queue-full result:5 result:6"
                        : "result:0 result:1 result:2 warning:BUSY chunk-skipped:3:queue-full "
                          "chunk-skipped:4:queue-full chunk-skipped:5:queue-full "
                          "chunk-skipped:6:queue-full");
  ck_assert_uint_eq(pipeline.stat("chunks-skipped-queue-full"), 4);
  ck_assert_uint_eq(service.requests().size(), 3);
}
GST_END_TEST;

GST_START_TEST(test_leaky_and_a_failure) {
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer = request.chunk == 2 ? Answer::error(413) : Answer();
    if (request.chunk == 1) answer.gate = "go";
    return answer;
  });
  auto pipeline = start(service, "max-queued-chunks=2 leaky=upstream" + policy(__i__));
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, std::chrono::seconds(20)));
  pipeline.push(noise(3 * kSecond), GST_SECOND);
  pipeline.wait_for("openaitranscribe/chunk-queued", 4);
  service.open_gate("go");
  pipeline.end_of_stream();
  pipeline.wait();
  check_ending(pipeline, after_failure(__i__, "WRITE"));
  ck_assert_uint_eq(pipeline.warnings().size(), __i__ == kIgnore ? 2 : 1);
}
GST_END_TEST;

// on-error may change while playing.
GST_START_TEST(test_policy_changes) {
  FakeService service;
  answer_chunk(service, 2, Answer::error(413));
  auto pipeline = start(service, "on-error=abort");
  pipeline.push(noise(kSecond), 0);
  pipeline.wait_for("openaitranscribe/result", 1);
  gst_util_set_object_arg(G_OBJECT(pipeline.sink()), "on-error", "ignore");
  pipeline.push(noise(2 * kSecond), GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, after_failure(kIgnore, "WRITE"));
}
GST_END_TEST;

GST_START_TEST(test_stopped) {
  for (const GstState state : {GST_STATE_READY, GST_STATE_NULL}) {
    FakeService service;
    answer_chunk(service, 2, hang());
    auto pipeline = start(service, policy(__i__));
    // NULL would throw the last messages away.
    gst_pipeline_set_auto_flush_bus(GST_PIPELINE(pipeline.pipeline()), FALSE);
    push_seconds(pipeline, 3);
    pipeline.wait_for("openaitranscribe/result", 1);
    ck_assert(service.wait_for_requests(2, std::chrono::seconds(20)));
    const gint64 took = pipeline.timed_state(state);
    ck_assert_int_lt(took, G_TIME_SPAN_SECOND);
    pipeline.collect();
    const std::vector<std::string> words = story(pipeline);
    const std::string all = joined(words);
    ck_assert_uint_ge(words.size(), 2);
    ck_assert_msg(words[words.size() - 2] == "job:QUEUED:stopped", "%s", all.c_str());
    ck_assert_msg(words.back() == "progress:CANCELED", "%s", all.c_str());
    for (const char* none : {"complete:", "error:", "eos", "chunk-failed:", "chunk-skipped:",
                             "progress:COMPLETE", "progress:ERROR"}) {
      ck_assert_msg(all.find(none) == std::string::npos, "%s", all.c_str());
    }
    ck_assert_uint_eq(service.requests().size(), 2);
  }
}
GST_END_TEST;

// Behind an end with an ERROR comes no EOS, even when the stream ends later.
GST_START_TEST(test_no_eos_behind_an_error) {
  FakeService service;
  answer_chunk(service, 1, Answer::error(401));
  auto pipeline = start(service, policy(__i__));
  pipeline.push(noise(2 * kSecond), 0);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  gst_app_src_end_of_stream(GST_APP_SRC(pipeline.source()));
  check_ending(pipeline, {"FAILED", "error", "ERROR", "NOT_AUTHORIZED"});
}
GST_END_TEST;

static Suite* ends_suite(void) {
  Suite* suite = suite_create("ends");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_all_done, 0, kPolicies);
  tcase_add_loop_test(tests, test_no_chunk, 0, kPolicies);
  tcase_add_loop_test(tests, test_job_wide_error, 0, kPolicies);
  tcase_add_loop_test(tests, test_results_behind_a_job_wide_error, 0, kPolicies);
  tcase_add_loop_test(tests, test_chunk_failed, 0, kPolicies);
  tcase_add_test(tests, test_many_failed_in_another_order);
  tcase_add_loop_test(tests, test_last_chunk_failed, 0, kPolicies);
  tcase_add_test(tests, test_abort_does_not_wait_for_the_stream);
  tcase_add_loop_test(tests, test_retries_used_up, 0, kPolicies);
  tcase_add_loop_test(tests, test_chunk_timeout, 0, kPolicies);
  tcase_add_loop_test(tests, test_eos_timeout, 0, kPolicies);
  tcase_add_loop_test(tests, test_always_busy, 0, kPolicies);
  tcase_add_loop_test(tests, test_rejected_alike_around_silence, 0, kPolicies);
  tcase_add_test(tests, test_eos_timeout_that_is_not_needed);
  tcase_add_loop_test(tests, test_leaky, 0, 2 * kPolicies);
  tcase_add_loop_test(tests, test_leaky_and_a_failure, 0, kPolicies);
  tcase_add_test(tests, test_policy_changes);
  tcase_add_loop_test(tests, test_stopped, 0, kPolicies);
  tcase_add_loop_test(tests, test_no_eos_behind_an_error, 0, kPolicies);
  return suite;
}
GST_CHECK_MAIN(ends);
