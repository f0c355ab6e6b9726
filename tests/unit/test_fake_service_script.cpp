// Scripts that tell the fake service what to answer.
#include "fake_script.h"
#include "fake_service_test.h"

using namespace transcribe;
using namespace transcribe::testing;

START_TEST(a_list_of_answers_is_a_queue) {
  FakeService service;
  service.play(Script({Answer::error(500), Answer::error(503)}));
  Client client(service);
  const unsigned wanted[] = {500, 503, 200, 200};
  for (const unsigned status : wanted) {
    ck_assert_uint_eq(client.ask(http(Form::good().body())).status, status);
  }
}
END_TEST

START_TEST(rules_match_chunk_and_attempt) {
  std::string error;
  auto script = Script::parse(
      R"({"answers": [{"chunk": 1, "attempt": 1, "status": 500},
                      {"chunk": 1, "attempt": 2, "status": 503, "body": {"detail": "x"}},
                      {"request": 3, "status": 418},
                      {"attempt": 1, "times": 1, "status": 429, "headers": {"Retry-After": "1"}}],
          "default": {"body": "{\"text\":\"fine\"}"}})",
      error);
  ck_assert_msg(script.has_value(), "%s", error.c_str());
  FakeService service;
  service.play(*script);
  Client client(service);
  const struct {
    unsigned chunk, status;
  } steps[] = {{1, 500}, {1, 503}, {1, 200}, {1, 418}, {2, 429}, {3, 200}};
  for (const auto& step : steps) {
    const auto reply = client.ask(http(Form::good(step.chunk).body()));
    ck_assert_uint_eq(reply.status, step.status);
    if (step.status == 503) {
      assert_text(reply.body, "{\"detail\":\"x\"}");
    }
    if (step.status == 200) {
      assert_text(text_of(reply.body), "fine");
    }
  }
}
END_TEST

START_TEST(a_script_reaches_every_member_of_an_answer) {
  std::string error;
  auto script = Script::parse(
      R"([{"request": 0, "status": 201, "delay_ms": 1, "gate": "g", "hang": true, "raw": "r",
           "reset": "after-body", "drip_bytes": 2, "drip_ms": 3, "cut_body_after": 4,
           "close": true, "close_idle_ms": 5},
          {"before_body": true, "status": 413}])",
      error);
  ck_assert_msg(script.has_value(), "%s", error.c_str());
  Request request;
  const auto early = script->on_head(request);
  ck_assert(early && early->status == 413);
  ck_assert(!script->on_head(request));
  const auto answer = script->on_request(request);
  ck_assert_uint_eq(answer.status, 201);
  ck_assert(answer.delay == milliseconds(1) && answer.gate == "g" && answer.hang);
  ck_assert(answer.raw == "r" && answer.reset == Reset::kAfterBody && answer.drip_bytes == 2);
  ck_assert(answer.drip_interval == milliseconds(3) && answer.cut_body_after == 4u);
  ck_assert(answer.close && answer.close_idle == milliseconds(5));
  request.number = 1;
  ck_assert_uint_eq(script->on_request(request).status, 200);
}
END_TEST

START_TEST(mistakes_in_a_script_are_named) {
  const struct {
    const char* json;
    const char* word;
  } cases[] = {{"", "script"},
               {"{", "arse"},
               {"{}", "script"},
               {"7", "script"},
               {"[7]", "object"},
               {"[{\"stauts\": 200}]", "stauts"},
               {"[{\"status\": \"200\"}]", "status"},
               {"[{\"delay_ms\": -1}]", "delay_ms"},
               {"[{\"hang\": 1}]", "hang"},
               {"[{\"reset\": \"maybe\"}]", "reset"},
               {"[{\"headers\": {\"a\": 1}}]", "headers"},
               {"[{\"chunk\": 1, \"reset\": \"before-body\"}]", "chunk"},
               {"{\"default\": {\"before_body\": true}}", "default"}};
  for (const auto& one : cases) {
    std::string error;
    ck_assert_msg(!Script::parse(one.json, error), "%s", one.json);
    ck_assert_msg(error.find(one.word) != std::string::npos, "%s: %s", one.json, error.c_str());
  }
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fake_service_script");
  TCase* tests = tcase_create("fake_service_script");
  tcase_add_test(tests, a_list_of_answers_is_a_queue);
  tcase_add_test(tests, rules_match_chunk_and_attempt);
  tcase_add_test(tests, a_script_reaches_every_member_of_an_answer);
  tcase_add_test(tests, mistakes_in_a_script_are_named);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
