// Two chunks that heard the same second: what stays of both.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "overlaps.h"
#include "transcript/seam.h"

#include "check_main.h"

using namespace transcribe;

namespace {

// Two chunks of 10 s; both heard 9.5 s to 10.5 s.
struct Pair {
  std::shared_ptr<ChunkInfo> left;
  std::shared_ptr<ChunkInfo> right;
};

Pair two_chunks() {
  auto chunks = cut_at({0, 10000, 20000}, 1000);
  return {chunks[0], chunks[1]};
}

// "word" from .. to, in ms of media time.
Word at(std::int64_t start, std::int64_t end, const std::string& text) {
  return {ms(start), ms(end), text, {}};
}

// Words with times, and the text that they make.
ChunkDone timed(const std::shared_ptr<ChunkInfo>& chunk, std::vector<Word> words) {
  std::string text;
  for (const Word& word : words) text += (text.empty() ? "" : " ") + word.text;
  return heard(chunk, text, std::move(words));
}

Joined join_timed(std::vector<Word> left, std::vector<Word> right) {
  const Pair chunks = two_chunks();
  return join({timed(chunks.left, std::move(left)), timed(chunks.right, std::move(right))});
}

// Text only, said evenly from one moment to another. 20 characters a second are usual here.
ChunkDone said(const std::shared_ptr<ChunkInfo>& chunk, const std::string& text, std::int64_t start,
               std::int64_t end) {
  auto copy = std::make_shared<ChunkInfo>(*chunk);
  const std::int64_t begin = chunk->payload_timestamp() / ms(1);
  const auto frames = static_cast<std::int64_t>(chunk->payload.frames() / 160);
  const std::int64_t first = (start - begin) / 10;
  const std::int64_t last = (end - begin) / 10;
  copy->mask = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first),
                static_cast<std::uint32_t>(frames - last)};
  return heard(copy, text);
}

SeamKind kind_of(const Joined& joined) {
  for (const TextPiece& piece : joined.pieces) {
    if (piece.seam) return piece.seam->kind;
  }
  return SeamKind::kAppend;
}

void assert_seam(const Joined& joined, SeamKind kind) {
  assert_text(std::string(to_string(kind_of(joined))), std::string(to_string(kind)));
}

}  // namespace

START_TEST(a_word_that_both_have) {
  const Joined joined = join_timed({at(9000, 9300, "Then"), at(9400, 9700, "the"),
                                    at(9800, 10200, "tall"), at(10300, 10500, "trea")},
                                   {at(9500, 9700, "he"), at(9800, 10200, "tall"),
                                    at(10300, 10700, "trees"), at(10800, 11000, "fell.")});
  assert_text(joined.text, "Then the tall trees fell.");
  assert_seam(joined, SeamKind::kMatch);
  const Seam& seam = *joined.pieces.back().seam;
  ck_assert(seam.begin == ms(9500) && seam.end == ms(10500));
  assert_text(seam.dropped_left, "trea");
  assert_text(seam.dropped_right, "he");
}
END_TEST

// Final at once: what the next chunk can't change. The rest comes with that.
START_TEST(pieces_in_order) {
  const Pair chunks = two_chunks();
  Joiner joiner;
  auto released = joiner.add(
      timed(chunks.left, {at(1000, 1400, "One"), at(5000, 5400, "two"), at(9700, 9900, "three")}));
  ck_assert_uint_eq(released.size(), 1);
  assert_text(released[0].text->text, "One two");
  ck_assert(!released[0].text->seam);
  ck_assert_uint_eq(released[0].text->words.size(), 2);
  ck_assert(released[0].text->time.timestamp == ms(0));
  ck_assert(released[0].text->duration == ms(9700));
  released = joiner.add(timed(chunks.right, {at(9700, 9900, "three"), at(12000, 12500, "four")}));
  ck_assert_uint_eq(released.size(), 1);
  const TextPiece& piece = *released[0].text;
  assert_text(piece.text, " three four");
  ck_assert_uint_eq(piece.chunk->index, 1);
  ck_assert(piece.time.timestamp == ms(9700));
  ck_assert(piece.time.timestamp + piece.duration == ms(20000));
  ck_assert_uint_eq(piece.words.size(), 2);
  ck_assert(piece.words[0].start == ms(9700) && piece.words[0].end == ms(9900));
  assert_text(piece.words[1].text, "four");
  ck_assert(joiner.finish().empty());
}
END_TEST

// The times of a piece that begins inside a chunk, at double speed.
START_TEST(stream_and_running_time) {
  const Pair chunks = two_chunks();
  chunks.left->time = {ms(100000), ms(50000), ms(0)};
  chunks.right->time = {ms(110000), ms(60000), ms(5000)};
  const auto words = [](std::int64_t start) {
    return std::vector{at(start, start + 200, "a"), at(start + 5000, start + 5200, "b")};
  };
  const Joined joined =
      join({timed(chunks.left, words(104700)), timed(chunks.right, words(109700))});
  assert_text(joined.text, "a b b");
  ck_assert(joined.pieces[1].time.timestamp == ms(109700));
  ck_assert(*joined.pieces[1].time.stream_time == ms(59700));
  ck_assert(*joined.pieces[1].time.running_time == ms(4850));
}
END_TEST

START_TEST(no_word_in_common) {
  const Joined joined = join_timed({at(9000, 9300, "Then"), at(9400, 9800, "came"),
                                    at(9900, 10300, "awl"), at(10350, 10500, "th")},
                                   {at(9500, 9800, "aim"), at(9900, 10300, "all"),
                                    at(10400, 10600, "the"), at(10700, 11000, "rest")});
  assert_text(joined.text, "Then came all the rest");
  assert_seam(joined, SeamKind::kMidpoint);
  assert_text(joined.pieces.back().seam->dropped_left, "awl th");
  assert_text(joined.pieces.back().seam->dropped_right, "aim");
}
END_TEST

// Heard differently, and by each a little more on the other one's side of the middle.
START_TEST(a_word_on_the_middle) {
  Joined joined = join_timed({at(9300, 9700, "tall"), at(9820, 10200, "awl")},
                             {at(9800, 10180, "all"), at(10400, 10900, "fell")});
  assert_text(joined.text, "tall awl fell");
  assert_seam(joined, SeamKind::kMidpoint);
  // Nothing else stays of either side.
  joined = join_timed({at(9820, 10200, "awl")}, {at(9800, 10180, "all")});
  assert_text(joined.text, "awl");
  ck_assert(joined.pieces.back().seam);
  // Two words, one after the other, are no word on the middle.
  joined = join_timed({at(9300, 9700, "tall"), at(10010, 10200, "awl")},
                      {at(9700, 9990, "all"), at(10400, 10900, "fell")});
  assert_text(joined.text, "tall fell");
}
END_TEST

START_TEST(overlap_wholly_silent) {
  Joined joined = join_timed({at(1000, 1400, "One.")}, {at(12000, 12400, "Two.")});
  assert_text(joined.text, "One. Two.");
  assert_seam(joined, SeamKind::kOneSided);
  // Only the left one heard a word there, only the right one.
  joined =
      join_timed({at(1000, 1400, "One"), at(10100, 10400, "two")}, {at(12000, 12400, "three")});
  assert_text(joined.text, "One two three");
  assert_seam(joined, SeamKind::kOneSided);
  joined = join_timed({at(1000, 1400, "One")}, {at(9600, 9900, "two"), at(12000, 12400, "three")});
  assert_text(joined.text, "One two three");
  assert_seam(joined, SeamKind::kOneSided);
}
END_TEST

START_TEST(the_same_word_three_times) {
  const std::vector<Word> noes = {at(9550, 9750, "no"), at(9900, 10100, "no"),
                                  at(10250, 10450, "no")};
  auto left = noes;
  left.insert(left.begin(), at(9000, 9300, "Oh"));
  auto right = noes;
  right.push_back(at(10600, 11000, "way"));
  assert_text(join_timed(left, right).text, "Oh no no no way");
  // The left one lost one of them, the right one.
  left.pop_back();
  assert_text(join_timed(left, right).text, "Oh no no no way");
  right.erase(right.begin());
  assert_text(join_timed(left, right).text, "Oh no no no way");
}
END_TEST

// Times that are guesses: the first is not taken for the second, though the middle lies between.
START_TEST(the_same_word_twice_without_times) {
  const auto no = [](std::int64_t start) {
    Token one;
    one.key = "no";
    one.start = ms(start);
    one.stop = ms(start + 100);
    return one;
  };
  SeamRule rule;
  rule.begin = ms(9500);
  rule.end = ms(10500);
  const std::vector<Token> both = {no(9750), no(10150)};
  const SeamCut cut = find_seam(both, both, rule);
  ck_assert(cut.kind == SeamKind::kMatch);
  ck_assert_uint_eq(cut.left, cut.right);
}
END_TEST

// A character alone is often another one's twin: a run of them is better, though farther away.
START_TEST(a_lone_character_in_common) {
  const auto token = [](const char* key, std::int64_t start) {
    Token one;
    one.key = key;
    one.character = true;
    one.start = ms(start);
    one.stop = ms(start + 50);
    return one;
  };
  const std::vector<Token> left = {token("中", 9600), token("国", 9700), token("甲", 9850),
                                   token("的", 9975)};
  const std::vector<Token> right = {token("中", 9600), token("国", 9700), token("乙", 9850),
                                    token("的", 9975)};
  SeamRule rule;
  rule.begin = ms(9500);
  rule.end = ms(10500);
  const SeamCut cut = find_seam(left, right, rule);
  ck_assert(cut.kind == SeamKind::kMatch);
  ck_assert_uint_eq(cut.left, cut.right);
  ck_assert_uint_le(cut.left, 2);
}
END_TEST

START_TEST(a_phrase_repeated_on_purpose) {
  const Joined joined =
      join_timed({at(8000, 8300, "We"), at(8400, 8800, "shall"), at(8900, 9300, "fight."),
                  at(9400, 9600, "We"), at(9700, 10000, "shall"), at(10100, 10500, "fight")},
                 {at(9500, 9600, "We"), at(9700, 10000, "shall"), at(10100, 10500, "fight."),
                  at(10800, 11000, "We"), at(11100, 11300, "shall"), at(11400, 11800, "win.")});
  assert_text(joined.text, "We shall fight. We shall fight. We shall win.");
}
END_TEST

// Nothing tells that both mean the same. Where they share no word, the one that lies across the
// middle may come twice: a word too many is seen, a word that was left out is not.
START_TEST(digits_against_words) {
  Joined joined =
      join_timed({at(9000, 9300, "about"), at(9500, 10300, "200"), at(10300, 10500, "mi")},
                 {at(9500, 9700, "two"), at(9800, 10250, "hundred"), at(10300, 10700, "miles")});
  assert_text(joined.text, "about 200 hundred miles");
  assert_seam(joined, SeamKind::kMidpoint);
  joined = join_timed({at(9000, 9300, "about"), at(9500, 9700, "two"), at(9800, 10250, "hundred"),
                       at(10300, 10500, "mi")},
                      {at(9500, 10300, "200"), at(10300, 10700, "miles")});
  assert_text(joined.text, "about two hundred miles");
  joined = join_timed({at(9000, 9300, "about"), at(9500, 10300, "200"), at(10300, 10500, "miles")},
                      {at(9500, 9700, "two"), at(9800, 10250, "hundred"), at(10300, 10700, "miles"),
                       at(10800, 11000, "away")});
  assert_text(joined.text, "about 200 miles away");
}
END_TEST

START_TEST(contractions) {
  const Joined joined =
      join_timed({at(9200, 9400, "I"), at(9500, 9900, "don’t"), at(10000, 10300, "know")},
                 {at(9500, 9600, "do"), at(9700, 9900, "not"), at(10000, 10300, "know"),
                  at(11000, 11300, "it")});
  assert_text(joined.text, "I don’t know it");
}
END_TEST

START_TEST(hyphens_and_apostrophes) {
  Joined joined = join_timed({at(9000, 9400, "It’s"), at(9600, 10300, "well-known")},
                             {at(9500, 9600, "s"), at(9600, 9900, "well"), at(9900, 10300, "known"),
                              at(10600, 10900, "here")});
  assert_text(joined.text, "It’s well-known here");
  joined = join_timed({at(9000, 9300, "is"), at(9700, 10200, "Mary's")},
                      {at(9700, 10200, "Mary’s"), at(10600, 10900, "lamb")});
  assert_text(joined.text, "is Mary's lamb");
  joined = join_timed({at(9000, 9300, "the"), at(9700, 10200, "co\u00adoperation")},
                      {at(9700, 10200, "cooperation"), at(10600, 10900, "fails")});
  assert_text(joined.text, "the co\u00adoperation fails");
}
END_TEST

// The left one takes its end for a sentence's, the right one its begin.
START_TEST(case_and_full_stop_at_the_seam) {
  Joined joined = join_timed({at(9000, 9600, "defaulted"), at(9800, 10400, "collateralized.")},
                             {at(9800, 10400, "Collateralized"), at(10600, 11000, "debt.")});
  assert_text(joined.text, "defaulted collateralized debt.");
  joined = join_timed({at(9000, 9600, "It"), at(9800, 10400, "ends")},
                      {at(9800, 10400, "ends."), at(10600, 11000, "“Truly.”")});
  assert_text(joined.text, "It ends. “Truly.”");
}
END_TEST

START_TEST(a_word_cut_in_half_on_both_sides) {
  const Joined joined = join_timed({at(9000, 9300, "an"), at(9400, 10500, "autom")},
                                   {at(9500, 10800, "tomobile"), at(10900, 11300, "stops")});
  assert_text(joined.text, "an autom tomobile stops");
}
END_TEST

START_TEST(another_language_on_each_side) {
  const Joined joined = join_timed({at(9000, 9300, "good"), at(9500, 9900, "day")},
                                   {at(9500, 9900, "Tag"), at(10200, 10800, "zusammen")});
  assert_text(joined.text, "good day zusammen");
  assert_seam(joined, SeamKind::kMidpoint);
}
END_TEST

START_TEST(an_empty_text) {
  const Pair chunks = two_chunks();
  Joined joined = join({timed(chunks.left, {at(9000, 9300, "One"), at(9700, 10200, "two.")}),
                        heard(chunks.right, " ")});
  assert_text(joined.text, "One two.");
  assert_seam(joined, SeamKind::kOneSided);
  ck_assert(joined.released[1].text.has_value());
  joined = join({heard(chunks.left, ""), timed(chunks.right, {at(9700, 10200, "Two.")})});
  assert_text(joined.text, "Two.");
  assert_seam(joined, SeamKind::kOneSided);
  ck_assert(join({heard(chunks.left, ""), heard(chunks.right, "")}).text.empty());
}
END_TEST

START_TEST(nothing_but_punctuation) {
  const Pair chunks = two_chunks();
  assert_text(join({heard(chunks.left, "..."), heard(chunks.right, "?!")}).text, "... ?!");
  assert_text(join({timed(chunks.left, {at(9700, 10200, "Two")}), heard(chunks.right, "...")}).text,
              "Two ...");
}
END_TEST

// A service that answers with the prompt says it in each chunk: not words of the seam.
START_TEST(the_prompt_as_text) {
  const Pair chunks = two_chunks();
  const std::string prompt = "A talk on trees, by Ann.";
  const Joined joined =
      join({said(chunks.left, prompt, 0, 1200), said(chunks.right, prompt, 15000, 16200)});
  assert_text(joined.text, prompt + " " + prompt);
}
END_TEST

START_TEST(looped_text) {
  std::string loop;
  for (int i = 0; i < 500; ++i) loop += "and so on ";
  const Pair chunks = two_chunks();
  const Joined joined = join({said(chunks.left, "First " + loop, 0, 10500),
                              said(chunks.right, loop + "last", 9500, 20000)});
  // 3000 words in all: no more than the seam may cost.
  ck_assert(joined.text.starts_with("First and so on"));
  ck_assert(joined.text.ends_with("so on last"));
  const auto words = 1 + std::count(joined.text.begin(), joined.text.end(), ' ');
  ck_assert_int_ge(words, 3002 - 2 * 8);
  ck_assert_int_le(words, 3002);
}
END_TEST

START_TEST(too_much_to_lose) {
  std::vector<Word> left = {at(9000, 9300, "Well")};
  for (int i = 0; i < 10; ++i) left.push_back(at(10100 + i, 10110 + i, "left" + std::to_string(i)));
  const Joined joined = join_timed(left, {at(9700, 9900, "right"), at(10300, 10500, "end")});
  assert_seam(joined, SeamKind::kDoubt);
  assert_text(joined.text,
              "Well left0 left1 left2 left3 left4 left5 left6 left7 left8 left9 right end");
}
END_TEST

START_TEST(the_gate_of_times) {
  // Word times: 0.2 s. The same word 0.3 s apart is another one.
  Joined joined = join_timed({at(9000, 9300, "a"), at(9600, 9700, "very")},
                             {at(10000, 10100, "very"), at(10300, 10700, "long")});
  assert_text(joined.text, "a very very long");
  joined = join_timed({at(9000, 9300, "a"), at(9600, 9800, "very")},
                      {at(9750, 9950, "very"), at(10300, 10700, "long")});
  assert_text(joined.text, "a very long");
  // Estimated ones: 0.6 s.
  const Pair chunks = two_chunks();
  joined = join({said(chunks.left, "we waited for a very", 8000, 10000),
                 said(chunks.right, "very long", 9600, 10100)});
  assert_text(joined.text, "we waited for a very long");
  joined = join({said(chunks.left, "we waited for a very", 7000, 9500),
                 said(chunks.right, "very long", 10200, 10700)});
  assert_text(joined.text, "we waited for a very very long");
}
END_TEST

START_TEST(impossible_times) {
  const Pair chunks = two_chunks();
  const std::string left = "the first of the words that were heard";
  const std::string right = "that were heard and then the last of them";
  const auto with_times = [](std::shared_ptr<ChunkInfo> chunk, const std::string& text, auto time) {
    std::vector<Word> words;
    std::size_t at = 0;
    for (std::int64_t i = 0; at < text.size(); ++i) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      const auto [start, stop] = time(i);
      words.push_back({start, stop, text.substr(at, end - at), {}});
      at = end + 1;
    }
    return heard(chunk, text, std::move(words));
  };
  const auto zero = [](std::int64_t) { return std::pair(ms(0), ms(0)); };
  const auto reversed = [](std::int64_t i) { return std::pair(ms(1000 * i), ms(1000 * i - 500)); };
  const auto beyond = [](std::int64_t i) { return std::pair(ms(100000 + i), ms(200000 + i)); };
  const auto backwards = [](std::int64_t i) {
    return std::pair(ms(9000 - 500 * i), ms(9100 - 500 * i));
  };
  const auto extreme = [](std::int64_t i) {
    return i % 2 == 0 ? std::pair(Nanoseconds::min() / 2, Nanoseconds::max() / 2)
                      : std::pair(Nanoseconds::max() / 2, Nanoseconds::min() / 2);
  };
  const auto check = [&](auto time) {
    const Joined joined =
        join({with_times(chunks.left, left, time), with_times(chunks.right, right, time)});
    ck_assert_msg(joined.text.starts_with("the first of the words"), "%s", joined.text.c_str());
    ck_assert_msg(joined.text.ends_with("then the last of them"), "%s", joined.text.c_str());
    for (const TextPiece& piece : joined.pieces) {
      for (const Token& token : piece.tokens)
        ck_assert(ms(0) <= token.start && token.start <= token.stop && token.stop <= ms(20000));
    }
  };
  check(zero);
  check(reversed);
  check(beyond);
  check(backwards);
  check(extreme);
}
END_TEST

START_TEST(segments_only) {
  const Pair chunks = two_chunks();
  const auto with_segments = [](const std::shared_ptr<ChunkInfo>& chunk, const std::string& text,
                                std::vector<Segment> segments) {
    ChunkDone done = heard(chunk, text);
    auto transcription = std::make_shared<Transcription>(*done.transcription);
    transcription->segments = std::move(segments);
    done.transcription = transcription;
    return done;
  };
  const auto segment = [](std::int64_t start, std::int64_t end, const std::string& text,
                          const std::string& speaker) {
    Segment one;
    one.start = ms(start);
    one.end = ms(end);
    one.text = text;
    one.speaker = speaker;
    return one;
  };
  const Joined joined = join({with_segments(chunks.left, "How are you? I am very fine thanks",
                                            {segment(1000, 2000, " How are you?", "A"),
                                             segment(9000, 10500, " I am very fine thanks", "B")}),
                              with_segments(chunks.right, "very fine thanks. And you?",
                                            {segment(0, 1000, " very fine thanks.", "B"),
                                             segment(2000, 3000, " And you?", "A")})});
  assert_text(joined.text, "How are you? I am very fine thanks. And you?");
  assert_seam(joined, SeamKind::kMatch);
  std::string speakers;
  for (const TextPiece& piece : joined.pieces) {
    for (const Token& token : piece.tokens) speakers += piece.speakers[token.segment];
  }
  assert_text(speakers, "AAABBBBBAA");
}
END_TEST

START_TEST(text_only) {
  const Pair chunks = two_chunks();
  const Joined joined =
      join({said(chunks.left, "and then the old man went down to the sea wi", 8000, 10500),
            said(chunks.right, "man went down to the sea with his boat", 9500, 11500)});
  assert_text(joined.text, "and then the old man went down to the sea with his boat");
  assert_seam(joined, SeamKind::kMatch);
}
END_TEST

START_TEST(scripts) {
  const Pair chunks = two_chunks();
  const struct {
    const char* left;
    const char* right;
    const char* expected;
  } cases[] = {
      // Han, Kana, Thai: by character.
      {"今天我们要讲的是关于中国历史的一些问", "中国历史的一些问题，请大家注意听",
       "今天我们要讲的是关于中国历史的一些问题，请大家注意听"},
      {"きょうは日本語の文章を読んでみます。それ", "んでみます。それから書きます。",
       "きょうは日本語の文章を読んでみます。それから書きます。"},
      {"สวัสดีครับวันนี้อากาศดีมา", "อากาศดีมากเลยครับ", "สวัสดีครับวันนี้อากาศดีมากเลยครับ"},
      // By word.
      {"오늘은 날씨가 아주 좋습니", "날씨가 아주 좋습니다 여러분",
       "오늘은 날씨가 아주 좋습니다 여러분"},
      {"שלום לכולם היום נדבר על מו", "היום נדבר על מוזיקה ועוד",
       "שלום לכולם היום נדבר על מוזיקה ועוד"},
      // Both.
      {"我们现在用 Python 写一个程", "Python 写一个程序 hello world",
       "我们现在用 Python 写一个程序 hello world"},
      // Composed against marks of their own, and full-width forms.
      {"le cafe\u0301 est pre\u0302t a\u0300 pa", "café est prêt à partir maintenant",
       "le cafe\u0301 est pre\u0302t a\u0300 partir maintenant"},
      {"番号はＡＢＣ１２３です。つぎ", "ABC123です。つぎへ行きます",
       "番号はＡＢＣ１２３です。つぎへ行きます"},
      {"so funny 😂👍🏽 really i do", "funny 😂👍🏽 really I don't know",
       "so funny 😂👍🏽 really I don't know"},
  };
  for (const auto& one : cases) {
    const auto left = static_cast<std::int64_t>(g_utf8_strlen(one.left, -1));
    const auto right = static_cast<std::int64_t>(g_utf8_strlen(one.right, -1));
    const auto whole = static_cast<std::int64_t>(g_utf8_strlen(one.expected, -1));
    // The shared part is 1.2 s long.
    const std::int64_t rate = 1200 / (left + right - whole + 1);
    const Joined joined =
        join({said(chunks.left, one.left, (10600 - left * rate) / 10 * 10, 10500),
              said(chunks.right, one.right, 9500, (9400 + right * rate) / 10 * 10)});
    // Composed or not is the service's choice.
    const CharPtr composed(g_utf8_normalize(joined.text.c_str(), -1, G_NORMALIZE_NFC));
    const CharPtr expected(g_utf8_normalize(one.expected, -1, G_NORMALIZE_NFC));
    assert_text(composed.get(), expected.get());
    assert_seam(joined, SeamKind::kMatch);
  }
}
END_TEST

START_TEST(right_after_left_failed) {
  const Pair chunks = two_chunks();
  const auto failed = [](const std::shared_ptr<ChunkInfo>& chunk) {
    ChunkFailed event = make_failed(0);
    event.chunk = chunk;
    return event;
  };
  const auto left =
      timed(chunks.left, {at(9000, 9300, "One"), at(9700, 9900, "two"), at(10100, 10400, "three")});
  const auto right = timed(
      chunks.right, {at(9700, 9900, "two"), at(10100, 10400, "three"), at(10600, 10900, "four")});
  Joined joined = join({failed(chunks.left), right});
  assert_text(joined.text, "two three four");
  assert_seam(joined, SeamKind::kOneSided);
  joined = join({left, failed(chunks.right)});
  assert_text(joined.text, "One two three");
  ck_assert_uint_eq(joined.released.size(), 2);
  ck_assert(std::holds_alternative<ChunkFailed>(*joined.released[1].outcome));
  const TextPiece& rest = *joined.released[1].text;
  ck_assert_uint_eq(rest.chunk->index, 0);
  ck_assert(rest.time.timestamp + rest.duration == ms(10400));
  ck_assert(rest.seam->begin == ms(9500) && rest.seam->end == ms(10500));
  // Sent again by a later run.
  joined = join({left, right});
  assert_text(joined.text, "One two three four");
}
END_TEST

START_TEST(right_was_skipped) {
  const Pair chunks = two_chunks();
  ChunkSkipped skipped = make_skipped(1, SkipReason::kFlushed);
  skipped.chunk = chunks.right;
  const Joined joined =
      join({timed(chunks.left, {at(9000, 9300, "One"), at(9700, 9900, "two")}), skipped});
  assert_text(joined.text, "One two");
  ck_assert_uint_eq(joined.released.size(), 2);
}
END_TEST

START_TEST(right_never_came) {
  const Pair chunks = two_chunks();
  const auto left = timed(chunks.left, {at(5000, 5300, "One"), at(9700, 9900, "two")});
  Joiner joiner;
  Joined joined;
  joined.take(joiner.add(left));
  assert_text(joined.text, "One");
  joined.take(joiner.finish());
  assert_text(joined.text, "One two");
  ck_assert_uint_eq(joined.released.size(), 2);
  ck_assert(!joined.released[1].outcome);
  ck_assert(!joined.released[1].text->seam);
  ck_assert(joiner.finish().empty());
  // Neither did it, but later ones.
  const auto chunks3 = cut_at({0, 10000, 20000, 30000, 40000}, 1000);
  Joiner another;
  Joined other;
  other.take(another.add(left));
  other.take(another.add(timed(chunks3[2], {at(19800, 20200, "four"), at(29700, 29900, "five")})));
  other.take(another.pass_gaps());
  assert_text(other.text, "One two four");
  other.take(another.add(timed(chunks3[3], {at(29700, 29900, "five"), at(31000, 31500, "six")})));
  assert_text(other.text, "One two four five six");
  ck_assert_uint_eq(other.released.size(), 4);
  ck_assert(!other.released[1].outcome);
}
END_TEST

START_TEST(one_word_chunks) {
  const auto chunks = cut_at({0, 1000, 2000, 3000, 4000}, 500);
  std::vector<Outcome> outcomes;
  const char* words[] = {"one", "two", "three", "four"};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto begin = static_cast<std::int64_t>(1000 * i + 400);
    outcomes.push_back(timed(chunks[i], {at(begin, begin + 200, words[i])}));
  }
  assert_text(join(outcomes).text, "one two three four");
  // Each heard the word at its end, and the next one heard it, too.
  outcomes.clear();
  for (std::size_t i = 0; i < 4; ++i) {
    const auto cut = static_cast<std::int64_t>(1000 * i);
    std::vector<Word> heard_words;
    if (i > 0) heard_words.push_back(at(cut - 100, cut + 100, words[i - 1]));
    if (i < 3) heard_words.push_back(at(cut + 900, cut + 1100, words[i]));
    outcomes.push_back(timed(chunks[i], heard_words));
  }
  assert_text(join(outcomes).text, "one two three");
}
END_TEST

// A cut at a pause shares nothing: the texts are put behind each other as they are.
START_TEST(without_overlap) {
  const auto chunks = cut_at({0, 10000, 20000}, 0);
  const Joined joined =
      join({timed(chunks[0], {at(9000, 9300, "a"), at(9700, 9990, "very")}),
            timed(chunks[1], {at(10000, 10200, "very"), at(10300, 10700, "long")})});
  assert_text(joined.text, "a very very long");
  ck_assert(!joined.pieces[0].seam && !joined.pieces[1].seam);
  ck_assert(joined.pieces[1].time.timestamp == ms(10000));
}
END_TEST

// The left one has word times, the right one has none.
START_TEST(times_on_one_side_only) {
  const Pair chunks = two_chunks();
  const Joined joined = join({timed(chunks.left, {at(9000, 9300, "down"), at(9400, 9600, "to"),
                                                  at(9700, 9900, "the"), at(10000, 10400, "sea")}),
                              said(chunks.right, "to the sea and back", 9600, 11200)});
  assert_text(joined.text, "down to the sea and back");
}
END_TEST

// A live source that goes on after a restart: its chunks follow the old ones by their index, in
// time and position they begin anew. Nobody heard both.
START_TEST(a_live_job_that_goes_on) {
  const std::int64_t ended = std::vector<std::int64_t>{4000, 12000, 20000, 3600000, 20000}[_i];
  auto old_run = cut_at({ended - 4000, ended, ended + 4000}, 1000)[0];
  old_run->payload.begin = old_run->core.begin;
  const auto new_run = cut_at({0, 9000, 18000}, 1000);
  new_run[0]->index = 1;
  new_run[1]->index = 2;
  // A pipeline that keeps the time of day goes on in time, too.
  if (_i == 0) new_run[0]->time.timestamp = old_run->time.timestamp + old_run->duration();
  // By its samples only.
  if (_i == 4) {
    for (FrameSpan* span : {&new_run[0]->core, &new_run[0]->payload}) {
      span->begin += old_run->core.end;
      span->end += old_run->core.end;
    }
  }
  const std::int64_t begin = new_run[0]->time.timestamp / ms(1);
  std::vector<Word> words;
  for (std::int64_t at = begin; at < begin + 9000; at += 500)
    words.push_back({ms(at), ms(at + 300), "new" + std::to_string(at - begin), {}});
  std::string expected = "last words here";
  for (const Word& word : words) expected += " " + word.text;
  const Joined joined =
      join({timed(old_run, {at(ended - 1000, ended - 700, "last"), at(ended - 300, ended, "words"),
                            at(ended + 100, ended + 400, "here")}),
            timed(new_run[0], words)});
  assert_text(joined.text, expected);
  for (const TextPiece& piece : joined.pieces) ck_assert(piece.duration >= ms(0));
  // Before anything of the new run.
  ck_assert(joined.pieces.size() >= 2);
  ck_assert_uint_eq(joined.pieces[0].chunk->index, 0);
  ck_assert(!joined.pieces[0].seam && !joined.pieces[1].seam);
  ck_assert(joined.pieces[1].time.timestamp == ms(begin));

  // Nothing said, and nothing understood, in the new run.
  const auto left =
      timed(old_run, {at(ended - 300, ended, "words"), at(ended + 100, ended + 400, "here")});
  ChunkSkipped skipped;
  skipped.chunk = new_run[0];
  ChunkFailed failed;
  failed.chunk = new_run[0];
  assert_text(join({left, skipped}).text, "words here");
  assert_text(join({left, failed}).text, "words here");
  for (const TextPiece& piece : join({left, failed}).pieces) ck_assert(!piece.seam);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("seams");
  TCase* tcase = tcase_create("seams");
  tcase_add_test(tcase, a_word_that_both_have);
  tcase_add_test(tcase, pieces_in_order);
  tcase_add_test(tcase, stream_and_running_time);
  tcase_add_test(tcase, no_word_in_common);
  tcase_add_test(tcase, a_word_on_the_middle);
  tcase_add_test(tcase, overlap_wholly_silent);
  tcase_add_test(tcase, the_same_word_three_times);
  tcase_add_test(tcase, the_same_word_twice_without_times);
  tcase_add_test(tcase, a_lone_character_in_common);
  tcase_add_test(tcase, a_phrase_repeated_on_purpose);
  tcase_add_test(tcase, digits_against_words);
  tcase_add_test(tcase, contractions);
  tcase_add_test(tcase, hyphens_and_apostrophes);
  tcase_add_test(tcase, case_and_full_stop_at_the_seam);
  tcase_add_test(tcase, a_word_cut_in_half_on_both_sides);
  tcase_add_test(tcase, another_language_on_each_side);
  tcase_add_test(tcase, an_empty_text);
  tcase_add_test(tcase, nothing_but_punctuation);
  tcase_add_test(tcase, the_prompt_as_text);
  tcase_add_test(tcase, looped_text);
  tcase_add_test(tcase, too_much_to_lose);
  tcase_add_test(tcase, the_gate_of_times);
  tcase_add_test(tcase, impossible_times);
  tcase_add_test(tcase, segments_only);
  tcase_add_test(tcase, text_only);
  tcase_add_test(tcase, scripts);
  tcase_add_test(tcase, right_after_left_failed);
  tcase_add_test(tcase, right_was_skipped);
  tcase_add_test(tcase, right_never_came);
  tcase_add_test(tcase, one_word_chunks);
  tcase_add_test(tcase, without_overlap);
  tcase_add_test(tcase, times_on_one_side_only);
  tcase_add_loop_test(tcase, a_live_job_that_goes_on, 0, 5);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
