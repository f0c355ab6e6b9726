// Every fault that the fake service can be told to have.
#include "fake_service_test.h"

using namespace transcribe;
using namespace transcribe::testing;

START_TEST(status_headers_and_body_are_as_scripted) {
  FakeService service;
  Answer answer = Answer::error(429, "rate_limit_exceeded", "requests", "slow", "model");
  answer.headers = {{"Retry-After", "2"}, {"x-should-retry", "true"}};
  set_answer(service, answer);
  const auto reply = ask(service, http(Form::good().body()));
  ck_assert_uint_eq(reply.status, 429);
  assert_text(find_header(reply.headers, "retry-after"), "2");
  assert_text(reply.body,
              "{\"error\":{\"message\":\"slow\",\"type\":\"requests\",\"param\":\"model\","
              "\"code\":\"rate_limit_exceeded\"}}");
  answer = Answer();
  answer.status = 502;
  answer.headers = {{"Content-Type", "text/html"}};
  answer.body = "<html>";
  set_answer(service, answer);
  const auto html = ask(service, http(Form::good().body()));
  ck_assert_uint_eq(html.status, 502);
  assert_text(find_header(html.headers, "content-type"), "text/html");
  assert_text(html.body, "<html>");
}
END_TEST

START_TEST(a_delay_holds_the_answer_back) {
  FakeService service;
  Answer answer;
  answer.delay = milliseconds(50);
  set_answer(service, answer);
  ck_assert_uint_eq(ask(service, http(Form::good().body())).status, 200);
  ck_assert(service.wait_for_answers(1, kPatience));
  const auto seen = service.requests()[0];
  ck_assert(took(seen.received, seen.ended) >= milliseconds(49));
}
END_TEST

START_TEST(a_dripping_answer_comes_whole_but_slowly) {
  FakeService service;
  Answer answer;
  answer.body = "{\"text\":\"0123456789\"}";
  answer.drip_bytes = 3;
  answer.drip_interval = milliseconds(10);
  set_answer(service, answer);
  assert_text(ask(service, http(Form::good().body())).body, *answer.body);
  ck_assert(service.wait_for_answers(1, kPatience));
  const auto seen = service.requests()[0];
  ck_assert(took(seen.received, seen.ended) >= milliseconds(60));
}
END_TEST

START_TEST(a_hanging_request_lasts_until_the_client_goes) {
  FakeService service;
  Answer answer;
  answer.hang = true;
  set_answer(service, answer);
  Client client(service);
  client.send(http(Form::good().body()));
  ck_assert(service.wait_for_requests(1, kPatience));
  ck_assert(!service.wait_for_answers(1, milliseconds(30)));
  client.close();
  ck_assert(service.wait_for_answers(1, kPatience));
  ck_assert(service.requests()[0].end == End::kClientGone);
  ck_assert_uint_eq(service.in_flight(), 0);
}
END_TEST

START_TEST(a_cut_body_is_shorter_than_it_says) {
  FakeService service;
  Answer answer;
  answer.body = "{\"text\":\"whole\"}";
  answer.cut_body_after = 5;
  set_answer(service, answer);
  const auto reply = ask(service, http(Form::good().body()));
  ck_assert_uint_eq(reply.status, 0);
  ck_assert(reply.eof);
  ck_assert_ptr_nonnull(std::strstr(reply.raw.c_str(), "Content-Length: 16\r\n"));
  ck_assert(g_str_has_suffix(reply.raw.c_str(), "\r\n\r\n{\"tex"));
  ck_assert(service.wait_for_answers(1, kPatience));
  ck_assert(service.requests()[0].end == End::kFault);
}
END_TEST

START_TEST(garbage_replaces_http) {
  FakeService service;
  Answer answer;
  answer.raw = "SSH-2.0\r\n";
  set_answer(service, answer);
  const auto reply = ask(service, http(Form::good().body()));
  assert_text(reply.raw, "SSH-2.0\r\n");
  ck_assert(reply.eof);
}
END_TEST

START_TEST(a_reset_after_the_body_is_a_reset) {
  FakeService service;
  Answer answer;
  answer.reset = Reset::kAfterBody;
  set_answer(service, answer);
  const auto reply = ask(service, http(Form::good().body()));
  ck_assert(reply.reset);
  assert_text(reply.raw, "");
  ck_assert(service.wait_for_answers(1, kPatience));
  const auto seen = service.requests()[0];
  ck_assert(seen.end == End::kFault && seen.received > 0 && seen.status == 0);
}
END_TEST

START_TEST(a_reset_before_the_body_reads_none_of_it) {
  FakeService service;
  service.answer_head_with([](const Request& request) -> std::optional<Answer> {
    Answer answer;
    answer.reset = Reset::kBeforeBody;
    return request.number == 0 ? std::optional<Answer>(answer) : std::nullopt;
  });
  const auto bytes = http(Form::good().body());
  Client client(service);
  client.send(bytes.substr(0, bytes.find("\r\n\r\n") + 4));
  ck_assert(client.receive().reset);
  ck_assert(service.wait_for_answers(1, kPatience));
  const auto seen = service.requests()[0];
  ck_assert(seen.end == End::kFault && seen.received == 0 && seen.parts.empty());
  ck_assert_uint_eq(ask(service, bytes).status, 200);
}
END_TEST

START_TEST(an_early_answer_survives_the_rest_of_the_body) {
  FakeService service;
  service.answer_head_with(
      [](const Request&) -> std::optional<Answer> { return Answer::error(413); });
  Client client(service);
  const auto bytes = http(Form().file("a.wav", wav(4000000)).field("model", "m").body());
  ck_assert(client.send(bytes));
  ck_assert_uint_eq(client.receive().status, 413);
  const auto seen = service.requests()[0];
  ck_assert(seen.received == 0 && seen.body_bytes == 0);
}
END_TEST

START_TEST(close_ends_the_connection_after_the_answer) {
  FakeService service;
  Answer answer;
  answer.close = true;
  set_answer(service, answer);
  Client client(service);
  const auto reply = client.ask(http(Form::good().body()));
  ck_assert_uint_eq(reply.status, 200);
  assert_text(find_header(reply.headers, "connection"), "close");
  ck_assert(client.drain().eof);
}
END_TEST

START_TEST(idle_connections_are_closed_after_their_time) {
  FakeService service;
  Answer answer;
  answer.close_idle = milliseconds(30);
  set_answer(service, answer);
  Client client(service);
  ck_assert_uint_eq(client.ask(http(Form::good().body())).status, 200);
  ck_assert(client.drain().eof);

  FakeService::Options options;
  options.close_idle = milliseconds(30);
  FakeService impatient(options);
  ck_assert(Client(impatient).drain().eof);
}
END_TEST

START_TEST(idle_connections_are_closed_on_demand) {
  FakeService service;
  Answer answer;
  answer.gate = "later";
  Client idle(service);
  ck_assert_uint_eq(idle.ask(http(Form::good(1).body())).status, 200);
  set_answer(service, answer);
  Client busy(service);
  busy.send(http(Form::good(2).body()));
  ck_assert(service.wait_for_requests(2, kPatience));
  ck_assert(service.wait_for_answers(1, kPatience));
  service.close_idle_connections();
  ck_assert(idle.drain().eof);
  ck_assert_uint_eq(service.open_connections(), 1);
  service.open_gate("later");
  ck_assert_uint_eq(busy.receive().status, 200);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fake_service_faults");
  TCase* tests = tcase_create("fake_service_faults");
  tcase_add_test(tests, status_headers_and_body_are_as_scripted);
  tcase_add_test(tests, a_delay_holds_the_answer_back);
  tcase_add_test(tests, a_dripping_answer_comes_whole_but_slowly);
  tcase_add_test(tests, a_hanging_request_lasts_until_the_client_goes);
  tcase_add_test(tests, a_cut_body_is_shorter_than_it_says);
  tcase_add_test(tests, garbage_replaces_http);
  tcase_add_test(tests, a_reset_after_the_body_is_a_reset);
  tcase_add_test(tests, a_reset_before_the_body_reads_none_of_it);
  tcase_add_test(tests, an_early_answer_survives_the_rest_of_the_body);
  tcase_add_test(tests, close_ends_the_connection_after_the_answer);
  tcase_add_test(tests, idle_connections_are_closed_after_their_time);
  tcase_add_test(tests, idle_connections_are_closed_on_demand);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
