#include <glib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "audio/chunker.h"

#include "check_main.h"

namespace {

using namespace transcribe;

using Samples = std::vector<std::int16_t>;
using Random = std::mt19937;

constexpr std::uint64_t kSecond = kSampleRate;
constexpr std::uint64_t kMillisecond = kSampleRate / 1000;

struct Piece {
  FrameSpan core;
  FrameSpan payload;
  std::uint64_t padding = 0;
  CutReason reason = CutReason::kEndOfStream;
  Samples pcm;
  bool operator==(const Piece&) const = default;
};

class Recorder {
 public:
  explicit Recorder(const Chunker::Config& config)
      : chunker_(config, [this](AudioPiece&& piece) { record(std::move(piece)); }) {}

  Chunker& operator*() { return chunker_; }
  Chunker* operator->() { return &chunker_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void record(AudioPiece&& piece) {
    ck_assert(!piece.skipped);
    ck_assert(piece.mask.empty());
    gsize bytes = 0;
    const void* data = g_bytes_get_data(piece.pcm.get(), &bytes);
    ck_assert_uint_eq(bytes % kBytesPerFrame, 0);
    Samples pcm(bytes / kBytesPerFrame);
    std::memcpy(pcm.data(), data, bytes);
    for (auto& sample : pcm) sample = GINT16_FROM_LE(sample);
    pieces_.push_back({piece.core, piece.payload, piece.padding, piece.reason, std::move(pcm)});
  }

  std::vector<Piece> pieces_;
  Chunker chunker_;
};

Chunker::Config fixed(std::uint64_t max_frames) {
  return {.split = SplitMode::kFixed, .max_frames = max_frames};
}

Chunker::Config pause(std::uint64_t min_frames, std::uint64_t max_frames) {
  return {.split = SplitMode::kPause, .min_frames = min_frames, .max_frames = max_frames};
}

Chunker::Config live(std::uint64_t min_frames, std::uint64_t max_frames,
                     std::uint64_t pause_frames) {
  return {.split = SplitMode::kPause,
          .min_frames = min_frames,
          .max_frames = max_frames,
          .pause_frames = pause_frames,
          .first_pause = true};
}

// `amplitude` in LSB; noise, so that every 10 ms frame is about as loud as the next.
void add_noise(Samples& samples, std::uint64_t frames, int amplitude, Random& random) {
  std::uniform_int_distribution<int> level(-amplitude, amplitude);
  for (std::uint64_t i = 0; i < frames; ++i)
    samples.push_back(static_cast<std::int16_t>(level(random)));
}

constexpr int kLoud = 8000;
constexpr int kQuiet = 60;

// Loud and quiet runs by turns, beginning with a loud one; lengths in milliseconds.
Samples talk(std::initializer_list<std::uint64_t> lengths, int quiet = kQuiet) {
  Random random(7);
  Samples samples;
  bool loud = true;
  for (const std::uint64_t length : lengths) {
    add_noise(samples, length * kMillisecond, loud ? kLoud : quiet, random);
    loud = !loud;
  }
  return samples;
}

// Syllables, pauses, digital silence and steady noise of random lengths.
Samples random_audio(std::uint64_t frames, Random& random) {
  constexpr int kLevels[] = {0, 0, 20, kQuiet, 300, 2000, kLoud, 30000};
  Samples samples;
  while (samples.size() < frames) {
    const int amplitude = kLevels[random() % std::size(kLevels)];
    const std::uint64_t length = 1 + random() % (kSecond / (random() % 4 ? 4 : 1));
    add_noise(samples, std::min<std::uint64_t>(length, frames - samples.size()), amplitude, random);
  }
  return samples;
}

using Partition = std::function<std::size_t()>;

void push_all(Chunker& chunker, std::span<const std::int16_t> samples, const Partition& next) {
  while (!samples.empty()) {
    const std::size_t size = std::min(next(), samples.size());
    chunker.push(samples.first(size));
    samples = samples.subspan(size);
  }
}

std::vector<Piece> chunked(const Chunker::Config& config, std::span<const std::int16_t> samples) {
  Recorder recorder(config);
  recorder->push(samples);
  recorder->cut(CutReason::kEndOfStream);
  return recorder.pieces();
}

void assert_invariants(const Chunker::Config& config, const Samples& input,
                       const std::vector<Piece>& pieces) {
  std::uint64_t position = 0;
  Samples sent;
  for (const Piece& piece : pieces) {
    ck_assert_uint_eq(piece.core.begin, position);
    ck_assert_uint_gt(piece.core.end, piece.core.begin);
    ck_assert(piece.payload == piece.core);
    position = piece.core.end;

    ck_assert_uint_le(piece.core.frames(), config.max_frames);
    if (piece.reason == CutReason::kFixed)
      ck_assert_uint_eq(piece.core.frames(), config.max_frames);
    if (piece.reason == CutReason::kPause || piece.reason == CutReason::kForced)
      ck_assert_uint_ge(piece.core.frames(), std::min(config.min_frames, config.max_frames));

    ck_assert_uint_eq(piece.pcm.size(), piece.core.frames() + piece.padding);
    ck_assert_uint_ge(piece.pcm.size(), kMinPayloadFrames);
    if (piece.padding > 0) ck_assert_uint_eq(piece.pcm.size(), kMinPayloadFrames);
    const auto tail = piece.pcm.end() - static_cast<std::ptrdiff_t>(piece.padding);
    ck_assert(std::all_of(tail, piece.pcm.end(), [](std::int16_t s) { return s == 0; }));
    sent.insert(sent.end(), piece.pcm.begin(), tail);
  }
  ck_assert(sent == input);
}

// ---- both modes

START_TEST(empty_stream_emits_nothing) {
  for (const auto& config : {fixed(kSecond), pause(kSecond, 2 * kSecond)}) {
    Recorder recorder(config);
    recorder->push({});
    recorder->cut(CutReason::kEndOfStream);
    recorder->cut(CutReason::kRequested);
    ck_assert(recorder.pieces().empty());
    ck_assert_uint_eq(recorder->position(), 0);
  }
}
END_TEST

START_TEST(one_sample_is_padded_to_a_tenth_of_a_second) {
  for (const auto& config : {fixed(kSecond), pause(kSecond, 2 * kSecond)}) {
    const Samples input{-12345};
    const auto pieces = chunked(config, input);
    ck_assert_uint_eq(pieces.size(), 1);
    ck_assert_uint_eq(pieces[0].padding, kMinPayloadFrames - 1);
    assert_invariants(config, input, pieces);
  }
}
END_TEST

START_TEST(tail_just_below_and_at_a_tenth_of_a_second) {
  for (const auto& config : {fixed(kSecond), pause(kSecond, 2 * kSecond)}) {
    const Samples input = talk({100});
    for (const std::uint64_t below : {999 * kSecond / 10000, kMinPayloadFrames - 1}) {
      const auto padded = chunked(config, std::span(input).first(below));
      ck_assert_uint_eq(padded.size(), 1);
      ck_assert_uint_eq(padded[0].core.frames(), below);
      ck_assert_uint_eq(padded[0].padding, kMinPayloadFrames - below);
    }

    const auto whole = chunked(config, input);
    ck_assert_uint_eq(whole.size(), 1);
    ck_assert_uint_eq(whole[0].padding, 0);
    ck_assert(whole[0].pcm == input);
  }
}
END_TEST

START_TEST(any_partition_gives_the_same_pieces) {
  Random random(static_cast<Random::result_type>(_i + 1));
  const Samples input = random_audio(12 * kSecond + random() % kSecond, random);
  const std::uint64_t min = kSecond / 2 + random() % kSecond;
  const std::uint64_t max = min + random() % (2 * kSecond);
  const std::uint64_t shortest = random() % (kSecond / 2);
  const Chunker::Config configs[] = {
      fixed(max),      pause(min, max),          pause(0, max),
      pause(max, min), live(min, max, shortest), live(0, max, 1 + shortest)};
  for (const auto& config : configs) {
    const auto reference = chunked(config, input);
    assert_invariants(config, input, reference);
    const Partition partitions[] = {[] { return 1; }, [] { return 160; }, [] { return 1024; },
                                    [&random] { return random() % 5000; }};
    for (const auto& partition : partitions) {
      Recorder recorder(config);
      push_all(*recorder, input, partition);
      recorder->cut(CutReason::kEndOfStream);
      ck_assert(recorder.pieces() == reference);
    }
  }
}
END_TEST

// Early closes at the same positions, wherever the buffers end.
START_TEST(cuts_at_the_same_positions_give_the_same_pieces) {
  Random random(static_cast<Random::result_type>(_i + 100));
  const Samples input = random_audio(20 * kSecond, random);
  std::vector<std::size_t> stops;
  for (std::size_t at = 0; at < input.size();) {
    stops.push_back(at = std::min<std::size_t>(at + random() % (4 * kSecond), input.size()));
    if (random() % 3 == 0) stops.push_back(at);
  }
  for (const auto& config :
       {fixed(kSecond), pause(kSecond, 2 * kSecond), live(kSecond / 4, kSecond, kSecond / 5)}) {
    std::vector<Piece> reference;
    for (const std::size_t buffer : {input.size(), std::size_t{1}, std::size_t{777}}) {
      Recorder recorder(config);
      std::size_t begin = 0;
      for (const std::size_t stop : stops) {
        push_all(*recorder, std::span(input).subspan(begin, stop - begin),
                 [buffer] { return buffer; });
        recorder->cut(CutReason::kDiscontinuity);
        ck_assert_uint_eq(recorder->buffered(), 0);
        ck_assert_uint_eq(recorder->position(), stop);
        begin = stop;
      }
      assert_invariants(config, input, recorder.pieces());
      if (reference.empty()) reference = recorder.pieces();
      ck_assert(recorder.pieces() == reference);
    }
  }
}
END_TEST

START_TEST(drop_forgets_what_is_buffered) {
  for (const auto& config : {fixed(2 * kSecond), pause(kSecond, 2 * kSecond)}) {
    const Samples input = talk({1000, 500, 300});
    Recorder recorder(config);
    ck_assert(recorder->drop() == (FrameSpan{0, 0}));
    recorder->push(std::span(input).first(5000));
    ck_assert(recorder->drop() == (FrameSpan{0, 5000}));
    ck_assert_uint_eq(recorder->position(), 5000);
    ck_assert_uint_eq(recorder->buffered(), 0);
    recorder->push(std::span(input).subspan(5000));
    ck_assert_uint_eq(recorder->buffered(), input.size() - 5000);
    recorder->cut(CutReason::kRequested);
    ck_assert_uint_eq(recorder.pieces().size(), 1);
    const Piece& piece = recorder.pieces()[0];
    ck_assert(piece.core == (FrameSpan{5000, input.size()}));
    ck_assert(piece.reason == CutReason::kRequested);
    ck_assert(std::equal(piece.pcm.begin(), piece.pcm.end(), input.begin() + 5000, input.end()));
  }
}
END_TEST

// What follows a cut or a drop is cut as if nothing had come before, noise floor included.
START_TEST(nothing_looks_back_over_a_discontinuity) {
  Random random(static_cast<Random::result_type>(_i + 200));
  const Samples before = random_audio((random() % 500) * kSecond / 100, random);
  const Samples after = random_audio(10 * kSecond, random);
  for (const auto& config :
       {fixed(kSecond), pause(kSecond, 2 * kSecond), live(kSecond / 4, kSecond, kSecond / 5)}) {
    const auto alone = chunked(config, after);
    for (const bool flush : {false, true}) {
      Recorder recorder(config);
      recorder->push(before);
      if (flush) {
        recorder->drop();
      } else {
        recorder->cut(CutReason::kDiscontinuity);
      }
      const std::size_t known = recorder.pieces().size();
      recorder->push(after);
      recorder->cut(CutReason::kEndOfStream);
      ck_assert_uint_eq(recorder.pieces().size() - known, alone.size());
      for (std::size_t i = 0; i < alone.size(); ++i) {
        const Piece& piece = recorder.pieces()[known + i];
        ck_assert_uint_eq(piece.core.begin, alone[i].core.begin + before.size());
        ck_assert_uint_eq(piece.core.end, alone[i].core.end + before.size());
        ck_assert(piece.reason == alone[i].reason);
        ck_assert(piece.pcm == alone[i].pcm);
      }
    }
  }
}
END_TEST

// ---- split=fixed

START_TEST(fixed_cuts_exactly_at_the_maximum) {
  const Samples input = talk({3500});
  const auto config = fixed(kSecond);
  Recorder recorder(config);
  recorder->push(std::span(input).first(kSecond - 1));
  ck_assert(recorder.pieces().empty());
  recorder->push(std::span(input).subspan(kSecond - 1, 1));
  ck_assert_uint_eq(recorder.pieces().size(), 1);
  ck_assert_uint_eq(recorder->buffered(), 0);
  recorder->push(std::span(input).subspan(kSecond));
  recorder->cut(CutReason::kEndOfStream);
  ck_assert_uint_eq(recorder.pieces().size(), 4);
  for (std::size_t i = 0; i < 3; ++i) ck_assert(recorder.pieces()[i].reason == CutReason::kFixed);
  ck_assert(recorder.pieces()[3].reason == CutReason::kEndOfStream);
  assert_invariants(config, input, recorder.pieces());
}
END_TEST

START_TEST(fixed_exactly_one_chunk_and_one_sample_more) {
  Samples input = talk({1000});
  const auto one = chunked(fixed(kSecond), input);
  ck_assert_uint_eq(one.size(), 1);
  ck_assert(one[0].reason == CutReason::kFixed);

  input.push_back(99);
  const auto two = chunked(fixed(kSecond), input);
  ck_assert_uint_eq(two.size(), 2);
  ck_assert_uint_eq(two[1].core.frames(), 1);
  ck_assert_int_eq(two[1].pcm[0], 99);
  assert_invariants(fixed(kSecond), input, two);
}
END_TEST

START_TEST(fixed_counts_from_a_cut) {
  const Samples input = talk({3000});
  Recorder recorder(fixed(kSecond));
  recorder->push(std::span(input).first(kSecond / 3));
  recorder->cut(CutReason::kRequested);
  recorder->push(std::span(input).subspan(kSecond / 3));
  recorder->cut(CutReason::kEndOfStream);
  ck_assert_uint_eq(recorder.pieces().size(), 4);
  ck_assert_uint_eq(recorder.pieces()[0].core.end, kSecond / 3);
  ck_assert_uint_eq(recorder.pieces()[1].core.end, kSecond / 3 + kSecond);
}
END_TEST

// ---- split=pause

START_TEST(pause_exactly_one_chunk_and_one_sample_more) {
  Samples input = talk({1400, 200, 400});
  const auto config = pause(kSecond, 2 * kSecond);
  const auto one = chunked(config, input);
  ck_assert_uint_eq(one.size(), 1);
  ck_assert(one[0].reason == CutReason::kEndOfStream);

  input.push_back(99);
  const auto two = chunked(config, input);
  ck_assert_uint_eq(two.size(), 2);
  ck_assert(two[0].reason == CutReason::kPause);
  ck_assert_uint_eq(two[0].core.end, 1500 * kMillisecond);
  assert_invariants(config, input, two);
}
END_TEST

START_TEST(longest_pause_of_the_window_wins) {
  const auto config = pause(kSecond, 3 * kSecond);
  const auto pieces = chunked(config, talk({400, 600, 200, 150, 300, 400, 200, 300, 900}));
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 1850 * kMillisecond);
}
END_TEST

START_TEST(of_equal_pauses_the_later_wins) {
  const auto pieces = chunked(pause(kSecond, 3 * kSecond), talk({1200, 300, 500, 300, 1000}));
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 2150 * kMillisecond);
}
END_TEST

START_TEST(pause_counts_inside_the_window_only) {
  // 400 ms around the minimum leave 160 ms of it, 300 ms around the maximum leave 150.
  const auto pieces = chunked(pause(kSecond, 3 * kSecond), talk({760, 400, 1690, 300, 500}));
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 1080 * kMillisecond);
}
END_TEST

START_TEST(pause_of_exactly_the_shortest_length) {
  for (const std::uint64_t length : {150, 300}) {
    auto config = pause(kSecond, 2 * kSecond);
    if (length == 300) config.pause_frames = length * kMillisecond;
    const auto enough = chunked(config, talk({1200, length, 1000}));
    ck_assert(enough[0].reason == CutReason::kPause);
    ck_assert_uint_eq(enough[0].core.end, (1200 + length / 2) * kMillisecond);
    const auto short_of_it = chunked(config, talk({1200, length - 10, 1000}));
    ck_assert(short_of_it[0].reason == CutReason::kForced);
  }
}
END_TEST

START_TEST(without_a_pause_the_quietest_place_is_cut) {
  Random random(3);
  Samples input;
  add_noise(input, 1400 * kMillisecond, 8000, random);
  add_noise(input, 150 * kMillisecond, 5000, random);  // not 8 dB below the rest
  add_noise(input, 1000 * kMillisecond, 8000, random);
  // A floor far below keeps all of it loud.
  std::fill_n(input.begin(), 300 * kMillisecond, std::int16_t{0});
  const auto config = pause(kSecond, 2 * kSecond);
  const auto pieces = chunked(config, input);
  ck_assert(pieces[0].reason == CutReason::kForced);
  ck_assert_uint_eq(pieces[0].core.end, 1475 * kMillisecond);
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(of_equally_quiet_places_the_later_is_cut) {
  Samples input;
  const auto add = [&input](std::uint64_t milliseconds, int level) {
    for (std::uint64_t i = 0; i < milliseconds * kMillisecond; ++i)
      input.push_back(static_cast<std::int16_t>(i % 2 ? level : -level));
  };
  add(300, 0);
  add(900, 8000);
  add(150, 5000);
  add(200, 8000);
  add(150, 5000);
  add(1000, 8000);
  const auto pieces = chunked(pause(kSecond, 2 * kSecond), input);
  ck_assert(pieces[0].reason == CutReason::kForced);
  ck_assert_uint_eq(pieces[0].core.end, 1625 * kMillisecond);
}
END_TEST

START_TEST(inaudible_dither_is_a_pause) {
  Random random(13);
  Samples input;
  add_noise(input, 800 * kMillisecond, kLoud, random);
  add_noise(input, 100 * kMillisecond, 0, random);
  add_noise(input, 400 * kMillisecond, kLoud, random);
  add_noise(input, 200 * kMillisecond, 10, random);
  add_noise(input, 1000 * kMillisecond, kLoud, random);
  const auto pieces = chunked(pause(kSecond, 2 * kSecond), input);
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 1400 * kMillisecond);
}
END_TEST

// A core that begins between two 10 ms boundaries of the job is still measured on them.
START_TEST(frames_lie_on_the_grid_of_the_job) {
  const Samples input = talk({1500, 150, 1000});
  Recorder recorder(pause(kSecond, 2 * kSecond));
  recorder->push(std::span(input).first(37));
  recorder->cut(CutReason::kDiscontinuity);
  recorder->push(std::span(input).subspan(37));
  ck_assert_uint_eq(recorder.pieces().size(), 2);
  ck_assert(recorder.pieces()[1].reason == CutReason::kPause);
  ck_assert_uint_eq(recorder.pieces()[1].core.end, 1575 * kMillisecond);
}
END_TEST

START_TEST(minimum_equal_to_maximum_cuts_there) {
  const Samples input = talk({2500});
  const auto config = pause(kSecond, kSecond);
  const auto pieces = chunked(config, input);
  ck_assert_uint_eq(pieces.size(), 3);
  ck_assert_uint_eq(pieces[0].core.frames(), kSecond);
  ck_assert_uint_eq(pieces[1].core.frames(), kSecond);
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(first_pause_is_cut_as_soon_as_it_is_long_enough) {
  const Samples input = talk({400, 500, 300, 200, 200, 600, 1000});
  Recorder recorder(live(kSecond, 10 * kSecond, 300 * kMillisecond));
  const std::uint64_t long_enough = (400 + 500 + 300 + 200 + 200 + 300) * kMillisecond;
  recorder->push(std::span(input).first(long_enough - 1));
  ck_assert(recorder.pieces().empty());
  recorder->push(std::span(input).subspan(long_enough - 1, 1));
  ck_assert_uint_eq(recorder.pieces().size(), 1);
  ck_assert(recorder.pieces()[0].reason == CutReason::kPause);
  ck_assert_uint_eq(recorder.pieces()[0].core.end, long_enough - 150 * kMillisecond);
  ck_assert_uint_eq(recorder->buffered(), 150 * kMillisecond);
}
END_TEST

START_TEST(first_pause_falls_back_at_the_maximum) {
  const auto config = live(kSecond, 3 * kSecond, 500 * kMillisecond);
  const auto pieces = chunked(config, talk({1200, 200, 400, 300, 2000}));
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 1950 * kMillisecond);
}
END_TEST

START_TEST(search_reopens_behind_a_cut) {
  const auto config = pause(kSecond, 3 * kSecond);
  // The shorter pause was heard before the cut in the longer one is made.
  const Samples input = talk({1100, 400, 1100, 300, 3000});
  const auto pieces = chunked(config, input);
  ck_assert_uint_ge(pieces.size(), 2);
  ck_assert_uint_eq(pieces[0].core.end, 1300 * kMillisecond);
  ck_assert_uint_eq(pieces[1].core.end, 2750 * kMillisecond);
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(steady_sounds_are_cut_within_bounds) {
  Random random(5);
  for (const int amplitude : {0, 1, kQuiet, kLoud, 32767}) {
    Samples noise;
    add_noise(noise, 9 * kSecond + 17, amplitude, random);
    Samples with_offset = noise;
    for (auto& sample : with_offset)
      sample = static_cast<std::int16_t>(std::clamp(sample + 9000, -32768, 32767));
    Samples clipped = noise;
    for (auto& sample : clipped) sample = sample < 0 ? G_MININT16 : G_MAXINT16;
    for (const Samples& input : {noise, with_offset, clipped}) {
      for (const auto& config : {pause(kSecond, 2 * kSecond), live(kSecond, 2 * kSecond, 4800)})
        assert_invariants(config, input, chunked(config, input));
    }
  }
}
END_TEST

START_TEST(dc_offset_is_not_loudness) {
  const Samples plain = talk({1200, 300, 500, 200, 1000});
  Samples offset = plain;
  for (auto& sample : offset) sample = static_cast<std::int16_t>(sample + 12000);
  const auto config = pause(kSecond, 3 * kSecond);
  ck_assert_uint_eq(chunked(config, offset)[0].core.end, chunked(config, plain)[0].core.end);
}
END_TEST

START_TEST(noise_floor_rises_within_three_seconds) {
  // Quiet room, then a loud one: its background passes for speech only until the floor follows.
  Random random(11);
  Samples input;
  add_noise(input, kSecond, 20, random);
  add_noise(input, 4 * kSecond, 1000, random);
  add_noise(input, kSecond, kLoud, random);
  add_noise(input, 300 * kMillisecond, 1000, random);
  add_noise(input, kSecond, kLoud, random);
  const auto pieces = chunked(pause(5500 * kMillisecond, 7000 * kMillisecond), input);
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_eq(pieces[0].core.end, 6150 * kMillisecond);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("chunker");
  TCase* tests = tcase_create("chunker");
  tcase_add_test(tests, empty_stream_emits_nothing);
  tcase_add_test(tests, one_sample_is_padded_to_a_tenth_of_a_second);
  tcase_add_test(tests, tail_just_below_and_at_a_tenth_of_a_second);
  tcase_add_loop_test(tests, any_partition_gives_the_same_pieces, 0, 8);
  tcase_add_loop_test(tests, cuts_at_the_same_positions_give_the_same_pieces, 0, 8);
  tcase_add_test(tests, drop_forgets_what_is_buffered);
  tcase_add_loop_test(tests, nothing_looks_back_over_a_discontinuity, 0, 8);
  tcase_add_test(tests, fixed_cuts_exactly_at_the_maximum);
  tcase_add_test(tests, fixed_exactly_one_chunk_and_one_sample_more);
  tcase_add_test(tests, fixed_counts_from_a_cut);
  tcase_add_test(tests, pause_exactly_one_chunk_and_one_sample_more);
  tcase_add_test(tests, longest_pause_of_the_window_wins);
  tcase_add_test(tests, of_equal_pauses_the_later_wins);
  tcase_add_test(tests, pause_counts_inside_the_window_only);
  tcase_add_test(tests, pause_of_exactly_the_shortest_length);
  tcase_add_test(tests, without_a_pause_the_quietest_place_is_cut);
  tcase_add_test(tests, of_equally_quiet_places_the_later_is_cut);
  tcase_add_test(tests, inaudible_dither_is_a_pause);
  tcase_add_test(tests, frames_lie_on_the_grid_of_the_job);
  tcase_add_test(tests, minimum_equal_to_maximum_cuts_there);
  tcase_add_test(tests, first_pause_is_cut_as_soon_as_it_is_long_enough);
  tcase_add_test(tests, first_pause_falls_back_at_the_maximum);
  tcase_add_test(tests, search_reopens_behind_a_cut);
  tcase_add_test(tests, steady_sounds_are_cut_within_bounds);
  tcase_add_test(tests, dc_offset_is_not_loudness);
  tcase_add_test(tests, noise_floor_rises_within_three_seconds);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
