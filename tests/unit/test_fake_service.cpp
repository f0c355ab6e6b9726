// The fake service on good and bad connections: what it answers and records.
#include "fake_service_test.h"

using namespace transcribe;
using namespace transcribe::testing;

START_TEST(a_correct_request_is_answered_and_recorded) {
  FakeService service;
  const auto body = Form::good(3).field("languages[]", "en").field("languages[]", "fr").body();
  const auto reply = ask(service, http(body, "Idempotency-Key: k1\r\n"));
  ck_assert_uint_eq(reply.status, 200);
  assert_text(text_of(reply.body), "chunk 3");
  assert_text(find_header(reply.headers, "x-request-id"), "req_0");
  ck_assert(service.wait_for_answers(1, kPatience));
  ck_assert(service.violations().empty());
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 1);
  const auto& seen = requests[0];
  assert_text(seen.method, "POST");
  assert_text(seen.path, "/v1/audio/transcriptions");
  assert_text(seen.header("idempotency-key"), "k1");
  assert_text(seen.field("model"), "gpt-transcribe");
  ck_assert(seen.fields("languages[]") == std::vector<std::string>({"en", "fr"}));
  ck_assert_uint_eq(seen.body_bytes, body.size());
  ck_assert_uint_eq(*seen.chunk, 3);
  ck_assert_uint_eq(seen.frames, 1600);
  ck_assert_int_eq((*seen.samples)[99], 100);
  ck_assert_uint_eq(seen.sha256.size(), 64);
  ck_assert_uint_eq(seen.status, 200);
  ck_assert_uint_eq(seen.in_flight, 1);
  ck_assert_uint_eq(seen.attempt, 1);
  ck_assert(seen.end == End::kAnswered);
  ck_assert(0 < seen.arrival && seen.arrival <= seen.received && seen.received <= seen.ended);
}
END_TEST

START_TEST(a_connection_carries_many_requests) {
  FakeService service;
  Client client(service);
  for (unsigned i = 0; i < 5; ++i) {
    assert_text(text_of(client.ask(http(Form::good(i).body())).body),
                ("chunk " + std::to_string(i)));
  }
  client.send(http(Form::good(7).body()) + http(Form::good(8).body()));
  assert_text(text_of(client.receive().body), "chunk 7");
  assert_text(text_of(client.receive().body), "chunk 8");
  ck_assert_uint_eq(service.connections(), 1);
  ck_assert(!client.ask(http(Form::good(9).body(), "Connection: close\r\n")).body.empty());
  ck_assert(client.drain().eof);
}
END_TEST

START_TEST(a_request_in_single_bytes_is_understood) {
  FakeService service;
  Client client(service);
  for (const char byte : http(Form::good().body()).substr(0, 700)) {
    client.send(std::string(1, byte));
  }
  client.send(http(Form::good().body()).substr(700));
  ck_assert_uint_eq(client.receive().status, 200);
}
END_TEST

START_TEST(chunked_bodies_and_continue_are_understood) {
  FakeService service;
  const auto body = Form::good(4).body();
  const std::string head = std::string("POST /v1/audio/transcriptions HTTP/1.1\r\nContent-Type: ") +
                           Form::kType +
                           "\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
  char size[32];
  g_snprintf(size, sizeof size, "%zx\r\n", body.size() - 10);
  Client client(service);
  ck_assert_uint_eq(client.ask(head).status, 100);
  const auto reply = client.ask(size + body.substr(0, body.size() - 10) + "\r\nA;x=y\r\n" +
                                body.substr(body.size() - 10) + "\r\n0\r\nX: y\r\n\r\n");
  ck_assert_uint_eq(reply.status, 200);
  ck_assert(service.wait_for_answers(1, kPatience));
  ck_assert_uint_eq(*service.requests()[0].chunk, 4);
  ck_assert_uint_eq(service.requests()[0].body_bytes, body.size());
  ck_assert(service.violations().empty());
}
END_TEST

START_TEST(formats_give_the_shape_that_was_asked_for) {
  FakeService service;
  const auto verbose = ask(service, http(Form::good(2)
                                             .field("response_format", "verbose_json")
                                             .field("timestamp_granularities[]", "word")
                                             .field("timestamp_granularities[]", "segment")
                                             .body()));
  auto node = parse(verbose.body);
  JsonObject* object = json_node_get_object(node.get());
  assert_text(json_object_get_string_member(object, "text"), "chunk 2");
  ck_assert(json_object_get_double_member(object, "duration") == 0.1);
  ck_assert_uint_eq(json_array_get_length(json_object_get_array_member(object, "words")), 2);
  ck_assert_uint_eq(json_array_get_length(json_object_get_array_member(object, "segments")), 1);

  node =
      parse(ask(service, http(Form::good().field("response_format", "diarized_json").body())).body);
  JsonArray* segments = json_object_get_array_member(json_node_get_object(node.get()), "segments");
  assert_text(json_object_get_string_member(json_array_get_object_element(segments, 0), "speaker"),
              "A");

  node = parse(ask(service, http(Form::good().field("include[]", "logprobs").body())).body);
  ck_assert(json_object_has_member(json_node_get_object(node.get()), "logprobs"));
  assert_text(ask(service, http(Form::good().field("response_format", "text").body())).body,
              "chunk 1\n");
  ck_assert_uint_eq(ask(service, http(Form::good().body(), {}, "/v1/audio/translations")).status,
                    200);
  ck_assert(service.violations().empty());
}
END_TEST

START_TEST(parallel_requests_are_counted) {
  FakeService service;
  Answer held;
  held.gate = "all";
  set_answer(service, held);
  std::vector<std::unique_ptr<Client>> clients;
  for (unsigned i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(service));
    clients.back()->send(http(Form::good(i).body()));
  }
  ck_assert(service.wait_for_requests(20, kPatience));
  ck_assert_uint_eq(service.in_flight(), 20);
  ck_assert(!service.wait_for_answers(1, milliseconds(20)));
  service.open_gate("all");
  for (unsigned i = 0; i < 20; ++i) {
    assert_text(text_of(clients[i]->receive().body), ("chunk " + std::to_string(i)));
  }
  ck_assert(service.wait_for_answers(20, kPatience));
  ck_assert_uint_eq(service.in_flight(), 0);
  ck_assert_uint_eq(service.max_in_flight(), 20);
  ck_assert_uint_eq(service.connections(), 20);
}
END_TEST

START_TEST(gates_reverse_the_order) {
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    answer.gate = std::to_string(*request.chunk);
    return answer;
  });
  Client first(service);
  Client second(service);
  first.send(http(Form::good(1).body()));
  second.send(http(Form::good(2).body()));
  ck_assert(service.wait_for_requests(2, kPatience));
  service.open_gate("2");
  ck_assert_uint_eq(second.receive().status, 200);
  ck_assert_uint_eq(service.in_flight(), 1);
  service.open_gate("1");
  ck_assert_uint_eq(first.receive().status, 200);
}
END_TEST

START_TEST(attempts_count_by_key_or_by_name) {
  FakeService service;
  Client client(service);
  client.ask(http(Form::good(1).body(), "Idempotency-Key: a\r\n"));
  client.ask(http(Form::good(1).body(), "Idempotency-Key: b\r\n"));
  client.ask(http(Form::good(1).body(), "Idempotency-Key: a\r\n"));
  client.ask(http(Form::good(1).body()));
  client.ask(http(Form::good(1).body()));
  const auto seen = service.requests();
  const unsigned wanted[] = {1, 1, 2, 1, 2};
  for (std::size_t i = 0; i < 5; ++i) {
    ck_assert_uint_eq(seen[i].attempt, wanted[i]);
  }
}
END_TEST

START_TEST(a_service_that_does_not_listen_refuses) {
  FakeService service;
  Client early(service);
  ck_assert_uint_eq(early.ask(http(Form::good(1).body())).status, 200);
  service.set_listening(false);
  ck_assert(!Client(service).connected());
  ck_assert_uint_eq(early.ask(http(Form::good(2).body())).status, 200);
  service.set_listening(true);
  ck_assert_uint_eq(ask(service, http(Form::good(3).body())).status, 200);
}
END_TEST

START_TEST(clients_that_vanish_do_no_harm) {
  FakeService service;
  const auto bytes = http(Form::good().body());
  for (std::size_t size = 0; size < bytes.size(); size += 97) {
    Client client(service);
    client.send(bytes.substr(0, size));
    client.close();
  }
  Answer large;
  large.body = std::string(8 * 1024 * 1024, 'x');
  set_answer(service, large);
  Client client(service);
  client.send(bytes);
  ck_assert(service.wait_for_requests(1, kPatience));
  client.close();
  service.answer_with({});
  ck_assert_uint_eq(ask(service, bytes).status, 200);
}
END_TEST

START_TEST(stopping_ends_what_is_open) {
  std::vector<Request> ended;
  std::unique_ptr<Client> client;
  {
    FakeService::Options options;
    options.on_end = [&](const Request& request) { ended.push_back(request); };
    FakeService service(options);
    Answer answer;
    answer.hang = true;
    set_answer(service, answer);
    client = std::make_unique<Client>(service);
    client->send(http(Form::good().body()));
    ck_assert(service.wait_for_requests(1, kPatience));
  }
  ck_assert_uint_eq(ended.size(), 1);
  ck_assert(ended[0].end == End::kStopped);
  ck_assert(!client->receive().status);
}
END_TEST

START_TEST(audio_can_be_dropped_at_the_end) {
  FakeService::Options options;
  options.keep_audio = false;
  FakeService service(options);
  std::size_t samples = 0;
  service.answer_with([&](const Request& request) {
    samples = request.samples->size();
    return Answer();
  });
  ck_assert_uint_eq(ask(service, http(Form::good().body())).status, 200);
  ck_assert(service.wait_for_answers(1, kPatience));
  const auto seen = service.requests()[0];
  ck_assert_uint_eq(samples, 1600);
  ck_assert_uint_eq(seen.frames, 1600);
  ck_assert(!seen.samples && !seen.file()->content);
  assert_text(seen.field("model"), "gpt-transcribe");
}
END_TEST

START_TEST(what_is_no_http_is_refused_and_recorded) {
  const char* garbage[] = {"\x16\x03\x01 hello\r\n\r\n",
                           "POST / HTTP/2\r\n\r\n",
                           "POST / HTTP/1.1\r\nno colon\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                           "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                           "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"};
  std::size_t count = 0;
  FakeService service;
  for (const char* bytes : garbage) {
    ck_assert_msg(ask(service, bytes).status == 400, "%s", bytes);
    ck_assert_uint_eq(service.violations().size(), ++count);
  }
  ck_assert_uint_eq(ask(service, std::string(100000, 'x')).status, 400);
  ck_assert_uint_eq(ask(service, http(Form::good().body())).status, 200);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fake_service");
  TCase* tests = tcase_create("fake_service");
  tcase_add_test(tests, a_correct_request_is_answered_and_recorded);
  tcase_add_test(tests, a_connection_carries_many_requests);
  tcase_add_test(tests, a_request_in_single_bytes_is_understood);
  tcase_add_test(tests, chunked_bodies_and_continue_are_understood);
  tcase_add_test(tests, formats_give_the_shape_that_was_asked_for);
  tcase_add_test(tests, parallel_requests_are_counted);
  tcase_add_test(tests, gates_reverse_the_order);
  tcase_add_test(tests, attempts_count_by_key_or_by_name);
  tcase_add_test(tests, a_service_that_does_not_listen_refuses);
  tcase_add_test(tests, clients_that_vanish_do_no_harm);
  tcase_add_test(tests, stopping_ends_what_is_open);
  tcase_add_test(tests, audio_can_be_dropped_at_the_end);
  tcase_add_test(tests, what_is_no_http_is_refused_and_recorded);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
