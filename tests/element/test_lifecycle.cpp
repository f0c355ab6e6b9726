// The element started and stopped many times, watched from other threads, and in pipelines that
// change: nothing is left behind.
#include <dirent.h>
#include <gst/gst.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSecond = 16000;
const char* const kFixed = "split=fixed max-chunk-duration=1000000000";

Answer gated() {
  Answer answer;
  answer.gate = "never";
  return answer;
}

std::size_t entries(const char* directory) {
  std::size_t count = 0;
  DIR* dir = opendir(directory);
  while (readdir(dir) != nullptr) count++;
  closedir(dir);
  return count;
}

struct Resources {
  std::size_t threads;
  std::size_t files;
};

Resources resources() {
  // Idle threads of GLib's pools are nobody's leak.
  g_thread_pool_stop_unused_threads();
  return {entries("/proc/self/task"), entries("/proc/self/fd")};
}

// Waits until no more is in use than before. Threads and the service's sockets go in their own
// time.
void wait_for(const Resources& before) {
  const gint64 deadline = g_get_monotonic_time() + static_cast<gint64>(kWatchdog / 1000);
  Resources now = resources();
  while (now.threads > before.threads || now.files > before.files) {
    ck_assert_msg(g_get_monotonic_time() < deadline,
                  "%zu threads and %zu files, before %zu and %zu", now.threads, now.files,
                  before.threads, before.files);
    g_thread_yield();
    now = resources();
  }
}

// What comes to rest in a cycle.
enum Cycle { kNoData, kPreroll, kInFlight, kBlocked, kDrain, kWhole, kCycles };

void run_cycle(SinkPipeline& pipeline, FakeService& service, unsigned cycle) {
  const std::size_t seen = service.requests().size();
  service.answer_with([cycle](const Request&) { return cycle == kWhole ? Answer() : gated(); });
  pipeline.set_state(cycle == kPreroll ? GST_STATE_PAUSED : GST_STATE_PLAYING);
  if (cycle == kNoData) return;
  pipeline.push(noise(cycle == kBlocked ? 30 * kSecond : 3 * kSecond), 0);
  if (cycle == kDrain || cycle == kWhole) pipeline.end_of_stream();
  if (cycle == kWhole) ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  if (cycle == kInFlight || cycle == kBlocked || cycle == kDrain)
    ck_assert(service.wait_for_requests(seen + 3, 20s));
}

}  // namespace

GST_START_TEST(test_hundred_cycles) {
  FakeService::Options options;
  options.keep_audio = false;
  FakeService service(options);
  Resources before{};
  for (unsigned cycle = 0; cycle < 100 + kCycles; cycle++) {
    // The first ones load what stays loaded.
    if (cycle == kCycles) {
      while (service.open_connections() > 0) g_thread_yield();
      before = resources();
    }
    auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
    run_cycle(pipeline, service, cycle % kCycles);
    pipeline.set_state(GST_STATE_NULL);
  }
  wait_for(before);
}
GST_END_TEST;

GST_START_TEST(test_hundred_cycles_of_one_element) {
  FakeService::Options options;
  options.keep_audio = false;
  FakeService service(options);
  Resources before{};
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  for (unsigned cycle = 0; cycle < 100 + kCycles; cycle++) {
    if (cycle == kCycles) {
      while (service.open_connections() > 0) g_thread_yield();
      before = resources();
    }
    run_cycle(pipeline, service, cycle % kCycles);
    pipeline.set_state(cycle % 2 == 0 ? GST_STATE_READY : GST_STATE_NULL);
  }
  pipeline.set_state(GST_STATE_NULL);
  wait_for(before);
}
GST_END_TEST;

namespace {

struct Watcher {
  GstElement* sink;
  std::atomic<unsigned> posted{0};
};

GstBusSyncReply look_at_stats(GstBus*, GstMessage* message, gpointer data) {
  auto* watcher = static_cast<Watcher*>(data);
  if (GST_MESSAGE_SRC(message) != GST_OBJECT(watcher->sink)) return GST_BUS_PASS;
  if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ELEMENT &&
      GST_MESSAGE_TYPE(message) != GST_MESSAGE_PROGRESS)
    return GST_BUS_PASS;
  watcher->posted++;
  GstStructure* stats = nullptr;
  g_object_get(watcher->sink, "stats", &stats, nullptr);
  gst_structure_free(stats);
  g_object_set(watcher->sink, "retries", 3, nullptr);
  return GST_BUS_PASS;
}

}  // namespace

// The engine's own thread and another one look at the element while it goes to READY.
GST_START_TEST(test_watched_while_stopping) {
  FakeService service;
  auto pipeline =
      SinkPipeline::with_source(service.url(), "split=fixed max-chunk-duration=100000000");
  Watcher watcher{pipeline.sink()};
  GstBus* bus = gst_element_get_bus(pipeline.pipeline());
  gst_bus_set_sync_handler(bus, look_at_stats, &watcher, nullptr);
  std::atomic<bool> quit{false};
  std::thread other([&] {
    while (!quit) {
      gst_structure_free(pipeline.stats());
      g_object_set(pipeline.sink(), "max-parallel", 4, nullptr);
      g_signal_emit_by_name(pipeline.sink(), "split-now");
    }
  });
  for (unsigned i = 0; i < 40; i++) {
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(noise(kSecond, i), 0);
    if (i % 2 == 0) pipeline.wait_for("openaitranscribe/result", i / 2 + 1);
    pipeline.set_state(i % 4 == 3 ? GST_STATE_NULL : GST_STATE_READY);
    const unsigned posted = watcher.posted;
    while (service.in_flight() > 0) g_thread_yield();
    ck_assert_uint_eq(watcher.posted, posted);
  }
  quit = true;
  other.join();
  gst_bus_set_sync_handler(bus, nullptr, nullptr, nullptr);
  gst_object_unref(bus);
}
GST_END_TEST;

GST_START_TEST(test_split_now_while_rendering) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), "split=fixed max-parallel=4");
  pipeline.set_state(GST_STATE_PLAYING);
  std::atomic<bool> quit{false};
  std::thread other([&] {
    while (!quit) {
      g_signal_emit_by_name(pipeline.sink(), "split-now");
      g_usleep(500);
    }
  });
  const auto samples = noise(60 * kSecond);
  for (unsigned i = 0; i < 600; i++)
    pipeline.push({samples.begin() + i * 1600, samples.begin() + (i + 1) * 1600},
                  i * 100 * GST_MSECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  quit = true;
  other.join();
  // Cut anywhere, but in order, once, and with the right times.
  std::map<std::uint64_t, Request> requests;
  for (const Request& request : service.requests()) requests[*request.chunk] = request;
  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), requests.size());
  std::vector<std::int16_t> all;
  std::size_t i = 0;
  for (const auto& [chunk, request] : requests) {
    const std::uint64_t length =
        gst_util_uint64_scale(uint64_field(results[i], "duration"), kSecond, GST_SECOND);
    // Times are whole nanoseconds of whole samples.
    ck_assert_uint_le(uint64_field(results[i], "timestamp"),
                      gst_util_uint64_scale(all.size(), GST_SECOND, kSecond));
    ck_assert_uint_ge(uint64_field(results[i], "timestamp") + 62500,
                      gst_util_uint64_scale(all.size(), GST_SECOND, kSecond));
    const std::size_t frames = std::min<std::size_t>(request.samples->size(), length + 1);
    // A short one is padded; where exactly it ends says the next one's beginning.
    std::size_t next = samples.size();
    if (i + 1 < results.size())
      next = gst_util_uint64_scale_round(uint64_field(results[i + 1], "timestamp"), kSecond,
                                         GST_SECOND);
    ck_assert_uint_le(next - all.size(), frames);
    all.insert(all.end(), request.samples->begin(),
               request.samples->begin() + static_cast<std::ptrdiff_t>(next - all.size()));
    i++;
  }
  ck_assert(all == samples);
}
GST_END_TEST;

GST_START_TEST(test_stats_have_the_same_fields) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  std::string first;
  const auto check = [&] {
    GstStructure* stats = pipeline.stats();
    ck_assert_str_eq(gst_structure_get_name(stats), "application/x-openaitranscribe-sink-stats");
    std::string fields;
    for (int i = 0; i < gst_structure_n_fields(stats); i++) {
      const gchar* name = gst_structure_nth_field_name(stats, static_cast<guint>(i));
      fields +=
          std::string(name) + ":" + g_type_name(gst_structure_get_field_type(stats, name)) + " ";
    }
    if (first.empty()) first = fields;
    ck_assert_str_eq(fields.c_str(), first.c_str());
    for (const char* base : {"average-rate", "dropped", "rendered"})
      ck_assert_msg(gst_structure_has_field(stats, base), "no %s", base);
    gst_structure_free(stats);
  };
  check();
  for (const GstState state : {GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_PLAYING}) {
    pipeline.set_state(state);
    check();
  }
  pipeline.push(noise(2 * kSecond), 0);
  pipeline.wait_for("openaitranscribe/result");
  check();
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check();
  for (const GstState state : {GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_NULL}) {
    pipeline.set_state(state);
    check();
    // The last job's, until the next one begins.
    ck_assert_uint_eq(pipeline.stat("chunks-completed"), 2);
  }
  pipeline.set_state(GST_STATE_PAUSED);
  check();
  ck_assert_uint_eq(pipeline.stat("chunks-completed"), 0);
}
GST_END_TEST;

GST_START_TEST(test_tee_with_two_sinks) {
  FakeService service;
  const std::string sink = std::string("openaitranscribesink requests-per-second=0 base-url=") +
                           service.url() + " " + kFixed;
  SinkPipeline pipeline("appsrc name=src format=time max-bytes=0 caps=\"" +
                        std::string(SinkPipeline::kMono16k) + "\" ! tee name=t ! queue ! " + sink +
                        " name=sink t. ! queue ! " + sink + " name=other");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(3 * kSecond), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 2);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 6);
  ck_assert_uint_eq(service.requests().size(), 6);
  const auto complete = pipeline.named("openaitranscribe/complete");
  ck_assert(string_field(complete[0], "job-id") != string_field(complete[1], "job-id"));
}
GST_END_TEST;

GST_START_TEST(test_added_to_a_running_pipeline) {
  FakeService service;
  SinkPipeline pipeline(
      "audiotestsrc is-live=true samplesperbuffer=160 name=live ! "
      "audio/x-raw,rate=16000,channels=1 ! tee name=t ! queue ! fakesink name=sink async=false");
  pipeline.set_state(GST_STATE_PLAYING);
  ck_assert_int_ne(gst_element_get_state(pipeline.pipeline(), nullptr, nullptr, kWatchdog),
                   GST_STATE_CHANGE_FAILURE);
  GError* error = nullptr;
  GstElement* bin = gst_parse_bin_from_description(
      ("queue ! openaitranscribesink async=false name=added requests-per-second=0 split=fixed "
       "max-chunk-duration=200000000 base-url=" +
       service.url())
          .c_str(),
      TRUE, &error);
  ck_assert(error == nullptr);
  gst_bin_add(GST_BIN(pipeline.pipeline()), bin);
  ck_assert(gst_element_sync_state_with_parent(bin));
  GstElement* tee = gst_bin_get_by_name(GST_BIN(pipeline.pipeline()), "t");
  ck_assert(gst_element_link(tee, bin));
  gst_object_unref(tee);
  pipeline.wait_for("openaitranscribe/result", 3);

  // And removed while the rest goes on.
  gst_object_ref(bin);
  GstPad* pad = gst_element_get_static_pad(bin, "sink");
  GstPad* peer = gst_pad_get_peer(pad);
  gst_pad_unlink(peer, pad);
  gst_bin_remove(GST_BIN(pipeline.pipeline()), bin);
  ck_assert_int_eq(gst_element_set_state(bin, GST_STATE_NULL), GST_STATE_CHANGE_SUCCESS);
  GstElement* owner = gst_pad_get_parent_element(peer);
  gst_element_release_request_pad(owner, peer);
  gst_object_unref(owner);
  gst_object_unref(peer);
  gst_object_unref(pad);
  gst_object_unref(bin);
  pipeline.collect();
  ck_assert_uint_eq(pipeline.count("error"), 0);
}
GST_END_TEST;

// Not linked to anything.
GST_START_TEST(test_without_upstream) {
  FakeService service;
  SinkPipeline pipeline(
      "fakesrc num-buffers=0 ! fakesink openaitranscribesink name=sink base-url=" + service.url());
  for (const GstState state : {GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_READY,
                               GST_STATE_PLAYING, GST_STATE_NULL, GST_STATE_PLAYING})
    pipeline.set_state(state);
  GstPad* pad = gst_element_get_static_pad(pipeline.sink(), "sink");
  ck_assert(gst_pad_send_event(pad, gst_event_new_flush_start()));
  ck_assert(gst_pad_send_event(pad, gst_event_new_flush_stop(TRUE)));
  g_signal_emit_by_name(pipeline.sink(), "split-now");
  gst_object_unref(pad);
}
GST_END_TEST;

static Suite* lifecycle_suite(void) {
  Suite* suite = suite_create("lifecycle");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 120);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_hundred_cycles);
  tcase_add_test(tests, test_hundred_cycles_of_one_element);
  tcase_add_test(tests, test_watched_while_stopping);
  tcase_add_test(tests, test_split_now_while_rendering);
  tcase_add_test(tests, test_stats_have_the_same_fields);
  tcase_add_test(tests, test_tee_with_two_sinks);
  tcase_add_test(tests, test_added_to_a_running_pipeline);
  tcase_add_test(tests, test_without_upstream);
  return suite;
}
GST_CHECK_MAIN(lifecycle);
