// A live stream on a clock of its own: each buffer comes when its last sample was recorded, or a
// little later. How long a sample waits for its piece, and since when the piece is said to wait,
// then do not depend on the machine.
#include <gst/gst.h>

#include <algorithm>
#include <random>
#include <vector>

#include "counted_memory.h"
#include "sink_stream.h"

#include "check_main.h"

using namespace transcribe;
using namespace std::chrono_literals;

namespace {

using Random = std::mt19937;

constexpr Nanoseconds kStart = 5000s;
constexpr Nanoseconds kBetween = 10ms;  // of buffers that come late
// Samples that the resampler holds back.
constexpr Nanoseconds kResampler = 10ms;

Nanoseconds between(Random& random, Nanoseconds low, Nanoseconds high) {
  const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
  const std::uint64_t draw = std::uint64_t{random()} << 32 | random();
  return low + Nanoseconds(static_cast<std::int64_t>(draw % span));
}

// Speech as little by little it is said: syllables with pauses of all lengths, or with none.
class Talk {
 public:
  Talk(Random& random, bool pauses) : random_(random), pauses_(pauses) {}

  std::int16_t next(int rate) {
    if (left_ == 0) {
      loud_ = !loud_;
      const Nanoseconds length = loud_           ? between(random_, 80ms, 400ms)
                                 : !pauses_      ? between(random_, 20ms, 90ms)
                                 : random_() % 8 ? between(random_, 20ms, 500ms)
                                                 : between(random_, 1s, 12s);
      left_ = 1 + static_cast<std::uint64_t>(length.count()) * static_cast<unsigned>(rate) /
                      1000000000u;
    }
    --left_;
    const int amplitude = loud_ ? 7000 : 60;
    return static_cast<std::int16_t>(static_cast<int>(random_() % (2u * amplitude + 1)) -
                                     amplitude);
  }

 private:
  Random& random_;
  const bool pauses_;
  bool loud_ = false;
  std::uint64_t left_ = 0;
};

// What came, by media time.
struct Came {
  Nanoseconds begin;
  Nanoseconds end;
  TimePoint when;
  Nanoseconds received;  // audio before it, holes not counted
};

struct Piece {
  bool skipped;
  CutReason reason;
  FrameSpan core;
  Nanoseconds begin;        // of the core, in media time
  Nanoseconds payload_end;  // in media time
  TimePoint heard_at;
  TimePoint emitted;
  Nanoseconds received;
};

class LiveStream {
 public:
  LiveStream(unsigned seed, const Chunker::Config& config, bool pauses)
      : random_(seed),
        talk_(random_, pauses),
        stream_([this](AudioPiece&& piece, const MediaTime& time,
                       TimePoint heard_at) { take(piece, time, heard_at); },
                static_cast<GstClockTime>(frames_to_time(config.silence_frames).count())),
        filled_(frames_to_time(config.silence_frames)) {
    constexpr int kRates[] = {8000, 16000, 44100, 48000};
    rate_ = kRates[seed % std::size(kRates)];
    GstAudioInfo info;
    gst_audio_info_init(&info);
    gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S16, rate_, 1, nullptr);
    ck_assert(stream_.set_caps(info).ok());
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    stream_.set_segment(segment);
    stream_.open(config);
  }

  // `disturbed`: with holes, gaps, late buffers, and cuts that were asked for.
  void run(Nanoseconds length, bool disturbed, bool stalls = false) {
    while (media_ < kStart + length) {
      if (stalls && random_() % 200 == 0) stall(between(random_, 100ms, 15s));
      const unsigned draw = disturbed ? random_() % 400 : 400;
      if (draw == 0) {
        media_ += between(random_, 30ms, 4s);
      } else if (draw == 1) {
        gap(between(random_, 5ms, 3s));
      } else if (draw == 2) {
        stream_.cut();
      } else {
        buffer(disturbed ? between(random_, 1ms, 60ms) : 20ms, disturbed);
      }
    }
    stream_.finish();
  }

  const std::vector<Piece>& pieces() const { return pieces_; }
  std::size_t count(CutReason reason) const {
    return static_cast<std::size_t>(
        std::count_if(pieces_.begin(), pieces_.end(),
                      [&](const Piece& piece) { return piece.reason == reason; }));
  }
  Nanoseconds longest() const { return longest_; }
  Nanoseconds received() const { return received_; }

  // Of the audio at `media`, or just before it.
  const Came& came_at(Nanoseconds media) const {
    const auto found =
        std::lower_bound(came_.begin(), came_.end(), media,
                         [](const Came& one, Nanoseconds time) { return one.end < time; });
    return found == came_.end() ? came_.back() : *found;
  }

 private:
  // What falls due until then is cut then.
  void pass(TimePoint until) {
    for (auto due = stream_.due(); due && *due < until; due = stream_.due()) {
      const std::size_t before = pieces_.size();
      ck_assert(*due >= now_);
      ck_assert(stream_.look(*due - 1ns) == due);
      ck_assert_uint_eq(pieces_.size(), before);
      now_ = *due;
      ck_assert(!stream_.look(now_));
      ck_assert_uint_gt(pieces_.size(), before);
    }
    now_ = std::max(now_, until);
  }

  // Nothing comes; then what was said meanwhile comes at once, or is lost.
  void stall(Nanoseconds length) {
    pass(now_ + length);
    if (random_() % 2 == 0) media_ += length;
  }

  void note(Nanoseconds length, bool late, bool audio = true) {
    TimePoint when = std::max(now_, TimePoint(media_ + length));
    if (late && random_() % 50 == 0) when += between(random_, 0ms, kBetween);
    pass(when);
    came_.push_back({media_, media_ + length, now_, received_});
    if (audio) received_ += length;
    if (audio) longest_ = std::max(longest_, length);
    media_ += length;
  }

  void step() {
    for (bool more = true; more;) {
      const Result<bool> result = stream_.step();
      ck_assert(static_cast<bool>(result));
      more = *result;
    }
  }

  void buffer(Nanoseconds length, bool late) {
    const auto frames = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(length.count()) * static_cast<unsigned>(rate_) / 1000000000u);
    std::vector<std::int16_t> samples(frames);
    for (auto& sample : samples) sample = talk_.next(rate_);
    GstBuffer* buffer = gst_buffer_new_memdup(samples.data(), samples.size() * 2);
    GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(media_.count());
    note(Nanoseconds(static_cast<std::int64_t>(
             gst_util_uint64_scale(frames, GST_SECOND, static_cast<guint64>(rate_)))),
         late);
    stream_.begin(buffer, now_);
    gst_buffer_unref(buffer);
    step();
  }

  void gap(Nanoseconds length) {
    const auto begin = static_cast<GstClockTime>(media_.count());
    note(length, false, length <= filled_);
    stream_.gap(begin, static_cast<GstClockTime>(length.count()), now_);
    step();
  }

  void take(const AudioPiece& piece, const MediaTime& time, TimePoint heard_at) {
    const auto end = time.timestamp + frames_to_time(piece.payload.end - piece.core.begin);
    pieces_.push_back(
        {piece.skipped, piece.reason, piece.core, time.timestamp, end, heard_at, now_, received_});
  }

  Random random_;
  Talk talk_;
  int rate_ = 0;
  SinkStream stream_;
  const Nanoseconds filled_;  // longest gap that is audio
  Nanoseconds media_ = kStart;
  Nanoseconds received_{0};
  Nanoseconds longest_{0};
  TimePoint now_{};
  std::vector<Came> came_;
  std::vector<Piece> pieces_;
};

Chunker::Config live_config(Random& random) {
  Chunker::Config config;
  config.max_frames = time_to_frames(between(random, 1s, 10s));
  config.min_frames = time_to_frames(between(random, 300ms, 3s));
  config.pause_frames = time_to_frames(between(random, 100ms, 500ms));
  config.first_pause = true;
  config.overlap_frames = time_to_frames(between(random, 0s, 1s));
  return config;
}

// What may lie between the arrival of a sample and its dispatch.
Nanoseconds bound(const Chunker::Config& config) {
  return frames_to_time(config.max_frames +
                        std::min({config.overlap_frames, config.min_frames, config.max_frames}) /
                            2);
}

}  // namespace

// Bits of the loop: pauses or none, skipping or not, disturbed or not.
START_TEST(no_sample_waits_longer_than_promised) {
  const char* full = g_getenv("TRANSCRIBE_FULL");
  const unsigned rounds = full != nullptr && *full != '\0' ? 60 : 1;
  std::size_t sent = 0;
  std::size_t close_to_it = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    Random random(round * 8 + static_cast<unsigned>(_i));
    Chunker::Config config = live_config(random);
    config.skip_silence = (_i & 2) != 0;
    const bool disturbed = (_i & 4) != 0;
    LiveStream live(random(), config, (_i & 1) != 0);
    live.run(90s, disturbed);
    const Nanoseconds most = bound(config) + live.longest() + kResampler;
    for (const Piece& piece : live.pieces()) {
      if (piece.skipped) continue;
      ++sent;
      const Came& first = live.came_at(piece.begin);
      const Nanoseconds waited = piece.received - first.received - (piece.begin - first.begin);
      ck_assert_int_le(waited.count(), most.count());
      const Nanoseconds lull = disturbed ? SinkStream::kLull : 0ns;
      ck_assert_int_le((piece.emitted - first.when).count(), (most + lull).count());
      if (waited >= frames_to_time(config.max_frames)) ++close_to_it;
    }
    if (!disturbed) ck_assert_uint_eq(live.count(CutReason::kStalled), 0);
  }
  ck_assert_uint_gt(sent, rounds * 8);
  // Where nobody pauses it is used up.
  if (_i == 0) ck_assert_uint_gt(close_to_it, sent / 2);
}
END_TEST

START_TEST(a_piece_waits_from_its_last_sample_on) {
  std::size_t waited = 0;
  for (unsigned seed = 0; seed < 4; ++seed) {
    Random random(seed * 8 + static_cast<unsigned>(_i) + 1000);
    Chunker::Config config = live_config(random);
    config.skip_silence = (_i & 2) != 0;
    LiveStream live(random(), config, (_i & 1) != 0);
    live.run(40s, (_i & 4) != 0);
    for (const Piece& piece : live.pieces()) {
      if (piece.skipped) continue;
      const TimePoint last = live.came_at(piece.payload_end - 100us).when;
      ck_assert_int_ge((piece.heard_at - last).count(), -Arrivals::kPrecision.count());
      const TimePoint behind = live.came_at(piece.payload_end + kResampler).when;
      ck_assert_int_le((piece.heard_at - behind).count(), 0);
      ck_assert(piece.heard_at <= piece.emitted);
      if (piece.emitted - piece.heard_at > 100ms) ++waited;
    }
  }
  // In the middle of a pause it is over before that is known.
  if ((_i & 1) != 0) ck_assert_uint_gt(waited, 0);
}
END_TEST

// Bits of the loop: pauses or none, skipping or not. Every sample is in one core or skipped span,
// and none waits longer than promised, however long the source stalls.
START_TEST(a_stall_keeps_nothing_back) {
  std::size_t stalled = 0;
  for (unsigned seed = 0; seed < 4; ++seed) {
    Random random(seed * 4 + static_cast<unsigned>(_i) + 2000);
    Chunker::Config config = live_config(random);
    config.skip_silence = (_i & 2) != 0;
    LiveStream live(random(), config, (_i & 1) != 0);
    live.run(90s, false, true);
    const Nanoseconds most = bound(config) + SinkStream::kLull + live.longest() + kResampler;
    std::uint64_t end = 0;
    for (const Piece& piece : live.pieces()) {
      ck_assert_uint_eq(piece.core.begin, end);
      end = piece.core.end;
      if (piece.skipped) continue;
      // What begins where the last one ended came after the stall.
      const TimePoint came = live.came_at(piece.begin + kResampler).when;
      ck_assert_int_le((piece.emitted - came).count(), most.count());
    }
    const std::uint64_t received = time_to_frames(live.received());
    ck_assert_uint_ge(end + kSampleRate / 1000, received);
    ck_assert_uint_le(end, received + kSampleRate / 1000);
    stalled += live.count(CutReason::kStalled);
  }
  ck_assert_uint_gt(stalled, 4);
}
END_TEST

// At the bound where that is later than kLull after the last sample, and never for pieces of one
// length.
START_TEST(a_stall_ends_when_it_must) {
  for (const SplitMode split : {SplitMode::kPause, SplitMode::kFixed}) {
    Chunker::Config config;
    config.split = split;
    config.max_frames = 10 * kSampleRate;
    config.min_frames = 3 * kSampleRate;
    config.overlap_frames = kSampleRate;
    std::vector<AudioPiece> pieces;
    SinkStream stream([&](AudioPiece&& piece, const MediaTime&,
                          TimePoint) { pieces.push_back(std::move(piece)); },
                      GST_SECOND);
    GstAudioInfo info;
    gst_audio_info_init(&info);
    gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S16, kSampleRate, 1, nullptr);
    ck_assert(stream.set_caps(info).ok());
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    stream.set_segment(segment);
    ck_assert(!stream.due());
    stream.open(config);
    const auto push = [&](unsigned second, TimePoint came) {
      GstBuffer* buffer = gst_buffer_new_allocate(nullptr, kSampleRate * kBytesPerFrame, nullptr);
      gst_buffer_memset(buffer, 0, static_cast<guint8>(second + 1), kSampleRate * kBytesPerFrame);
      GST_BUFFER_PTS(buffer) = second * GST_SECOND;
      stream.begin(buffer, came);
      gst_buffer_unref(buffer);
      ck_assert(stream.step().ok());
    };
    ck_assert(!stream.due());
    const TimePoint start(100s);
    push(0, start);
    if (split == SplitMode::kFixed) {
      ck_assert(!stream.due());
      ck_assert(!stream.look(start + 1h));
      ck_assert_uint_eq(pieces.size(), 0);
      continue;
    }
    ck_assert(stream.due() == start + 10500ms);
    push(1, start + 8s);
    ck_assert(stream.due() == start + 10500ms);
    // Of a source that is late.
    push(2, start + 10200ms);
    ck_assert(stream.due() == start + 10700ms);
    ck_assert(stream.look(start + 10600ms) == start + 10700ms);
    ck_assert_uint_eq(pieces.size(), 0);
    ck_assert(!stream.look(start + 10700ms));
    ck_assert_uint_eq(pieces.size(), 1);
    ck_assert(pieces[0].reason == CutReason::kStalled);
    ck_assert(pieces[0].core == (FrameSpan{0, 3 * kSampleRate}));
    // It goes on where it was, and counts anew.
    push(3, start + 60s);
    ck_assert(stream.due() == start + 70500ms);
    ck_assert(stream.flush().has_value());
    ck_assert(!stream.due());
    stream.finish();
    ck_assert_uint_eq(pieces.size(), 1);
  }
}
END_TEST

// A skipped span of hours: neither samples nor the times they came are held on to.
START_TEST(silence_holds_nothing) {
  Chunker::Config config;
  config.first_pause = true;
  config.skip_silence = true;
  std::size_t pieces = 0;
  SinkStream stream([&](AudioPiece&&, const MediaTime&, TimePoint) { ++pieces; }, GST_SECOND);
  GstAudioInfo info;
  gst_audio_info_init(&info);
  gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S16, kSampleRate, 1, nullptr);
  ck_assert(stream.set_caps(info).ok());
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  stream.set_segment(segment);
  stream.open(config);
  std::size_t settled = 0;
  for (std::uint64_t i = 0; i < 300 * 50; ++i) {
    GstBuffer* buffer =
        gst_buffer_new_allocate(nullptr, kSampleRate / 50 * kBytesPerFrame, nullptr);
    gst_buffer_memset(buffer, 0, 0, gst_buffer_get_size(buffer));
    GST_BUFFER_PTS(buffer) = i * 20 * GST_MSECOND;
    stream.begin(buffer, TimePoint(static_cast<std::int64_t>(i) * 20ms));
    gst_buffer_unref(buffer);
    ck_assert(stream.step().ok());
    if (i == 60 * 50) settled = testing::held_bytes;
    if (i > 60 * 50) ck_assert_uint_le(testing::held_bytes, settled + 1024);
  }
  ck_assert_uint_eq(pieces, 0);
}
END_TEST

static Suite* make_suite() {
  gst_init(nullptr, nullptr);
  Suite* suite = suite_create("sink_stream");
  TCase* tcase = tcase_create("sink_stream");
  tcase_add_loop_test(tcase, no_sample_waits_longer_than_promised, 0, 8);
  tcase_add_loop_test(tcase, a_piece_waits_from_its_last_sample_on, 0, 8);
  tcase_add_loop_test(tcase, a_stall_keeps_nothing_back, 0, 4);
  tcase_add_test(tcase, a_stall_ends_when_it_must);
  tcase_add_test(tcase, silence_holds_nothing);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
