#include <glib.h>

#include <cmath>
#include <string>
#include <vector>

#include "answers.h"
#include "openai/json.h"
#include "openai/response.h"

#include "check_main.h"

namespace {

using namespace transcribe;
using namespace transcribe::testing;
using std::chrono::milliseconds;

Result<Transcription> parse(const std::string& body, Headers headers = {}) {
  return parse_response(HttpResponse{200, std::move(headers), body});
}

Transcription good(const std::string& body) {
  auto result = parse(body);
  ck_assert_msg(result.ok(), "refused: %s (%s)", body.c_str(),
                result.ok() ? "" : result.error().message.c_str());
  return *result;
}

std::string refusal(const std::string& body) {
  auto result = parse(body);
  ck_assert_msg(!result.ok(), "accepted: %s", body.c_str());
  return result.error().message;
}

void check_same(const std::string& is, const std::string& expected) {
  ck_assert_msg(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

void check_near(std::optional<double> value, double expected) {
  ck_assert(value.has_value());
  ck_assert_double_eq_tol(*value, expected, 1e-9);
}

START_TEST(reads_openai_json) {
  const Transcription t = good(kOpenAiJson);
  check_same(t.text, "And so my fellow Americans.");
  check_same(t.language, "en");
  ck_assert(t.segments.empty() && t.words.empty() && !t.confidence);
  check_same(t.raw, kOpenAiJson);
}
END_TEST

START_TEST(reads_openai_verbose_json) {
  const Transcription t = good(kOpenAiVerbose);
  check_same(t.language, "english");
  ck_assert_uint_eq(t.segments.size(), 2);
  const Segment& second = t.segments[1];
  check_same(second.text, "was popular.");
  ck_assert(second.start == milliseconds(3320) && second.end == milliseconds(8470));
  check_near(second.avg_logprob, -0.5);
  check_near(second.confidence, std::exp(-0.5));
  check_near(second.no_speech_prob, 0.02);
  check_near(second.compression_ratio, 1.5);
  ck_assert_uint_eq(t.words.size(), 2);
  check_same(t.words[1].text, "beach");
  ck_assert(t.words[1].start == milliseconds(240) && t.words[1].end == milliseconds(500));
  ck_assert(!t.words[1].confidence);
}
END_TEST

START_TEST(reads_speakers) {
  const Transcription t = good(kOpenAiDiarized);
  ck_assert_uint_eq(t.segments.size(), 2);
  check_same(t.segments[0].speaker, "agent");
  check_same(t.segments[1].speaker, "A");
  ck_assert(t.segments[1].end == milliseconds(11800));
  const Transcription numbered =
      good(R"({"text":"x","segments":[{"text":"x","start":0,"end":1,"speaker":2}]})");
  check_same(numbered.segments[0].speaker, "2");
}
END_TEST

START_TEST(reads_words_inside_segments) {
  const Transcription cpp = good(kWhisperCpp);
  check_same(cpp.text, "And so my");
  ck_assert_uint_eq(cpp.words.size(), 2);
  check_same(cpp.words[0].text, "And");
  check_near(cpp.words[0].confidence, 0.75);
  const Transcription local = good(kLocalAi);
  ck_assert_uint_eq(local.words.size(), 2);
  check_same(local.words[1].text, "day");
  ck_assert(local.words[1].end == milliseconds(1500));
}
END_TEST

START_TEST(words_at_the_top_win_over_those_inside) {
  const Transcription t =
      good(R"({"text":"a b","words":[{"word":"a","start":0,"end":1}],"segments":[)"
           R"({"text":"a b","start":0,"end":1,"words":[{"word":"a"},{"word":"b"}]}]})");
  ck_assert_uint_eq(t.words.size(), 1);
  const Transcription empty_top =
      good(R"({"text":"a","words":[],"segments":[{"text":"a","words":[{"word":"a"}]}]})");
  ck_assert_uint_eq(empty_top.words.size(), 1);
}
END_TEST

START_TEST(takes_nulls_and_numbers_as_strings) {
  const Transcription vllm = good(kVllm);
  ck_assert_uint_eq(vllm.segments.size(), 1);
  ck_assert(!vllm.segments[0].no_speech_prob);
  const Transcription speaches = good(kSpeaches);
  ck_assert(speaches.language.empty() && speaches.segments.empty());
  const Transcription strings =
      good(R"({"text":"x","segments":[{"text":"x","start":"1.5","end":"2.25",)"
           R"("avg_logprob":"-0.5"}]})");
  ck_assert(strings.segments[0].start == milliseconds(1500));
  ck_assert(strings.segments[0].end == milliseconds(2250));
  check_near(strings.segments[0].avg_logprob, -0.5);
}
END_TEST

START_TEST(takes_any_language_shape) {
  check_same(good(R"({"text":"","languages":[]})").language, "");
  check_same(good(R"({"text":"","languages":["de","en"]})").language, "de");
  check_same(good(R"({"text":"","languages":[{},{"code":"fr"}]})").language, "fr");
  check_same(good(R"({"text":"","language":7})").language, "");
}
END_TEST

START_TEST(mean_of_logprobs_is_the_confidence) {
  check_near(good(kLogprobs).confidence, std::exp(-0.2));
  ck_assert(!good(R"({"text":"x","logprobs":[]})").confidence);
  ck_assert(!good(R"({"text":"x","logprobs":[{"token":"x"},null,3]})").confidence);
  check_near(good(R"({"text":"x","logprobs":[{"logprob":5}]})").confidence, 1.0);
}
END_TEST

START_TEST(empty_text_is_silence) {
  ck_assert(good(R"({"text":""})").text.empty());
  ck_assert(good("{\"text\":\" \\n\"}").text.empty());
}
END_TEST

START_TEST(broken_answers_are_refused) {
  for (const char* body : {"",
                           "  \n",
                           "null",
                           "[]",
                           "\"text\"",
                           "7",
                           "{}",
                           "{\"text\":null}",
                           "{\"text\":7}",
                           "{\"text\":[\"a\"]}",
                           "{\"text\":\"a",
                           "{\"text\":\"a\"",
                           "{\"text\":\"a\"}}",
                           "{\"text\":\"a\"} and more",
                           "And so my fellow Americans.",
                           "<html><body>Bad gateway</body>",
                           "data: {\"type\":\"transcript.text.delta\"}\n\n",
                           "{'text':'a'}",
                           "/* \"*/{\"text\":\"a\"}",
                           "{\"text\":\"\\u12\"}",
                           "{\"text\":\"\\",
                           "{\"text\":\"\\7000\"}",
                           "{\"texts\":\"a\"}"}) {
    ck_assert(!refusal(body).empty());
  }
  ck_assert(parse_json(std::string("{\"a\":1 }")));
  ck_assert(!parse_json(std::string("{\"a\":1\0}", 8)));
}
END_TEST

START_TEST(an_error_inside_a_success_is_broken) {
  refusal(R"({"error":{"message":"model crashed"}})");
  refusal(R"({"text":"half","error":{"message":"model crashed"}})");
  refusal(R"({"text":"half","error":"model crashed"})");
  check_same(good(R"({"text":"x","error":null})").text, "x");
  check_same(good(R"({"text":"x","error":""})").text, "x");
}
END_TEST

START_TEST(times_are_sorted_and_sane) {
  const Transcription t = good(
      R"({"text":"x","segments":[{"text":"c","start":5,"end":4},{"text":"a","start":-3,"end":1},)"
      R"({"text":"b","start":1e999,"end":"inf"},{"text":"d","start":1e300,"end":2e300},)"
      R"({"text":"e","start":99999999999999999999999,"end":6}]})");
  ck_assert_uint_eq(t.segments.size(), 5);
  Nanoseconds previous{0};
  for (const Segment& segment : t.segments) {
    ck_assert(segment.start >= previous);
    ck_assert(segment.end >= segment.start);
    previous = segment.start;
  }
  check_same(t.segments[0].text, "a");
  ck_assert(t.segments[0].start == Nanoseconds(0));
}
END_TEST

START_TEST(missing_times_continue_the_one_before) {
  const Transcription t =
      good(R"({"text":"x","segments":[{"text":"a","end":2},{"text":"b"},{"text":"c","start":3}]})");
  ck_assert(t.segments[0].start == Nanoseconds(0) && t.segments[0].end == milliseconds(2000));
  ck_assert(t.segments[1].start == milliseconds(2000) && t.segments[1].end == milliseconds(2000));
  ck_assert(t.segments[2].start == milliseconds(3000) && t.segments[2].end == milliseconds(3000));
}
END_TEST

START_TEST(times_are_cut_at_the_audio_end) {
  Transcription t = good(kOpenAiVerbose);
  clamp_times(t, milliseconds(3000));
  ck_assert(t.segments[0].end == milliseconds(3000));
  ck_assert(t.segments[1].start == milliseconds(3000) && t.segments[1].end == milliseconds(3000));
  ck_assert(t.words[1].end == milliseconds(500));
}
END_TEST

START_TEST(odd_members_are_passed_over) {
  const Transcription t = good(
      R"({"text":"x","words":[null,1,"a",{"start":1},{"word":" "},{"word":"w","probability":7}],)"
      R"("segments":[null,[],{"text":""},{"start":1}]})");
  ck_assert_uint_eq(t.words.size(), 1);
  check_near(t.words[0].confidence, 1.0);
  ck_assert(t.segments.empty());
  ck_assert(good(R"({"text":"x","segments":{},"words":"no"})").segments.empty());
}
END_TEST

START_TEST(text_is_always_valid_utf8) {
  check_same(good("{\"text\":\"a\xff"
                  "b\"}")
                 .text,
             "a\xEF\xBF\xBD"
             "b");
  check_same(good(std::string("{\"text\":\"a\0b\"}", 14)).text,
             "a\xEF\xBF\xBD"
             "b");
  check_same(good(R"({"text":"a\u0000b"})").text,
             "a\xEF\xBF\xBD"
             "b");
  check_same(good(R"({"text":"a\ud800b"})").text,
             "a\xEF\xBF\xBD"
             "b");
  check_same(good(R"({"text":"a\ud800\u0041"})").text,
             "a\xEF\xBF\xBD"
             "A");
  check_same(good(R"({"text":"\udc00b"})").text,
             "\xEF\xBF\xBD"
             "b");
  check_same(good(R"({"text":"\ud83d\ude00"})").text, "\xF0\x9F\x98\x80");
  check_same(good(R"({"text":"\\u0000"})").text, "\\u0000");
}
END_TEST

START_TEST(non_numbers_count_as_missing) {
  const Transcription t =
      good(R"({"text":"NaN -Infinity","segments":[{"text":"x","start":1,"end":2,"avg_logprob":NaN,)"
           R"("no_speech_prob":Infinity,"compression_ratio":-Infinity}]})");
  check_same(t.text, "NaN -Infinity");
  ck_assert(!t.segments[0].avg_logprob && !t.segments[0].no_speech_prob);
  ck_assert(!t.segments[0].compression_ratio && !t.segments[0].confidence);
}
END_TEST

START_TEST(byte_order_mark_is_passed_over) {
  check_same(good("\xEF\xBB\xBF{\"text\":\"x\"}").text, "x");
}
END_TEST

START_TEST(deep_nesting_is_refused) {
  for (const std::size_t depth : {std::size_t(65), std::size_t(1000000)}) {
    refusal("{\"text\":\"x\",\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
    refusal(std::string(depth, '['));
    refusal("/*\"*/" + std::string(depth, '['));
  }
  good("{\"text\":\"x\",\"a\":" + std::string(50, '[') + std::string(50, ']') + "}");
  const std::string brackets(5000, '[');
  check_same(good("{\"text\":\"\\\"" + brackets + "\"}").text, "\"" + brackets);
}
END_TEST

START_TEST(request_id_comes_from_the_header) {
  const auto id = [](Headers headers) { return parse(kGroq, std::move(headers))->request_id; };
  check_same(id({{"X-Request-Id", "req_1"}}), "req_1");
  check_same(id({{"apim-request-id", "az"}}), "az");
  check_same(id({}), "");
  ck_assert_uint_eq(id({{"x-request-id", std::string(1000, 'x')}}).size(), 128);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("response");
  TCase* tcase = tcase_create("response");
  tcase_add_test(tcase, reads_openai_json);
  tcase_add_test(tcase, reads_openai_verbose_json);
  tcase_add_test(tcase, reads_speakers);
  tcase_add_test(tcase, reads_words_inside_segments);
  tcase_add_test(tcase, words_at_the_top_win_over_those_inside);
  tcase_add_test(tcase, takes_nulls_and_numbers_as_strings);
  tcase_add_test(tcase, takes_any_language_shape);
  tcase_add_test(tcase, mean_of_logprobs_is_the_confidence);
  tcase_add_test(tcase, empty_text_is_silence);
  tcase_add_test(tcase, broken_answers_are_refused);
  tcase_add_test(tcase, an_error_inside_a_success_is_broken);
  tcase_add_test(tcase, times_are_sorted_and_sane);
  tcase_add_test(tcase, missing_times_continue_the_one_before);
  tcase_add_test(tcase, times_are_cut_at_the_audio_end);
  tcase_add_test(tcase, odd_members_are_passed_over);
  tcase_add_test(tcase, text_is_always_valid_utf8);
  tcase_add_test(tcase, non_numbers_count_as_missing);
  tcase_add_test(tcase, byte_order_mark_is_passed_over);
  tcase_add_test(tcase, deep_nesting_is_refused);
  tcase_add_test(tcase, request_id_comes_from_the_header);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
