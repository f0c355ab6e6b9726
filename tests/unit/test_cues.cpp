#include <random>
#include <string>
#include <vector>

#include "outcomes.h"
#include "transcript/cues.h"

#include "check_main.h"

using namespace transcribe;

namespace {

Nanoseconds s(int seconds) { return std::chrono::seconds(seconds); }

Segment segment(Nanoseconds start, Nanoseconds end, const std::string& text) {
  Segment one;
  one.start = start;
  one.end = end;
  one.text = text;
  return one;
}

Released release(const Outcome& outcome) {
  Joiner joiner(chunk_of(outcome).index);
  return joiner.add(outcome).at(0);
}

ChunkDone done_with(ChunkPtr chunk, const std::string& text, std::vector<Segment> segments,
                    std::vector<Word> words = {}) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  transcription->segments = std::move(segments);
  transcription->words = std::move(words);
  ChunkDone done = make_done(std::move(chunk), "");
  done.transcription = transcription;
  return done;
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
  ck_assert(cues[0].begin == s(10) && cues[0].end == s(20));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: HTTP 500, 0:00:10 – 0:00:20]");

  ChunkFailed failed = make_failed(720, 0);
  failed.failure.reason = "chunk-timeout";
  cues = make_cues(release(failed));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: chunk-timeout, 2:00:00 – 2:00:10]");
  failed.failure.reason = "invalid-response";
  failed.failure.http_status = 200;
  cues = make_cues(release(failed));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: invalid-response, 2:00:00 – 2:00:10]");

  cues = make_cues(release(make_skipped(1, SkipReason::kQueueFull)));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: queue-full, 0:00:10 – 0:00:20]");
  cues = make_cues(release(make_skipped(1, SkipReason::kFlushed)));
  ck_assert_str_eq(cues[0].text.c_str(), "[not transcribed: flushed, 0:00:10 – 0:00:20]");
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

static Suite* make_suite() {
  Suite* suite = suite_create("cues");
  TCase* tcase = tcase_create("cues");
  tcase_add_test(tcase, segments_in_media_time);
  tcase_add_test(tcase, segments_that_tell_nothing);
  tcase_add_test(tcase, clamped_to_the_core);
  tcase_add_test(tcase, no_length_lasts_to_the_next);
  tcase_add_loop_test(tcase, hostile_times, 0, 50);
  tcase_add_test(tcase, holes_say_what_is_missing);
  tcase_add_test(tcase, a_short_hole_has_a_span);
  tcase_add_test(tcase, silence_gives_none);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
