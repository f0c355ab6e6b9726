// Every sample that comes in goes out once: random streams against a reference conversion.
//
// A plan is a list of stretches without a hole. What the service must get follows from the plan
// alone: each stretch converted by one GstAudioConverter in one go, cut every max-chunk-duration.
// How buffers split the plan must not matter.
#include <gst/gst.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::uint64_t kRate = 16000;
constexpr std::size_t kShortestPayload = 1600;
constexpr GstClockTime kMaxSilence = GST_SECOND;  // silence-duration's default

using Random = std::mt19937;
using Bytes = std::vector<std::uint8_t>;

std::uint64_t pick(Random& random, std::uint64_t low, std::uint64_t high) {
  return low + random() % (high - low + 1);
}
bool chance(Random& random, unsigned percent) { return random() % 100 < percent; }

template <typename T, std::size_t N>
const T& one_of(Random& random, const T (&values)[N]) {
  return values[random() % N];
}

GstClockTime time_of(std::uint64_t frames, int rate) {
  return gst_util_uint64_scale_round(frames, GST_SECOND, static_cast<std::uint64_t>(rate));
}

enum class Start { kSegment, kCaps, kDiscont, kJump, kOverlap, kLongGap };
enum class Kind { kAudio, kGapBuffer, kGapEvent };

struct Section {
  Kind kind;
  std::size_t frames;
  Bytes data;  // interleaved; of a gap buffer: what must not be heard
};

struct Stretch {
  Start start;
  GstAudioInfo info;
  GstClockTime timestamp;
  std::vector<Section> sections;
  // What a segment that begins with this stretch leaves of it.
  std::size_t clip_begin = 0;
  std::size_t clip_end = SIZE_MAX;
  bool clipped() const { return clip_begin > 0 || clip_end != SIZE_MAX; }
  std::size_t frames() const {
    std::size_t sum = 0;
    for (const Section& section : sections) sum += section.frames;
    return sum;
  }
};

struct Plan {
  std::uint64_t chunk_frames;
  std::vector<Stretch> stretches;
};

struct Piece {
  GstClockTime timestamp;
  std::vector<std::int16_t> samples;
};

GstAudioInfo interleaved(GstAudioInfo info) {
  info.layout = GST_AUDIO_LAYOUT_INTERLEAVED;
  return info;
}

GstAudioInfo make_info(GstAudioFormat format, int rate, int channels, bool planar,
                       bool positioned) {
  GstAudioChannelPosition positions[64];
  gst_audio_channel_positions_from_mask(channels, gst_audio_channel_get_fallback_mask(channels),
                                        positions);
  GstAudioInfo info;
  gst_audio_info_set_format(&info, format, rate, channels, positioned ? positions : nullptr);
  if (planar) info.layout = GST_AUDIO_LAYOUT_NON_INTERLEAVED;
  return info;
}

GstAudioInfo random_info(Random& random) {
  static const GstAudioFormat kFormats[] = {
      GST_AUDIO_FORMAT_S16LE,    GST_AUDIO_FORMAT_S16BE, GST_AUDIO_FORMAT_F32LE,
      GST_AUDIO_FORMAT_F32BE,    GST_AUDIO_FORMAT_F64LE, GST_AUDIO_FORMAT_F64BE,
      GST_AUDIO_FORMAT_U8,       GST_AUDIO_FORMAT_S8,    GST_AUDIO_FORMAT_S24LE,
      GST_AUDIO_FORMAT_S24_32LE, GST_AUDIO_FORMAT_S32BE, GST_AUDIO_FORMAT_S32LE,
      GST_AUDIO_FORMAT_U16LE,    GST_AUDIO_FORMAT_U24BE, GST_AUDIO_FORMAT_U32LE};
  static const int kRates[] = {8000, 11025, 16000, 22050, 44100, 48000, 96000};
  return make_info(one_of(random, kFormats), one_of(random, kRates),
                   static_cast<int>(pick(random, 1, 6)), chance(random, 40), chance(random, 60));
}

// Noise; floating point within ±1, as other bits would be no numbers.
Bytes random_audio(Random& random, const GstAudioInfo& info, std::size_t frames) {
  Bytes data(frames * static_cast<std::size_t>(info.bpf));
  if (!GST_AUDIO_FORMAT_INFO_IS_FLOAT(info.finfo)) {
    for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
    return data;
  }
  const std::size_t width = GST_AUDIO_FORMAT_INFO_WIDTH(info.finfo) / 8;
  const bool big = GST_AUDIO_FORMAT_INFO_ENDIANNESS(info.finfo) == G_BIG_ENDIAN;
  for (std::size_t at = 0; at < data.size(); at += width) {
    const double value = static_cast<double>(random() % 2000001) / 1e6 - 1;
    std::uint8_t raw[8];
    if (width == 4) {
      const float narrow = static_cast<float>(value);
      std::memcpy(raw, &narrow, width);
    } else {
      std::memcpy(raw, &value, width);
    }
    if (big == (G_BYTE_ORDER == G_LITTLE_ENDIAN)) std::reverse(raw, raw + width);
    std::memcpy(data.data() + at, raw, width);
  }
  return data;
}

Section random_section(Random& random, const GstAudioInfo& info, Kind kind, unsigned max_ms) {
  const auto rate = static_cast<std::uint64_t>(info.rate);
  const std::size_t frames = pick(random, 1, rate * max_ms / 1000);
  return {kind, frames, kind == Kind::kGapEvent ? Bytes() : random_audio(random, info, frames)};
}

Stretch random_stretch(Random& random, Start start, const GstAudioInfo& info,
                       GstClockTime timestamp) {
  Stretch stretch{start, info, timestamp, {}};
  stretch.sections.push_back(
      random_section(random, info, Kind::kAudio, chance(random, 20) ? 5 : 1500));
  // A segment's edge lies where every rate has a frame.
  if (start == Start::kSegment && chance(random, 60)) {
    const std::size_t unit = static_cast<std::size_t>(info.rate) / 25;
    const std::size_t units = stretch.frames() / unit;
    if (units > 4) {
      if (chance(random, 70)) stretch.clip_begin = unit * pick(random, 1, units / 2);
      if (chance(random, 70)) stretch.clip_end = unit * pick(random, units / 2 + 1, units);
      if (stretch.clipped()) return stretch;
    }
  }
  for (unsigned n = 0; n < 3; n++) {
    if (chance(random, 50)) continue;
    stretch.sections.push_back(
        random_section(random, info, chance(random, 50) ? Kind::kGapBuffer : Kind::kGapEvent, 600));
    stretch.sections.push_back(random_section(random, info, Kind::kAudio, 400));
  }
  return stretch;
}

Plan random_plan(Random& random) {
  Plan plan;
  plan.chunk_frames = pick(random, kShortestPayload, kRate * 3 / 2);
  GstAudioInfo info = random_info(random);
  GstClockTime end = chance(random, 50) ? 0 : pick(random, 1, 7200) * GST_SECOND;
  const std::size_t count = pick(random, 3, 7);
  for (std::size_t i = 0; i < count; i++) {
    auto start = static_cast<Start>(pick(random, 0, 5));
    const bool after_clip = i > 0 && plan.stretches.back().clipped();
    if (i == 0 || after_clip) start = Start::kSegment;
    GstClockTime timestamp = end;
    if (start == Start::kCaps) {
      const GstAudioInfo before = info;
      while (gst_audio_info_is_equal(&info, &before)) info = random_info(random);
    } else if (start == Start::kJump) {
      timestamp += pick(random, 30, 3000) * GST_MSECOND;
    } else if (start == Start::kOverlap) {
      timestamp -= std::min<GstClockTime>(timestamp, pick(random, 30, 500) * GST_MSECOND);
    } else if (start == Start::kLongGap) {
      timestamp += kMaxSilence + pick(random, 1, 2000) * GST_MSECOND;
    }
    // Too little to jump back by.
    if (start == Start::kOverlap && end - timestamp < 30 * GST_MSECOND) start = Start::kDiscont;
    if (start == Start::kSegment) timestamp = timestamp / (40 * GST_MSECOND) * 40 * GST_MSECOND;
    plan.stretches.push_back(random_stretch(random, start, info, timestamp));
    end = timestamp + time_of(plan.stretches.back().frames(), info.rate);
  }
  return plan;
}

// The independent conversion: everything in one call, silence behind it to drain the filter.
std::vector<std::int16_t> reference(const GstAudioInfo& info, Bytes audio) {
  const std::size_t frames = audio.size() / static_cast<std::size_t>(info.bpf);
  const std::size_t tail = static_cast<std::size_t>(info.rate) / 2;
  Bytes silence(tail * static_cast<std::size_t>(info.bpf));
  gst_audio_format_info_fill_silence(info.finfo, silence.data(), silence.size());
  audio.insert(audio.end(), silence.begin(), silence.end());

  GstAudioInfo input = info;
  GstAudioInfo output;
  gst_audio_info_set_format(&output, GST_AUDIO_FORMAT_S16, kRate, 1, nullptr);
  GstStructure* options =
      gst_structure_new("options", GST_AUDIO_CONVERTER_OPT_DITHER_METHOD,
                        GST_TYPE_AUDIO_DITHER_METHOD, GST_AUDIO_DITHER_NONE, nullptr);
  if ((GST_AUDIO_INFO_IS_UNPOSITIONED(&info) && info.channels > 1) || info.channels == 2) {
    GValue matrix = G_VALUE_INIT;
    GValue row = G_VALUE_INIT;
    gst_value_array_init(&matrix, 1);
    gst_value_array_init(&row, 1);
    for (int i = 0; i < info.channels; i++) {
      GValue weight = G_VALUE_INIT;
      g_value_init(&weight, G_TYPE_FLOAT);
      const float stereo = i == 0 ? 0.625f : 0.375f;
      g_value_set_float(&weight,
                        info.channels == 2 ? stereo : 1.0f / static_cast<float>(info.channels));
      gst_value_array_append_and_take_value(&row, &weight);
    }
    gst_value_array_append_and_take_value(&matrix, &row);
    gst_structure_take_value(options, GST_AUDIO_CONVERTER_OPT_MIX_MATRIX, &matrix);
  }
  GstAudioConverter* converter =
      gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &input, &output, options);
  ck_assert(converter != nullptr);
  std::vector<std::int16_t> samples(gst_audio_converter_get_out_frames(converter, frames + tail));
  gpointer in[] = {audio.data()};
  gpointer out[] = {samples.data()};
  ck_assert(gst_audio_converter_samples(converter, GST_AUDIO_CONVERTER_FLAG_NONE, in, frames + tail,
                                        out, samples.size()));
  gst_audio_converter_free(converter);
  const std::size_t due =
      gst_util_uint64_scale_round(frames, kRate, static_cast<std::uint64_t>(info.rate));
  ck_assert_uint_ge(samples.size(), due);
  samples.resize(due);
  return samples;
}

std::vector<Piece> expected_pieces(const Plan& plan) {
  std::vector<Piece> pieces;
  for (const Stretch& stretch : plan.stretches) {
    const GstAudioInfo info = interleaved(stretch.info);
    const auto bpf = static_cast<std::size_t>(info.bpf);
    Bytes audio;
    for (const Section& section : stretch.sections) {
      Bytes part = section.data;
      if (section.kind != Kind::kAudio) {
        part.resize(section.frames * bpf);
        gst_audio_format_info_fill_silence(info.finfo, part.data(), part.size());
      }
      audio.insert(audio.end(), part.begin(), part.end());
    }
    if (stretch.clip_end != SIZE_MAX) audio.resize(stretch.clip_end * bpf);
    audio.erase(audio.begin(),
                audio.begin() + static_cast<std::ptrdiff_t>(stretch.clip_begin * bpf));
    const GstClockTime begin = stretch.timestamp + time_of(stretch.clip_begin, info.rate);

    const auto samples = reference(info, std::move(audio));
    for (std::size_t at = 0; at < samples.size(); at += plan.chunk_frames) {
      const std::size_t end = std::min<std::size_t>(samples.size(), at + plan.chunk_frames);
      pieces.push_back({begin + gst_util_uint64_scale(at, GST_SECOND, kRate),
                        {samples.begin() + static_cast<std::ptrdiff_t>(at),
                         samples.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
  }
  return pieces;
}

GstBuffer* make_buffer(const GstAudioInfo& info, const Bytes& data, std::size_t begin,
                       std::size_t frames) {
  const auto bpf = static_cast<std::size_t>(info.bpf);
  const auto channels = static_cast<std::size_t>(info.channels);
  GstBuffer* buffer =
      gst_buffer_new_memdup(data.data() + begin * bpf, static_cast<gsize>(frames * bpf));
  if (info.layout == GST_AUDIO_LAYOUT_INTERLEAVED) return buffer;
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_WRITE);
  const std::size_t width = bpf / channels;
  for (std::size_t frame = 0; frame < frames; frame++) {
    for (std::size_t channel = 0; channel < channels; channel++) {
      std::memcpy(map.data + (channel * frames + frame) * width,
                  data.data() + (begin + frame) * bpf + channel * width, width);
    }
  }
  gst_buffer_unmap(buffer, &map);
  gst_buffer_add_audio_meta(buffer, &info, frames, nullptr);
  return buffer;
}

class Player {
 public:
  Player(PadFeed& feed, Random& random, std::size_t max_frames)
      : feed_(feed), random_(random), max_frames_(max_frames) {}

  void play(const Stretch& stretch) {
    begin(stretch);
    std::size_t position = 0;
    for (const Section& section : stretch.sections) {
      if (section.kind == Kind::kGapEvent) {
        feed_.gap(stretch.timestamp + time_of(position, stretch.info.rate),
                  time_of(section.frames, stretch.info.rate));
      } else {
        play(stretch, section, position);
      }
      position += section.frames;
    }
    end_ = stretch.timestamp + time_of(position, stretch.info.rate);
  }

 private:
  void begin(const Stretch& stretch) {
    if (!started_ || stretch.start == Start::kCaps) feed_.caps(stretch.info);
    if (stretch.start == Start::kSegment) {
      GstSegment segment = time_segment(0);
      if (stretch.clip_begin > 0)
        segment.start = stretch.timestamp + time_of(stretch.clip_begin, stretch.info.rate);
      if (stretch.clip_end != SIZE_MAX)
        segment.stop = stretch.timestamp + time_of(stretch.clip_end, stretch.info.rate);
      segment.base = ++segments_ * GST_SECOND;  // no two are the same
      ck_assert(feed_.segment(segment));
    }
    if (stretch.start == Start::kLongGap) feed_.gap(end_, stretch.timestamp - end_);
    started_ = true;
  }

  void play(const Stretch& stretch, const Section& section, std::size_t position) {
    for (std::size_t at = 0; at < section.frames;) {
      const std::size_t frames = pick(random_, 1, std::min(section.frames - at, max_frames_));
      GstBuffer* buffer = make_buffer(stretch.info, section.data, at, frames);
      const std::size_t first = position + at;
      set_times(buffer, stretch, first, frames);
      if (first == 0 && stretch.start == Start::kDiscont)
        GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
      if (section.kind == Kind::kGapBuffer) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
      ck_assert_int_eq(feed_.push(buffer), GST_FLOW_OK);
      at += frames;
    }
  }

  void set_times(GstBuffer* buffer, const Stretch& stretch, std::size_t first, std::size_t frames) {
    const int rate = stretch.info.rate;
    const bool exact = first == 0 || stretch.clipped();
    if (!exact && chance(random_, 30)) return;
    GstClockTime timestamp = stretch.timestamp + time_of(first, rate);
    // Less than what counts as a jump.
    if (!exact && chance(random_, 30)) {
      timestamp += pick(random_, 0, 15 * GST_MSECOND);
      timestamp -= std::min<GstClockTime>(timestamp, pick(random_, 0, 15 * GST_MSECOND));
    }
    GST_BUFFER_PTS(buffer) = timestamp;
    if (chance(random_, 70)) GST_BUFFER_DURATION(buffer) = time_of(frames, rate);
  }

  PadFeed& feed_;
  Random& random_;
  const std::size_t max_frames_;
  bool started_ = false;
  GstClockTime end_ = 0;
  unsigned segments_ = 0;
};

// Pushes the plan in buffers of at most so many frames, and what came of it.
std::vector<Piece> transcribe_plan(const Plan& plan, Random& random, std::size_t max_frames) {
  FakeService service;
  const GstClockTime duration = gst_util_uint64_scale_ceil(plan.chunk_frames, GST_SECOND, kRate);
  PadFeed feed(service.url(), "split=fixed max-chunk-duration=" + std::to_string(duration));
  feed.play();
  Player player(feed, random, max_frames);
  for (const Stretch& stretch : plan.stretches) player.play(stretch);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  for (const std::string& violation : service.violations()) ck_abort_msg("%s", violation.c_str());

  const auto results = feed.pipeline().named("openaitranscribe/result");
  const auto chunks = sent_chunks(service);
  ck_assert_uint_eq(results.size(), chunks.size());
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < chunks.size(); i++) {
    ck_assert_msg(chunks[i].wav_error.empty(), "%s", chunks[i].wav_error.c_str());
    ck_assert_uint_eq(uint64_field(results[i], "chunk-index"), i);
    pieces.push_back({uint64_field(results[i], "timestamp"), *chunks[i].samples});
    // What was padded is not part of the time line.
    const auto frames =
        gst_util_uint64_scale_round(uint64_field(results[i], "duration"), kRate, GST_SECOND);
    auto& samples = pieces.back().samples;
    if (frames < samples.size()) {
      ck_assert_uint_eq(samples.size(), kShortestPayload);
      ck_assert(std::all_of(samples.begin() + static_cast<std::ptrdiff_t>(frames), samples.end(),
                            [](std::int16_t sample) { return sample == 0; }));
      samples.resize(frames);
    }
    ck_assert_uint_eq(samples.size(), frames);
  }
  return pieces;
}

void assert_same(const std::vector<Piece>& found, const std::vector<Piece>& wanted,
                 const std::string& where) {
  for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); i++) {
    ck_assert_msg(found[i].samples.size() == wanted[i].samples.size(),
                  "chunk %zu: %zu frames instead of %zu; %s", i, found[i].samples.size(),
                  wanted[i].samples.size(), where.c_str());
    const auto different =
        std::mismatch(found[i].samples.begin(), found[i].samples.end(), wanted[i].samples.begin());
    ck_assert_msg(different.first == found[i].samples.end(),
                  "chunk %zu: sample %td is %d instead of %d; %s", i,
                  different.first - found[i].samples.begin(), *different.first, *different.second,
                  where.c_str());
    ck_assert_msg(found[i].timestamp == wanted[i].timestamp,
                  "chunk %zu begins at %" GST_TIME_FORMAT " instead of %" GST_TIME_FORMAT "; %s", i,
                  GST_TIME_ARGS(found[i].timestamp), GST_TIME_ARGS(wanted[i].timestamp),
                  where.c_str());
  }
  ck_assert_msg(found.size() == wanted.size(), "%zu chunks instead of %zu; %s", found.size(),
                wanted.size(), where.c_str());
}

std::string describe(const Stretch& stretch) {
  static const char* const kStarts[] = {"segment", "caps", "discont", "jump", "overlap", "gap"};
  GstCaps* caps = gst_audio_info_to_caps(&stretch.info);
  char* text = gst_caps_to_string(caps);
  std::string line = std::string(kStarts[static_cast<int>(stretch.start)]) + " " + text;
  if (stretch.clipped()) line += " clipped";
  g_free(text);
  gst_caps_unref(caps);
  return line;
}

bool full() {
  const char* value = g_getenv("TRANSCRIBE_FULL");
  return value != nullptr && *value != '\0';
}

void check_seed(unsigned seed) {
  Random random(seed);
  const Plan plan = random_plan(random);
  std::string where = "seed " + std::to_string(seed) + " (";
  for (const Stretch& stretch : plan.stretches) where += describe(stretch) + "; ";
  where += ")";
  const auto wanted = expected_pieces(plan);
  for (const std::size_t max_frames : {3000, 200000, 700}) {
    const auto found = transcribe_plan(plan, random, max_frames);
    assert_same(found, wanted, where + " in buffers of up to " + std::to_string(max_frames));
  }
}

Plan one_stretch(const GstAudioInfo& info, std::size_t frames, std::uint64_t chunk_frames) {
  Random random(7);
  Plan plan{chunk_frames, {{Start::kSegment, info, 0, {}}}};
  plan.stretches[0].sections.push_back({Kind::kAudio, frames, random_audio(random, info, frames)});
  return plan;
}

}  // namespace

GST_START_TEST(test_random_streams) {
  const unsigned seeds = full() ? 20 : 3;
  for (unsigned i = 0; i < seeds; i++) check_seed(static_cast<unsigned>(__i__) * seeds + i);
}
GST_END_TEST;

GST_START_TEST(test_seconds_give_frames) {
  static const int kRates[] = {1000, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000};
  Random random(1);
  for (const int rate : kRates) {
    const auto info = make_info(GST_AUDIO_FORMAT_S16LE, rate, 2, false, true);
    const Plan plan = one_stretch(info, 3 * static_cast<std::size_t>(rate), 10 * kRate);
    const auto pieces = transcribe_plan(plan, random, 1234);
    ck_assert_uint_eq(pieces.size(), 1);
    ck_assert_msg(pieces[0].samples.size() == 3 * kRate, "3 s at %d Hz gave %zu frames", rate,
                  pieces[0].samples.size());
  }
}
GST_END_TEST;

GST_START_TEST(test_edges_of_a_chunk) {
  Random random(1);
  const auto info = make_info(GST_AUDIO_FORMAT_S16LE, kRate, 1, false, true);
  constexpr std::size_t kChunk = 4000;
  for (const std::size_t frames :
       {std::size_t{1}, kShortestPayload - 1, kShortestPayload, kShortestPayload + 1, kChunk - 1,
        kChunk, kChunk + 1, 3 * kChunk, 3 * kChunk + 1}) {
    const Plan plan = one_stretch(info, frames, kChunk);
    assert_same(transcribe_plan(plan, random, 1000), expected_pieces(plan),
                std::to_string(frames) + " frames");
  }
}
GST_END_TEST;

// The same buffers with a segment that cuts them at any nanosecond: no sample of it is lost or
// heard twice, whatever the buffers.
GST_START_TEST(test_clips_between_frames) {
  const auto info = make_info(GST_AUDIO_FORMAT_S16LE, 44100, 1, false, true);
  Random random(5);
  const Plan whole = one_stretch(info, 44100, 100 * kRate);
  for (unsigned i = 0; i < 12; i++) {
    const GstClockTime start = pick(random, 1, 400 * GST_MSECOND);
    const GstClockTime stop = pick(random, 500 * GST_MSECOND, 900 * GST_MSECOND);
    std::vector<std::int16_t> first;
    for (const std::size_t frames : {44100, 100, 441, 1024}) {
      FakeService service;
      PadFeed feed(service.url(), "split=fixed");
      feed.play();
      feed.caps(info);
      ck_assert(feed.segment(time_segment(start, stop)));
      const Section& section = whole.stretches[0].sections[0];
      for (std::size_t at = 0; at < section.frames; at += frames) {
        const std::size_t count = std::min(frames, section.frames - at);
        GstBuffer* buffer = make_buffer(info, section.data, at, count);
        GST_BUFFER_PTS(buffer) = time_of(at, info.rate);
        GST_BUFFER_DURATION(buffer) = time_of(count, info.rate);
        feed.push(buffer);
      }
      ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
      const auto chunks = sent_chunks(service);
      ck_assert_uint_eq(chunks.size(), 1);
      ck_assert_uint_eq(
          uint64_field(feed.pipeline().named("openaitranscribe/result")[0], "timestamp"), start);
      if (first.empty()) first = *chunks[0].samples;
      ck_assert_msg(*chunks[0].samples == first,
                    "%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                    ": buffers of %zu frames give %zu frames instead of %zu",
                    start, stop, frames, chunks[0].samples->size(), first.size());
    }
  }
}
GST_END_TEST;

static Suite* conservation_suite(void) {
  Suite* suite = suite_create("conservation");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, full() ? 1200 : 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_random_streams, 0, 10);
  tcase_add_test(tests, test_seconds_give_frames);
  tcase_add_test(tests, test_edges_of_a_chunk);
  tcase_add_test(tests, test_clips_between_frames);
  return suite;
}
GST_CHECK_MAIN(conservation);
