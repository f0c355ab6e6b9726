#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "chunker_test.h"

namespace {

using namespace transcribe;
using namespace transcribe::testing;

// As for files, but shorter.
const Chunker::Config kFile = skipping(with_overlap(pause(4 * kSecond, 10 * kSecond), kSecond));

// Quiet and loud runs by turns, beginning with a quiet one; lengths in milliseconds.
Samples quiet_and_loud(const std::vector<std::uint64_t>& lengths, int quiet = kQuiet) {
  Random random(7);
  Samples samples;
  bool loud = false;
  for (const std::uint64_t length : lengths) {
    add_noise(samples, length * kMillisecond, loud ? kLoud : quiet, random);
    loud = !loud;
  }
  return samples;
}

// "sent 0.00-1.50 silence, skipped 1.50-4.20": to 10 ms.
std::string story(const std::vector<Piece>& pieces) {
  std::string text;
  for (const Piece& piece : pieces) {
    char line[80];
    g_snprintf(line, sizeof line, "%s%s %.2f-%.2f", text.empty() ? "" : ", ",
               piece.skipped ? "skipped" : "sent", static_cast<double>(piece.core.begin) / kSecond,
               static_cast<double>(piece.core.end) / kSecond);
    text += line;
    if (!piece.skipped) text += " " + std::string(to_string(piece.reason));
  }
  return text;
}

void ck_story(const Samples& input, const std::string& expected,
              const Chunker::Config& config = kFile) {
  const auto pieces = chunked(config, input);
  assert_invariants(config, input, pieces);
  assert_text(story(pieces), expected);
}

START_TEST(nothing_but_silence_is_one_skipped_span) {
  ck_story(Samples(20 * kSecond, 0), "skipped 0.00-20.00");
  ck_story(quiet_and_loud({20000}), "skipped 0.00-20.00");
  ck_story(quiet_and_loud({20000}, kLoud), "skipped 0.00-20.00");
  ck_story(Samples(20 * kSecond, 12345), "skipped 0.00-20.00");
  ck_story(Samples(300 * kMillisecond, 0), "skipped 0.00-0.30");
  ck_story(quiet_and_loud({3000}), "skipped 0.00-3.00");
  // Too short to tell.
  ck_story(quiet_and_loud({2990}), "sent 0.00-2.99 eos");
  ck_story(quiet_and_loud({490}), "sent 0.00-0.49 eos");
  ck_story(Samples(490 * kMillisecond, 0), "skipped 0.00-0.49");
}
END_TEST

// Where the audio is interrupted again and again, or is a short command, the background is not
// known yet: speech in noise, of which little stands out from the rest, is sent.
START_TEST(short_pieces_are_sent) {
  Random random(3);
  Samples input;
  // Syllables 6 to 10 dB above a loud noise.
  while (input.size() < 60 * kSecond) {
    add_noise(input, (120 + random() % 160) * kMillisecond, kLoud, random);
    add_noise(input, (60 + random() % 120) * kMillisecond, kLoud * 2 / 5, random);
  }
  for (const std::uint64_t length : {300, 600, 800, 1000, 1500, 2000, 2900}) {
    Recorder recorder(_i == 0 ? kFile
                              : skipping(with_overlap(
                                    live(3 * kSecond, 10 * kSecond, 300 * kMillisecond), kSecond)));
    for (std::size_t at = 0; at < input.size(); at += length * kMillisecond) {
      const std::size_t end = std::min<std::size_t>(at + length * kMillisecond, input.size());
      recorder->push(std::span(input).subspan(at, end - at));
      recorder->cut(CutReason::kDiscontinuity);
    }
    for (const Piece& piece : recorder.pieces())
      ck_assert_msg(!piece.skipped, "%d ms", static_cast<int>(length));
  }
}
END_TEST

bool full_run() {
  const char* full = g_getenv("TRANSCRIBE_FULL");
  return full != nullptr && *full != '\0';
}

// An hour with TRANSCRIBE_FULL: nothing is emitted, and nothing but the ring is held.
START_TEST(hours_of_silence) {
  const std::uint64_t minutes = full_run() ? 60 : 5;
  Recorder recorder(kFile);
  const Samples minute = quiet_and_loud({60000});
  for (std::uint64_t i = 0; i < minutes; ++i) recorder->push(minute);
  ck_assert(recorder.pieces().empty());
  ck_assert_uint_eq(recorder->unsettled(), minutes * 60 * kSecond);
  recorder->push(quiet_and_loud({0, 1000}));
  ck_assert_uint_eq(recorder.pieces().size(), 1);
  ck_assert(recorder.pieces()[0].skipped);
  ck_assert_uint_eq(recorder.pieces()[0].core.begin, 0);
  ck_assert_uint_eq(recorder.pieces()[0].core.end, minutes * 60 * kSecond - 300 * kMillisecond);
}
END_TEST

START_TEST(speech_is_padded) {
  ck_story(quiet_and_loud({5000, 1000, 4000, 1000, 5000}),
           "skipped 0.00-4.70, sent 4.70-6.54 silence, skipped 6.54-9.70, sent 9.70-11.54 silence, "
           "skipped 11.54-16.00");
}
END_TEST

START_TEST(skipped_span_is_told_when_speech_begins) {
  const Samples input = quiet_and_loud({5000, 1000, 4000, 1000});
  Recorder recorder(kFile);
  push_all(*recorder, input, [] { return kMaskFrame; });
  ck_assert_uint_eq(recorder.pieces().size(), 3);
  ck_assert_uint_le(recorder.pieces()[0].emitted_at, 5100 * kMillisecond);
  // Silence-duration behind the last voiced frame.
  ck_assert_uint_eq(recorder.pieces()[1].emitted_at, (6000 + 40 + 1010) * kMillisecond);
  ck_assert_uint_le(recorder.pieces()[2].emitted_at, 10100 * kMillisecond);
}
END_TEST

START_TEST(gaps_below_and_above_the_silence) {
  ck_story(quiet_and_loud({0, 1000, 900, 1000, 100}), "sent 0.00-3.00 eos");
  ck_story(quiet_and_loud({0, 1000, 1040, 1000, 100}), "sent 0.00-3.14 eos");
  ck_story(quiet_and_loud({0, 1000, 1100, 1000, 100}),
           "sent 0.00-1.54 silence, skipped 1.54-1.80, sent 1.80-3.20 eos");
}
END_TEST

START_TEST(silence_shorter_than_the_padding) {
  ck_story(quiet_and_loud({0, 1000, 300, 1000, 400}), "sent 0.00-2.70 eos", skipping(kFile, 0));
  ck_story(quiet_and_loud({0, 1000, 600, 1000, 900}),
           "sent 0.00-1.54 silence, sent 1.54-3.14 silence, skipped 3.14-3.50", skipping(kFile, 0));
}
END_TEST

START_TEST(small_island_is_sent) {
  ck_story(quiet_and_loud({5000, 50, 5000}),
           "skipped 0.00-4.70, sent 4.70-5.59 silence, skipped 5.59-10.05");
}
END_TEST

START_TEST(small_island_waits_for_the_next) {
  ck_story(quiet_and_loud({5000, 200, 1500, 600, 5000}),
           "skipped 0.00-4.70, sent 4.70-7.84 silence, skipped 7.84-12.30");
  ck_story(quiet_and_loud({5000, 200, 2500, 600, 5000}),
           "skipped 0.00-4.70, sent 4.70-5.74 silence, skipped 5.74-7.40, sent 7.40-8.84 silence, "
           "skipped 8.84-13.30");
}
END_TEST

START_TEST(speech_from_the_first_to_the_last_sample) {
  ck_story(quiet_and_loud({0, 900, 150, 900}), "sent 0.00-1.95 eos");
}
END_TEST

START_TEST(end_inside_a_pause) {
  ck_story(quiet_and_loud({0, 900, 150, 900, 700}), "sent 0.00-2.65 eos");
  ck_story(quiet_and_loud({0, 900, 150, 900, 1500}), "sent 0.00-2.49 silence, skipped 2.49-3.45");
}
END_TEST

// The pause was cut, and nothing follows it.
START_TEST(no_empty_last_chunk) {
  const auto config = skipping(live(2 * kSecond, 10 * kSecond, 300 * kMillisecond));
  ck_story(quiet_and_loud({0, 1000, 200, 1300, 600}), "sent 0.00-2.65 pause, skipped 2.65-3.10",
           config);
  ck_story(quiet_and_loud({0, 1000, 200, 1300, 5000}), "sent 0.00-2.65 pause, skipped 2.65-7.50",
           config);
}
END_TEST

START_TEST(cut_while_skipping) {
  for (const CutReason reason : {CutReason::kRequested, CutReason::kDiscontinuity}) {
    const Samples input = quiet_and_loud({5000, 1000, 9000, 1000, 4000});
    Recorder recorder(kFile);
    const std::size_t stop = 10 * kSecond + 77;
    recorder->push(std::span(input).first(stop));
    recorder->cut(reason);
    recorder->cut(reason);
    recorder->push(std::span(input).subspan(stop));
    recorder->cut(CutReason::kEndOfStream);
    assert_invariants(kFile, input, recorder.pieces(), {stop, input.size()});
    assert_text(story(recorder.pieces()),
                "skipped 0.00-4.70, sent 4.70-6.54 silence, skipped 6.54-10.00, "
                "skipped 10.00-14.70, sent 14.70-16.54 silence, skipped 16.54-20.00");
  }
}
END_TEST

START_TEST(drop_tells_the_silence_once) {
  const Samples input = quiet_and_loud({5000, 1000, 9000, 1000});
  Recorder recorder(kFile);
  recorder->push(std::span(input).first(10 * kSecond));
  const std::uint64_t told = recorder.pieces().back().core.end;
  ck_assert(recorder->drop(16) == (FrameSpan{told, 10 * kSecond + 16}));
  ck_assert(recorder->drop() == (FrameSpan{10 * kSecond + 16, 10 * kSecond + 16}));
  recorder->push(std::span(input).subspan(10 * kSecond));
  recorder->cut(CutReason::kEndOfStream);
  ck_assert_uint_eq(recorder.pieces()[2].core.begin, 10 * kSecond + 16);
}
END_TEST

// An engine that starts after the last word is sent only until nobody speaks over it.
START_TEST(what_sets_in_and_stays_is_not_sent) {
  Random random(7);
  Samples input = quiet_and_loud({4000, 1500, 300});
  add_noise(input, 8 * kSecond, 2500, random);
  ck_story(input, "skipped 0.00-3.70, sent 3.70-6.04 silence, skipped 6.04-13.80");
}
END_TEST

// A pause longer than a chunk may be, and still to be sent.
START_TEST(longest_silence_above_the_maximum) {
  ck_story(quiet_and_loud({0, 1000, 25000}),
           "sent 0.00-7.00 pause, sent 7.00-14.00 pause, sent 14.00-21.00 pause, "
           "skipped 21.00-26.00",
           skipping(kFile, 24 * kSecond));
}
END_TEST

START_TEST(long_speech_is_cut_and_skipping_goes_on) {
  std::vector<std::uint64_t> lengths{5000};
  // Syllables for 14 s, with one pause.
  for (int i = 0; i < 40; ++i) {
    lengths.push_back(280);
    lengths.push_back(i == 19 ? 400 : 70);
  }
  lengths.push_back(280);
  lengths.push_back(4000);
  ck_story(quiet_and_loud(lengths),
           "skipped 0.00-4.70, sent 4.70-12.13 pause, sent 12.13-20.15 silence, "
           "skipped 20.15-23.61");
}
END_TEST

START_TEST(random_streams_keep_all_promises) {
  const int rounds = full_run() ? 40 : 6;
  for (int round = 0; round < rounds; ++round) {
    Random random(static_cast<Random::result_type>(1000 + round * 16 + _i));
    const Samples input = random_audio(40 * kSecond, random, true);
    auto config = round % 2 == 0 ? pause(random() % (4 * kSecond), 1 + random() % (9 * kSecond))
                                 : live(random() % (3 * kSecond), 1 + random() % (6 * kSecond),
                                        random() % (kSecond / 2));
    config = skipping(with_overlap(config, random() % (2 * kSecond)), random() % (2 * kSecond));
    config.speech_threshold = static_cast<double>(random() % 20);
    std::vector<std::size_t> stops;
    for (std::size_t at = 0; at < input.size();)
      stops.push_back(at = std::min<std::size_t>(at + 1 + random() % (20 * kSecond), input.size()));
    std::vector<Piece> reference;
    for (const std::size_t most : {input.size(), std::size_t{3000}}) {
      Recorder recorder(config);
      std::size_t begin = 0;
      for (const std::size_t stop : stops) {
        push_all(*recorder, std::span(input).subspan(begin, stop - begin),
                 [&] { return 1 + random() % most; });
        recorder->cut(stop == input.size() ? CutReason::kEndOfStream : CutReason::kDiscontinuity);
        begin = stop;
      }
      assert_invariants(config, input, recorder.pieces(), stops);
      if (reference.empty()) reference = recorder.pieces();
      ck_assert(recorder.pieces() == reference);
    }
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("chunker_skip");
  TCase* tests = tcase_create("chunker_skip");
  if (full_run()) tcase_set_timeout(tests, 1200);
  tcase_add_test(tests, nothing_but_silence_is_one_skipped_span);
  tcase_add_loop_test(tests, short_pieces_are_sent, 0, 2);
  tcase_add_test(tests, hours_of_silence);
  tcase_add_test(tests, speech_is_padded);
  tcase_add_test(tests, skipped_span_is_told_when_speech_begins);
  tcase_add_test(tests, gaps_below_and_above_the_silence);
  tcase_add_test(tests, silence_shorter_than_the_padding);
  tcase_add_test(tests, small_island_is_sent);
  tcase_add_test(tests, small_island_waits_for_the_next);
  tcase_add_test(tests, speech_from_the_first_to_the_last_sample);
  tcase_add_test(tests, end_inside_a_pause);
  tcase_add_test(tests, no_empty_last_chunk);
  tcase_add_test(tests, cut_while_skipping);
  tcase_add_test(tests, drop_tells_the_silence_once);
  tcase_add_test(tests, what_sets_in_and_stays_is_not_sent);
  tcase_add_test(tests, longest_silence_above_the_maximum);
  tcase_add_test(tests, long_speech_is_cut_and_skipping_goes_on);
  tcase_add_loop_test(tests, random_streams_keep_all_promises, 0, 4);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
