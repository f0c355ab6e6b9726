// More data than the service takes, live or not, and what may be changed while it plays.
#include <gst/gst.h>

#include <algorithm>
#include <functional>
#include <string>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSecond = 16000;
const char* const kFixed = "split=fixed max-chunk-duration=1000000000 ";

Answer gated(const std::string& gate) {
  Answer answer;
  answer.gate = gate;
  return answer;
}

void until(const std::function<bool()>& condition) {
  const gint64 deadline = g_get_monotonic_time() + static_cast<gint64>(kWatchdog / 1000);
  while (!condition()) {
    ck_assert_msg(g_get_monotonic_time() < deadline, "it did not come to that in time");
    g_usleep(500);
  }
}

std::vector<std::uint64_t> indices(const SinkPipeline& pipeline, const std::string& name) {
  std::vector<std::uint64_t> all;
  for (const GstStructure* chunk : pipeline.named(name))
    all.push_back(uint64_field(chunk, "chunk-index"));
  return all;
}

std::vector<std::uint64_t> range(std::uint64_t begin, std::uint64_t end) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = begin; i < end; i++) all.push_back(i);
  return all;
}

std::vector<std::string> resource_warnings(const SinkPipeline& pipeline, int code) {
  std::vector<std::string> texts;
  for (const Seen& seen : pipeline.messages()) {
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_WARNING) continue;
    GError* error = nullptr;
    gst_message_parse_warning(seen.message, &error, nullptr);
    if (g_error_matches(error, GST_RESOURCE_ERROR, code)) texts.emplace_back(error->message);
    g_error_free(error);
  }
  return texts;
}

}  // namespace

// Ten seconds, room for one in flight and three that wait: six are too many.
GST_START_TEST(test_leaky) {
  const bool newest = __i__ == 0;
  FakeService service;
  service.answer_with([](const Request&) { return gated("go"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "max-parallel=1 max-queued-chunks=3 leaky=" +
                         (newest ? "upstream" : "downstream"));
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, 20s));
  pipeline.push(noise(9 * kSecond, 2), GST_SECOND);
  pipeline.wait_for("openaitranscribe/chunk-queued", 10);
  service.open_gate("go");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);

  const auto skipped = indices(pipeline, "openaitranscribe/chunk-skipped");
  ck_assert(skipped == (newest ? range(4, 10) : range(1, 7)));
  for (const GstStructure* chunk : pipeline.named("openaitranscribe/chunk-skipped"))
    ck_assert(string_field(chunk, "reason") == "queue-full");
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 4);
  ck_assert_uint_eq(service.requests().size(), 4);
  ck_assert_uint_eq(resource_warnings(pipeline, GST_RESOURCE_ERROR_BUSY).size(), 1);
  ck_assert_uint_eq(pipeline.warnings().size(), 1);
  const GstStructure* complete = pipeline.named("openaitranscribe/complete").front();
  ck_assert(string_field(complete, "state") == "COMPLETED");
  ck_assert_uint_eq(uint64_field(complete, "chunks-skipped-queue-full"), 6);
  ck_assert_uint_eq(uint64_field(complete, "chunks-completed"), 4);
  ck_assert_uint_eq(uint64_field(complete, "chunks-submitted"), 10);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 3);
}
GST_END_TEST;

static GstBusSyncReply change_on_error(GstBus*, GstMessage* message, gpointer to) noexcept {
  if (gst_message_has_name(message, "openaitranscribe/complete"))
    gst_util_set_object_arg(G_OBJECT(GST_MESSAGE_SRC(message)), "on-error",
                            static_cast<const char*>(to));
  return GST_BUS_PASS;
}

// Whether failed chunks are an error is decided once: what `complete` says is how the job ends.
GST_START_TEST(test_on_error_changes_at_the_end) {
  const bool ignore = __i__ == 0;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == 2 ? Answer::error(400, "invalid_value", "", "bad", "file") : Answer();
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + (ignore ? "on-error=ignore" : "on-error=continue"));
  GstBus* bus = gst_element_get_bus(pipeline.pipeline());
  char* const to = g_strdup(ignore ? "continue" : "ignore");
  gst_bus_set_sync_handler(bus, change_on_error, to, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(4 * kSecond), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), ignore ? GST_MESSAGE_EOS : GST_MESSAGE_ERROR);
  ck_assert_uint_eq(pipeline.warnings().size(), ignore ? 1 : 0);
  gst_bus_set_sync_handler(bus, nullptr, nullptr, nullptr);
  gst_object_unref(bus);
  pipeline.set_state(GST_STATE_NULL);
  g_free(to);
}
GST_END_TEST;

// Held back: a live source is warned about once, a file not at all.
GST_START_TEST(test_back_pressure_warning) {
  const bool live = __i__ == 0;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return gated(*request.chunk < 5 ? "first" : "second"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "max-parallel=1 max-queued-chunks=1");
  g_object_set(pipeline.source(), "is-live", live, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(10 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/chunk-queued", 2);
  // Before the service moves.
  if (live) {
    until([&] {
      pipeline.collect();
      return !pipeline.warnings().empty();
    });
  }
  service.open_gate("first");
  pipeline.wait_for("openaitranscribe/chunk-queued", 6);
  service.open_gate("second");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 10);
  ck_assert_uint_eq(resource_warnings(pipeline, GST_RESOURCE_ERROR_BUSY).size(), live ? 1 : 0);
  ck_assert_uint_eq(pipeline.warnings().size(), live ? 1 : 0);
}
GST_END_TEST;

// Noise without a pause is cut at the maximum; the latency query tells live from not.
GST_START_TEST(test_automatic_sizes) {
  const bool live = __i__ == 0;
  for (const char* split : {"fixed", "pause"}) {
    FakeService service;
    auto pipeline =
        SinkPipeline::with_source(service.url(), std::string("skip-silence=false split=") + split);
    g_object_set(pipeline.source(), "is-live", live, nullptr);
    pipeline.set_state(GST_STATE_PLAYING);
    for (unsigned i = 0; i < 65; i++) pipeline.push(noise(kSecond, i), i * GST_SECOND);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    const GstClockTime longest = (live ? 10 : 28) * GST_SECOND;
    GstClockTime seen = 0;
    GstClockTime sum = 0;
    for (const GstStructure* chunk : pipeline.named("openaitranscribe/chunk-queued")) {
      const GstClockTime duration = uint64_field(chunk, "duration");
      seen = std::max(seen, duration);
      sum += duration;
    }
    ck_assert_uint_eq(sum, 65 * GST_SECOND);
    ck_assert_uint_le(seen, longest);
    if (std::string(split) == "fixed") ck_assert_uint_eq(seen, longest);
    if (std::string(split) == "pause") ck_assert_uint_gt(seen, live ? 3 * GST_SECOND : longest / 3);
  }
}
GST_END_TEST;

// The smallest automatic size: a pause is taken from 3 s on when live, from 12 s on in a file.
GST_START_TEST(test_automatic_minimum) {
  const bool live = __i__ == 0;
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), "skip-silence=false");
  g_object_set(pipeline.source(), "is-live", live, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  for (unsigned i = 0; i < 40; i++) {
    auto samples = noise(kSecond, i);
    std::fill(samples.begin() + kSecond / 2, samples.end(), 0);
    pipeline.push(samples, i * GST_SECOND);
  }
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto queued = pipeline.named("openaitranscribe/chunk-queued");
  const GstClockTime first = uint64_field(queued[0], "duration");
  if (live) {
    ck_assert_uint_ge(first, 3 * GST_SECOND);
    ck_assert_uint_lt(first, 5 * GST_SECOND);
  } else {
    ck_assert_uint_ge(first, 12 * GST_SECOND);
    ck_assert_uint_le(first, 28 * GST_SECOND);
  }
}
GST_END_TEST;

GST_START_TEST(test_max_parallel_up_and_down) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return gated(*request.chunk <= 4 ? "up" : "down"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "max-parallel=1 max-queued-chunks=100");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(12 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/chunk-queued", 12);
  ck_assert(service.wait_for_requests(1, 20s));
  ck_assert_uint_eq(service.max_in_flight(), 1);
  g_object_set(pipeline.sink(), "max-parallel", 4, nullptr);
  ck_assert(service.wait_for_requests(4, 20s));
  ck_assert_uint_eq(pipeline.stat("in-flight"), 4);
  // What is in flight goes on; the next ones come one by one.
  g_object_set(pipeline.sink(), "max-parallel", 1, nullptr);
  service.open_gate("up");
  ck_assert(service.wait_for_requests(5, 20s));
  service.open_gate("down");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.max_in_flight(), 4);
  for (const Request& request : service.requests()) {
    if (*request.chunk > 5) ck_assert_uint_eq(request.in_flight, 1);
  }
}
GST_END_TEST;

GST_START_TEST(test_rate_while_playing) {
  FakeService service;
  auto pipeline =
      SinkPipeline::with_source(service.url(), std::string(kFixed) + "rate-limit-group=here");
  g_object_set(pipeline.sink(), "requests-per-second", 0.01, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(10 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/result");
  pipeline.wait_for("openaitranscribe/chunk-queued", 10);
  ck_assert_uint_eq(service.requests().size(), 1);
  g_object_set(pipeline.sink(), "requests-per-second", 0.0, nullptr);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 10);
}
GST_END_TEST;

GST_START_TEST(test_on_error_while_playing) {
  const bool ignore = __i__ == 0;
  FakeService service;
  service.answer_with([](const Request& request) {
    if (*request.chunk == 1) return Answer();
    if (*request.chunk > 2) return gated("go");
    Answer answer = Answer::error(400);
    answer.gate = "go";
    return answer;
  });
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(3 * kSecond), 0);
  ck_assert(service.wait_for_requests(3, 20s));
  gst_util_set_object_arg(G_OBJECT(pipeline.sink()), "on-error", ignore ? "ignore" : "abort");
  service.open_gate("go");
  if (!ignore) {
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
    const GstStructure* complete = pipeline.named("openaitranscribe/complete").front();
    ck_assert(string_field(complete, "reason") == "error");
    return;
  }
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.warnings().size(), 1);
  ck_assert_uint_eq(pipeline.stat("chunks-failed"), 1);
}
GST_END_TEST;

GST_START_TEST(test_retries_while_playing) {
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer = Answer::error(503);
    answer.gate = "go";
    return answer;
  });
  auto pipeline = SinkPipeline::with_source(service.url(),
                                            std::string(kFixed) + "retry-delay=1 on-error=ignore");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, 20s));
  g_object_set(pipeline.sink(), "retries", 2, nullptr);
  service.open_gate("go");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 3);
  ck_assert_uint_eq(uint_field(pipeline.named("openaitranscribe/chunk-failed").front(), "attempts"),
                    3);
}
GST_END_TEST;

GST_START_TEST(test_prompt_and_messages_while_playing) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), std::string(kFixed) + "prompt=before");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  pipeline.wait_for("openaitranscribe/text");
  g_object_set(pipeline.sink(), "prompt", "after", "post-messages", FALSE, nullptr);
  const std::size_t told = pipeline.count("openaitranscribe/chunk-queued");
  pipeline.push(noise(kSecond, 2), GST_SECOND);
  until([&] { return pipeline.stat("chunks-completed") == 2; });
  g_object_set(pipeline.sink(), "prompt", nullptr, "post-messages", TRUE, nullptr);
  pipeline.push(noise(kSecond, 3), 2 * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 3);
  ck_assert(requests[0].field("prompt") == "before");
  ck_assert(requests[1].field("prompt") == "after");
  ck_assert(requests[2].fields("prompt").empty());
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-queued"), told + 1);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 1);
}
GST_END_TEST;

GST_START_TEST(test_queue_and_leaky_while_playing) {
  FakeService service;
  service.answer_with([](const Request&) { return gated("go"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "max-parallel=1 max-queued-chunks=1");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(10 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/chunk-queued", 2);
  until([&] { return pipeline.stat("queued") == 1; });
  g_object_set(pipeline.sink(), "max-queued-chunks", 4, nullptr);
  pipeline.wait_for("openaitranscribe/chunk-queued", 5);
  gst_util_set_object_arg(G_OBJECT(pipeline.sink()), "leaky", "upstream");
  pipeline.wait_for("openaitranscribe/chunk-queued", 10);
  service.open_gate("go");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert(indices(pipeline, "openaitranscribe/chunk-skipped") == range(5, 10));
}
GST_END_TEST;

// Chunks are cut, and the drain ends, as the properties were at READY to PAUSED, wherever in the
// job they change. The second run is the next start.
GST_START_TEST(test_settings_of_the_start) {
  struct Change {
    const char* property;
    const char* value;
  };
  const std::vector<Change> changes = {
      {"split", "pause"},         {"max-chunk-duration", "5000000000"},
      {"skip-silence", "true"},   {"silence-duration", "100000000"},
      {"forced-overlap", "0"},    {"speech-threshold", "20"},
      {"pause-duration", "1000"}, {"min-chunk-duration", "4000000000"},
      {"eos-timeout", "1"},       {"location", "/nonexistent/talk.txt"},
      {"job-id", "a b"},
  };
  const auto change = [&](SinkPipeline& pipeline) {
    for (const Change& one : changes)
      gst_util_set_object_arg(G_OBJECT(pipeline.sink()), one.property, one.value);
  };
  const bool before_data = __i__ == 0;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return request.chunk == 6u ? gated("last") : Answer(); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "skip-silence=false max-queued-chunks=100");
  pipeline.set_state(GST_STATE_PAUSED);
  if (before_data) change(pipeline);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  pipeline.wait_for("openaitranscribe/chunk-queued", 1);
  if (!before_data) change(pipeline);
  pipeline.push(std::vector<std::int16_t>(5 * kSecond), GST_SECOND);
  pipeline.end_of_stream();
  pipeline.wait_for("openaitranscribe/result", 5);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), 0);
  service.open_gate("last");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 6);
  for (const GstStructure* result : results)
    ck_assert_uint_eq(uint64_field(result, "duration"), GST_SECOND);

  pipeline.set_state(GST_STATE_READY);
  pipeline.collect();
  ck_assert_int_eq(pipeline.try_state(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
}
GST_END_TEST;

// Taking the bound away while playing does not help the job that has it.
GST_START_TEST(test_eos_timeout_of_the_start) {
  FakeService service;
  service.answer_with([](const Request&) { return gated("go"); });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + "eos-timeout=50000000 on-error=ignore");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, 20s));
  g_object_set(pipeline.sink(), "eos-timeout", GST_CLOCK_TIME_NONE, nullptr);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const auto failed = pipeline.named("openaitranscribe/chunk-failed");
  ck_assert_uint_eq(failed.size(), 1);
  ck_assert(string_field(failed.front(), "reason") == "eos-timeout");
}
GST_END_TEST;

static Suite* flow_suite(void) {
  Suite* suite = suite_create("flow");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_leaky, 0, 2);
  tcase_add_loop_test(tests, test_back_pressure_warning, 0, 2);
  tcase_add_loop_test(tests, test_on_error_changes_at_the_end, 0, 2);
  tcase_add_loop_test(tests, test_automatic_sizes, 0, 2);
  tcase_add_loop_test(tests, test_automatic_minimum, 0, 2);
  tcase_add_test(tests, test_max_parallel_up_and_down);
  tcase_add_test(tests, test_rate_while_playing);
  tcase_add_loop_test(tests, test_on_error_while_playing, 0, 2);
  tcase_add_test(tests, test_retries_while_playing);
  tcase_add_test(tests, test_prompt_and_messages_while_playing);
  tcase_add_test(tests, test_queue_and_leaky_while_playing);
  tcase_add_loop_test(tests, test_settings_of_the_start, 0, 2);
  tcase_add_test(tests, test_eos_timeout_of_the_start);
  return suite;
}
GST_CHECK_MAIN(flow);
