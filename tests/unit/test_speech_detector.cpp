#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <span>
#include <vector>

#include "audio/speech_detector.h"
#include "chunker_test.h"

namespace {

using namespace transcribe;
using namespace transcribe::testing;

constexpr std::uint64_t kFrame = kSpeechFrame;

void add_tone(Samples& samples, std::uint64_t frames, double hertz, double amplitude) {
  for (std::uint64_t i = 0; i < frames; ++i) {
    const double time = static_cast<double>(samples.size()) / kSampleRate;
    samples.push_back(static_cast<std::int16_t>(
        std::lround(amplitude * std::sin(2 * std::numbers::pi * hertz * time))));
  }
}

std::vector<SpeechFrame> heard(std::span<const std::int16_t> samples, double threshold = 8) {
  SpeechDetector detector(threshold);
  detector.push(samples);
  return {detector.frames().begin(), detector.frames().end()};
}

// Frames of that kind between two times in seconds.
template <typename Mark>
std::uint64_t count(const std::vector<SpeechFrame>& frames, double begin, double end, Mark mark) {
  const auto at = [&](double seconds) {
    return frames.begin() +
           std::min<std::ptrdiff_t>(std::lround(seconds * 100), std::ssize(frames));
  };
  return static_cast<std::uint64_t>(
      std::count_if(at(begin), at(end), [&](const SpeechFrame& frame) { return frame.*mark; }));
}
std::uint64_t voiced(const std::vector<SpeechFrame>& frames, double begin, double end) {
  return count(frames, begin, end, &SpeechFrame::voiced);
}
std::uint64_t loud(const std::vector<SpeechFrame>& frames, double begin, double end) {
  return count(frames, begin, end, &SpeechFrame::loud);
}

bool same(std::span<const SpeechFrame> a, std::span<const SpeechFrame> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const SpeechFrame& left, const SpeechFrame& right) {
                      return left.power == right.power && left.own_level == right.own_level &&
                             left.level == right.level && left.floor == right.floor &&
                             left.loud == right.loud && left.voiced == right.voiced &&
                             left.speech == right.speech;
                    });
}

START_TEST(any_partition_gives_the_same_frames) {
  Random random(static_cast<Random::result_type>(_i + 1));
  const Samples input = random_audio(40 * kSecond, random, true);
  const auto reference = heard(input);
  ck_assert_uint_eq(reference.size(), input.size() / kFrame);
  const Partition partitions[] = {[] { return 1; }, [] { return 160; }, [] { return 1024; },
                                  [&random] { return random() % 5000; }};
  for (const auto& partition : partitions) {
    SpeechDetector detector;
    std::span<const std::int16_t> left = input;
    while (!left.empty()) {
      const auto part = left.first(std::min(partition(), left.size()));
      detector.push(part);
      left = left.subspan(part.size());
    }
    ck_assert(same(detector.frames(), reference));
  }
}
END_TEST

// Figures of one machine that all others must give, too.
START_TEST(every_machine_hears_the_same) {
  std::uint32_t state = 1;
  Samples input;
  for (std::uint64_t i = 0; i < 20 * kSecond; ++i) {
    state = state * 1664525 + 1013904223;
    const int noise = static_cast<std::int32_t>(state) >> 16;
    const int loudness = i / 2400 % 7 < 3 ? 64 : i / 48000 % 2 == 0 ? 4 : 1;
    input.push_back(static_cast<std::int16_t>(noise * loudness / 128));
  }
  std::uint64_t digest = 14695981039346656037ull;
  const auto add = [&](std::int64_t value) {
    digest = (digest ^ static_cast<std::uint64_t>(value)) * 1099511628211ull;
  };
  for (const SpeechFrame& frame : heard(input)) {
    add(frame.power);
    add(frame.own_level);
    add(frame.level);
    add(frame.floor);
    add(frame.loud + 2 * frame.voiced + 4 * frame.speech);
  }
  ck_assert_uint_eq(digest, 17015184611177213822ull);
}
END_TEST

START_TEST(positions_of_streams_of_days) {
  constexpr std::uint64_t kFar = (std::uint64_t{1} << 45) / kFrame * kFrame;
  Random random(2);
  const Samples input = random_audio(10 * kSecond, random);
  SpeechDetector detector;
  detector.restart(kFar);
  detector.push(input);
  ck_assert_uint_eq(detector.first_frame(), kFar / kFrame);
  ck_assert(same(detector.frames(), heard(input)));
}
END_TEST

START_TEST(frames_begin_on_the_grid) {
  const Samples input = talk({1000});
  SpeechDetector detector;
  detector.restart(37);
  detector.push(input);
  ck_assert_uint_eq(detector.first_frame(), 1);
  ck_assert_uint_eq(detector.frames().size(), (input.size() - (kFrame - 37)) / kFrame);
  detector.forget_before(11);
  ck_assert_uint_eq(detector.first_frame(), 11);
  detector.forget_before(3);
  ck_assert_uint_eq(detector.first_frame(), 11);
}
END_TEST

START_TEST(level_of_tones) {
  // A full-scale sine is 3 dB below a square wave.
  const struct {
    double hertz, amplitude, level, within;
  } tones[] = {{1000, 32767, -3, 0.2}, {1000, 3276.7, -23, 0.2}, {1000, 32.767, -63, 0.5},
               {200, 32767, -6, 0.5},  {3400, 32767, -6, 0.5},   {50, 32767, -27, 1},
               {100, 32767, -15.3, 1}, {7000, 32767, -35.2, 1}};
  for (const auto& tone : tones) {
    Samples input;
    add_tone(input, kSecond, tone.hertz, tone.amplitude);
    const double level = heard(input).back().level / 100.0;
    ck_assert_msg(std::abs(level - tone.level) <= tone.within, "%g Hz, %g: %g dB", tone.hertz,
                  tone.amplitude, level);
  }
}
END_TEST

START_TEST(digital_silence_and_dither_are_no_speech) {
  Random random(3);
  for (const int amplitude : {0, 1, 10}) {
    Samples input;
    add_noise(input, 20 * kSecond, amplitude, random);
    SpeechDetector detector;
    detector.push(input);
    ck_assert(!detector.knows_nothing());
    ck_assert(detector.settled());
    const std::vector<SpeechFrame> frames(detector.frames().begin(), detector.frames().end());
    ck_assert_uint_eq(voiced(frames, 0, 20), 0);
    ck_assert_uint_eq(loud(frames, 0, 20), 0);
  }
}
END_TEST

START_TEST(an_offset_is_no_sound) {
  for (const int offset : {-32768, -100, 12000, 32767}) {
    const Samples input(5 * kSecond, static_cast<std::int16_t>(offset));
    const auto frames = heard(input);
    ck_assert_uint_eq(voiced(frames, 0, 5), 0);
    ck_assert_int_lt(frames[0].own_level, -9000);
  }
  Samples input = talk({500, 800, 400, 2000});
  const auto plain = heard(input);
  for (auto& sample : input) sample = static_cast<std::int16_t>(sample + 9000);
  const auto shifted = heard(input);
  ck_assert_uint_eq(voiced(shifted, 0, 4), voiced(plain, 0, 4));
}
END_TEST

START_TEST(too_little_was_heard) {
  const Samples input = talk({600});
  SpeechDetector detector;
  ck_assert(detector.knows_nothing());
  detector.push(std::span(input).first(49 * kFrame));
  ck_assert(detector.knows_nothing());
  detector.push(std::span(input).subspan(49 * kFrame, kFrame));
  ck_assert(!detector.knows_nothing());
  ck_assert(!detector.settled());
  detector.restart(detector.first_frame());
  ck_assert(detector.knows_nothing());
}
END_TEST

START_TEST(steady_sounds_are_background) {
  Random random(4);
  for (const int amplitude : {100, 1000, kLoud, 32767}) {
    Samples noise;
    add_noise(noise, 20 * kSecond, amplitude, random);
    Samples clipped = noise;
    for (auto& sample : clipped) sample = sample < 0 ? G_MININT16 : G_MAXINT16;
    Samples tone, hum;
    add_tone(tone, 20 * kSecond, 1000, amplitude);
    add_tone(hum, 20 * kSecond, 100, amplitude);
    for (const Samples& input : {noise, clipped, tone, hum})
      ck_assert_uint_eq(voiced(heard(input), 0, 20), 0);
  }
}
END_TEST

START_TEST(step_up_is_speech_until_the_background_follows) {
  Random random(5);
  Samples input;
  add_noise(input, 10 * kSecond, kQuiet, random);
  add_noise(input, 10 * kSecond, kLoud, random);
  const auto frames = heard(input);
  ck_assert_uint_eq(voiced(frames, 0, 10), 0);
  ck_assert_uint_ge(voiced(frames, 10, 13), 299);
  ck_assert_uint_eq(voiced(frames, 13.1, 20), 0);
  // And the loud and the quiet make a new step down.
  Samples down(input.rbegin(), input.rend());
  ck_assert_uint_eq(voiced(heard(down), 0, 20), 0);
}
END_TEST

START_TEST(silence_before_sound_needs_no_learning) {
  Random random(6);
  Samples input(5 * kSecond, 0);
  add_noise(input, kSecond, 300, random);
  ck_assert_uint_ge(voiced(heard(input), 5, 6), 98);
}
END_TEST

START_TEST(speech_goes_on_for_the_hang_over) {
  const auto frames = heard(talk({500, 1000}));
  const auto last_voiced = std::find_if(frames.rbegin(), frames.rend(),
                                        [](const SpeechFrame& frame) { return frame.voiced; });
  const auto last_speech = std::find_if(frames.rbegin(), frames.rend(),
                                        [](const SpeechFrame& frame) { return frame.speech; });
  ck_assert_int_eq(last_voiced - last_speech, SpeechDetector::kHangOver);
  ck_assert_uint_eq(count(frames, 0, 0.5, &SpeechFrame::speech), 50);
}
END_TEST

// A stream that opens in the middle of a word.
START_TEST(what_comes_first_is_heard_with_the_first_pause) {
  const Samples input = talk({900, 300});
  SpeechDetector detector;
  detector.push(std::span(input).first(800 * kMillisecond));
  const unsigned revision = detector.revision();
  ck_assert(!detector.frames()[10].voiced);
  detector.push(std::span(input).subspan(800 * kMillisecond));
  ck_assert_uint_ne(detector.revision(), revision);
  for (std::size_t i = 0; i < 90; ++i) {
    ck_assert(detector.frames()[i].voiced);
    ck_assert(detector.frames()[i].loud);
    ck_assert(detector.frames()[i].speech);
  }
}
END_TEST

START_TEST(pauses_in_hum_are_heard) {
  Samples input = talk({500, 400, 500, 400, 500, 400});
  Samples hum;
  add_tone(hum, input.size(), 50, 3000);
  for (std::size_t i = 0; i < input.size(); ++i)
    input[i] = static_cast<std::int16_t>(input[i] + hum[i]);
  const auto frames = heard(input);
  ck_assert_uint_eq(loud(frames, 0.55, 0.85), 0);
  ck_assert_uint_eq(loud(frames, 0.92, 1.38), 46);
}
END_TEST

// `decibels` above a steady noise, for `milliseconds` every `every`.
Samples beats(double decibels, std::uint64_t milliseconds, std::uint64_t every) {
  Random random(8);
  Samples input;
  const int noise = 500;
  add_noise(input, 12 * kSecond, noise, random);
  const int raised = static_cast<int>(std::lround(noise * std::pow(10, decibels / 20)));
  while (input.size() < 30 * kSecond) {
    add_noise(input, milliseconds * kMillisecond, raised, random);
    add_noise(input, (every - milliseconds) * kMillisecond, noise, random);
  }
  return input;
}

// Words that are as loud as a steady noise: 3 dB more together.
START_TEST(words_as_loud_as_a_steady_noise) {
  const auto frames = heard(beats(4.5, 300, 3000));
  ck_assert_uint_eq(voiced(frames, 1, 12), 0);
  for (int word = 0; word < 5; ++word)
    ck_assert_uint_ge(voiced(frames, 12 + 3 * word, 12.3 + 3 * word), 25);
}
END_TEST

// Where the level varies anyway, short beats are no words, long ones are.
START_TEST(lone_beats_of_music_are_no_speech) {
  Random random(9);
  const auto music = [&](std::uint64_t beat) {
    Samples input;
    constexpr int kLevels[] = {500, 700, 900, 1130, 650, 800};
    while (input.size() < 30 * kSecond) {
      for (const int level : kLevels) add_noise(input, 250 * kMillisecond, level, random);
      add_noise(input, beat * kMillisecond, 1600, random);
    }
    return input;
  };
  ck_assert_uint_eq(voiced(heard(music(60)), 3, 30), 0);
  ck_assert_uint_gt(voiced(heard(music(400)), 3, 30), 400);
}
END_TEST

// Speech 10 dB above the noise, half of the time.
START_TEST(too_close_to_tell_is_speech) {
  Random random(10);
  Samples input;
  constexpr int kLevels[] = {500, 900, 1500, 500, 700, 1300, 500, 1100};
  while (input.size() < 20 * kSecond) {
    for (const int level : kLevels)
      add_noise(input, (60 + random() % 100) * kMillisecond, level, random);
  }
  const auto frames = heard(input);
  ck_assert_uint_eq(voiced(frames, 5, 20), 1500);
  // When it has been quiet for long enough, silence is silence again.
  add_noise(input, 30 * kSecond, 500, random);
  ck_assert_uint_eq(voiced(heard(input), 31, 50), 0);
}
END_TEST

START_TEST(a_higher_threshold_hears_less) {
  const Samples input = beats(20, 400, 1000);
  std::uint64_t before = UINT64_MAX;
  for (const double threshold : {0.0, 3.0, 8.0, 14.0, 20.0, 60.0}) {
    const auto frames = heard(input, threshold);
    const std::uint64_t now = voiced(frames, 0, 30);
    ck_assert_uint_le(now, before);
    before = now;
  }
  ck_assert_uint_eq(before, 0);
}
END_TEST

START_TEST(end_of_speech_looks_back_from_what_stayed) {
  Random random(11);
  Samples input;
  add_noise(input, 4 * kSecond, kQuiet, random);
  add_noise(input, 500 * kMillisecond, kLoud, random);
  add_noise(input, 200 * kMillisecond, kQuiet, random);
  add_noise(input, 5 * kSecond, 2500, random);
  SpeechDetector detector;
  detector.push(input);
  const auto end = static_cast<double>(detector.end_of_speech(0)) / 100;
  // Voiced for 3 s more, as long as nobody knew that it would stay.
  ck_assert_uint_ge(voiced({detector.frames().begin(), detector.frames().end()}, 4.7, 7.7), 290);
  ck_assert_double_ge(end, 4.5);
  ck_assert_double_le(end, 4.6);
  ck_assert_uint_eq(detector.end_of_speech(500), 500);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("speech_detector");
  TCase* tests = tcase_create("speech_detector");
  tcase_add_loop_test(tests, any_partition_gives_the_same_frames, 0, 4);
  tcase_add_test(tests, every_machine_hears_the_same);
  tcase_add_test(tests, positions_of_streams_of_days);
  tcase_add_test(tests, frames_begin_on_the_grid);
  tcase_add_test(tests, level_of_tones);
  tcase_add_test(tests, digital_silence_and_dither_are_no_speech);
  tcase_add_test(tests, an_offset_is_no_sound);
  tcase_add_test(tests, too_little_was_heard);
  tcase_add_test(tests, steady_sounds_are_background);
  tcase_add_test(tests, step_up_is_speech_until_the_background_follows);
  tcase_add_test(tests, silence_before_sound_needs_no_learning);
  tcase_add_test(tests, speech_goes_on_for_the_hang_over);
  tcase_add_test(tests, what_comes_first_is_heard_with_the_first_pause);
  tcase_add_test(tests, pauses_in_hum_are_heard);
  tcase_add_test(tests, words_as_loud_as_a_steady_noise);
  tcase_add_test(tests, lone_beats_of_music_are_no_speech);
  tcase_add_test(tests, too_close_to_tell_is_speech);
  tcase_add_test(tests, a_higher_threshold_hears_less);
  tcase_add_test(tests, end_of_speech_looks_back_from_what_stayed);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
