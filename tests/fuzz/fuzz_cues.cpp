// Subtitles of texts in any script, with any times, of any speakers: the limits hold, nothing is
// lost, time goes on.
#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cue_lines.h"
#include "fuzz.h"
#include "overlaps.h"
#include "transcript/cues.h"

using namespace transcribe;
using transcribe::testing::check_lines;
using transcribe::testing::done_with;
using transcribe::testing::s;
using transcribe::testing::segment;

namespace {

const char* const kVocabulary[] = {"a",
                                   "I",
                                   "the",
                                   "house",
                                   "sea.",
                                   "well,",
                                   "no!",
                                   "(perhaps)",
                                   "“yes”",
                                   "¿qué",
                                   "1,000",
                                   "wait…",
                                   "incomprehensibilities;",
                                   "今天",
                                   "我们要讲，",
                                   "「はい」。",
                                   "カタカナー",
                                   "สวัสดี",
                                   "ครับ",
                                   "שלום",
                                   "сегодня",
                                   "e\u0301te\u0301",
                                   "👩‍👩‍👧",
                                   "🇩🇪",
                                   "\t\n",
                                   "—",
                                   "...",
                                   "-->"};

std::string any_text(std::mt19937& random) {
  std::string text;
  for (auto count = random() % 120; count > 0; --count) {
    text += kVocabulary[random() % std::size(kVocabulary)];
    if (random() % 4 != 0) text += random() % 10 == 0 ? "  \n" : " ";
  }
  if (random() % 10 == 0) text.append(random() % 300, 'x');
  return text;
}

std::string without_space(const std::string& text) {
  std::string rest;
  for (const char* p = text.c_str(); *p != '\0'; p = g_utf8_next_char(p)) {
    const gunichar character = g_utf8_get_char(p);
    if (!g_unichar_isspace(character) && !g_unichar_iscntrl(character))
      rest.append(p, static_cast<std::size_t>(g_utf8_next_char(p) - p));
  }
  return rest;
}

// A text in a few segments of some speakers, with or without times.
ChunkDone any_result(std::mt19937& random, std::shared_ptr<ChunkInfo> chunk, std::string* spoken) {
  if (random() % 2 == 0) {
    for (std::uint32_t left = 2800; left > 0;) {
      const std::uint32_t run = std::min<std::uint32_t>(left, random() % 300);
      chunk->mask.push_back(run);
      left -= run;
    }
  }
  const bool diarized = random() % 3 == 0;
  std::vector<Segment> segments;
  std::vector<Word> words;
  std::string text;
  for (auto count = 1 + random() % 5; count > 0; --count) {
    const std::string part = any_text(random);
    Segment one = segment(std::chrono::milliseconds(random() % 28000),
                          std::chrono::milliseconds(random() % 28000), part);
    if (diarized) one.speaker = std::string(1, static_cast<char>('A' + random() % 3));
    segments.push_back(one);
    text += " " + part;
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const Segment& a, const Segment& b) { return a.start < b.start; });
  if (diarized) {
    text.clear();
    for (const Segment& one : segments) text += " " + one.text;
  }
  if (random() % 3 == 0) {
    Nanoseconds at{0};
    for (const Token& token : tokenize(text)) {
      const Nanoseconds start = at + std::chrono::milliseconds(random() % 400);
      at = start + std::chrono::milliseconds(random() % 600);
      words.push_back({start, at, text.substr(token.begin, token.end - token.begin), {}});
    }
  }
  if (!diarized && random() % 2 == 0) segments.clear();
  *spoken = text;
  return done_with(chunk, text, segments, words);
}

}  // namespace

START_TEST(any_texts) {
  const unsigned count = testing::rounds(8, 800);
  for (unsigned seed = 0; seed < count; ++seed) {
    std::mt19937 random(static_cast<unsigned>(_i) * 1000 + seed);
    Joiner joiner;
    std::map<std::string, Nanoseconds> until;
    // The files show stream time, which may pass at another speed.
    const int speed = random() % 2 == 0 ? 2 : static_cast<int>(1 + random() % 6);  // halves
    const Nanoseconds begin = s(static_cast<int>(random() % 2 * (random() % 100000)));
    for (std::uint64_t index = 0; index < 4; ++index) {
      std::string spoken;
      const auto chunk = make_chunk(index, 28);
      chunk->time.stream_time = begin + s(14 * speed * static_cast<int>(index));
      chunk->time.stream_rate = speed / 2.0;
      const Nanoseconds end = *chunk->time.stream_time + s(14 * speed);
      const Released released = joiner.add(any_result(random, chunk, &spoken)).at(0);
      std::map<std::string, std::string> shown;
      Nanoseconds last = *chunk->time.stream_time;
      for (const Cue& cue : make_cues(released)) {
        check_lines(cue);
        ck_assert(last <= cue.begin && cue.begin < cue.end);
        ck_assert(cue.end <= end);
        ck_assert(cue.end - cue.begin <= kLongestCue);
        ck_assert(until[cue.speaker] <= cue.begin);
        until[cue.speaker] = cue.end;
        last = cue.begin;
        shown[cue.speaker] += without_space(cue.text);
      }
      std::size_t bytes = 0;
      for (const auto& [speaker, text] : shown) bytes += text.size();
      ck_assert_uint_eq(bytes, without_space(spoken).size());
      if (shown.size() == 1) ck_assert(shown.begin()->second == without_space(spoken));
    }
  }
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fuzz_cues");
  TCase* tcase = tcase_create("fuzz_cues");
  tcase_add_loop_test(tcase, any_texts, 0, 10);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
