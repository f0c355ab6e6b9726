#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "outcomes.h"
#include "transcript/joiner.h"

#include "check_main.h"

using namespace transcribe;

namespace {

std::string joined(const std::vector<std::string>& texts) {
  Joiner joiner;
  std::string transcript;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const Released& released : joiner.add(make_done(i, texts[i]))) {
      if (released.text) transcript += released.text->text;
    }
  }
  return transcript;
}

void assert_joined(const std::vector<std::string>& texts, const char* expected) {
  const std::string transcript = joined(texts);
  ck_assert_str_eq(transcript.c_str(), expected);
}

}  // namespace

START_TEST(words_are_spaced) {
  assert_joined({"Hello,", "world."}, "Hello, world.");
  assert_joined({" Hello \n", "\t world \xc2\xa0", "again"}, "Hello world again");
}
END_TEST

START_TEST(empty_texts_leave_no_piece) {
  assert_joined({"", "a", " \n\xe3\x80\x80", "b", ""}, "a b");
  Joiner joiner;
  const auto released = joiner.add(make_done(0, "  "));
  ck_assert_uint_eq(released.size(), 1);
  ck_assert(!released[0].text);
}
END_TEST

START_TEST(unspaced_scripts_are_not) {
  assert_joined({"你好。", "再见"}, "你好。再见");
  assert_joined({"你好", "「再见」"}, "你好「再见」");
  assert_joined({"他说“你好”", "再见"}, "他说“你好”再见");
  assert_joined({"在2024", "年"}, "在2024年");
  assert_joined({"カタカナー", "ひらがな"}, "カタカナーひらがな");
  assert_joined({"สวัสดี", "ครับ"}, "สวัสดีครับ");
  assert_joined({"ສະບາຍດີ", "ខ្មែរ", "မြန်မာ"}, "ສະບາຍດີខ្មែរမြန်မာ");
}
END_TEST

START_TEST(mixed_scripts_are_spaced) {
  assert_joined({"你好", "hello", "再见"}, "你好 hello 再见");
  assert_joined({"안녕", "하세요"}, "안녕 하세요");
  assert_joined({"page 7", "年"}, "page 7 年");
  assert_joined({"1", "2"}, "1 2");
  assert_joined({"...", "?"}, "... ?");
}
END_TEST

START_TEST(holes_between_pieces) {
  Joiner joiner;
  std::string transcript;
  const Outcome outcomes[] = {make_failed(0), make_done(1, "a"), make_failed(2),
                              make_skipped(3, SkipReason::kSilence), make_done(4, "b")};
  for (const Outcome& outcome : outcomes) {
    const auto released = joiner.add(outcome);
    ck_assert_uint_eq(released.size(), 1);
    ck_assert(released[0].text.has_value() == std::holds_alternative<ChunkDone>(outcome));
    if (released[0].text) transcript += released[0].text->text;
  }
  ck_assert_str_eq(transcript.c_str(), "a b");
}
END_TEST

// Whatever the order of arrival: the order of release and the transcript stay.
START_TEST(any_order_of_arrival) {
  std::mt19937 random(static_cast<unsigned>(_i));
  const std::uint64_t count = 1 + random() % 100;
  std::vector<std::uint64_t> order(count);
  for (std::uint64_t i = 0; i < count; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::string expected;
  for (std::uint64_t i = 0; i < count; ++i) expected += (i > 0 ? " " : "") + std::to_string(i);

  Joiner joiner(5);
  std::uint64_t next = 5;
  std::string transcript;
  for (const std::uint64_t i : order) {
    for (const Released& released : joiner.add(make_done(i + 5, std::to_string(i)))) {
      ck_assert_uint_eq(chunk_of(*released.outcome).index, next++);
      transcript += released.text->text;
    }
  }
  ck_assert_uint_eq(next, count + 5);
  ck_assert(transcript == expected);
  ck_assert(joiner.finish().empty());
}
END_TEST

START_TEST(finish_releases_what_waits) {
  Joiner joiner;
  ck_assert(joiner.add(make_done(3, "c")).empty());
  ck_assert(joiner.add(make_done(1, "b")).empty());
  const auto released = joiner.finish();
  ck_assert_uint_eq(released.size(), 2);
  ck_assert_str_eq(released[0].text->text.c_str(), "b");
  ck_assert_str_eq(released[1].text->text.c_str(), " c");
  ck_assert(joiner.finish().empty());
}
END_TEST

START_TEST(an_index_counts_once) {
  Joiner joiner;
  ck_assert_uint_eq(joiner.add(make_done(0, "a")).size(), 1);
  ck_assert(joiner.add(make_done(0, "again")).empty());
  ck_assert(joiner.add(make_done(2, "c")).empty());
  ck_assert(joiner.add(make_done(2, "again")).empty());
  const auto released = joiner.add(make_done(1, "b"));
  ck_assert_uint_eq(released.size(), 2);
  ck_assert_str_eq(released[1].text->text.c_str(), " c");
  ck_assert(joiner.finish().empty());
}
END_TEST

START_TEST(words_in_media_time) {
  auto chunk = make_chunk(1);  // 10 s to 20 s
  chunk->payload.begin -= kSampleRate;
  auto transcription = std::make_shared<Transcription>();
  transcription->text = "a b c d";
  const auto s = [](int seconds) { return Nanoseconds(std::chrono::seconds(seconds)); };
  transcription->words = {{s(2), s(3), "a", 0.5},
                          {s(-1), s(1), "b", {}},
                          {s(5), s(4), "c", {}},
                          {Nanoseconds::max(), Nanoseconds::max(), "d", {}}};
  ChunkDone done = make_done(chunk, "");
  done.transcription = transcription;
  Joiner joiner(1);
  const auto released = joiner.add(done);
  const TextPiece& piece = *released[0].text;
  ck_assert(piece.time.timestamp == s(10));
  ck_assert(piece.duration == s(10));
  ck_assert_uint_eq(piece.words.size(), 4);
  ck_assert(piece.words[0].start == s(11) && piece.words[0].end == s(12));
  ck_assert(piece.words[0].confidence == 0.5);
  ck_assert(piece.words[1].start == s(9) && piece.words[1].end == s(10));
  ck_assert(piece.words[2].start == s(14) && piece.words[2].end == s(14));
  ck_assert(piece.words[3].start == s(20) && piece.words[3].end == s(20));
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("joiner");
  TCase* tcase = tcase_create("joiner");
  tcase_add_test(tcase, words_are_spaced);
  tcase_add_test(tcase, empty_texts_leave_no_piece);
  tcase_add_test(tcase, unspaced_scripts_are_not);
  tcase_add_test(tcase, mixed_scripts_are_spaced);
  tcase_add_test(tcase, holes_between_pieces);
  tcase_add_loop_test(tcase, any_order_of_arrival, 0, 20);
  tcase_add_test(tcase, finish_releases_what_waits);
  tcase_add_test(tcase, an_index_counts_once);
  tcase_add_test(tcase, words_in_media_time);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
