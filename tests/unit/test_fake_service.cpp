#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/glib_ptr.h"
#include "fake_service.h"
#include "multipart_reader.h"
#include "wav_reader.h"

#include "check_main.h"

using namespace transcribe;
using namespace transcribe::testing;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kPatience{10000};

std::string little_endian(std::uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
  return bytes;
}

std::string wav(std::size_t frames, std::int16_t first = 1) {
  std::string data;
  data.reserve(2 * frames);
  for (std::size_t i = 0; i < frames; ++i) {
    const auto sample = static_cast<unsigned>(first + static_cast<int>(i % 100));
    data += static_cast<char>(sample);
    data += static_cast<char>(sample >> 8);
  }
  const auto size = static_cast<std::uint32_t>(data.size());
  return "RIFF" + little_endian(36 + size, 4) + "WAVEfmt " + little_endian(16, 4) +
         little_endian(1, 2) + little_endian(1, 2) + little_endian(16000, 4) +
         little_endian(32000, 4) + little_endian(2, 2) + little_endian(16, 2) + "data" +
         little_endian(size, 4) + data;
}

// A form in the making; the defaults are a correct request.
struct Form {
  std::string content;
  static constexpr const char* kType = "multipart/form-data; boundary=edge";

  Form& field(const std::string& name, const std::string& value) {
    content +=
        "--edge\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
    return *this;
  }
  Form& file(const std::string& filename, const std::string& bytes) {
    content += "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + filename +
               "\"\r\nContent-Type: audio/wav\r\n\r\n" + bytes + "\r\n";
    return *this;
  }
  std::string body() const { return content + "--edge--\r\n"; }
  static Form good(unsigned chunk = 1) {
    char name[32];
    g_snprintf(name, sizeof name, "chunk-%06u.wav", chunk);
    return Form().file(name, wav(1600)).field("model", "gpt-transcribe");
  }
};

std::string http(const std::string& body, const std::string& headers = {},
                 const std::string& path = "/v1/audio/transcriptions") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + Form::kType + "\r\n" +
         headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct Reply {
  unsigned status = 0;  // 0: no whole answer came
  Headers headers;
  std::string body;
  std::string raw;  // all bytes, when it was no whole answer
  bool reset = false;
  bool eof = false;
};

// One connection, blocking, with nothing of HTTP that could hide a fault.
class Client {
 public:
  explicit Client(const FakeService& service) {
    const ObjectPtr<GSocketAddress> address(
        g_inet_socket_address_new_from_string("127.0.0.1", service.port()));
    socket_.reset(
        g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr));
    g_socket_set_timeout(socket_.get(), 10);
    connected_ = g_socket_connect(socket_.get(), address.get(), nullptr, nullptr);
  }
  bool connected() const { return connected_; }

  bool send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const gssize size =
          g_socket_send(socket_.get(), bytes.data() + sent, bytes.size() - sent, nullptr, nullptr);
      if (size <= 0) {
        return false;
      }
      sent += static_cast<std::size_t>(size);
    }
    return true;
  }

  Reply receive() {
    Reply reply;
    std::size_t head = std::string::npos;
    std::size_t length = 0;
    while (true) {
      if (head == std::string::npos && (head = input_.find("\r\n\r\n")) != std::string::npos) {
        const auto line = input_.find("\r\n");
        read_header_lines(std::string_view(input_).substr(line + 2, head - line), reply.headers);
        length = std::strtoul(find_header(reply.headers, "Content-Length").c_str(), nullptr, 10);
      }
      if (head != std::string::npos && input_.size() >= head + 4 + length) {
        reply.status = static_cast<unsigned>(std::strtoul(input_.c_str() + 9, nullptr, 10));
        reply.body = input_.substr(head + 4, length);
        input_.erase(0, head + 4 + length);
        return reply;
      }
      if (!fill(reply)) {
        reply.raw = input_;
        return reply;
      }
    }
  }

  Reply ask(const std::string& bytes) {
    send(bytes);
    return receive();
  }
  // Waits for the end of the connection.
  Reply drain() {
    Reply reply;
    while (fill(reply)) {
    }
    return reply;
  }
  void close() { g_socket_close(socket_.get(), nullptr); }

 private:
  bool fill(Reply& reply) {
    char buffer[4096];
    ErrorPtr error;
    const gssize size = g_socket_receive(socket_.get(), buffer, sizeof buffer, nullptr, out(error));
    if (size > 0) {
      input_.append(buffer, static_cast<std::size_t>(size));
      return true;
    }
    reply.eof = size == 0;
    reply.reset = g_error_matches(error.get(), G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
    return false;
  }

  ObjectPtr<GSocket> socket_;
  bool connected_ = false;
  std::string input_;
};

Reply ask(const FakeService& service, const std::string& bytes) {
  return Client(service).ask(bytes);
}

JsonNodePtr parse(const std::string& text) {
  return JsonNodePtr(json_from_string(text.c_str(), nullptr));
}

std::string text_of(const std::string& body) {
  const auto node = parse(body);
  ck_assert_msg(node && JSON_NODE_HOLDS_OBJECT(node.get()), "%s", body.c_str());
  return json_object_get_string_member(json_node_get_object(node.get()), "text");
}

void set_answer(FakeService& service, const Answer& answer) {
  service.answer_with([answer](const Request&) { return answer; });
}

milliseconds took(std::int64_t from, std::int64_t to) { return milliseconds((to - from) / 1000); }

}  // namespace

// Reading WAV

START_TEST(wav_gives_the_samples) {
  std::string error;
  const auto samples = read_wav(wav(3, -2), error);
  ck_assert(samples.has_value());
  ck_assert(*samples == std::vector<std::int16_t>({-2, -1, 0}));
  ck_assert(read_wav(wav(0), error).has_value());
}
END_TEST

START_TEST(wav_with_one_wrong_header_byte_is_refused) {
  const std::string good = wav(10);
  for (std::size_t at = 0; at < 44; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] + 1);
    std::string error;
    ck_assert_msg(!read_wav(bad, error), "byte %zu", at);
    ck_assert(!error.empty());
  }
}
END_TEST

START_TEST(wav_of_wrong_length_is_refused) {
  const std::string good = wav(10);
  std::string error;
  for (std::size_t size = 0; size < good.size(); ++size) {
    ck_assert_msg(!read_wav(good.substr(0, size), error), "length %zu", size);
  }
  ck_assert(!read_wav(good + '\0', error));
  // A header with the sizes of a stream whose end was not known.
  std::string streamed = good;
  streamed.replace(4, 4, "\xff\xff\xff\xff");
  streamed.replace(40, 4, "\xff\xff\xff\xff");
  ck_assert(!read_wav(streamed, error));
}
END_TEST

// Reading forms

START_TEST(form_gives_its_parts) {
  std::vector<Part> parts;
  const auto body = Form().file("a%22b.wav", "x\r\n--edg\r\n").field("languages[]", "en").body();
  assert_text(read_multipart(Form::kType, body, parts), "");
  ck_assert_uint_eq(parts.size(), 2);
  assert_text(*parts[0].filename, "a\"b.wav");
  assert_text(parts[0].content_type, "audio/wav");
  assert_text(*parts[0].content, "x\r\n--edg\r\n");
  assert_text(parts[1].name, "languages[]");
  ck_assert(!parts[1].filename);
}
END_TEST

START_TEST(broken_forms_are_refused) {
  const std::string good = Form::good().body();
  std::vector<Part> parts;
  ck_assert(!read_multipart("text/plain", good, parts).empty());
  ck_assert(!read_multipart("multipart/form-data", good, parts).empty());
  ck_assert(!read_multipart("multipart/form-data; boundary=other", good, parts).empty());
  // "--" and the line end after the last boundary may be lost one by one; nothing else.
  for (std::size_t size = 0; size + 2 < good.size(); ++size) {
    ck_assert_msg(!read_multipart(Form::kType, good.substr(0, size), parts).empty(), "%zu", size);
  }
  ck_assert(!read_multipart(Form::kType, "--edge\r\nX: y\r\n\r\nz\r\n--edge--\r\n", parts).empty());
  ck_assert(
      !read_multipart(Form::kType, "--edge\r\nno colon\r\n\r\nz\r\n--edge--\r\n", parts).empty());
}
END_TEST

// Serving

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

// Answers and faults

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

// The API description

struct Case {
  const char* name;
  std::string body;
  const char* path = "/v1/audio/transcriptions";
  unsigned status = 400;
};

std::vector<Case> violating_cases() {
  const auto good = [] { return Form::good(); };
  const auto model = [] { return Form().field("model", "m"); };
  return {
      {"unknown field", good().field("seed", "1").body()},
      {"unknown array", good().field("seeds[]", "1").body()},
      {"array without brackets", good().field("languages", "en").body()},
      {"scalar with brackets", good().field("language[]", "en").body()},
      {"array with a key", good().field("languages[a]", "en").body()},
      {"scalar twice", good().field("prompt", "a").field("prompt", "b").body()},
      {"no file", model().body()},
      {"no model", Form().file("a.wav", wav(1600)).body()},
      {"file without a name", Form(model()).file("", wav(1600)).body()},
      {"file without an extension", Form(model()).file("audio", wav(1600)).body()},
      {"file with nothing but an extension", Form(model()).file(".wav", wav(1600)).body()},
      {"file as a plain field", Form(model()).field("file", wav(1600)).body()},
      {"two files", good().file("b.wav", wav(1600)).body()},
      {"broken WAV", Form(model()).file("a.wav", wav(1600) + "x").body()},
      {"shorter than 0.1 s", Form(model()).file("a.wav", wav(1599)).body()},
      {"wrong format", good().field("response_format", "xml").body()},
      {"wrong granularity", good()
                                .field("response_format", "verbose_json")
                                .field("timestamp_granularities[]", "line")
                                .body()},
      {"wrong include", good().field("include[]", "words").body()},
      {"wrong chunking", good().field("chunking_strategy", "server_vad").body()},
      {"unknown chunking key", good().field("chunking_strategy[kind]", "x").body()},
      {"wrong chunking type", good().field("chunking_strategy[type]", "x").body()},
      {"fractional milliseconds",
       good().field("chunking_strategy[prefix_padding_ms]", "1.5").body()},
      {"wrong number", good().field("temperature", "warm").body()},
      {"number with a comma", good().field("temperature", "0,5").body()},
      {"number with a tail", good().field("temperature", "0.5s").body()},
      {"empty number", good().field("temperature", "").body()},
      {"infinite number", good().field("temperature", "inf").body()},
      {"wrong boolean", good().field("stream", "yes").body()},
      {"not UTF-8", good().field("prompt", "\xff").body()},
      {"too many speakers", good()
                                .field("known_speaker_names[]", "a")
                                .field("known_speaker_names[]", "b")
                                .field("known_speaker_names[]", "c")
                                .field("known_speaker_names[]", "d")
                                .field("known_speaker_names[]", "e")
                                .body()},
      {"language and languages", good().field("language", "en").field("languages[]", "fr").body()},
      {"granularities in json", good().field("timestamp_granularities[]", "word").body()},
      {"logprobs in verbose_json",
       good().field("response_format", "verbose_json").field("include[]", "logprobs").body()},
      {"keyword of two lines", good().field("keywords[]", "a\nb").body()},
      {"keyword with a tag", good().field("keywords[]", "<b>").body()},
      {"no form", "{}"},
      {"language of a translation", good().field("language", "en").body(),
       "/v1/audio/translations"},
      {"diarized translation", good().field("response_format", "diarized_json").body(),
       "/v1/audio/translations"},
      {"doubled path", good().body(), "/v1/audio/transcriptions/audio/transcriptions", 404},
      {"doubled version", good().body(), "/v1/v1/audio/transcriptions", 404},
      {"no version", good().body(), "/audio/transcriptions", 404},
      {"other endpoint", good().body(), "/v1/audio/speech", 404},
      {"no deployment", good().body(), "/openai/deployments//audio/transcriptions?api-version=1",
       404},
      {"no api-version", good().body(), "/openai/deployments/d/audio/transcriptions", 404},
  };
}

START_TEST(each_violation_is_refused_and_recorded) {
  const auto cases = violating_cases();
  const auto& one = cases[static_cast<std::size_t>(_i)];
  FakeService service;
  const auto reply = ask(service, http(one.body, {}, one.path));
  ck_assert_msg(reply.status == one.status, "%s: %u %s", one.name, reply.status,
                reply.body.c_str());
  const auto node = parse(reply.body);
  ck_assert(node);
  JsonObject* error = json_object_get_object_member(json_node_get_object(node.get()), "error");
  for (const char* name : {"message", "type", "param", "code"}) {
    ck_assert_msg(json_object_has_member(error, name), "%s: %s", one.name, name);
  }
  ck_assert_msg(service.violations().size() == 1, "%s: %zu", one.name, service.violations().size());
  ck_assert_uint_eq(service.requests()[0].violations.size(), 1);
}
END_TEST

START_TEST(what_is_allowed_passes) {
  const auto good = [] { return Form::good(); };
  const std::vector<Case> cases = {
      {"all scalars", good()
                          .field("language", "en")
                          .field("prompt", "Ärger \"x\"\r\ny")
                          .field("temperature", "0.25")
                          .field("response_format", "json")
                          .field("stream", "false")
                          .field("chunking_strategy", "auto")
                          .body()},
      {"arrays", good()
                     .field("languages[]", "en")
                     .field("languages[]", "fr")
                     .field("keywords[]", "GStreamer")
                     .field("include[]", "logprobs")
                     .body()},
      {"vad", good()
                  .field("chunking_strategy[type]", "server_vad")
                  .field("chunking_strategy[threshold]", "0.5")
                  .field("chunking_strategy[prefix_padding_ms]", "300")
                  .body()},
      {"free model", Form().field("model", "my-model").file("a.wav", wav(1600)).body()},
      {"Azure", Form().file("a.wav", wav(1600)).body(),
       "/openai/deployments/d/audio/transcriptions?api-version=2025-04-01"},
      {"newer Azure", good().body(), "/openai/v1/audio/transcriptions?api-version=preview"},
      {"translation", good().field("prompt", "p").field("temperature", "0").body(),
       "/v1/audio/translations"},
  };
  FakeService service;
  for (const auto& one : cases) {
    const auto reply = ask(service, http(one.body, {}, one.path));
    ck_assert_msg(reply.status == 200, "%s: %s", one.name, reply.body.c_str());
  }
  ck_assert(service.violations().empty());
}
END_TEST

START_TEST(the_size_limit_is_exact) {
  FakeService service;
  const std::size_t around = Form().file("a.wav", wav(0)).field("model", "m").body().size();
  const std::size_t frames = (26214400 - around) / 2;
  const auto largest = [&](std::size_t more) {
    return Form().file("a.wav", wav(frames + more)).field("model", "m").body();
  };
  ck_assert_uint_eq(ask(service, http(largest(0))).status, 200);
  ck_assert_uint_eq(ask(service, http(largest(1))).status, 400);
  ck_assert_uint_eq(service.violations().size(), 1);
}
END_TEST

START_TEST(methods_other_than_post_are_refused) {
  FakeService service;
  ck_assert_uint_eq(ask(service, "GET /v1/audio/transcriptions HTTP/1.1\r\n\r\n").status, 405);
  ck_assert_uint_eq(service.violations().size(), 1);
}
END_TEST

START_TEST(a_compatible_server_takes_everything) {
  FakeService::Options options;
  options.check = false;
  FakeService service(options);
  const auto reply =
      ask(service, http(Form::good(5).field("temperature_inc", "0.2").body(), {}, "/inference"));
  ck_assert_uint_eq(reply.status, 200);
  assert_text(text_of(reply.body), "chunk 5");
  ck_assert_uint_eq(ask(service, http("no form at all")).status, 200);
  ck_assert(service.violations().empty());
}
END_TEST

// Scripts

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
  Suite* suite = suite_create("fake_service");
  TCase* reading = tcase_create("reading");
  tcase_add_test(reading, wav_gives_the_samples);
  tcase_add_test(reading, wav_with_one_wrong_header_byte_is_refused);
  tcase_add_test(reading, wav_of_wrong_length_is_refused);
  tcase_add_test(reading, form_gives_its_parts);
  tcase_add_test(reading, broken_forms_are_refused);
  suite_add_tcase(suite, reading);

  TCase* serving = tcase_create("serving");
  tcase_add_test(serving, a_correct_request_is_answered_and_recorded);
  tcase_add_test(serving, a_connection_carries_many_requests);
  tcase_add_test(serving, a_request_in_single_bytes_is_understood);
  tcase_add_test(serving, chunked_bodies_and_continue_are_understood);
  tcase_add_test(serving, formats_give_the_shape_that_was_asked_for);
  tcase_add_test(serving, parallel_requests_are_counted);
  tcase_add_test(serving, gates_reverse_the_order);
  tcase_add_test(serving, attempts_count_by_key_or_by_name);
  tcase_add_test(serving, a_service_that_does_not_listen_refuses);
  tcase_add_test(serving, clients_that_vanish_do_no_harm);
  tcase_add_test(serving, stopping_ends_what_is_open);
  tcase_add_test(serving, audio_can_be_dropped_at_the_end);
  tcase_add_test(serving, what_is_no_http_is_refused_and_recorded);
  suite_add_tcase(suite, serving);

  TCase* faults = tcase_create("faults");
  tcase_add_test(faults, status_headers_and_body_are_as_scripted);
  tcase_add_test(faults, a_delay_holds_the_answer_back);
  tcase_add_test(faults, a_dripping_answer_comes_whole_but_slowly);
  tcase_add_test(faults, a_hanging_request_lasts_until_the_client_goes);
  tcase_add_test(faults, a_cut_body_is_shorter_than_it_says);
  tcase_add_test(faults, garbage_replaces_http);
  tcase_add_test(faults, a_reset_after_the_body_is_a_reset);
  tcase_add_test(faults, a_reset_before_the_body_reads_none_of_it);
  tcase_add_test(faults, an_early_answer_survives_the_rest_of_the_body);
  tcase_add_test(faults, close_ends_the_connection_after_the_answer);
  tcase_add_test(faults, idle_connections_are_closed_after_their_time);
  tcase_add_test(faults, idle_connections_are_closed_on_demand);
  suite_add_tcase(suite, faults);

  TCase* description = tcase_create("description");
  tcase_add_loop_test(description, each_violation_is_refused_and_recorded, 0,
                      static_cast<int>(violating_cases().size()));
  tcase_add_test(description, what_is_allowed_passes);
  tcase_add_test(description, the_size_limit_is_exact);
  tcase_add_test(description, methods_other_than_post_are_refused);
  tcase_add_test(description, a_compatible_server_takes_everything);
  suite_add_tcase(suite, description);

  TCase* scripts = tcase_create("scripts");
  tcase_add_test(scripts, a_list_of_answers_is_a_queue);
  tcase_add_test(scripts, rules_match_chunk_and_attempt);
  tcase_add_test(scripts, a_script_reaches_every_member_of_an_answer);
  tcase_add_test(scripts, mistakes_in_a_script_are_named);
  suite_add_tcase(suite, scripts);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
