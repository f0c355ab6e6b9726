// Answers of services, broken at random: what is accepted keeps the promises of the parser.
#include <glib.h>

#include <random>
#include <string>
#include <vector>

#include "answers.h"
#include "fuzz.h"
#include "openai/response.h"

#include "check_main.h"

namespace {

using namespace transcribe;
using namespace transcribe::testing;

std::string mutate(std::string body, std::mt19937& random) {
  const auto below = [&random](std::size_t limit) { return random() % limit; };
  static const std::vector<std::string> kTokens = {"\"",
                                                   "\\",
                                                   "\\u0000",
                                                   "\\ud800",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   ":",
                                                   ",",
                                                   "null",
                                                   "-1",
                                                   "1e400",
                                                   "NaN",
                                                   "\xff",
                                                   "\xf0\x9f",
                                                   std::string(1, '\0'),
                                                   "/*",
                                                   "'",
                                                   "9999999999999999999",
                                                   "\"text\":"};
  for (std::size_t edits = 1 + below(3); edits > 0; edits--) {
    const std::size_t at = below(body.size() + 1);
    switch (below(5)) {
      case 0:
        body.resize(at);
        break;
      case 1:
        if (at < body.size()) body[at] = static_cast<char>(random());
        break;
      case 2:
        body.insert(at, kTokens[below(kTokens.size())]);
        break;
      case 3:
        body.erase(at, 1 + below(20));
        break;
      default:
        body.insert(at, body.substr(below(body.size() + 1), below(40)));
        break;
    }
  }
  return body;
}

START_TEST(mutated_answers_never_break_the_promises) {
  std::mt19937 random(20240917);
  unsigned accepted = 0;
  const unsigned count = rounds(6000, 600000);
  for (unsigned i = 0; i < count; i++) {
    const std::string body = mutate(kAnswers[i % kAnswers.size()], random);
    const auto result = parse_response(HttpResponse{200, {}, body});
    if (!result) {
      ck_assert(!result.error().message.empty());
      continue;
    }
    accepted++;
    const auto check_text = [](const std::string& text) {
      ck_assert(g_utf8_validate_len(text.data(), text.size(), nullptr));
    };
    check_text(result->text);
    check_text(result->language);
    check_text(result->raw);
    Nanoseconds previous{0};
    for (const Segment& segment : result->segments) {
      check_text(segment.text);
      check_text(segment.speaker);
      ck_assert(segment.start >= previous && segment.end >= segment.start);
      ck_assert(!segment.confidence || (*segment.confidence >= 0 && *segment.confidence <= 1));
      previous = segment.start;
    }
    previous = Nanoseconds(0);
    for (const Word& word : result->words) {
      check_text(word.text);
      ck_assert(!word.text.empty());
      ck_assert(word.start >= previous && word.end >= word.start);
      previous = word.start;
    }
  }
  // The mutations are gentle enough to get past the parser often.
  ck_assert_uint_gt(accepted, count / 10);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("fuzz_responses");
  TCase* tcase = tcase_create("fuzz_responses");
  tcase_add_test(tcase, mutated_answers_never_break_the_promises);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
