#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "chunker_test.h"

namespace {

using namespace transcribe;
using namespace transcribe::testing;

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
  const Samples input = random_audio(12 * kSecond + random() % kSecond, random, _i % 2 == 0);
  const std::uint64_t min = kSecond / 2 + random() % kSecond;
  const std::uint64_t max = min + random() % (2 * kSecond);
  const std::uint64_t shortest = random() % (kSecond / 2);
  const Chunker::Config configs[] = {
      fixed(max),
      pause(min, max),
      pause(0, max),
      pause(max, min),
      live(min, max, shortest),
      live(0, max, 1 + shortest),
      with_overlap(pause(min, max), random() % kSecond),
      skipping(with_overlap(pause(min, max), random() % kSecond), random() % kSecond),
      skipping(with_overlap(live(min, max, shortest), random() % kSecond), random() % kSecond)};
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
       {fixed(kSecond), pause(kSecond, 2 * kSecond), live(kSecond / 4, kSecond, kSecond / 5),
        with_overlap(pause(kSecond / 2, kSecond), kSecond / 2),
        skipping(with_overlap(pause(kSecond, 3 * kSecond), kSecond), kSecond / 2)}) {
    std::vector<Piece> reference;
    for (const std::size_t buffer : {input.size(), std::size_t{1}, std::size_t{777}}) {
      Recorder recorder(config);
      std::size_t begin = 0;
      for (const std::size_t stop : stops) {
        push_all(*recorder, std::span(input).subspan(begin, stop - begin),
                 [buffer] { return buffer; });
        recorder->cut(CutReason::kDiscontinuity);
        ck_assert_uint_eq(recorder->unsettled(), 0);
        ck_assert_uint_eq(recorder->position(), stop);
        begin = stop;
      }
      assert_invariants(config, input, recorder.pieces(), stops);
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
    ck_assert_uint_eq(recorder->unsettled(), 0);
    recorder->push(std::span(input).subspan(5000));
    ck_assert_uint_eq(recorder->unsettled(), input.size() - 5000);
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
       {fixed(kSecond), pause(kSecond, 2 * kSecond), live(kSecond / 4, kSecond, kSecond / 5),
        with_overlap(pause(kSecond / 2, kSecond), kSecond / 2),
        skipping(with_overlap(pause(kSecond, 3 * kSecond), kSecond), kSecond / 2)}) {
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
  ck_assert_uint_eq(recorder->unsettled(), 0);
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
      input.push_back(static_cast<std::int16_t>(i / 8 % 2 ? level : -level));
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
  ck_assert_uint_eq(recorder->unsettled(), 150 * kMillisecond);
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

// ---- forced cuts

// Speech without a pause that is loud throughout; the floor lies in the first 300 ms.
Samples breathless(std::uint64_t frames, Random& random) {
  Samples input;
  add_noise(input, 300 * kMillisecond, kQuiet, random);
  while (input.size() < frames) {
    add_noise(input, (60 + random() % 200) * kMillisecond, kLoud, random);
    add_noise(input, (10 + random() % 100) * kMillisecond, 2000, random);
  }
  input.resize(frames);
  return input;
}

START_TEST(forced_cut_shares_its_overlap) {
  Random random(21);
  const Samples input = breathless(7 * kSecond, random);
  const auto config = with_overlap(pause(kSecond, 2 * kSecond), kSecond / 2);
  const auto pieces = chunked(config, input);
  ck_assert_uint_ge(pieces.size(), 4);
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    ck_assert(pieces[i].reason == CutReason::kForced);
    const std::uint64_t cut = pieces[i].core.end;
    ck_assert_uint_eq(pieces[i].payload.end,
                      std::min<std::uint64_t>(cut + kSecond / 4, input.size()));
    ck_assert_uint_eq(pieces[i + 1].payload.begin, cut - kSecond / 4);
  }
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(pause_cut_shares_nothing) {
  const auto config = with_overlap(pause(kSecond, 3 * kSecond), kSecond / 2);
  const Samples input = talk({1100, 400, 1100, 300, 3000});
  const auto pieces = chunked(config, input);
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert(pieces[0].payload == pieces[0].core);
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(overlap_as_long_as_the_minimum_is_the_most) {
  Random random(22);
  const Samples input = breathless(9 * kSecond, random);
  for (const std::uint64_t overlap : {kSecond, 5 * kSecond}) {
    for (const auto& config : {pause(kSecond, 2 * kSecond), pause(kSecond, kSecond),
                               live(kSecond, 2 * kSecond, 4800), pause(0, kSecond)}) {
      assert_invariants(with_overlap(config, overlap), input,
                        chunked(with_overlap(config, overlap), input));
    }
  }
}
END_TEST

// What is cut while a forced cut waits for its context brings what there is of it.
START_TEST(end_while_the_context_is_awaited) {
  Random random(23);
  Samples input = breathless(2 * kSecond, random);
  // The quietest place is close to the maximum.
  for (std::uint64_t i = 1800 * kMillisecond; i < 1950 * kMillisecond; ++i) input[i] /= 4;
  add_noise(input, kSecond, kLoud, random);
  const auto config = with_overlap(pause(kSecond, 2 * kSecond), kSecond);
  for (const std::uint64_t behind : {std::uint64_t{1}, 100 * kMillisecond, 374 * kMillisecond,
                                     375 * kMillisecond, 376 * kMillisecond, kSecond}) {
    const Samples part(input.begin(),
                       input.begin() + static_cast<std::ptrdiff_t>(2 * kSecond + behind));
    const auto pieces = chunked(config, part);
    ck_assert_uint_eq(pieces.size(), 2);
    ck_assert(pieces[0].reason == CutReason::kForced);
    ck_assert_uint_ge(pieces[0].core.end, 1850 * kMillisecond);
    ck_assert_uint_le(pieces[0].core.end, 1900 * kMillisecond);
    assert_invariants(config, part, pieces);
  }
}
END_TEST

START_TEST(drop_while_the_context_is_awaited) {
  Random random(24);
  Samples input = breathless(2 * kSecond, random);
  for (std::uint64_t i = 1800 * kMillisecond; i < 1950 * kMillisecond; ++i) input[i] /= 4;
  add_noise(input, kSecond, kLoud, random);
  Recorder recorder(with_overlap(pause(kSecond, 2 * kSecond), kSecond));
  recorder->push(std::span(input).first(2 * kSecond + 100 * kMillisecond));
  ck_assert(recorder.pieces().empty());
  // The whole core was not emitted; its samples are told once.
  ck_assert(recorder->drop(7) == (FrameSpan{0, 2 * kSecond + 100 * kMillisecond + 7}));
  ck_assert_uint_eq(recorder->unsettled(), 0);
  recorder->cut(CutReason::kEndOfStream);
  ck_assert(recorder.pieces().empty());
}
END_TEST

START_TEST(drop_behind_a_forced_cut_tells_the_core_only) {
  Random random(25);
  const Samples input = breathless(4 * kSecond, random);
  Recorder recorder(with_overlap(pause(kSecond, 2 * kSecond), kSecond / 2));
  recorder->push(std::span(input).first(2 * kSecond + kSecond / 2));
  ck_assert_uint_eq(recorder.pieces().size(), 1);
  const FrameSpan dropped = recorder->drop();
  ck_assert_uint_eq(dropped.begin, recorder.pieces()[0].core.end);
  ck_assert_uint_eq(dropped.end, 2 * kSecond + kSecond / 2);
}
END_TEST

// A breath that has only begun at the maximum, and turns out to be a pause.
START_TEST(quiet_place_at_the_maximum_becomes_a_pause) {
  Samples input = talk({300, 100, 1550, 600, 1000});
  const auto config = with_overlap(pause(kSecond, 2 * kSecond), kSecond / 2);
  const auto pieces = chunked(config, input);
  ck_assert(pieces[0].reason == CutReason::kPause);
  ck_assert_uint_gt(pieces[0].core.end, 1950 * kMillisecond);
  ck_assert_uint_le(pieces[0].core.end, 2000 * kMillisecond);
  assert_invariants(config, input, pieces);
}
END_TEST

START_TEST(live_samples_are_emitted_in_time) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    Random random(seed + 40);
    const Samples input =
        seed % 2 == 0 ? breathless(20 * kSecond, random) : random_audio(20 * kSecond, random, true);
    auto config = with_overlap(live(kSecond, 3 * kSecond, 300 * kMillisecond), kSecond);
    if (seed >= 4) config = skipping(config);
    Recorder recorder(config);
    push_all(*recorder, input, [] { return 16; });
    recorder->cut(CutReason::kEndOfStream);
    for (const Piece& piece : recorder.pieces()) {
      if (piece.skipped) continue;
      ck_assert_uint_le(piece.emitted_at - piece.core.begin, config.max_frames + kSecond / 2);
    }
  }
}
END_TEST

// ---- mask

START_TEST(mask_tells_where_speech_is) {
  const auto pieces = chunked(pause(3 * kSecond, 9 * kSecond), talk({500, 700, 300, 100, 600}));
  ck_assert_uint_eq(pieces.size(), 1);
  // Non-speech first; speech goes on for 200 ms behind the last 50 ms that are loud.
  const SpeechMask expected = {0, 50 + 4 + 20, 70 - 4 - 20, 30 + 10 + 60};
  ck_assert_uint_eq(pieces[0].mask.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    ck_assert_uint_eq(pieces[0].mask[i], expected[i]);
}
END_TEST

// Its frames are those of the job, whatever the payload begins with.
START_TEST(mask_of_a_payload_between_frames) {
  const Samples input = talk({200, 900, 300});
  Recorder recorder(pause(kSecond, 9 * kSecond));
  recorder->push(std::span(input).first(37));
  recorder->cut(CutReason::kDiscontinuity);
  recorder->push(std::span(input).subspan(37, kSecond));
  recorder->cut(CutReason::kDiscontinuity);
  ck_assert_uint_eq(recorder.pieces().size(), 2);
  assert_mask(recorder.pieces()[0]);
  assert_mask(recorder.pieces()[1]);
  // Too little was heard to call it silence.
  ck_assert(recorder.pieces()[0].mask == (SpeechMask{0, 1}));
  ck_assert(recorder.pieces()[1].mask == (SpeechMask{0, 20 + 4 + 20, 101 - 44}));
}
END_TEST

// ---- positions

START_TEST(positions_of_streams_of_days) {
  // Eight years, on the detector's grid.
  constexpr std::uint64_t kFar = (std::uint64_t{1} << 42) / kMaskFrame * kMaskFrame;
  Random random(31);
  const Samples input = random_audio(15 * kSecond, random, true);
  for (auto config : {fixed(kSecond), pause(kSecond, 3 * kSecond),
                      skipping(live(kSecond / 2, 2 * kSecond, 4800), kSecond / 2)}) {
    config.overlap_frames = kSecond / 4;
    Recorder near(config);
    Recorder far(config);
    ck_assert(far->drop(kFar) == (FrameSpan{0, kFar}));
    for (Recorder* recorder : {&near, &far}) {
      (*recorder)->push(input);
      (*recorder)->cut(CutReason::kEndOfStream);
    }
    ck_assert_uint_eq(near.pieces().size(), far.pieces().size());
    for (std::size_t i = 0; i < near.pieces().size(); ++i) {
      Piece piece = far.pieces()[i];
      for (FrameSpan* span : {&piece.core, &piece.payload}) {
        span->begin -= kFar;
        span->end -= kFar;
      }
      ck_assert(piece == near.pieces()[i]);
    }
  }
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
  tcase_add_test(tests, forced_cut_shares_its_overlap);
  tcase_add_test(tests, pause_cut_shares_nothing);
  tcase_add_test(tests, overlap_as_long_as_the_minimum_is_the_most);
  tcase_add_test(tests, end_while_the_context_is_awaited);
  tcase_add_test(tests, drop_while_the_context_is_awaited);
  tcase_add_test(tests, drop_behind_a_forced_cut_tells_the_core_only);
  tcase_add_test(tests, quiet_place_at_the_maximum_becomes_a_pause);
  tcase_add_test(tests, live_samples_are_emitted_in_time);
  tcase_add_test(tests, mask_tells_where_speech_is);
  tcase_add_test(tests, mask_of_a_payload_between_frames);
  tcase_add_test(tests, positions_of_streams_of_days);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
