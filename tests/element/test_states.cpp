// Flush, pause, READY and NULL at every point of a job: at once, and with the right story.
#include <gst/gst.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSecond = 16000;
// Microseconds; what is cancelled would take a minute otherwise.
constexpr std::int64_t kAtOnce = 1000000;

enum Point {
  kBeforeData,
  kInPreroll,
  kInFlight,
  kBlocked,  // by back-pressure, in render
  kInBackoff,
  kInHold,  // after a 429
  kInDrain,
  kPoints,
};
constexpr std::array<const char*, kPoints> kNames = {
    "before data",  "in preroll",      "in flight",   "blocked in render",
    "in a backoff", "in a 429's hold", "in the drain"};
// Points at which nothing was rendered yet.
bool before_start(int point) { return point < kInFlight; }

Answer gated() {
  Answer answer;
  answer.gate = "go";
  return answer;
}

Answer too_many(unsigned delay_ms) {
  Answer answer = Answer::error(429);
  answer.headers.emplace_back("retry-after-ms", std::to_string(delay_ms));
  return answer;
}

// A job that is stuck at one of the points until heal(). The first chunk has its result then, where
// there is data at all.
class Scene {
 public:
  // `delay_ms`: of the backoff and of the hold.
  Scene(int point, unsigned delay_ms, const std::string& properties = "")
      : point_(point),
        pipeline_(SinkPipeline::with_source(
            service_.url(),
            "split=fixed max-chunk-duration=1000000000 max-queued-chunks=2 max-retry-delay=60000 "
            "retry-delay=" +
                std::to_string(delay_ms) +
                (point == kBlocked ? " max-parallel=1 " : " max-parallel=8 ") + properties)) {
    service_.answer_with([this, point, delay_ms](const Request& request) {
      if (healthy_ || request.chunk == 1u) return Answer();
      if (point == kInBackoff) return Answer::error(503);
      if (point == kInHold) return too_many(delay_ms);
      return gated();
    });
    gst_app_src_set_stream_type(GST_APP_SRC(pipeline_.source()), GST_APP_STREAM_TYPE_SEEKABLE);
    g_signal_connect(pipeline_.source(), "seek-data", G_CALLBACK(on_seek), nullptr);
    reach();
  }

  SinkPipeline& pipeline() { return pipeline_; }
  FakeService& service() { return service_; }
  void heal() {
    healthy_ = true;
    service_.open_gate("go");
  }

  // A flushing seek, as a player does it. Microseconds it took.
  std::int64_t flush() {
    const std::int64_t begin = g_get_monotonic_time();
    ck_assert(gst_element_seek_simple(pipeline_.source(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0));
    return g_get_monotonic_time() - begin;
  }

 private:
  static gboolean on_seek(GstAppSrc*, guint64, gpointer) { return TRUE; }

  void reach() {
    if (point_ == kInPreroll) {
      pipeline_.set_state(GST_STATE_PAUSED);
      pipeline_.push(noise(3 * kSecond), 0);
      ck_assert_int_eq(gst_element_get_state(pipeline_.pipeline(), nullptr, nullptr, kWatchdog),
                       GST_STATE_CHANGE_SUCCESS);
      return;
    }
    pipeline_.set_state(GST_STATE_PLAYING);
    if (point_ == kBeforeData) return;
    pipeline_.push(noise(kSecond), 0);
    pipeline_.wait_for("openaitranscribe/result");
    if (point_ == kBlocked) {
      pipeline_.push(noise(10 * kSecond, 2), GST_SECOND);
      pipeline_.wait_for("openaitranscribe/chunk-queued", 4);
      return;
    }
    pipeline_.push(noise(2 * kSecond + kSecond / 2, 2), GST_SECOND);
    if (point_ == kInDrain) {
      pipeline_.end_of_stream();
      pipeline_.wait_for("openaitranscribe/chunk-queued", 4);
      ck_assert(service_.wait_for_requests(4, 20s));
      return;
    }
    pipeline_.wait_for("openaitranscribe/chunk-queued", 3);
    if (point_ == kInFlight) ck_assert(service_.wait_for_requests(3, 20s));
    if (point_ == kInBackoff) pipeline_.wait_for("openaitranscribe/chunk-retry", 2);
    if (point_ == kInHold) pipeline_.wait_for("openaitranscribe/chunk-retry");
  }

  const int point_;
  std::atomic<bool> healthy_{false};
  FakeService service_;
  SinkPipeline pipeline_;
};

void at_once(const char* what, int point, std::int64_t took) {
  std::printf("# %s %s: %.1f ms\n", what, kNames[static_cast<std::size_t>(point)],
              static_cast<double>(took) / 1000);
  std::fflush(stdout);
  ck_assert_msg(took < kAtOnce, "%s %s took %.1f ms", what, kNames[static_cast<std::size_t>(point)],
                static_cast<double>(took) / 1000);
}

std::size_t skipped(const SinkPipeline& pipeline, const std::string& reason) {
  std::size_t count = 0;
  for (const GstStructure* chunk : pipeline.named("openaitranscribe/chunk-skipped"))
    count += string_field(chunk, "reason") == reason;
  return count;
}

// Every chunk was settled exactly once, in order, from index 0 on. Returns how many.
std::size_t settled_in_order(const SinkPipeline& pipeline, std::size_t first_message = 0) {
  std::size_t next = 0;
  for (std::size_t i = first_message; i < pipeline.messages().size(); i++) {
    const Seen& seen = pipeline.messages()[i];
    if (seen.name != "openaitranscribe/result" && seen.name != "openaitranscribe/chunk-failed" &&
        seen.name != "openaitranscribe/chunk-skipped")
      continue;
    ck_assert_uint_eq(uint64_field(seen.structure, "chunk-index"), next);
    next++;
  }
  return next;
}

std::size_t progress(const SinkPipeline& pipeline, GstProgressType wanted,
                     std::size_t first_message = 0) {
  std::size_t count = 0;
  for (std::size_t i = first_message; i < pipeline.messages().size(); i++) {
    const Seen& seen = pipeline.messages()[i];
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_PROGRESS) continue;
    GstProgressType type;
    gst_message_parse_progress(seen.message, &type, nullptr, nullptr);
    count += type == wanted;
  }
  return count;
}

std::string last_job_state(const SinkPipeline& pipeline) {
  const GstStructure* last = pipeline.named("openaitranscribe/job").back();
  return string_field(last, "state") + " " + string_field(last, "reason");
}

// A whole job, with data that starts at 0.
void check_run(SinkPipeline& pipeline) {
  pipeline.collect();
  const std::size_t first = pipeline.messages().size();
  const std::size_t completed = pipeline.count("openaitranscribe/complete");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(2 * kSecond + 5, 7), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.stat("requests"), 3);
  ck_assert_uint_eq(settled_in_order(pipeline, first), 3);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), completed + 1);
  ck_assert(last_job_state(pipeline) == "COMPLETED eos");
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_START, first), 1);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_COMPLETE, first), 1);
  ck_assert_uint_eq(pipeline.stat("chunks-submitted"), 3);
  ck_assert_uint_eq(pipeline.stat("chunks-completed"), 3);
}

}  // namespace

GST_START_TEST(test_flush) {
  const int point = __i__;
  Scene scene(point, 2000);
  SinkPipeline& pipeline = scene.pipeline();
  at_once("flush", point, scene.flush());
  scene.heal();
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(2 * kSecond, 3), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);

  const std::size_t flushed = skipped(pipeline, "flushed");
  const std::size_t results = pipeline.count("openaitranscribe/result");
  ck_assert_uint_eq(settled_in_order(pipeline), flushed + results);
  if (before_start(point)) {
    ck_assert_uint_eq(flushed, 0);
    ck_assert_uint_eq(results, 2);
  } else {
    // Two of a whole second, and the rest as far as it was taken in.
    ck_assert_uint_ge(flushed, 2);
    if (point == kInDrain) ck_assert_uint_eq(flushed, 3);
    if (point != kBlocked) ck_assert_uint_le(flushed, 3);
    ck_assert_uint_eq(results, 3);
    ck_assert_uint_eq(uint64_field(pipeline.named("openaitranscribe/result")[0], "chunk-index"), 0);
  }
  ck_assert_uint_eq(pipeline.stat("chunks-skipped-flushed"), flushed);
  ck_assert(last_job_state(pipeline) == "COMPLETED eos");
  ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 3);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 1);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_START), 1);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_COMPLETE), 1);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_CANCELED), 0);
}
GST_END_TEST;

GST_START_TEST(test_pause) {
  const int point = __i__;
  Scene scene(point, 2000);
  SinkPipeline& pipeline = scene.pipeline();
  at_once("pause", point, pipeline.timed_state(GST_STATE_PAUSED));
  scene.heal();
  pipeline.collect();
  if (point == kInDrain) {
    // Requests go on, and EOS waits for PLAYING.
    pipeline.wait_for("openaitranscribe/complete");
    pipeline.collect();
    ck_assert_uint_eq(pipeline.count("eos"), 0);
    const std::int64_t begin = g_get_monotonic_time();
    pipeline.set_state(GST_STATE_PLAYING);
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    at_once("EOS after the pause", point, g_get_monotonic_time() - begin);
  } else {
    if (point == kInFlight || point == kBlocked) pipeline.wait_for("openaitranscribe/result", 3);
    pipeline.set_state(GST_STATE_PLAYING);
    if (before_start(point)) pipeline.push(noise(kSecond / 2), 3 * GST_SECOND);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  }
  const std::size_t results = pipeline.count("openaitranscribe/result");
  ck_assert_uint_eq(results, point == kBlocked ? 11 : point == kBeforeData ? 1 : 4);
  ck_assert_uint_eq(settled_in_order(pipeline), results);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 3);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_CANCELED), 0);
  ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_COMPLETE), 1);
}
GST_END_TEST;

GST_START_TEST(test_ready) {
  const int point = __i__;
  Scene scene(point, 60000);
  SinkPipeline& pipeline = scene.pipeline();
  at_once("READY", point, pipeline.timed_state(GST_STATE_READY));
  pipeline.collect();
  const std::size_t seen = pipeline.messages().size();
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 0);
  ck_assert_uint_eq(pipeline.count("eos"), 0);
  ck_assert_uint_eq(pipeline.count("error"), 0);
  ck_assert_uint_eq(skipped(pipeline, "flushed"), 0);
  if (before_start(point)) {
    ck_assert(last_job_state(pipeline) == "QUEUED created");
    ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_START), 0);
  } else {
    ck_assert(last_job_state(pipeline) == "QUEUED stopped");
    ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 3);
    ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_START), 1);
    ck_assert_uint_eq(progress(pipeline, GST_PROGRESS_TYPE_CANCELED), 1);
    ck_assert_uint_eq(pipeline.stat("chunks-completed"), 1);
  }
  ck_assert_uint_eq(pipeline.stat("in-flight"), 0);
  ck_assert_uint_eq(pipeline.stat("queued"), 0);

  scene.heal();
  // Nothing comes from the job that was stopped.
  pipeline.collect();
  ck_assert_uint_eq(pipeline.messages().size(), seen);
  check_run(pipeline);
}
GST_END_TEST;

static GstBusSyncReply on_message(GstBus*, GstMessage* message, gpointer data) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT ||
      GST_MESSAGE_TYPE(message) == GST_MESSAGE_PROGRESS)
    ++*static_cast<std::atomic<unsigned>*>(data);
  return GST_BUS_PASS;
}

GST_START_TEST(test_null) {
  const int point = __i__;
  std::atomic<unsigned> posted{0};
  Scene scene(point, 60000);
  SinkPipeline& pipeline = scene.pipeline();
  GstBus* bus = gst_element_get_bus(pipeline.pipeline());
  gst_bus_set_sync_handler(bus, on_message, &posted, nullptr);
  at_once("NULL", point, pipeline.timed_state(GST_STATE_NULL));
  const unsigned before = posted;
  // QUEUED and CANCELED, as far as there was something to stop.
  if (!before_start(point)) ck_assert_uint_ge(before, 2);
  scene.heal();
  // Whatever was in flight has ended at the service's side too.
  while (scene.service().in_flight() > 0) g_thread_yield();
  ck_assert_uint_eq(posted, before);
  gst_bus_set_sync_handler(bus, nullptr, nullptr, nullptr);
  gst_object_unref(bus);
  check_run(pipeline);
}
GST_END_TEST;

GST_START_TEST(test_flush_start_alone) {
  for (const int point : {kInFlight, kBlocked, kInDrain}) {
    Scene scene(point, 60000);
    const std::int64_t begin = g_get_monotonic_time();
    ck_assert(gst_element_send_event(scene.pipeline().source(), gst_event_new_flush_start()));
    at_once("FLUSH_START", point, g_get_monotonic_time() - begin);
    // The requests are gone before FLUSH_STOP.
    while (scene.service().in_flight() > 0) g_thread_yield();
    ck_assert(gst_element_send_event(scene.pipeline().source(), gst_event_new_flush_stop(TRUE)));
    at_once("READY after FLUSH_STOP", point, scene.pipeline().timed_state(GST_STATE_READY));
  }
}
GST_END_TEST;

// A buffer of many chunks is in work when the flush comes: all of it is accounted for.
GST_START_TEST(test_flush_within_a_large_buffer) {
  const char* const kCaps[] = {SinkPipeline::kMono16k,
                               "audio/x-raw,format=S16LE,rate=44100,channels=1,layout=interleaved"};
  const std::size_t rate = __i__ == 0 ? kSecond : 44100;
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    answer.hang = *request.chunk <= 2;
    return answer;
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(),
      "split=fixed max-chunk-duration=1000000000 max-parallel=1 max-queued-chunks=1 "
      "requests-per-second=0",
      kCaps[__i__]);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(20 * rate), 0);
  while (pipeline.stat("queued") < 1) g_thread_yield();
  ck_assert(gst_element_send_event(pipeline.source(), gst_event_new_flush_start()));
  ck_assert(gst_element_send_event(pipeline.source(), gst_event_new_flush_stop(TRUE)));
  pipeline.push(noise(rate, 2), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  settled_in_order(pipeline);
  GstClockTime dropped = 0;
  for (const GstStructure* one : pipeline.named("openaitranscribe/chunk-skipped")) {
    ck_assert_uint_eq(uint64_field(one, "timestamp"), dropped);
    dropped += uint64_field(one, "duration");
  }
  ck_assert_uint_eq(dropped, 20 * GST_SECOND);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 1);
  ck_assert_uint_eq(pipeline.stat("audio-settled"), 21 * GST_SECOND);
}
GST_END_TEST;

// Flushes that come while everything moves: nothing is lost or told twice.
GST_START_TEST(test_many_flushes) {
  Scene scene(kInFlight, 1000);
  scene.heal();
  SinkPipeline& pipeline = scene.pipeline();
  for (unsigned i = 0; i < 20; i++) {
    pipeline.push(noise(3 * kSecond + i * 100, i), 0);
    // GstBin may stay in PAUSED when another flush comes while it returns to PLAYING.
    ck_assert_int_eq(gst_element_get_state(pipeline.pipeline(), nullptr, nullptr, kWatchdog),
                     GST_STATE_CHANGE_SUCCESS);
    if (i % 3 == 0) pipeline.wait_for("openaitranscribe/result", i + 2);
    scene.flush();
  }
  pipeline.push(noise(kSecond), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  const std::size_t settled = settled_in_order(pipeline);
  ck_assert_uint_eq(settled,
                    pipeline.count("openaitranscribe/result") + skipped(pipeline, "flushed"));
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 1);
}
GST_END_TEST;

GST_START_TEST(test_data_after_the_end) {
  for (const bool automatic : {true, false}) {
    Scene scene(kInDrain, 1000, automatic ? "" : "job-id=mine");
    scene.heal();
    SinkPipeline& pipeline = scene.pipeline();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    const std::string id =
        string_field(pipeline.named("openaitranscribe/complete").front(), "job-id");

    // EOS alone is told again and starts nothing.
    scene.flush();
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 1);

    scene.flush();
    const std::size_t first = pipeline.messages().size();
    pipeline.push(noise(2 * kSecond, 3), 0);
    if (!automatic) {
      ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
      ck_assert(g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
      ck_assert(strstr(pipeline.error()->message, "job-id") != nullptr);
      continue;
    }
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    const auto complete = pipeline.named("openaitranscribe/complete");
    ck_assert_uint_eq(complete.size(), 2);
    const std::string second = string_field(complete[1], "job-id");
    ck_assert(second != id);
    ck_assert_uint_eq(uint64_field(complete[1], "chunks-completed"), 2);
    ck_assert_uint_eq(settled_in_order(pipeline, first), 2);
    gchar* now = nullptr;
    g_object_get(pipeline.sink(), "job-id", &now, nullptr);
    ck_assert_str_eq(now, second.c_str());
    g_free(now);
  }
}
GST_END_TEST;

// Whose id was automatic is decided at the start, and so is how the job after the end is cut.
GST_START_TEST(test_settings_change_before_data_after_the_end) {
  for (const bool automatic : {true, false}) {
    Scene scene(kInDrain, 1000, automatic ? "" : "job-id=mine");
    scene.heal();
    SinkPipeline& pipeline = scene.pipeline();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    const std::string id =
        string_field(pipeline.named("openaitranscribe/complete").front(), "job-id");
    g_object_set(pipeline.sink(), "job-id", automatic ? "another" : nullptr, "max-chunk-duration",
                 5 * GST_SECOND, "prompt", "now", nullptr);
    scene.flush();
    const std::size_t first = pipeline.messages().size();
    pipeline.push(noise(2 * kSecond, 3), 0);
    pipeline.end_of_stream();
    if (!automatic) {
      ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
      ck_assert(g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
      ck_assert(strstr(pipeline.error()->message, "\"mine\"") != nullptr);
      continue;
    }
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    const auto complete = pipeline.named("openaitranscribe/complete");
    ck_assert_uint_eq(complete.size(), 2);
    const std::string second = string_field(complete[1], "job-id");
    ck_assert(second != id && second != "another");
    ck_assert_uint_eq(settled_in_order(pipeline, first), 2);
    ck_assert(scene.service().requests().back().field("prompt") == "now");
    gchar* now = nullptr;
    g_object_get(pipeline.sink(), "job-id", &now, nullptr);
    ck_assert_str_eq(now, "another");
    g_free(now);
  }
}
GST_END_TEST;

// Pauses that fall anywhere lose nothing.
GST_START_TEST(test_many_pauses) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(
      service.url(), "split=fixed max-chunk-duration=100000000 max-queued-chunks=2 max-parallel=2");
  pipeline.set_state(GST_STATE_PLAYING);
  for (unsigned i = 0; i < 10; i++) pipeline.push(noise(kSecond, i), i * GST_SECOND);
  pipeline.end_of_stream();
  std::int64_t longest = 0;
  for (unsigned i = 0; i < 40; i++) {
    pipeline.wait_for("openaitranscribe/result", 2 * i + 1);
    longest = std::max(longest, pipeline.timed_state(GST_STATE_PAUSED));
    ck_assert_int_eq(gst_element_get_state(pipeline.pipeline(), nullptr, nullptr, kWatchdog),
                     GST_STATE_CHANGE_SUCCESS);
    pipeline.set_state(GST_STATE_PLAYING);
  }
  at_once("longest pause", kBlocked, longest);
  while (pipeline.count("eos") == 0) pipeline.wait();
  ck_assert_uint_eq(settled_in_order(pipeline), 100);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 100);
}
GST_END_TEST;

static Suite* states_suite(void) {
  Suite* suite = suite_create("states");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_flush, 0, kPoints);
  tcase_add_loop_test(tests, test_pause, 0, kPoints);
  tcase_add_loop_test(tests, test_ready, 0, kPoints);
  tcase_add_loop_test(tests, test_null, 0, kPoints);
  tcase_add_test(tests, test_flush_start_alone);
  tcase_add_loop_test(tests, test_flush_within_a_large_buffer, 0, 2);
  tcase_add_test(tests, test_many_flushes);
  tcase_add_test(tests, test_many_pauses);
  tcase_add_test(tests, test_data_after_the_end);
  tcase_add_test(tests, test_settings_change_before_data_after_the_end);
  return suite;
}
GST_CHECK_MAIN(states);
