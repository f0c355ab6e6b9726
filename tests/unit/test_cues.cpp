#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "cue_lines.h"
#include "overlaps.h"
#include "transcript/cue_atoms.h"
#include "transcript/cues.h"
#include "transcript/formats.h"

using namespace transcribe;
using transcribe::testing::check_lines;
using transcribe::testing::done_with;
using transcribe::testing::s;
using transcribe::testing::segment;

namespace {

Released release(const Outcome& outcome) {
  Joiner joiner(chunk_of(outcome).index);
  return joiner.add(outcome).at(0);
}

// Of chunk 1: 10 s to 20 s.
std::vector<Cue> cues_of(const std::string& text, std::vector<Segment> segments = {},
                         std::shared_ptr<ChunkInfo> chunk = nullptr) {
  return make_cues(release(done_with(chunk ? chunk : make_chunk(1), text, std::move(segments))));
}

}  // namespace

START_TEST(segments_in_media_time) {
  auto spoken = segment(s(3), s(5), "two");
  spoken.speaker = "B";
  const auto cues = cues_of("one two", {segment(s(0), s(3), " one"), spoken});
  ck_assert_uint_eq(cues.size(), 2);
  ck_assert(cues[0].begin == s(10) && cues[0].end == s(13));
  ck_assert(cues[1].begin == s(13) && cues[1].end == s(15));
  ck_assert_str_eq(cues[1].text.c_str(), "two");
  ck_assert_str_eq(cues[1].speaker.c_str(), "B");
  ck_assert(!cues[1].hole);
}
END_TEST

// A stream whose first timestamp is 100 s, of media that begins with it.
START_TEST(positions_in_the_media) {
  auto chunk = make_chunk(1);
  chunk->time = {s(110), s(10), s(3)};
  const auto cues =
      cues_of("one. two", {segment(s(0), s(3), " one."), segment(s(3), s(5), "two")}, chunk);
  ck_assert_uint_eq(cues.size(), 1);
  ck_assert(cues[0].begin == s(10) && cues[0].end == s(15));

  ChunkFailed failed = make_failed(1);
  failed.chunk = chunk;
  const auto hole = make_cues(release(failed));
  ck_assert_uint_eq(hole.size(), 1);
  ck_assert(hole[0].begin == s(10) && hole[0].end == s(17));
  assert_text(hole[0].text, "[not transcribed: HTTP 500,\n0:00:10 – 0:00:20]");
}
END_TEST

// 10 s that are 20 s of the media, or 5 s.
START_TEST(sped_up_before_it_came) {
  auto chunk = make_chunk(1);
  chunk->time = {s(110), s(40), std::nullopt, 2};
  const std::vector<Segment> segments{segment(s(0), s(3), "one."), segment(s(4), s(9), "two")};
  auto cues = cues_of("one. two", segments, chunk);
  ck_assert_uint_eq(cues.size(), 2);
  ck_assert(cues[0].begin == s(40) && cues[0].end == s(46));
  // Shown for no longer than others.
  ck_assert(cues[1].begin == s(48) && cues[1].end == s(48) + kLongestCue);
  assert_text(make_hole(*chunk, "x").text, "[not transcribed: x, 0:00:40 – 0:01:00]");

  chunk->time.stream_rate = 0.5;
  cues = cues_of("one. two", segments, chunk);
  ck_assert_uint_eq(cues.size(), 1);
  ck_assert(cues[0].begin == s(40) && cues[0].end == s(44) + ms(500));
  assert_text(make_hole(*chunk, "x").text, "[not transcribed: x, 0:00:40 – 0:00:45]");
}
END_TEST

START_TEST(without_stream_time_timestamps) {
  auto chunk = make_chunk(1);
  chunk->time = {s(110), std::nullopt, std::nullopt, 2};
  for (int i = 0; i < 2; ++i) {
    const auto cues = cues_of("one", {segment(s(1), s(3), "one")}, chunk);
    ck_assert_uint_eq(cues.size(), 1);
    ck_assert(cues[0].begin == s(111) && cues[0].end == s(113));
    ck_assert(make_hole(*chunk, "x").begin == s(110));
    // Nor where the media was played backwards.
    chunk->time = {s(110), s(40), std::nullopt, -1};
  }
}
END_TEST

// The last words of a chunk come with the hole behind it, which has no stream time.
START_TEST(text_and_hole_of_two_times) {
  for (const bool hole_unknown : {true, false}) {
    const auto chunks = cut_at({0, 10000, 20000}, 2000);
    chunks[0]->time.timestamp = s(100);
    chunks[1]->time.timestamp = s(110);
    (hole_unknown ? chunks[0] : chunks[1])->time.stream_time = hole_unknown ? s(0) : s(10);
    ChunkFailed failed = make_failed(1);
    failed.chunk = chunks[1];
    const Joined joined =
        join({heard(chunks[0], "one two",
                    {{ms(101000), ms(102000), "one", {}}, {ms(109500), ms(110500), "two", {}}}),
              failed});
    ck_assert_uint_eq(joined.released.size(), 2);
    const auto cues = make_cues(joined.released[1]);
    ck_assert_uint_eq(cues.size(), 2);
    for (const Cue& cue : cues) ck_assert(cue.begin < cue.end);
    ck_assert(cues[0].begin == (hole_unknown ? ms(9500) : ms(109500)));
    ck_assert(cues[1].hole);
    ck_assert(cues[1].begin == (hole_unknown ? s(110) : s(10)));
  }
}
END_TEST

START_TEST(segments_that_tell_nothing) {
  for (const auto& segments :
       {std::vector<Segment>{},
        std::vector<Segment>{segment(s(0), s(0), "the"), segment(s(0), s(0), "whole text")},
        std::vector<Segment>{segment(s(0), s(1), " ")},
        std::vector<Segment>{segment(s(0), s(1), "another story altogether")}}) {
    auto chunk = make_chunk(1);
    chunk->mask = {200, 300, 500};
    const auto cues = cues_of("the whole text", segments, chunk);
    ck_assert_uint_eq(cues.size(), 1);
    ck_assert(cues[0].begin == s(12) && cues[0].end == s(15));
    ck_assert_str_eq(cues[0].text.c_str(), "the whole text");
  }
}
END_TEST

START_TEST(clamped_to_the_core) {
  auto chunk = make_chunk(1);
  chunk->payload.begin -= 2 * kSampleRate;
  const auto cues = cues_of("Before. Across. Out. After.",
                            {segment(s(0), s(1), "Before."), segment(s(1), s(3), "Across."),
                             segment(s(11), s(99), "Out."), segment(s(40), s(50), "After.")},
                            chunk);
  for (const Cue& cue : cues) ck_assert(s(10) <= cue.begin && cue.end <= s(20));
  ck_assert(cues.front().begin == s(10));
  ck_assert(cues.back().end == s(20));
}
END_TEST

START_TEST(no_length_lasts_to_the_next) {
  const auto cues = cues_of("One. Two, and. Three.",
                            {segment(s(0), s(0), "One."), segment(s(4), s(2), "Two, and."),
                             segment(s(8), s(9), "Three.")});
  ck_assert_uint_eq(cues.size(), 2);
  ck_assert_str_eq(cues[0].text.c_str(), "One.");
  ck_assert(cues[0].begin == s(10) && cues[0].end == s(14));
  ck_assert(cues[1].begin == s(14) && cues[1].end == s(19));
}
END_TEST

// Whatever times the service gives: ordered, inside the core, begin <= end.
START_TEST(hostile_times) {
  std::mt19937_64 random(static_cast<unsigned>(_i));
  const auto any_time = [&] {
    switch (random() % 4) {
      case 0:
        return Nanoseconds::max();
      case 1:
        return Nanoseconds::min();
      case 2:
        return Nanoseconds(static_cast<std::int64_t>(random()));
      default:
        return Nanoseconds(static_cast<std::int64_t>(random() % 20000000000));
    }
  };
  std::vector<Segment> segments;
  std::string text;
  for (auto count = random() % 20; count > 0; --count) {
    segments.push_back(segment(any_time(), any_time(), "x y."));
    text += " x y.";
  }
  Nanoseconds last = s(10);
  for (const Cue& cue : cues_of(text, segments)) {
    ck_assert(last <= cue.begin);
    ck_assert(cue.begin <= cue.end);
    ck_assert(cue.end <= s(20));
    last = cue.begin;
  }
}
END_TEST

START_TEST(holes_say_what_is_missing) {
  auto cues = make_cues(release(make_failed(1)));
  ck_assert_uint_eq(cues.size(), 1);
  ck_assert(cues[0].hole);
  ck_assert(cues[0].begin == s(10) && cues[0].end == s(17));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: HTTP 500,\n0:00:10 – 0:00:20]");

  ChunkFailed failed = make_failed(720, 0);
  failed.failure.reason = "chunk-timeout";
  cues = make_cues(release(failed));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: chunk-timeout,\n2:00:00 – 2:00:10]");
  failed.failure.reason = "invalid-response";
  failed.failure.http_status = 200;
  cues = make_cues(release(failed));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: invalid-response,\n2:00:00 – 2:00:10]");

  cues = make_cues(release(make_skipped(1, SkipReason::kQueueFull)));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: queue-full,\n0:00:10 – 0:00:20]");
  cues = make_cues(release(make_skipped(1, SkipReason::kFlushed)));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: flushed,\n0:00:10 – 0:00:20]");
}
END_TEST

START_TEST(a_short_hole_has_a_span) {
  auto chunk = make_chunk(0);
  chunk->time.timestamp = Nanoseconds(3500000000);
  chunk->core = chunk->payload = {0, kSampleRate / 10};
  const Cue hole = make_hole(*chunk, "x");
  ck_assert_str_eq(hole.text.c_str(), "[not transcribed: x, 0:00:03 – 0:00:04]");
}
END_TEST

START_TEST(silence_gives_none) {
  ck_assert(make_cues(release(make_skipped(1, SkipReason::kSilence))).empty());
  ck_assert(make_cues(release(make_done(1, " "))).empty());
}
END_TEST

START_TEST(two_lines) {
  const auto cues = cues_of(
      "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith, "
      "his "
      "chin nuzzled into his breast in an effort to escape the vile wind, slipped quickly "
      "through.");
  const char* expected[] = {
      "It was a bright cold day in April,\nand the clocks were striking thirteen.",
      "Winston Smith, his chin nuzzled into his\nbreast in an effort to escape the",
      "vile wind, slipped quickly through."};
  std::string all;
  for (const Cue& cue : cues) all += cue.text + "|";
  ck_assert_msg(cues.size() >= 3, "%s", all.c_str());
  ck_assert_str_eq(cues[0].text.c_str(), expected[0]);
  ck_assert(cues.back().text.ends_with("slipped quickly through."));
}
END_TEST

START_TEST(sentences_first) {
  const auto cues = cues_of(
      "Yes. That is what he said to me on the day before yesterday at noon. No "
      "more than that, and nothing else was ever said about it by anyone.");
  ck_assert(cues[0].text.ends_with("noon."));
  for (const Cue& cue : cues) {
    const char last = cue.text.back();
    ck_assert_msg(last == '.' || last == ',', "%s", cue.text.c_str());
  }
}
END_TEST

// A full stop may stand behind a bracket, quotes may follow it.
START_TEST(closing_signs_stay) {
  const auto cues = cues_of(
      "“He said (and I quote him here) that it was late.” Then he left us all "
      "alone in the dark, and we never saw him again.");
  ck_assert(cues[0].text.ends_with("late.”"));
}
END_TEST

START_TEST(timed_by_words) {
  const auto word = [](std::int64_t start, std::int64_t end, const char* text) {
    return Word{std::chrono::milliseconds(start), std::chrono::milliseconds(end), text, {}};
  };
  const auto cues = make_cues(release(done_with(make_chunk(1), "Stop. Then go on.", {},
                                                {word(500, 900, "Stop"), word(5000, 5300, "Then"),
                                                 word(5300, 5500, "go"), word(5500, 5900, "on")})));
  ck_assert_uint_eq(cues.size(), 2);
  const auto ms = [](std::int64_t time) { return Nanoseconds(std::chrono::milliseconds(time)); };
  ck_assert_str_eq(cues[0].text.c_str(), "Stop.");
  // What was said in less than a second is there for one.
  ck_assert(cues[0].begin == ms(10500) && cues[0].end == ms(11500));
  ck_assert(cues[1].begin == ms(15000) && cues[1].end == ms(16000));
}
END_TEST

START_TEST(seven_seconds) {
  const auto word = [](int start, int end, const char* text) {
    return Word{s(start), s(end), text, {}};
  };
  const auto cues =
      make_cues(release(done_with(make_chunk(0, 30), "a b c d e f", {},
                                  {word(0, 3, "a"), word(3, 5, "b"), word(5, 8, "c"),
                                   word(8, 10, "d"), word(10, 20, "e"), word(20, 21, "f")})));
  for (const Cue& cue : cues) ck_assert(cue.end - cue.begin <= s(7));
  ck_assert_str_eq(cues[0].text.c_str(), "a b");
  ck_assert_str_eq(cues[1].text.c_str(), "c d");
  ck_assert_str_eq(cues[2].text.c_str(), "e");
  ck_assert(cues[2].begin == s(10) && cues[2].end == s(17));
}
END_TEST

START_TEST(wide_characters) {
  const auto cues = cues_of(
      "今天我们要讲的是关于中国历史的一些问题，请大家注意听，因为这些内容很重要。"
      "明天我们会继续讲这个话题，希望大家都能来参加。");
  for (const Cue& cue : cues) {
    std::size_t begin = 0;
    while (begin < cue.text.size()) {
      const std::size_t end = std::min(cue.text.find('\n', begin), cue.text.size());
      const std::string line = cue.text.substr(begin, end - begin);
      ck_assert_int_le(g_utf8_strlen(line.c_str(), -1), 21);
      ck_assert(!line.starts_with("，") && !line.starts_with("。"));
      begin = end + 1;
    }
  }
  ck_assert(cues[0].text.ends_with("。") || cues[0].text.ends_with("，"));
}
END_TEST

// Words longer than a line, marks without end.
START_TEST(no_place_to_break) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "Donaudampfschiff";
  for (int i = 0; i < 300; ++i) text += "\u0301";
  std::string shown;
  for (const Cue& cue : cues_of(text)) {
    for (const char byte : cue.text) {
      if (byte != '\n') shown += byte;
    }
  }
  ck_assert(shown == text);
}
END_TEST

START_TEST(names_of_speakers) {
  const auto turn = [](int start, int end, const char* text, const char* speaker) {
    Segment one = segment(s(start), s(end), text);
    one.speaker = speaker;
    return one;
  };
  const auto cues = cues_of(
      "Are you there? Yes. Good.",
      {turn(0, 3, "Are you there?", "Ann"), turn(2, 4, "Yes.", "Bob"), turn(5, 6, "Good.", "Ann")});
  ck_assert_uint_eq(cues.size(), 3);
  ck_assert_str_eq(cues[0].speaker.c_str(), "Ann");
  ck_assert_str_eq(cues[1].speaker.c_str(), "Bob");
  // They may talk at the same time.
  ck_assert(cues[1].begin == s(12) && cues[0].end == s(13));
  ck_assert_str_eq(cues[2].text.c_str(), "Good.");
}
END_TEST

// As every subtitle: two lines, seven seconds, a length, nothing at the same time.
START_TEST(holes_can_be_read) {
  ChunkFailed failed = make_failed(1, 0);
  for (const char* why : {"x", "chunk-timeout", "a reason of its own that is longer than a line",
                          "ein Grund, der für eine Zeile zu lang ist"}) {
    failed.failure.reason = why;
    const auto cues = make_cues(release(failed));
    ck_assert_uint_eq(cues.size(), 1);
    check_lines(cues[0]);
    ck_assert(cues[0].text.ends_with("\n0:00:10 – 0:00:20]"));
  }
  ChunkDone dropped = make_done(1, "Thank you.");
  dropped.dropped = true;
  for (const Suspicion suspicion : kSuspicions) {
    dropped.suspect.push_back(suspicion);
    const auto cues = make_cues(release(dropped));
    check_lines(cues[0]);
    ck_assert(cues[0].text.starts_with("[not transcribed: suspect: no-speech,"));
  }

  // 0.3 s, of which the chunk before it heard everything; and no time at all.
  for (const std::int64_t length : {300, 0}) {
    const auto chunks = cut_at({0, 10000, 10000 + length, 20000}, 1000);
    chunks[0]->payload.end = chunks[0]->core.end + kSampleRate / 2;
    Joiner joiner;
    auto all = joiner.add(heard(chunks[0], "one two three",
                                {{ms(1000), ms(1400), "one", {}},
                                 {ms(9600), ms(9900), "two", {}},
                                 {ms(10000), ms(10500), "three", {}}}));
    failed.chunk = chunks[1];
    for (Released& more : joiner.add(failed)) all.push_back(std::move(more));
    ck_assert_uint_eq(all.size(), 2);
    const auto cues = make_cues(all[1]);
    ck_assert_uint_eq(cues.size(), length > 0 ? 2 : 1);
    Nanoseconds until{0};
    for (const Cue& cue : cues) {
      ck_assert(until <= cue.begin && cue.begin < cue.end);
      until = cue.end;
    }
    if (length > 0) ck_assert(cues[1].hole && cues[1].end == ms(10300));
  }
}
END_TEST

// A service's last segment often lies at the very end of the audio, or behind it.
START_TEST(a_segment_at_the_end_has_a_length) {
  const std::string first =
      "It was a bright cold day in April, and the clocks were striking thirteen, so he said.";
  for (const int end : {10, 12}) {
    const auto cues = cues_of(
        first + " Thank you for watching.",
        {segment(s(4), ms(9800), first), segment(s(10), s(end), "Thank you for watching.")});
    ck_assert_uint_ge(cues.size(), 2);
    ck_assert_str_eq(cues.back().text.c_str(), "Thank you for watching.");
    Nanoseconds until = s(14);
    for (const Cue& cue : cues) {
      ck_assert(until <= cue.begin && cue.end - cue.begin >= kLeastCue);
      until = cue.end;
    }
    ck_assert(until == s(20));
  }
}
END_TEST

// In SRT the name stands before the text.
START_TEST(long_names_of_speakers) {
  Segment turn =
      segment(s(0), s(9), "It was a bright cold day in April, and the clocks were striking");
  turn.speaker = "Her Royal Highness the Crown Princess";
  std::uint64_t number = 1;
  const std::string block = format_srt(cues_of(turn.text, {turn}), number);
  ck_assert(block.find("\nHer Royal Highness …: It was") != std::string::npos);
  for (std::size_t at = 0; at < block.size();) {
    const std::size_t end = block.find('\n', at);
    ck_assert_uint_le(width_of(block.substr(at, end - at)), kCueColumns);
    at = end + 1;
  }
}
END_TEST

// The words of a seam are shown once.
START_TEST(cues_of_a_seam) {
  const auto chunks = cut_at({0, 10000, 20000}, 1000);
  const auto at = [](std::int64_t start, const char* text) {
    return Word{ms(start), ms(start + 250), text, {}};
  };
  const Joined joined = join({heard(chunks[0], "down to the old sea",
                                    {at(9000, "down"), at(9300, "to"), at(9600, "the"),
                                     at(9900, "old"), at(10200, "sea")}),
                              heard(chunks[1], "the old sea and back.",
                                    {at(9600, "the"), at(9900, "old"), at(10200, "sea"),
                                     at(10500, "and"), at(10800, "back")})});
  std::string shown;
  Nanoseconds last{0};
  for (const Released& released : joined.released) {
    for (const Cue& cue : make_cues(released)) {
      shown += cue.text + " ";
      ck_assert(last <= cue.begin);
      last = cue.end;
    }
  }
  ck_assert_str_eq(shown.c_str(), "down to the old sea and back. ");
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("cues");
  TCase* tcase = tcase_create("cues");
  tcase_add_test(tcase, segments_in_media_time);
  tcase_add_test(tcase, positions_in_the_media);
  tcase_add_test(tcase, sped_up_before_it_came);
  tcase_add_test(tcase, without_stream_time_timestamps);
  tcase_add_test(tcase, text_and_hole_of_two_times);
  tcase_add_test(tcase, segments_that_tell_nothing);
  tcase_add_test(tcase, clamped_to_the_core);
  tcase_add_test(tcase, no_length_lasts_to_the_next);
  tcase_add_loop_test(tcase, hostile_times, 0, 50);
  tcase_add_test(tcase, holes_say_what_is_missing);
  tcase_add_test(tcase, a_short_hole_has_a_span);
  tcase_add_test(tcase, silence_gives_none);
  tcase_add_test(tcase, two_lines);
  tcase_add_test(tcase, sentences_first);
  tcase_add_test(tcase, closing_signs_stay);
  tcase_add_test(tcase, timed_by_words);
  tcase_add_test(tcase, seven_seconds);
  tcase_add_test(tcase, wide_characters);
  tcase_add_test(tcase, no_place_to_break);
  tcase_add_test(tcase, names_of_speakers);
  tcase_add_test(tcase, holes_can_be_read);
  tcase_add_test(tcase, a_segment_at_the_end_has_a_length);
  tcase_add_test(tcase, long_names_of_speakers);
  tcase_add_test(tcase, cues_of_a_seam);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
