// Where chunks are cut, with the settings that people use: pauses, forced cuts, skipped silence.
// Whatever the buffers are, every sample is sent or told as skipped, and has its place in time.
#include <gst/gst.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

using Samples = std::vector<std::int16_t>;

constexpr std::uint64_t kSecond = 16000;
constexpr GstClockTime kStart = 5000 * GST_SECOND;

void add(Samples& samples, std::uint64_t milliseconds, int amplitude) {
  static std::minstd_rand random(1);
  for (std::uint64_t i = 0; i < milliseconds * kSecond / 1000; i++)
    samples.push_back(
        static_cast<std::int16_t>(static_cast<int>(random() % (2 * amplitude + 1)) - amplitude));
}

// Syllables, without a pause.
void add_speech(Samples& samples, std::uint64_t milliseconds) {
  for (std::uint64_t at = 0; at < milliseconds; at += 350) {
    add(samples, 280, 7000);
    add(samples, 70, 60);
  }
}

Samples talk() {
  Samples samples;
  add(samples, 4000, 60);
  add_speech(samples, 5600);
  add(samples, 400, 60);
  add_speech(samples, 9100);
  add(samples, 6000, 60);
  add_speech(samples, 2100);
  add(samples, 5000, 60);
  return samples;
}

struct Told {
  std::uint64_t begin = 0;  // in frames
  std::uint64_t end = 0;
  bool skipped = false;
  bool context = false;
  Samples sent;
  bool operator==(const Told&) const = default;
};

std::uint64_t frame_of(GstClockTime time) {
  return gst_util_uint64_scale_round(time - kStart, kSecond, GST_SECOND);
}

// By chunk index; fails when what was sent is not what lies there in the input.
std::vector<Told> told(const SinkPipeline& pipeline, const FakeService& service,
                       const Samples& input) {
  std::map<std::uint64_t, const Request*> requests;
  const auto all = service.requests();
  for (const Request& request : all) requests[*request.chunk - 1] = &request;
  std::map<std::uint64_t, Told> chunks;
  const auto take = [&](const GstStructure* message, bool skipped) {
    Told chunk;
    const GstClockTime timestamp = uint64_field(message, "timestamp");
    chunk.begin = frame_of(timestamp);
    chunk.end = frame_of(timestamp + uint64_field(message, "duration") + 1);
    chunk.skipped = skipped;
    chunk.context = gst_structure_has_field(message, "payload-timestamp");
    const std::uint64_t index = uint64_field(message, "chunk-index");
    ck_assert_int_eq(requests.contains(index), !skipped);
    if (!skipped) {
      std::uint64_t begin = chunk.begin;
      std::uint64_t end = chunk.end;
      if (chunk.context) {
        const GstClockTime payload = uint64_field(message, "payload-timestamp");
        begin = frame_of(payload);
        end = frame_of(payload + uint64_field(message, "payload-duration") + 1);
      }
      chunk.sent = *requests[index]->samples;
      ck_assert_uint_eq(chunk.sent.size(), end - begin);
      ck_assert(std::equal(chunk.sent.begin(), chunk.sent.end(),
                           input.begin() + static_cast<std::ptrdiff_t>(begin)));
    }
    ck_assert(chunks.emplace(index, std::move(chunk)).second);
  };
  for (const GstStructure* message : pipeline.named("openaitranscribe/chunk-queued"))
    take(message, false);
  for (const GstStructure* message : pipeline.named("openaitranscribe/chunk-skipped")) {
    ck_assert_str_eq(gst_structure_get_string(message, "reason"), "silence");
    take(message, true);
  }

  std::vector<Told> list;
  std::uint64_t position = 0;
  for (auto& [index, chunk] : chunks) {
    ck_assert_uint_eq(index, list.size());
    ck_assert_uint_eq(chunk.begin, position);
    position = chunk.end;
    list.push_back(std::move(chunk));
  }
  ck_assert_uint_eq(position, input.size());
  return list;
}

std::vector<Told> heard_of(const Samples& input, const std::string& properties,
                           std::size_t buffer) {
  FakeService service;
  PadFeed feed(service.url(), properties);
  feed.play();
  feed.caps(SinkPipeline::kMono16k);
  feed.segment(time_segment(0));
  for (std::size_t at = 0; at < input.size(); at += buffer) {
    const std::size_t end = std::min(input.size(), at + buffer);
    feed.samples({input.begin() + static_cast<std::ptrdiff_t>(at),
                  input.begin() + static_cast<std::ptrdiff_t>(end)},
                 kStart + gst_util_uint64_scale_round(at, GST_SECOND, kSecond));
  }
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  auto list = told(feed.pipeline(), service, input);

  std::uint64_t skipped = 0;
  std::uint64_t frames = 0;
  for (const Told& chunk : list) {
    skipped += chunk.skipped;
    if (chunk.skipped) frames += chunk.end - chunk.begin;
  }
  ck_assert_uint_eq(feed.pipeline().stat("chunks-skipped-silence"), skipped);
  ck_assert_uint_eq(feed.pipeline().stat("chunks-submitted"), list.size() - skipped);
  const GstClockTime time = gst_util_uint64_scale_round(frames, GST_SECOND, kSecond);
  ck_assert_uint_le(feed.pipeline().stat("audio-skipped"), time);
  ck_assert_uint_ge(feed.pipeline().stat("audio-skipped") + list.size(), time);
  return list;
}

std::uint64_t milliseconds(std::uint64_t frames) { return frames * 1000 / kSecond; }

constexpr const char* kShort = "min-chunk-duration=2000000000 max-chunk-duration=7000000000 ";

}  // namespace

GST_START_TEST(test_silence_is_told) {
  const auto list = heard_of(talk(), "", 1600);
  // 4.0-19.1 and 25.1-27.2 with padding.
  ck_assert_uint_eq(list.size(), 5);
  for (std::size_t i = 0; i < list.size(); i++) ck_assert_int_eq(list[i].skipped, i % 2 == 0);
  ck_assert_uint_eq(milliseconds(list[0].end), 3700);
  ck_assert_uint_ge(milliseconds(list[1].end), 19400);
  ck_assert_uint_le(milliseconds(list[1].end), 19600);
  ck_assert_uint_eq(milliseconds(list[2].end), 24800);
}
GST_END_TEST;

GST_START_TEST(test_silence_is_sent) {
  for (const Told& chunk : heard_of(talk(), "skip-silence=false", 1600)) ck_assert(!chunk.skipped);
  for (const Told& chunk : heard_of(talk(), "silence-duration=20000000000", 1600))
    ck_assert(!chunk.skipped || chunk.begin > 27 * kSecond);
}
GST_END_TEST;

GST_START_TEST(test_forced_cuts_share_audio) {
  const auto list = heard_of(talk(), kShort, 1600);
  ck_assert_uint_gt(
      std::count_if(list.begin(), list.end(), [](const Told& chunk) { return chunk.context; }), 1);
  for (const Told& chunk : heard_of(talk(), std::string(kShort) + "forced-overlap=0", 1600))
    ck_assert(!chunk.context);
}
GST_END_TEST;

GST_START_TEST(test_buffers_do_not_matter) {
  const Samples input = talk();
  for (const char* properties : {"", kShort}) {
    const auto reference = heard_of(input, properties, input.size());
    for (const std::size_t buffer : {std::size_t{333}, std::size_t{1024}, std::size_t{48000}})
      ck_assert(heard_of(input, properties, buffer) == reference);
  }
}
GST_END_TEST;

// Stopped in the middle and started again: the same chunks, so only the rest is sent.
GST_START_TEST(test_the_same_chunks_after_a_resume) {
  const Samples input = talk();
  char* directory = g_dir_make_tmp("cutting-XXXXXX", nullptr);
  const std::string job = std::string(kShort) + "job-id=talk journal-directory=" + directory + " ";
  const auto push = [&](PadFeed& feed) {
    feed.play();
    feed.caps(SinkPipeline::kMono16k);
    feed.segment(time_segment(0));
    feed.samples(input, kStart);
  };
  const auto reference = heard_of(input, kShort, input.size());
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    if (*request.chunk > 4) answer.gate = "never";
    return answer;
  });
  {
    PadFeed feed(service.url(), job);
    push(feed);
    while (feed.pipeline().stat("chunks-completed") == 0) g_thread_yield();
    feed.pipeline().set_state(GST_STATE_NULL);
  }
  service.answer_with([](const Request&) { return Answer(); });
  {
    PadFeed feed(service.url(), job);
    push(feed);
    ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
    ck_assert_uint_ge(feed.pipeline().stat("chunks-resumed"), 1);
    ck_assert_uint_eq(feed.pipeline().stat("chunks-completed"),
                      std::count_if(reference.begin(), reference.end(),
                                    [](const Told& chunk) { return !chunk.skipped; }));
    for (const Request& request : service.requests()) {
      // Not of one that the first run gave up before it was read.
      if (request.samples) ck_assert(*request.samples == reference[*request.chunk - 1].sent);
    }
  }
  for (const char* other : {"skip-silence=false", "forced-overlap=500000000",
                            "silence-duration=2000000000", "speech-threshold=9"}) {
    PadFeed feed(service.url(), job + other);
    feed.play();
    // Nothing is pushed: a pipeline that had an error before its preroll never gets to PLAYING.
    ck_assert_int_eq(feed.pipeline().wait(), GST_MESSAGE_ERROR);
    ck_assert(
        g_error_matches(feed.pipeline().error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
  }
  ::remove((std::string(directory) + "/talk.jsonl").c_str());
  ::remove(directory);
  g_free(directory);
}
GST_END_TEST;

namespace {

// A stretch that nothing interrupts. `samples` may be fewer than the frames: then what was sent of
// it is not compared.
struct Run {
  GstClockTime start;
  std::uint64_t frames;
  Samples samples;
};

// Every run is told without a gap and to its end, no chunk reaches into another one, and what was
// sent is what lies there.
void check_runs(const SinkPipeline& pipeline, const FakeService& service,
                const std::vector<Run>& runs) {
  std::map<std::uint64_t, Request> requests;
  for (const Request& request : service.requests()) requests[*request.chunk - 1] = request;
  std::map<std::uint64_t, const GstStructure*> chunks;
  for (const char* name : {"openaitranscribe/chunk-queued", "openaitranscribe/chunk-skipped"}) {
    for (const GstStructure* message : pipeline.named(name))
      chunks.emplace(uint64_field(message, "chunk-index"), message);
  }
  std::size_t run = 0;
  std::uint64_t position = 0;
  std::uint64_t next = 0;
  for (const auto& [index, message] : chunks) {
    ck_assert_uint_eq(index, next++);
    ck_assert_uint_lt(run, runs.size());
    const auto frame = [&](GstClockTime time) {
      ck_assert_uint_ge(time + 1, runs[run].start);
      return gst_util_uint64_scale_round(time + 1 - runs[run].start, kSecond, GST_SECOND);
    };
    const GstClockTime begin = uint64_field(message, "timestamp");
    ck_assert_uint_eq(frame(begin), position);
    position = frame(begin + uint64_field(message, "duration") + 1);
    ck_assert_uint_le(position, runs[run].frames);
    std::uint64_t first = frame(begin);
    std::uint64_t last = position;
    if (gst_structure_has_field(message, "payload-timestamp")) {
      const GstClockTime payload = uint64_field(message, "payload-timestamp");
      first = frame(payload);
      last = frame(payload + uint64_field(message, "payload-duration") + 1);
      ck_assert_uint_le(last, runs[run].frames);
    }
    const Samples& said = runs[run].samples;
    const auto request = requests.find(index);
    if (request != requests.end() && said.size() == runs[run].frames) {
      const Samples& sent = *request->second.samples;
      ck_assert_uint_ge(sent.size(), last - first);
      ck_assert(std::equal(said.begin() + static_cast<std::ptrdiff_t>(first),
                           said.begin() + static_cast<std::ptrdiff_t>(last), sent.begin()));
    }
    if (position < runs[run].frames) continue;
    position = 0;
    run++;
  }
  ck_assert_uint_eq(position, 0);
  ck_assert_uint_eq(run, runs.size());
}

void push_all(PadFeed& feed, const Samples& samples, GstClockTime start, unsigned flags = 0) {
  for (std::size_t at = 0; at < samples.size(); at += 1024) {
    const std::size_t end = std::min<std::size_t>(samples.size(), at + 1024);
    const GstClockTime time = GST_CLOCK_TIME_IS_VALID(start)
                                  ? start + gst_util_uint64_scale_round(at, GST_SECOND, kSecond)
                                  : start;
    feed.samples({samples.begin() + static_cast<std::ptrdiff_t>(at),
                  samples.begin() + static_cast<std::ptrdiff_t>(end)},
                 time, at == 0 ? flags : 0);
  }
}

enum Interruption {
  kHole,
  kFlag,
  kBack,
  kShortGap,
  kLongGap,
  kCaps,
  kFlush,
  kNoTimes,
  kInterruptions
};

}  // namespace

// Somebody is interrupted in the middle of a word, with the settings that people use: the chunk
// ends there, nothing is shared or skipped across it.
GST_START_TEST(test_interrupted_speech) {
  static const char* const kSettings[] = {
      "", "max-chunk-duration=4000000000 ",
      "pause-duration=300000000 max-chunk-duration=8000000000 "};
  const auto what = static_cast<Interruption>(__i__ % kInterruptions);
  const Samples input = talk();
  const Samples first(input.begin(), input.begin() + 8 * kSecond);
  const Samples second(input.begin() + 8 * kSecond, input.end());
  const GstClockTime middle = kStart + 8 * GST_SECOND;
  std::vector<Run> runs{{kStart, first.size(), first}, {middle, second.size(), second}};
  FakeService service;
  PadFeed feed(service.url(), kSettings[__i__ / kInterruptions]);
  feed.play();
  feed.caps(SinkPipeline::kMono16k);
  feed.segment(time_segment(0));
  push_all(feed, first, kStart);
  switch (what) {
    case kHole:
      runs[1].start += GST_SECOND / 2;
      push_all(feed, second, runs[1].start);
      break;
    case kFlag:
      push_all(feed, second, middle, GST_BUFFER_FLAG_DISCONT);
      break;
    case kBack:
      runs[1].start -= 3 * GST_SECOND;
      push_all(feed, second, runs[1].start);
      break;
    case kShortGap:
      // Filled with silence: it is one run.
      feed.gap(middle, GST_SECOND / 2);
      push_all(feed, second, middle + GST_SECOND / 2);
      runs.pop_back();
      runs[0].samples.resize(runs[0].samples.size() + kSecond / 2);
      runs[0].samples.insert(runs[0].samples.end(), second.begin(), second.end());
      runs[0].frames = runs[0].samples.size();
      break;
    case kLongGap:
      feed.gap(middle, 7 * GST_SECOND);
      runs[1].start += 7 * GST_SECOND;
      push_all(feed, second, runs[1].start);
      break;
    case kCaps: {
      feed.caps(
          "audio/x-raw,format=S16LE,rate=48000,channels=2,channel-mask=(bitmask)3,"
          "layout=interleaved");
      Samples wide;
      for (const std::int16_t sample : second) wide.insert(wide.end(), 6, sample);
      feed.samples(wide, middle);
      // Resampled.
      runs[1].samples.clear();
      break;
    }
    case kFlush:
      feed.flush();
      feed.segment(time_segment(0));
      runs[1].start = GST_SECOND;
      push_all(feed, second, runs[1].start);
      break;
    case kNoTimes:
      push_all(feed, second, GST_CLOCK_TIME_NONE);
      runs = {{kStart, input.size(), input}};
      break;
    case kInterruptions:
      break;
  }
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  check_runs(feed.pipeline(), service, runs);
  if (what != kFlush) return;
  // What was received and not sent by then is told.
  std::size_t flushed = 0;
  for (const GstStructure* skipped : feed.pipeline().named("openaitranscribe/chunk-skipped"))
    flushed += string_field(skipped, "reason") == "flushed";
  ck_assert_uint_ge(flushed, 1);
}
GST_END_TEST;

// The widest input and the longest chunk: what is sent is mono at 16 kHz, far below the service's
// limit.
GST_START_TEST(test_size_of_48_khz_stereo) {
  FakeService service;
  PadFeed feed(service.url(), "split=fixed max-chunk-duration=300000000000");
  feed.play();
  feed.caps(
      "audio/x-raw,format=S16LE,rate=48000,channels=2,channel-mask=(bitmask)3,"
      "layout=interleaved");
  feed.segment(time_segment(0));
  const Samples second = noise(2 * 48000);
  for (unsigned i = 0; i < 301; i++) feed.samples(second, i * GST_SECOND);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  const auto chunks = sent_chunks(service);
  ck_assert_uint_eq(chunks.size(), 2);
  ck_assert_uint_eq(chunks[0].samples->size(), 300 * kSecond);
  const GstStructure* queued = feed.pipeline().named("openaitranscribe/chunk-queued")[0];
  ck_assert_uint_eq(uint64_field(queued, "bytes"), 44 + 2 * 300 * kSecond);
  ck_assert_uint_lt(uint64_field(queued, "bytes"), 26214400);
}
GST_END_TEST;

// An interview of which one microphone is off: the other one is heard. And a recording of which one
// channel is inverted: the usual mono mix of it would be silence, and the whole job skipped.
GST_START_TEST(test_stereo) {
  const Samples input = talk();
  FakeService service;
  PadFeed feed(service.url(), "");
  feed.play();
  feed.caps(
      "audio/x-raw,format=S16LE,rate=16000,channels=2,channel-mask=(bitmask)3,"
      "layout=interleaved");
  feed.segment(time_segment(0));
  Samples wide;
  for (const std::int16_t sample : input) {
    wide.push_back(__i__ == 1 ? std::int16_t{0} : sample);
    wide.push_back(__i__ == 0 ? std::int16_t{0}
                              : static_cast<std::int16_t>(__i__ == 1 ? sample : -sample));
  }
  feed.samples(wide, kStart);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  std::uint64_t sent = 0;
  for (const Request& request : service.requests()) sent += request.samples->size();
  // 4.0-19.1 and 25.1-27.2, as with both.
  ck_assert_uint_ge(sent, 17 * kSecond);
  ck_assert_uint_le(sent, 20 * kSecond);
}
GST_END_TEST;

static Suite* cutting_suite(void) {
  Suite* suite = suite_create("cutting");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_silence_is_told);
  tcase_add_test(tests, test_silence_is_sent);
  tcase_add_test(tests, test_forced_cuts_share_audio);
  tcase_add_test(tests, test_buffers_do_not_matter);
  tcase_add_test(tests, test_the_same_chunks_after_a_resume);
  tcase_add_loop_test(tests, test_interrupted_speech, 0, 3 * kInterruptions);
  tcase_add_test(tests, test_size_of_48_khz_stereo);
  tcase_add_loop_test(tests, test_stereo, 0, 3);
  return suite;
}
GST_CHECK_MAIN(cutting);
