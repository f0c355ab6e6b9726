// Where chunks are cut and which time they get: segments, holes, gaps, caps.
#include <glib/gstdio.h>
#include <gst/gst.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kSecond = 16000;
constexpr GstClockTime kMs = GST_MSECOND;
const char* const kLong = "split=fixed max-chunk-duration=60000000000";
const char* const kOneSecond = "split=fixed max-chunk-duration=1000000000";

std::size_t frames_of(GstClockTime time) { return time * kSecond / GST_SECOND; }

// A feed whose stream has begun: S16 mono at 16 kHz.
class Stream {
 public:
  explicit Stream(const std::string& properties = kLong) : feed_(service_.url(), properties) {}

  FakeService& service() { return service_; }
  PadFeed& feed() { return feed_; }
  SinkPipeline& pipeline() { return feed_.pipeline(); }

  Stream& begin(const GstSegment& segment = time_segment(0)) {
    feed_.play();
    feed_.caps(SinkPipeline::kMono16k);
    ck_assert(feed_.segment(segment));
    return *this;
  }
  // So much noise, different every time.
  Stream& audio(GstClockTime timestamp, GstClockTime duration, unsigned flags = 0) {
    feed_.samples(noise(frames_of(duration), ++seed_), timestamp, flags);
    return *this;
  }
  Stream& end() {
    ck_assert_int_eq(feed_.end(), GST_MESSAGE_EOS);
    ck_assert(service_.violations().empty());
    return *this;
  }

  std::vector<std::size_t> frames() const {
    std::vector<std::size_t> list;
    for (const Request& request : sent_chunks(service_)) list.push_back(request.samples->size());
    return list;
  }
  std::vector<GstClockTime> field(const char* name) {
    std::vector<GstClockTime> list;
    for (const GstStructure* result : pipeline().named("openaitranscribe/result"))
      list.push_back(uint64_field(result, name));
    return list;
  }
  std::vector<GstClockTime> timestamps() { return field("timestamp"); }

 private:
  FakeService service_;
  PadFeed feed_;
  unsigned seed_ = 0;
};

using Times = std::vector<GstClockTime>;
using Sizes = std::vector<std::size_t>;

std::string text_of(const Times& list) {
  std::string text;
  for (const GstClockTime time : list) text += " " + std::to_string(time);
  return text;
}

void assert_times(const Times& found, const Times& wanted) {
  ck_assert_msg(found == wanted, "found%s instead of%s", text_of(found).c_str(),
                text_of(wanted).c_str());
}

void assert_frames(const Sizes& found, const Sizes& wanted) {
  assert_times({found.begin(), found.end()}, {wanted.begin(), wanted.end()});
}

bool silent(const std::vector<std::int16_t>& samples, std::size_t begin, std::size_t end) {
  return std::all_of(samples.begin() + static_cast<std::ptrdiff_t>(begin),
                     samples.begin() + static_cast<std::ptrdiff_t>(end),
                     [](std::int16_t sample) { return sample == 0; });
}

}  // namespace

GST_START_TEST(test_flags_that_cut) {
  for (const unsigned flag : {GST_BUFFER_FLAG_DISCONT, GST_BUFFER_FLAG_RESYNC}) {
    Stream stream;
    stream.begin();
    stream.audio(0, 500 * kMs).audio(500 * kMs, 500 * kMs);
    stream.audio(GST_SECOND, 500 * kMs, flag).audio(1500 * kMs, 500 * kMs).end();
    assert_frames(stream.frames(), {kSecond, kSecond});
    assert_times(stream.timestamps(), {0, GST_SECOND});
  }
}
GST_END_TEST;

GST_START_TEST(test_discont_on_the_first_buffer) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND, GST_BUFFER_FLAG_DISCONT).end();
  assert_frames(stream.frames(), {kSecond});
}
GST_END_TEST;

GST_START_TEST(test_jumps) {
  struct Case {
    std::int64_t offset_ms;
    bool cuts;
  };
  for (const Case& test : {Case{19, false}, Case{-19, false}, Case{21, true}, Case{-21, true},
                           Case{5000, true}, Case{-900, true}}) {
    Stream stream;
    const GstClockTime second = GST_SECOND + static_cast<GstClockTime>(test.offset_ms) * kMs;
    stream.begin().audio(0, GST_SECOND).audio(second, GST_SECOND).end();
    if (test.cuts) {
      assert_frames(stream.frames(), {kSecond, kSecond});
      assert_times(stream.timestamps(), {0, second});
    } else {
      assert_frames(stream.frames(), {2 * kSecond});
    }
  }
}
GST_END_TEST;

// Timestamps that run slowly away from the samples are followed once they are 20 ms off.
GST_START_TEST(test_drift) {
  Stream stream;
  stream.begin();
  for (unsigned i = 0; i < 30; i++) stream.audio(i * 101 * kMs, 100 * kMs);
  stream.end();
  assert_frames(stream.frames(), {2 * kSecond, kSecond});
  assert_times(stream.timestamps(), {0, 2020 * kMs});
}
GST_END_TEST;

GST_START_TEST(test_segment_that_differs_in_position_only) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  GstSegment segment = time_segment(0);
  segment.position = GST_SECOND;
  ck_assert(stream.feed().segment(segment));
  stream.audio(GST_SECOND, GST_SECOND).end();
  assert_frames(stream.frames(), {2 * kSecond});
}
GST_END_TEST;

GST_START_TEST(test_segments_with_different_base) {
  Stream stream(kOneSecond);
  stream.begin().audio(0, 2 * GST_SECOND);
  GstSegment segment = time_segment(10 * GST_SECOND);
  segment.base = 2 * GST_SECOND;
  ck_assert(stream.feed().segment(segment));
  stream.audio(10 * GST_SECOND, 1500 * kMs).end();
  assert_frames(stream.frames(), {kSecond, kSecond, kSecond, kSecond / 2});
  const Times media = {0, GST_SECOND, 10 * GST_SECOND, 11 * GST_SECOND};
  assert_times(stream.timestamps(), media);
  assert_times(stream.field("stream-time"), media);
  assert_times(stream.field("running-time"), {0, GST_SECOND, 2 * GST_SECOND, 3 * GST_SECOND});
  assert_times(stream.field("duration"), {GST_SECOND, GST_SECOND, GST_SECOND, GST_SECOND / 2});
}
GST_END_TEST;

// The times of a chunk are those of the segment it lies in, not of the one that ends it.
GST_START_TEST(test_tail_belongs_to_its_segment) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  GstSegment segment = time_segment(GST_SECOND);
  segment.base = 50 * GST_SECOND;
  ck_assert(stream.feed().segment(segment));
  stream.audio(GST_SECOND, GST_SECOND).end();
  assert_times(stream.timestamps(), {0, GST_SECOND});
  assert_times(stream.field("running-time"), {0, 50 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_new_caps) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  stream.feed().caps(SinkPipeline::kMono16k);  // the same: no cut
  stream.audio(GST_SECOND, GST_SECOND);
  stream.feed().caps("audio/x-raw,format=S16LE,rate=32000,channels=1,layout=interleaved");
  stream.audio(2 * GST_SECOND, GST_SECOND).end();
  assert_frames(stream.frames(), {2 * kSecond, kSecond / 2});
  assert_times(stream.timestamps(), {0, 2 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_short_gap_is_silence) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  stream.feed().gap(GST_SECOND, GST_SECOND);  // as long as silence-duration: still short
  stream.audio(2 * GST_SECOND, GST_SECOND).end();
  assert_frames(stream.frames(), {3 * kSecond});
  const auto& samples = *sent_chunks(stream.service())[0].samples;
  ck_assert(silent(samples, kSecond, 2 * kSecond));
  const auto before = noise(kSecond, 1);
  const auto after = noise(kSecond, 2);
  ck_assert(std::equal(before.begin(), before.end(), samples.begin()));
  ck_assert(std::equal(after.begin(), after.end(), samples.begin() + 2 * kSecond));
}
GST_END_TEST;

GST_START_TEST(test_long_gap_ends_the_chunk) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  stream.feed().gap(GST_SECOND, GST_SECOND + kMs);
  // At once, not only when audio comes again.
  stream.pipeline().wait_for("openaitranscribe/result");
  stream.audio(2 * GST_SECOND + kMs, GST_SECOND).end();
  assert_frames(stream.frames(), {kSecond, kSecond});
  assert_times(stream.timestamps(), {0, 2 * GST_SECOND + kMs});
}
GST_END_TEST;

GST_START_TEST(test_silence_duration_bounds_gaps) {
  Stream stream(std::string(kLong) + " silence-duration=100000000");
  stream.begin().audio(0, GST_SECOND);
  stream.feed().gap(GST_SECOND, 100 * kMs);
  stream.audio(1100 * kMs, GST_SECOND);
  stream.feed().gap(2100 * kMs, 101 * kMs);
  stream.audio(2201 * kMs, GST_SECOND).end();
  assert_frames(stream.frames(), {frames_of(2100 * kMs), kSecond});
}
GST_END_TEST;

GST_START_TEST(test_gaps_that_say_nothing) {
  Stream stream;
  stream.begin();
  stream.feed().gap(0, GST_SECOND);  // before the first sample
  stream.audio(GST_SECOND, GST_SECOND);
  stream.feed().gap(GST_SECOND, 500 * kMs);  // of what was heard already
  stream.feed().gap(2 * GST_SECOND, GST_CLOCK_TIME_NONE);
  stream.audio(2 * GST_SECOND, GST_SECOND).end();
  assert_frames(stream.frames(), {2 * kSecond});
  assert_times(stream.timestamps(), {GST_SECOND});
}
GST_END_TEST;

// The time line begins with the gap.
GST_START_TEST(test_gap_before_audio_without_timestamps) {
  Stream stream;
  stream.begin();
  stream.feed().gap(0, 2 * GST_SECOND);
  stream.audio(GST_CLOCK_TIME_NONE, GST_SECOND).audio(GST_CLOCK_TIME_NONE, GST_SECOND).end();
  assert_frames(stream.frames(), {2 * kSecond});
  assert_times(stream.timestamps(), {2 * GST_SECOND});
}
GST_END_TEST;

// A gap as long as many chunks waits for room like a buffer, and is exact at any rate.
GST_START_TEST(test_long_gap_in_slices) {
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    if (request.number == 0) answer.gate = "go";
    return answer;
  });
  PadFeed feed(service.url(), std::string(kOneSecond) +
                                  " silence-duration=3600000000000 max-queued-chunks=2 "
                                  "max-parallel=1 requests-per-second=0");
  feed.play();
  feed.caps("audio/x-raw,format=S16LE,rate=44100,channels=1,layout=interleaved");
  feed.plain_segment();
  feed.samples(noise(44100, 1), 0);
  std::uint64_t most = 0;
  std::thread opener([&] {
    while (feed.pipeline().stat("queued") < 2) std::this_thread::yield();
    // The gap has time to go on; it must not.
    for (unsigned i = 0; i < 100; i++) {
      most = std::max(most, feed.pipeline().stat("queued"));
      g_usleep(1000);
    }
    service.open_gate("go");
  });
  feed.gap(GST_SECOND, 50 * GST_SECOND);
  opener.join();
  feed.samples(noise(44100, 2), 51 * GST_SECOND);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  ck_assert_uint_le(most, 3);
  std::size_t frames = 0;
  const auto chunks = sent_chunks(service);
  for (const Request& chunk : chunks) frames += chunk.samples->size();
  ck_assert_uint_eq(chunks.size(), 52);
  ck_assert_uint_eq(frames, 52 * kSecond);
  for (std::size_t i = 2; i < 50; i++)
    ck_assert(silent(*chunks[i].samples, 0, chunks[i].samples->size()));
}
GST_END_TEST;

GST_START_TEST(test_gap_buffers) {
  Stream stream;
  stream.begin().audio(0, GST_SECOND);
  stream.audio(GST_SECOND, GST_SECOND, GST_BUFFER_FLAG_GAP);
  stream.audio(2 * GST_SECOND, GST_SECOND).end();
  assert_frames(stream.frames(), {3 * kSecond});
  const auto& samples = *sent_chunks(stream.service())[0].samples;
  ck_assert(silent(samples, kSecond, 2 * kSecond));
  ck_assert(!silent(samples, 2 * kSecond, 3 * kSecond));
}
GST_END_TEST;

GST_START_TEST(test_without_timestamps) {
  Stream stream;
  stream.begin();
  for (unsigned i = 0; i < 5; i++) stream.audio(GST_CLOCK_TIME_NONE, 300 * kMs);
  stream.end();
  assert_frames(stream.frames(), {frames_of(1500 * kMs)});
  assert_times(stream.timestamps(), {0});
}
GST_END_TEST;

GST_START_TEST(test_without_timestamps_the_time_line_goes_on) {
  Stream stream;
  stream.begin(time_segment(7 * GST_SECOND)).audio(GST_CLOCK_TIME_NONE, GST_SECOND);
  stream.audio(GST_CLOCK_TIME_NONE, GST_SECOND, GST_BUFFER_FLAG_DISCONT);
  stream.feed().caps("audio/x-raw,format=S16LE,rate=32000,channels=1,layout=interleaved");
  stream.audio(GST_CLOCK_TIME_NONE, 2 * GST_SECOND);
  stream.feed().gap(10 * GST_SECOND, 5 * GST_SECOND);
  stream.audio(GST_CLOCK_TIME_NONE, 2 * GST_SECOND);
  ck_assert(stream.feed().segment(time_segment(100 * GST_SECOND)));
  stream.audio(GST_CLOCK_TIME_NONE, 2 * GST_SECOND).end();
  assert_times(stream.timestamps(),
               {7 * GST_SECOND, 8 * GST_SECOND, 9 * GST_SECOND, 15 * GST_SECOND, 100 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_segment_start_and_time) {
  Stream stream(kOneSecond);
  GstSegment segment = time_segment(100 * GST_SECOND, 110 * GST_SECOND);
  segment.time = 40 * GST_SECOND;
  segment.base = 3 * GST_SECOND;
  // Begins before the segment and is clipped.
  stream.begin(segment).audio(99 * GST_SECOND, 3 * GST_SECOND).end();
  assert_times(stream.timestamps(), {100 * GST_SECOND, 101 * GST_SECOND});
  assert_times(stream.field("stream-time"), {40 * GST_SECOND, 41 * GST_SECOND});
  assert_times(stream.field("running-time"), {3 * GST_SECOND, 4 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_segment_stop) {
  Stream stream;
  stream.begin(time_segment(GST_SECOND, 3 * GST_SECOND));
  stream.audio(0, GST_SECOND).audio(GST_SECOND, GST_SECOND);
  stream.audio(2 * GST_SECOND, 3 * GST_SECOND);
  stream.end();
  assert_frames(stream.frames(), {2 * kSecond});
  assert_times(stream.timestamps(), {GST_SECOND});
}
GST_END_TEST;

// Without timestamps, too: the time line says where they are.
GST_START_TEST(test_segment_stop_without_timestamps) {
  Stream stream;
  stream.begin(time_segment(GST_SECOND, 3 * GST_SECOND));
  for (unsigned i = 0; i < 4; i++) stream.audio(GST_CLOCK_TIME_NONE, 800 * kMs);
  stream.end();
  assert_frames(stream.frames(), {2 * kSecond});
  assert_times(stream.timestamps(), {GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_gaps_at_the_segment_stop) {
  struct Case {
    GstClockTime begin, length;
    std::size_t frames;
  };
  for (const Case& test : {
           Case{2 * GST_SECOND, 400 * kMs, frames_of(1400 * kMs)},
           Case{2 * GST_SECOND, 900 * kMs, frames_of(1500 * kMs)},
           // Much longer than what is filled with silence, but not in the segment.
           Case{2 * GST_SECOND, 3600 * GST_SECOND, frames_of(1500 * kMs)},
           Case{2500 * kMs, 500 * kMs, kSecond},  // behind the stop
           Case{4 * GST_SECOND, 500 * kMs, kSecond},
       }) {
    Stream stream;
    stream.begin(time_segment(GST_SECOND, 2500 * kMs)).audio(GST_SECOND, GST_SECOND);
    stream.feed().gap(test.begin, test.length);
    stream.end();
    assert_frames(stream.frames(), {test.frames});
  }
}
GST_END_TEST;

// Twice as fast: half the running time, the media time as ever.
GST_START_TEST(test_rate) {
  Stream stream(kOneSecond);
  GstSegment segment = time_segment(10 * GST_SECOND);
  segment.rate = 2.0;
  stream.begin(segment).audio(10 * GST_SECOND, 3 * GST_SECOND).end();
  const Times media = {10 * GST_SECOND, 11 * GST_SECOND, 12 * GST_SECOND};
  assert_times(stream.timestamps(), media);
  assert_times(stream.field("stream-time"), media);
  assert_times(stream.field("running-time"), {0, GST_SECOND / 2, GST_SECOND});
  assert_times(stream.field("duration"), {GST_SECOND, GST_SECOND, GST_SECOND});
}
GST_END_TEST;

// Sped up before it came here: a second of samples is two of the media.
GST_START_TEST(test_applied_rate) {
  Stream stream(kOneSecond);
  GstSegment segment = time_segment(10 * GST_SECOND);
  segment.applied_rate = 2.0;
  stream.begin(segment).audio(10 * GST_SECOND, 3 * GST_SECOND).end();
  assert_times(stream.timestamps(), {10 * GST_SECOND, 11 * GST_SECOND, 12 * GST_SECOND});
  assert_times(stream.field("stream-time"), {10 * GST_SECOND, 12 * GST_SECOND, 14 * GST_SECOND});
  assert_times(stream.field("running-time"), {0, GST_SECOND, 2 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_bytes_segment) {
  FakeService service;
  SinkPipeline pipeline("appsrc name=src format=bytes caps=" + std::string(SinkPipeline::kMono16k) +
                        " ! openaitranscribesink name=sink requests-per-second=0 split=fixed "
                        "max-chunk-duration=1000000000 base-url=" +
                        service.url());
  pipeline.set_state(GST_STATE_PLAYING);
  for (unsigned i = 0; i < 5; i++) pipeline.push(noise(kSecond / 2, i));
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  Times timestamps;
  for (const GstStructure* result : pipeline.named("openaitranscribe/result")) {
    timestamps.push_back(uint64_field(result, "timestamp"));
    ck_assert_uint_eq(uint64_field(result, "stream-time"), timestamps.back());
    ck_assert_uint_eq(uint64_field(result, "running-time"), timestamps.back());
  }
  assert_times(timestamps, {0, GST_SECOND, 2 * GST_SECOND});
}
GST_END_TEST;

GST_START_TEST(test_negative_rate_is_refused) {
  Stream stream;
  stream.feed().play();
  stream.feed().caps(SinkPipeline::kMono16k);
  GstSegment segment = time_segment(0, 10 * GST_SECOND);
  segment.rate = -1.0;
  stream.feed().segment(segment);
  ck_assert_int_eq(stream.pipeline().wait(), GST_MESSAGE_ERROR);
  const GError* error = stream.pipeline().error();
  ck_assert(g_error_matches(error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT));
  ck_assert(strstr(error->message, "rate") != nullptr);
}
GST_END_TEST;

namespace {

const char* const kVerbose =
    R"({"task":"transcribe","language":"english","duration":1.0,"text":"Hello world",)"
    R"("segments":[{"id":0,"start":0.25,"end":0.75,"text":" Hello world"}],)"
    R"("words":[{"word":"Hello","start":0.25,"end":0.5},{"word":"world","start":0.5,"end":0.75}]})";

std::pair<GstClockTime, GstClockTime> span_of(const GstStructure* owner, const char* list,
                                              guint index) {
  const GValue* array = gst_structure_get_value(owner, list);
  ck_assert_msg(array != nullptr, "no %s", list);
  ck_assert_uint_gt(gst_value_array_get_size(array), index);
  const GstStructure* item = gst_value_get_structure(gst_value_array_get_value(array, index));
  return {uint64_field(item, "timestamp"), uint64_field(item, "duration")};
}

// Two chunks with a hole between: at 3600 s and at 3605 s.
void speak_twice(Stream& stream) {
  stream.service().answer_with([](const Request&) {
    Answer answer;
    answer.body = kVerbose;
    return answer;
  });
  stream.begin(time_segment(3600 * GST_SECOND));
  stream.audio(3600 * GST_SECOND, GST_SECOND).audio(3605 * GST_SECOND, GST_SECOND).end();
}

}  // namespace

GST_START_TEST(test_word_and_segment_times) {
  Stream stream(std::string(kLong) + " model=whisper-1 timestamp-granularities=segment+word");
  speak_twice(stream);
  const auto results = stream.pipeline().named("openaitranscribe/result");
  const auto texts = stream.pipeline().named("openaitranscribe/text");
  ck_assert_uint_eq(results.size(), 2);
  ck_assert_uint_eq(texts.size(), 2);
  for (std::size_t i = 0; i < 2; i++) {
    const GstClockTime begin = (3600 + 5 * i) * GST_SECOND;
    for (const auto& owner : {results[i], texts[i]}) {
      const auto hello = span_of(owner, "words", 0);
      ck_assert_uint_eq(hello.first, begin + 250 * kMs);
      ck_assert_uint_eq(hello.second, 250 * kMs);
      const auto world = span_of(owner, "words", 1);
      ck_assert_uint_eq(world.first, begin + 500 * kMs);
      ck_assert_uint_eq(world.second, 250 * kMs);
    }
    const auto segment = span_of(results[i], "segments", 0);
    ck_assert_uint_eq(segment.first, begin + 250 * kMs);
    ck_assert_uint_eq(segment.second, 500 * kMs);
  }
}
GST_END_TEST;

GST_START_TEST(test_subtitles_in_media_time) {
  char* directory = g_dir_make_tmp("timeline-XXXXXX", nullptr);
  const std::string path = std::string(directory) + "/talk.srt";
  {
    Stream stream(std::string(kLong) +
                  " model=whisper-1 timestamp-granularities=segment location=" + path);
    speak_twice(stream);
  }
  char* content = nullptr;
  ck_assert(g_file_get_contents(path.c_str(), &content, nullptr, nullptr));
  ck_assert_str_eq(content,
                   "1\n01:00:00,250 --> 01:00:01,000\nHello world\n\n"
                   "2\n01:00:05,250 --> 01:00:06,000\nHello world\n\n");
  g_free(content);
  g_unlink(path.c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

// Players count from 0 what has timestamps from 100 s.
GST_START_TEST(test_files_show_stream_time) {
  GstSegment offset = time_segment(100 * GST_SECOND);
  offset.time = 0;
  GstSegment fast = offset;
  fast.applied_rate = 2.0;
  const struct {
    GstSegment segment;
    const char* name;
    const char* first;
    const char* last;
  } cases[] = {
      {offset, "text.srt", "1\n00:00:00,000 --> 00:00:01,000\nchunk 1\n\n",
       "2\n00:00:01,000 --> 00:00:01,500\nchunk 2\n\n"},
      {offset, "text.vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nchunk 1\n\n",
       "00:00:01.000 --> 00:00:01.500\nchunk 2\n\n"},
      {offset, "text.jsonl",
       R"({"index":0,"timestamp":100000000000,"stream_time":0,"duration":1000000000,)",
       R"("text":" chunk 2"})"
       "\n"},
      {fast, "text.srt", "1\n00:00:00,000 --> 00:00:02,000\nchunk 1\n\n",
       "2\n00:00:02,000 --> 00:00:03,000\nchunk 2\n\n"},
      {fast, "text.json", R"({"job_id":"talk",)",
       R"(,"timestamp":101000000000,"stream_time":2000000000,"duration":500000000,)"
       R"("status":"done","text":" chunk 2"}]})"
       "\n"},
  };
  for (const auto& test : cases) {
    char* directory = g_dir_make_tmp("timeline-XXXXXX", nullptr);
    const std::string path = std::string(directory) + "/" + test.name;
    std::string written[2];
    for (std::string& run : written) {
      Stream stream(std::string(kOneSecond) + " job-id=talk journal-directory=" + directory +
                    " location=" + path);
      stream.begin(test.segment).audio(100 * GST_SECOND, 1500 * kMs).end();
      assert_times(stream.timestamps(), {100 * GST_SECOND, 101 * GST_SECOND});
      char* content = nullptr;
      ck_assert(g_file_get_contents(path.c_str(), &content, nullptr, nullptr));
      run = content;
      g_free(content);
      ck_assert_uint_eq(stream.service().requests().size(), &run == &written[0] ? 2 : 0);
    }
    ck_assert_msg(written[0].starts_with(test.first), "%s", written[0].c_str());
    ck_assert_msg(written[0].ends_with(test.last), "%s", written[0].c_str());
    // From the journal.
    ck_assert_str_eq(written[1].c_str(), written[0].c_str());
    g_unlink(path.c_str());
    g_unlink((std::string(directory) + "/talk.jsonl").c_str());
    g_rmdir(directory);
    g_free(directory);
  }
}
GST_END_TEST;

// Its first sample is the segment's, whatever the timestamp was rounded to.
GST_START_TEST(test_stream_time_of_a_rounded_timestamp) {
  for (const GstClockTime early : {0, 1, 30000}) {
    Stream stream(kOneSecond);
    GstSegment segment = time_segment(100 * GST_SECOND);
    segment.time = 0;
    stream.begin(segment).audio(100 * GST_SECOND - early, 1500 * kMs).end();
    assert_times(stream.timestamps(), {100 * GST_SECOND - early, 101 * GST_SECOND - early});
    assert_times(stream.field("stream-time"), {0, GST_SECOND - early});
  }
}
GST_END_TEST;

// A text without times covers its chunk.
GST_START_TEST(test_subtitles_without_times) {
  char* directory = g_dir_make_tmp("timeline-XXXXXX", nullptr);
  const std::string path = std::string(directory) + "/talk.vtt";
  {
    Stream stream(std::string(kOneSecond) + " location=" + path);
    stream.begin().audio(90 * GST_SECOND, 1500 * kMs).end();
  }
  char* content = nullptr;
  ck_assert(g_file_get_contents(path.c_str(), &content, nullptr, nullptr));
  ck_assert_str_eq(content,
                   "WEBVTT\n\n00:01:30.000 --> 00:01:31.000\nchunk 1\n\n"
                   "00:01:31.000 --> 00:01:31.500\nchunk 2\n\n");
  g_free(content);
  g_unlink(path.c_str());
  g_rmdir(directory);
  g_free(directory);
}
GST_END_TEST;

static Suite* timeline_suite(void) {
  Suite* suite = suite_create("timeline");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_flags_that_cut);
  tcase_add_test(tests, test_discont_on_the_first_buffer);
  tcase_add_test(tests, test_jumps);
  tcase_add_test(tests, test_drift);
  tcase_add_test(tests, test_segment_that_differs_in_position_only);
  tcase_add_test(tests, test_segments_with_different_base);
  tcase_add_test(tests, test_tail_belongs_to_its_segment);
  tcase_add_test(tests, test_new_caps);
  tcase_add_test(tests, test_short_gap_is_silence);
  tcase_add_test(tests, test_long_gap_ends_the_chunk);
  tcase_add_test(tests, test_silence_duration_bounds_gaps);
  tcase_add_test(tests, test_gaps_that_say_nothing);
  tcase_add_test(tests, test_gap_before_audio_without_timestamps);
  tcase_add_test(tests, test_long_gap_in_slices);
  tcase_add_test(tests, test_gap_buffers);
  tcase_add_test(tests, test_without_timestamps);
  tcase_add_test(tests, test_without_timestamps_the_time_line_goes_on);
  tcase_add_test(tests, test_segment_start_and_time);
  tcase_add_test(tests, test_segment_stop);
  tcase_add_test(tests, test_segment_stop_without_timestamps);
  tcase_add_test(tests, test_gaps_at_the_segment_stop);
  tcase_add_test(tests, test_rate);
  tcase_add_test(tests, test_applied_rate);
  tcase_add_test(tests, test_bytes_segment);
  tcase_add_test(tests, test_negative_rate_is_refused);
  tcase_add_test(tests, test_word_and_segment_times);
  tcase_add_test(tests, test_subtitles_in_media_time);
  tcase_add_test(tests, test_files_show_stream_time);
  tcase_add_test(tests, test_stream_time_of_a_rounded_timestamp);
  tcase_add_test(tests, test_subtitles_without_times);
  return suite;
}
GST_CHECK_MAIN(timeline);
