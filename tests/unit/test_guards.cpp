// Results that are probably none of what was said.
#include <optional>
#include <string>
#include <vector>

#include "overlaps.h"
#include "transcript/cues.h"
#include "transcript/formats.h"
#include "transcript/guards.h"

#include "check_main.h"

using namespace transcribe;

namespace {

std::string reasons(const std::string& text, const SpeechMask& mask = {},
                    std::vector<Segment> segments = {}) {
  Transcription transcription;
  transcription.text = text;
  transcription.segments = std::move(segments);
  auto chunk = make_chunk(0);
  chunk->mask = mask;
  std::string names;
  for (const Suspicion why : find_suspicions(transcription, *chunk))
    names += (names.empty() ? "" : " ") + std::string(to_string(why));
  return names;
}

Segment judged(std::optional<double> no_speech, std::optional<double> logprob,
               std::optional<double> compression) {
  Segment segment;
  segment.text = "x";
  segment.no_speech_prob = no_speech;
  segment.avg_logprob = logprob;
  segment.compression_ratio = compression;
  return segment;
}

std::string repeated(const std::string& what, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += what;
  return text;
}

// Of different words.
std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "w" + std::to_string(i) + " ";
  return text;
}

}  // namespace

START_TEST(no_speech_and_unlikely) {
  assert_text(reasons("Thanks.", {}, {judged(0.61, -1.01, {})}), "no-speech");
  assert_text(reasons("Thanks.", {}, {judged(0.6, -1.01, {})}), "");
  assert_text(reasons("Thanks.", {}, {judged(0.61, -1.0, {})}), "");
  assert_text(reasons("Thanks.", {}, {judged(0.99, {}, {})}), "");
  assert_text(reasons("Thanks.", {}, {judged({}, -3.0, {})}), "");
  assert_text(reasons("Thanks.", {}, {judged(0.1, -0.1, {}), judged(0.7, -1.5, {})}), "no-speech");
}
END_TEST

START_TEST(compression_ratio) {
  assert_text(reasons("a", {}, {judged({}, {}, 2.41)}), "compression");
  assert_text(reasons("a", {}, {judged({}, {}, 2.4)}), "");
  // Who measures is believed.
  assert_text(reasons(repeated("again and ", 20), {}, {judged({}, {}, 2.0)}), "");
}
END_TEST

START_TEST(one_phrase_over_and_over) {
  assert_text(reasons(repeated("ha ", 20)), "repetition");
  assert_text(reasons(repeated("Ha, ", 19)), "");
  assert_text(reasons(words(10) + repeated("thank you ", 5)), "");
  assert_text(reasons(words(9) + repeated("Thank you. ", 5) + "thank you"), "repetition");
  const std::string eight = "one two three four five six seven eight ";
  assert_text(reasons(eight + eight + words(15)), "repetition");
  assert_text(reasons(eight + eight + words(16)), "");
  assert_text(reasons("ご視聴ありがとうございました。チャンネル登録お願いします。"), "");
  assert_text(reasons(repeated("字幕", 10)), "repetition");
  // A word counts once for each place: "ha ha ha" are no two "ha ha".
  assert_text(reasons(repeated("la li lu le ", 4) + words(18)), "");
}
END_TEST

START_TEST(more_than_can_be_said) {
  assert_text(reasons(words(16), {100, 200, 700}), "");
  assert_text(reasons(words(17), {100, 200, 700}), "too-fast");
  // Two of these take as long as a word.
  const std::string characters = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳";
  assert_text(reasons(characters, {100, 200, 700}), "");
  assert_text(reasons(characters + "云", {100, 200, 700}), "too-fast");
}
END_TEST

START_TEST(words_without_speech) {
  assert_text(reasons("Thank you.", {1000}), "silence");
  assert_text(reasons("Thank you.", {500, 19, 481}), "silence");
  assert_text(reasons("Well", {500, 20, 480}), "");
  assert_text(reasons("", {1000}), "");
  assert_text(reasons("... !", {1000}), "");
}
END_TEST

START_TEST(speech_that_is_not_known) {
  assert_text(reasons(words(1000)), "");
  assert_text(reasons("Thank you."), "");
}
END_TEST

START_TEST(all_of_them) {
  assert_text(reasons(repeated("you ", 30), {500, 100, 400}, {judged(0.9, -2.0, 12.0)}),
              "no-speech compression too-fast");
}
END_TEST

START_TEST(a_hostile_text_takes_no_time) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "w" + std::to_string(i % 1000) + " ";
  assert_text(reasons(text), "");
  assert_text(reasons(std::string(200000, 'a')), "");
}
END_TEST

// A dropped one is a hole, between the words that its neighbours heard.
START_TEST(dropped) {
  const auto chunks = cut_at({0, 10000, 20000, 30000}, 1000);
  ChunkDone bad = heard(chunks[1], "heard Thank you for watching");
  bad.suspect = {Suspicion::kNoSpeech, Suspicion::kSilence};
  bad.dropped = true;
  const Joined joined =
      join({heard(chunks[0], "first words heard"), bad, heard(chunks[2], "watching last words")});
  assert_text(joined.text, "first words heard watching last words");
  const Released& hole = joined.released[1];
  assert_text(format_txt(hole),
              "heard\n[not transcribed: suspect: no-speech, silence, 0:00:10 – 0:00:20]\n");
  const std::string json = format_json(hole);
  ck_assert(json.find(R"("status":"done","suspect":["no-speech","silence"],"dropped":true,)"
                      R"("text":" heard")") != std::string::npos);
  const auto cues = make_cues(hole);
  ck_assert_uint_eq(cues.size(), 2);
  ck_assert(!cues[0].hole && cues[1].hole);
  ck_assert(cues[0].end <= cues[1].begin);

  bad.dropped = false;
  const Joined kept = join({bad});
  assert_text(kept.text, "heard Thank you for watching");
  ck_assert(format_json(kept.released[0]).find(R"("suspect":["no-speech","silence"],"text":)") !=
            std::string::npos);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("guards");
  TCase* tcase = tcase_create("guards");
  tcase_add_test(tcase, no_speech_and_unlikely);
  tcase_add_test(tcase, compression_ratio);
  tcase_add_test(tcase, one_phrase_over_and_over);
  tcase_add_test(tcase, more_than_can_be_said);
  tcase_add_test(tcase, words_without_speech);
  tcase_add_test(tcase, speech_that_is_not_known);
  tcase_add_test(tcase, all_of_them);
  tcase_add_test(tcase, a_hostile_text_takes_no_time);
  tcase_add_test(tcase, dropped);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
