// The sink behind a live source: how long audio waits to be sent, counted in samples, or in time
// where no more samples come, and what the results tell of the time they took. Nothing here depends
// on how fast the machine is.
#include <gst/gst.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

using Samples = std::vector<std::int16_t>;

constexpr std::uint64_t kSecond = 16000;
constexpr std::uint64_t kMillisecond = kSecond / 1000;

void add(Samples& samples, std::uint64_t milliseconds, int amplitude, std::minstd_rand& random) {
  for (std::uint64_t i = 0; i < milliseconds * kMillisecond; i++)
    samples.push_back(
        static_cast<std::int16_t>(static_cast<int>(random() % (2 * amplitude + 1)) - amplitude));
}

void add_speech(Samples& samples, std::uint64_t milliseconds, std::minstd_rand& random) {
  for (std::uint64_t at = 0; at < milliseconds; at += 350) {
    add(samples, 280, 7000, random);
    add(samples, 70, 60, random);
  }
}

Samples talk(unsigned seed, bool pauses) {
  std::minstd_rand random(seed);
  Samples samples;
  add(samples, 500, 60, random);
  while (samples.size() < 60 * kSecond) {
    add_speech(samples, pauses ? 700 + random() % 9000 : 60000, random);
    if (pauses) add(samples, random() % 3 == 0 ? random() % 6000 : random() % 700, 60, random);
  }
  return samples;
}

GstClockTime time_of(std::uint64_t frame) {
  return gst_util_uint64_scale(frame, GST_SECOND, kSecond);
}

std::uint64_t frame_of(GstClockTime time) {
  return gst_util_uint64_scale_round(time, kSecond, GST_SECOND);
}

GstClockTime now() { return static_cast<GstClockTime>(g_get_monotonic_time()) * GST_USECOND; }

FakeService::Options without_audio() {
  FakeService::Options options;
  options.keep_audio = false;
  return options;
}

class LiveFeed {
 public:
  LiveFeed(const FakeService& service, const std::string& properties)
      : feed_(service.url(), properties) {
    feed_.live();
    feed_.play();
    feed_.caps(SinkPipeline::kMono16k);
    feed_.plain_segment();
  }

  SinkPipeline& pipeline() { return feed_.pipeline(); }
  void push(const Samples& samples) {
    feed_.samples(samples, time_of(position_));
    position_ += samples.size();
  }
  // In buffers of 20 ms.
  void push_slowly(const Samples& samples) {
    for (std::size_t at = 0; at < samples.size(); at += 20 * kMillisecond) {
      const std::size_t end = std::min(at + 20 * kMillisecond, samples.size());
      push(Samples(samples.begin() + static_cast<std::ptrdiff_t>(at),
                   samples.begin() + static_cast<std::ptrdiff_t>(end)));
    }
  }
  void hole(std::uint64_t frames) { position_ += frames; }
  void gap(std::uint64_t frames) {
    feed_.gap(time_of(position_), time_of(frames));
    position_ += frames;
  }
  std::uint64_t position() const { return position_; }
  void end() { ck_assert_int_eq(feed_.end(), GST_MESSAGE_EOS); }

 private:
  PadFeed feed_;
  std::uint64_t position_ = 0;
};

std::vector<std::uint64_t> begins_of_chunks(const SinkPipeline& pipeline) {
  std::vector<std::uint64_t> begins;
  for (const GstStructure* chunk : pipeline.named("openaitranscribe/chunk-queued"))
    begins.push_back(frame_of(uint64_field(chunk, "timestamp")));
  return begins;
}

// Of one result by its index.
GstClockTime latency_of(const SinkPipeline& pipeline, std::uint64_t index) {
  for (const GstStructure* result : pipeline.named("openaitranscribe/result")) {
    GstClockTime latency = GST_CLOCK_TIME_NONE;
    if (uint64_field(result, "chunk-index") != index) continue;
    ck_assert(gst_structure_get_clock_time(result, "latency", &latency));
    return latency;
  }
  ck_abort_msg("chunk %u has no result", static_cast<unsigned>(index));
}

}  // namespace

// Bits of the loop: pauses or none, skipping or not, holes and gaps or none.
GST_START_TEST(test_audio_is_sent_in_time) {
  const bool holes = (__i__ & 4) != 0;
  FakeService service(without_audio());
  LiveFeed live(service, (__i__ & 2) != 0 ? "" : "skip-silence=false");
  std::minstd_rand random(static_cast<unsigned>(__i__) + 1);
  const Samples input = talk(static_cast<unsigned>(__i__) + 1, (__i__ & 1) != 0);

  // Media position and audio received when the chunk with that number was submitted.
  std::vector<std::uint64_t> submitted;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> received;
  std::uint64_t in = 0;
  std::uint64_t most = 0;
  for (std::size_t at = 0; at < input.size();) {
    if (holes && random() % 150 == 0) live.hole((50 + random() % 3000) * kMillisecond);
    received.emplace_back(live.position(), in);
    std::uint64_t frames =
        std::min<std::uint64_t>((1 + random() % 100) * kMillisecond, input.size() - at);
    if (holes && random() % 150 == 0) {
      frames = (1 + random() % 2000) * kMillisecond;
      live.gap(frames);
      // A longer gap is no audio.
      if (frames > kSecond) frames = 0;
    } else {
      live.push(Samples(input.begin() + static_cast<std::ptrdiff_t>(at),
                        input.begin() + static_cast<std::ptrdiff_t>(at + frames)));
      at += frames;
    }
    in += frames;
    most = std::max(most, frames);
    submitted.resize(live.pipeline().stat("chunks-submitted"), in);
  }
  live.end();
  submitted.resize(live.pipeline().stat("chunks-submitted"), in);

  const auto begins = begins_of_chunks(live.pipeline());
  ck_assert_uint_eq(begins.size(), submitted.size());
  ck_assert_uint_gt(begins.size(), 5);
  std::uint64_t longest = 0;
  for (std::size_t i = 0; i < begins.size(); i++) {
    const auto next = std::upper_bound(received.begin(), received.end(), begins[i],
                                       [](std::uint64_t p, const auto& r) { return p < r.first; });
    const auto& [position, before] = *(next - 1);
    const std::uint64_t waited = submitted[i] - (before + begins[i] - position);
    // max-chunk-duration and half of forced-overlap.
    ck_assert_uint_le(waited, 10 * kSecond + kSecond / 2 + most);
    longest = std::max(longest, waited);
  }
  if ((__i__ & 1) == 0 && !holes) ck_assert_uint_ge(longest, 10 * kSecond);
}
GST_END_TEST;

// The end of a chunk's audio lies in the pause that it is cut in, and everything until its text
// counts: between them a result is waited for that takes its time.
GST_START_TEST(test_latency_begins_with_the_last_sample) {
  constexpr auto kSlow = 300ms;
  FakeService service;
  service.answer_with([=](const Request& request) {
    Answer answer;
    if (*request.chunk == 1) answer.delay = kSlow;
    return answer;
  });
  LiveFeed live(service, "max-parallel=8");
  std::minstd_rand random(5);
  Samples speech, quiet;
  add_speech(speech, 4200, random);
  add(quiet, 200, 60, random);
  live.push(speech);
  g_signal_emit_by_name(live.pipeline().sink(), "split-now");

  live.push(speech);
  const GstClockTime before = now();
  live.push(quiet);
  const GstClockTime heard = now();
  live.pipeline().wait_for("openaitranscribe/result", 1);
  ck_assert_uint_eq(live.pipeline().stat("chunks-submitted"), 1);
  const GstClockTime sent = now();
  live.push_slowly(quiet);
  live.push_slowly(quiet);
  live.pipeline().wait_for("openaitranscribe/result", 2);
  const GstClockTime told = now();

  const auto queued = live.pipeline().named("openaitranscribe/chunk-queued");
  const std::uint64_t end =
      frame_of(uint64_field(queued[1], "timestamp") + uint64_field(queued[1], "duration") + 1);
  ck_assert_uint_gt(end, 8400 * kMillisecond);
  ck_assert_uint_le(end, 8600 * kMillisecond);
  const GstClockTime latency = latency_of(live.pipeline(), 1);
  const GstClockTime precision = 10 * GST_MSECOND;
  ck_assert_uint_ge(latency, sent - heard);
  ck_assert_uint_le(latency, told - before + precision);
  ck_assert_uint_ge(latency_of(live.pipeline(), 0),
                    static_cast<GstClockTime>(kSlow / 1ms) * GST_MSECOND);
  live.end();
  // What is left is silence.
  ck_assert_uint_eq(live.pipeline().count("openaitranscribe/result"), 2);
  ck_assert_uint_eq(live.pipeline().stat("max-latency"),
                    std::max(latency, latency_of(live.pipeline(), 0)));
}
GST_END_TEST;

// A result is late on the bus when a chunk before it takes its time, even one that fails in the
// end.
GST_START_TEST(test_observed_delay_ends_on_the_bus) {
  constexpr auto kSlow = 300ms;
  FakeService service;
  service.answer_with([=](const Request& request) {
    Answer answer;
    if (*request.chunk == 1) {
      answer = Answer::error(400);
      answer.gate = "first";
    }
    if (*request.chunk == 3) answer.delay = kSlow;
    return answer;
  });
  LiveFeed live(service, "max-parallel=8 on-error=ignore");
  std::minstd_rand random(5);
  Samples speech;
  add_speech(speech, 2000, random);
  GstClockTime before = 0;
  GstClockTime heard = 0;
  for (int chunk = 0; chunk < 3; chunk++) {
    if (chunk == 1) before = now();
    live.push(speech);
    if (chunk == 1) heard = now();
    g_signal_emit_by_name(live.pipeline().sink(), "split-now");
    if (chunk != 1) continue;
    ck_assert(service.wait_for_answers(1, 30s));
    while (live.pipeline().stat("chunks-completed") < 1) g_thread_yield();
  }
  const GstClockTime answered = now();
  while (live.pipeline().stat("chunks-completed") < 2) g_thread_yield();
  live.pipeline().collect();
  ck_assert_uint_eq(live.pipeline().count("openaitranscribe/result"), 0);
  ck_assert_uint_eq(live.pipeline().stat("max-observed-delay"), 0);
  const GstClockTime opened = now();
  service.open_gate("first");
  live.pipeline().wait_for("openaitranscribe/result", 2);
  const GstClockTime told = now();

  const GstClockTime precision = 10 * GST_MSECOND;
  const GstClockTime latency = latency_of(live.pipeline(), 1);
  ck_assert_uint_le(latency, answered - before + precision);
  const GstClockTime delay = live.pipeline().stat("max-observed-delay");
  ck_assert_uint_ge(delay, opened - heard);
  ck_assert_uint_le(delay, told - before + precision);
  ck_assert_uint_gt(delay, live.pipeline().stat("max-latency"));
  live.end();
}
GST_END_TEST;

namespace {

// What is buffered is sent 1.1 s after its first sample came.
constexpr const char* kShort =
    "max-chunk-duration=1000000000 min-chunk-duration=500000000 forced-overlap=200000000 "
    "skip-silence=false ";

Samples some_speech(unsigned seed, std::uint64_t milliseconds) {
  std::minstd_rand random(seed);
  Samples samples;
  add_speech(samples, milliseconds, random);
  return samples;
}

// What the service got, put together: nothing is missing and nothing there twice.
void check_all_sent(const FakeService& service, const Samples& expected) {
  Samples all;
  for (const Request& request : sent_chunks(service))
    all.insert(all.end(), request.samples->begin(), request.samples->end());
  ck_assert(all == expected);
}

}  // namespace

// Text comes without another buffer, and the stream goes on where it was: whether the source then
// brings what it was late with (0), or has lost it (1).
GST_START_TEST(test_a_source_that_stalls) {
  FakeService service;
  LiveFeed live(service, kShort);
  Samples all;
  for (unsigned stall = 1; stall <= 2; stall++) {
    const Samples said = some_speech(stall, 560);
    all.insert(all.end(), said.begin(), said.end());
    const GstClockTime before = now();
    const std::uint64_t begin = live.position();
    live.push(said);
    live.pipeline().wait_for("openaitranscribe/result", stall);
    ck_assert_uint_ge(now() - before, 1100 * GST_MSECOND);
    const auto queued = live.pipeline().named("openaitranscribe/chunk-queued");
    ck_assert_uint_eq(queued.size(), stall);
    ck_assert_uint_eq(frame_of(uint64_field(queued.back(), "timestamp")), begin);
    ck_assert_uint_eq(frame_of(uint64_field(queued.back(), "duration")), said.size());
    ck_assert(!gst_structure_has_field(queued.back(), "payload-timestamp"));
    if (__i__ == 1) live.hole(7 * kSecond);
  }
  const Samples rest = some_speech(3, 280);
  all.insert(all.end(), rest.begin(), rest.end());
  live.push(rest);
  live.end();
  ck_assert_uint_eq(live.pipeline().count("openaitranscribe/result"), 3);
  check_all_sent(service, all);
}
GST_END_TEST;

// Files may wait for ever, and pieces of one length are of one length.
GST_START_TEST(test_only_live_sources_stall) {
  FakeService service, others;
  PadFeed file(others.url(), kShort);
  file.play();
  file.caps(SinkPipeline::kMono16k);
  file.plain_segment();
  LiveFeed fixed(others, "split=fixed max-chunk-duration=500000000");
  LiveFeed live(service, kShort);
  const Samples said = some_speech(1, 350);
  file.samples(said, 0);
  fixed.push(said);
  live.push(said);
  live.pipeline().wait_for("openaitranscribe/result", 1);
  ck_assert_uint_eq(file.pipeline().stat("chunks-submitted"), 0);
  ck_assert_uint_eq(fixed.pipeline().stat("chunks-submitted"), 0);
  live.end();
  ck_assert_uint_eq(live.pipeline().count("openaitranscribe/result"), 1);
}
GST_END_TEST;

namespace {

// Times of the chunks where there is room for one only. `held`: until long after the first was due.
std::vector<GstClockTime> chunks_of_a_long_buffer(bool held) {
  FakeService service, others;
  service.answer_with([=](const Request&) {
    Answer answer;
    if (held) answer.gate = "room";
    return answer;
  });
  LiveFeed other(others, kShort);
  LiveFeed live(service, std::string(kShort) +
                             "max-chunk-duration=2000000000 max-queued-chunks=1 max-parallel=1");
  // What takes long at the start is over then.
  live.push(some_speech(3, 350));
  g_signal_emit_by_name(live.pipeline().sink(), "split-now");
  live.push(some_speech(1, 350));
  // Three stalls of the other one take longer than one of this would.
  std::thread opener([&] {
    for (std::size_t stall = 1; held && stall <= 3; stall++) {
      other.push(some_speech(9, 350));
      other.pipeline().wait_for("openaitranscribe/result", stall);
    }
    service.open_gate("room");
  });
  live.push(some_speech(2, 5600));
  opener.join();
  live.end();
  std::vector<GstClockTime> times;
  for (const GstStructure* chunk : live.pipeline().named("openaitranscribe/chunk-queued")) {
    times.push_back(uint64_field(chunk, "timestamp"));
    times.push_back(uint64_field(chunk, "duration"));
  }
  return times;
}

}  // namespace

// What only waits for room is cut where it would have been. On a slow machine the source may have
// stalled between two buffers, but not every time; in valgrind it may.
GST_START_TEST(test_held_back_is_no_stall) {
  if (g_getenv("TRANSCRIBE_SLOW") != nullptr) return;
  bool alike = false;
  for (unsigned time = 0; time < 3 && !alike; time++) {
    const auto undisturbed = chunks_of_a_long_buffer(false);
    ck_assert_uint_ge(undisturbed.size(), 2 * 3);
    alike = chunks_of_a_long_buffer(true) == undisturbed;
  }
  ck_assert(alike);
}
GST_END_TEST;

// While audio waits for its time: a flush (0) gives it up, a pause (1) does not; NULL (2) is at
// once.
GST_START_TEST(test_interrupted_while_it_stalls) {
  const Samples said = some_speech(1, 560);
  FakeService service;
  PadFeed feed(service.url(), kShort);
  feed.live();
  feed.play();
  feed.caps(SinkPipeline::kMono16k);
  feed.plain_segment();
  SinkPipeline& pipeline = feed.pipeline();
  // On a slow machine it is sent before the flush.
  service.answer_with([&](const Request& request) {
    Answer answer;
    if (__i__ == 0 && *request.samples == said) answer.gate = "never";
    return answer;
  });
  feed.samples(said, 0);
  if (__i__ == 2) {
    pipeline.set_state(GST_STATE_NULL);
    return;
  }
  if (__i__ == 1) {
    pipeline.set_state(GST_STATE_PAUSED);
    pipeline.wait_for("openaitranscribe/result", 1);
    pipeline.set_state(GST_STATE_PLAYING);
    ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
    check_all_sent(service, said);
    return;
  }
  feed.flush();
  feed.plain_segment();
  const Samples more = some_speech(2, 700);
  feed.samples(more, 0);
  pipeline.wait_for("openaitranscribe/chunk-skipped", 1);
  pipeline.wait_for("openaitranscribe/result", 1);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-skipped"), 1);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 1);
  ck_assert(*service.requests().back().samples == more);
}
GST_END_TEST;

static Suite* live_suite(void) {
  Suite* suite = suite_create("live");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_audio_is_sent_in_time, 0, 8);
  tcase_add_test(tests, test_latency_begins_with_the_last_sample);
  tcase_add_test(tests, test_observed_delay_ends_on_the_bus);
  tcase_add_loop_test(tests, test_a_source_that_stalls, 0, 2);
  tcase_add_test(tests, test_only_live_sources_stall);
  tcase_add_test(tests, test_held_back_is_no_stall);
  tcase_add_loop_test(tests, test_interrupted_while_it_stalls, 0, 3);
  return suite;
}
GST_CHECK_MAIN(live);
