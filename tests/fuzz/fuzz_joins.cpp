// What is said is known: cut into chunks that share audio, damaged at their edges and put together
// again it must be there, but for a few words at each seam.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "fuzz.h"
#include "job/chunk_record.h"
#include "overlaps.h"
#include "transcript/formats.h"
#include "transcript/seam.h"

#include "check_main.h"

using namespace transcribe;
using transcribe::testing::rounds;

namespace {

enum class Times { kWords, kMask, kNothing };

struct Said {
  std::string text;
  std::int64_t start;  // ms
  std::int64_t end;
};

// Words that are all different ("w17"), so that every loss and every duplicate can be named; a
// script without spaces has different characters.
std::vector<Said> speak(std::mt19937& random, std::int64_t until, bool characters) {
  std::vector<Said> said;
  for (std::int64_t at = 0; at < until;) {
    const std::int64_t length = characters ? 120 + random() % 120 : 180 + random() % 250;
    if (at + length > until) break;
    std::string text = "w" + std::to_string(said.size());
    if (characters) {
      char character[8] = "";
      g_unichar_to_utf8(0x4e00 + static_cast<gunichar>(said.size()), character);
      text = character;
    }
    said.push_back({text, at, at + length});
    at += length + (characters ? random() % 30 : 20 + random() % 60);
    if (random() % 12 == 0) at += random() % 700;
  }
  return said;
}

std::vector<std::shared_ptr<ChunkInfo>> cut(std::mt19937& random, std::int64_t until,
                                            std::int64_t overlap) {
  std::vector<std::int64_t> cuts = {0};
  while (cuts.back() + 9000 < until)
    cuts.push_back(cuts.back() + 4000 + static_cast<std::int64_t>(random() % 5000));
  cuts.push_back(until);
  return cut_at(cuts, overlap);
}

// What a service makes of a chunk: words at its edges are garbled or missing, now and then one in
// the middle of the shared audio is another one.
ChunkDone transcribe_chunk(std::mt19937& random, const std::shared_ptr<ChunkInfo>& chunk,
                           const std::vector<Said>& said, Times times, bool characters) {
  const std::int64_t begin = chunk->payload_timestamp() / ms(1);
  const std::int64_t end =
      begin + static_cast<std::int64_t>(chunk->payload.frames() * 1000 / kSampleRate);
  std::string text;
  std::vector<Word> words;
  SpeechMask mask = {0};
  std::int64_t masked = begin / 10 * 10;
  const auto speech_until = [&](std::int64_t from, std::int64_t to) {
    from = std::max(masked, from / 10 * 10);
    to = to / 10 * 10;
    if (to <= from) return;
    if (from > masked || mask.size() % 2 == 1) {
      mask.back() += mask.size() % 2 == 1 ? static_cast<std::uint32_t>((from - masked) / 10) : 0;
      if (mask.size() % 2 == 0) mask.push_back(static_cast<std::uint32_t>((from - masked) / 10));
      mask.push_back(0);
    }
    mask.back() += static_cast<std::uint32_t>((to - from) / 10);
    masked = to;
  };
  for (const Said& one : said) {
    if (one.end <= begin || one.start >= end) continue;
    speech_until(std::max(one.start, begin), std::min(one.end, end));
    const bool cut_off = one.start < begin || one.end > end;
    std::string heard_as = one.text;
    if (cut_off) {
      if (random() % 2 == 0) continue;
      heard_as = characters ? "误" : "zz" + std::to_string(random() % 50);
    } else if (random() % 40 == 0) {
      heard_as = characters ? "错" : "yy" + std::to_string(random() % 50);
    }
    const std::int64_t slip = static_cast<std::int64_t>(random() % 41) - 20;
    words.push_back({ms(one.start + slip), ms(one.end + slip), heard_as, {}});
    text += (text.empty() || characters ? "" : " ") + heard_as;
  }
  // The first and the last word of a chunk look like a sentence's.
  if (!characters && !text.empty()) {
    text[0] = g_ascii_toupper(text[0]);
    if (random() % 2 == 0) text += '.';
  }
  auto copy = std::make_shared<ChunkInfo>(*chunk);
  if (times == Times::kMask) copy->mask = mask;
  if (times != Times::kWords) words.clear();
  return heard(copy, text, words);
}

struct Score {
  std::size_t missing = 0;
  std::size_t twice = 0;
  std::size_t out_of_order = 0;
};

Score compare(const std::vector<Said>& said, const std::string& transcript) {
  std::vector<Token> expected;
  for (const Said& one : said) {
    for (Token& token : tokenize(one.text)) expected.push_back(std::move(token));
  }
  std::map<std::string, std::size_t> order;
  for (const Token& token : expected) order.emplace(token.key, order.size());
  std::map<std::size_t, int> found;
  Score score;
  std::size_t last = 0;
  for (const Token& token : tokenize(transcript)) {
    const auto known = order.find(token.key);
    if (known == order.end()) continue;
    if (++found[known->second] > 1) ++score.twice;
    if (known->second < last) ++score.out_of_order;
    last = known->second;
  }
  score.missing = order.size() - found.size();
  return score;
}

struct Run {
  Score score;
  std::size_t said = 0;
  std::size_t seams = 0;
  std::size_t damaged = 0;  // words that no chunk heard right
};

Run run(unsigned seed, Times times, bool characters) {
  std::mt19937 random(seed);
  const std::int64_t until = 40000;
  const std::int64_t overlap = 600 + static_cast<std::int64_t>(random() % 10) * 100;
  const std::vector<Said> said = speak(random, until, characters);
  const auto chunks = cut(random, until, overlap);
  std::vector<Outcome> outcomes;
  std::string all;
  for (const auto& chunk : chunks) {
    const ChunkDone done = transcribe_chunk(random, chunk, said, times, characters);
    all += " " + done.transcription->text;
    outcomes.push_back(done);
  }
  Run result;
  result.said = said.size();
  result.seams = chunks.size() - 1;
  result.damaged = compare(said, all).missing;
  const std::string expected = join(outcomes).text;
  std::shuffle(outcomes.begin(), outcomes.end(), random);
  assert_text(join(outcomes).text, expected);
  result.score = compare(said, expected);

  SeamRule rule;
  rule.end = ms(overlap);
  const std::size_t most = result.seams * (characters ? rule.most_characters() : rule.most_words());
  ck_assert_uint_le(result.score.missing, result.damaged + most);
  // Both said it within the shared audio: as many again as fit in there, and those at its edges.
  const auto fit = static_cast<std::size_t>(overlap / (characters ? 120 : 200)) + 2;
  ck_assert_uint_le(result.score.twice, result.seams * fit);
  return result;
}

struct Total {
  double seams = 0;
  double missing = 0;
  double twice = 0;
  double out_of_order = 0;
};

Total run_all(Times times, bool characters) {
  const unsigned seeds = rounds(80, 5000);
  Total total;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    const Run one = run(seed, times, characters);
    total.seams += static_cast<double>(one.seams);
    total.missing +=
        static_cast<double>(one.score.missing - std::min(one.score.missing, one.damaged));
    total.twice += static_cast<double>(one.score.twice);
    total.out_of_order += static_cast<double>(one.score.out_of_order);
  }
  std::printf("# %.0f seams: per seam %.3f lost, %.3f twice, %.3f out of order\n", total.seams,
              total.missing / total.seams, total.twice / total.seams,
              total.out_of_order / total.seams);
  std::fflush(stdout);
  return total;
}

}  // namespace

// What is lost is mostly a word that one side heard wrong: nobody can know which.
START_TEST(word_times) {
  const Total total = run_all(Times::kWords, false);
  ck_assert_double_le(total.missing, 0.08 * total.seams);
  ck_assert_double_le(total.twice, 0.01 * total.seams);
}
END_TEST

START_TEST(text_over_the_speech) {
  const Total total = run_all(Times::kMask, false);
  ck_assert_double_le(total.missing, 0.2 * total.seams);
  ck_assert_double_le(total.twice, 0.1 * total.seams);
}
END_TEST

START_TEST(text_alone) {
  const Total total = run_all(Times::kNothing, false);
  ck_assert_double_le(total.missing, 0.25 * total.seams);
  ck_assert_double_le(total.twice, 0.15 * total.seams);
}
END_TEST

START_TEST(characters_with_times) {
  const Total total = run_all(Times::kWords, true);
  ck_assert_double_le(total.missing, 0.15 * total.seams);
  ck_assert_double_le(total.twice, 0.01 * total.seams);
}
END_TEST

START_TEST(characters_over_the_speech) {
  const Total total = run_all(Times::kMask, true);
  ck_assert_double_le(total.missing, 0.2 * total.seams);
  ck_assert_double_le(total.twice, 0.02 * total.seams);
}
END_TEST

namespace {

// Every piece with its times, words and seam, every hole.
std::string all_of(const std::vector<Outcome>& outcomes) {
  std::string lines;
  for (const Released& released : join(outcomes).released) lines += format_json(released) + "\n";
  return lines;
}

}  // namespace

// A record holds all that joining needs: who reads the stored chunks gets the transcript that was
// told, to the byte.
START_TEST(joined_anew_from_records) {
  const Times times = std::vector{Times::kWords, Times::kMask, Times::kNothing}[_i % 3];
  const bool characters = _i >= 3;
  std::size_t seams = 0;
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const std::vector<Said> said = speak(random, 60000, characters);
    std::vector<Outcome> outcomes;
    for (const auto& chunk : cut(random, 60000, 1000)) {
      ChunkDone done = transcribe_chunk(random, chunk, said, times, characters);
      // Real streams begin somewhere, and not on a millisecond.
      auto moved = std::make_shared<ChunkInfo>(*done.chunk);
      moved->time.timestamp += Nanoseconds(3599999999871);
      moved->time.running_time = Nanoseconds(moved->time.timestamp.count() / 2);
      done.chunk = std::move(moved);
      outcomes.push_back(std::move(done));
    }
    ChunkFailed failed;
    failed.chunk = std::get<ChunkDone>(outcomes[3]).chunk;
    failed.failure.reason = "timeout";
    outcomes[3] = failed;
    outcomes[5] = ChunkSkipped{std::get<ChunkDone>(outcomes[5]).chunk, SkipReason::kSilence};
    std::vector<Outcome> stored;
    for (const Outcome& outcome : outcomes) {
      auto chunk = from_record(to_record(outcome, "", 1));
      ck_assert_msg(chunk.ok(), "%s", chunk ? "" : chunk.error().message.c_str());
      stored.push_back(chunk->outcome);
    }
    const std::string told = all_of(outcomes);
    assert_text(all_of(stored), told);
    for (std::size_t at = 0; (at = told.find("\"seam\"", at)) != std::string::npos; ++at) ++seams;
  }
  ck_assert_uint_ge(seams, 60);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fuzz_joins");
  TCase* tcase = tcase_create("fuzz_joins");
  tcase_add_test(tcase, word_times);
  tcase_add_test(tcase, text_over_the_speech);
  tcase_add_test(tcase, text_alone);
  tcase_add_test(tcase, characters_with_times);
  tcase_add_test(tcase, characters_over_the_speech);
  tcase_add_loop_test(tcase, joined_anew_from_records, 0, 6);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
