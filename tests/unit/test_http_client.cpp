#include <fstream>

#include "base/libsoup2.h"
#include "http_test.h"

namespace transcribe {
namespace {

START_TEST(request_and_answer_arrive_whole) {
  Request seen;
  RawServer server([&](Peer& peer) {
    if (!peer.read_request(seen)) return;
    peer.answer(207, "answer \xc3\xbc", "X-Request-Id: req_1\r\nRetry-After: 7\r\n");
  });
  HttpClient::Config config;
  config.user_agent = "transcribe/1";
  const auto client = make_client(config);
  HttpRequest request = make_request(server.url("/v1/x?api-version=2%2F3"), "");
  request.headers = {{"Authorization", "Bearer key"}, {"Accept", "application/json"}};
  request.content_type = "multipart/form-data; boundary=B";
  request.body.emplace_back(g_bytes_new_static("one\0", 4));
  request.body.emplace_back(g_bytes_new_static("", 0));
  request.body.emplace_back(g_bytes_new_static("two", 3));
  const Cancellation never;
  const HttpResult result = client->send(request, kLong, never);
  assert_answer(result, 207, "answer \xc3\xbc");
  ck_assert(find_header(result->headers, "x-request-ID") == "req_1");
  ck_assert(find_header(result->headers, "retry-after") == "7");
  ck_assert(!find_header(result->headers, "x-request"));
  server.wait_for_closed(1);
  ck_assert(seen.head.starts_with("POST /v1/x?api-version=2%2F3 HTTP/1.1\r\n"));
  ck_assert(seen.head.find("Authorization: Bearer key\r\n") != std::string::npos);
  ck_assert(seen.head.find("Accept: application/json\r\n") != std::string::npos);
  ck_assert(seen.head.find("User-Agent: transcribe/1\r\n") != std::string::npos);
  ck_assert(seen.head.find("Content-Length: 7\r\n") != std::string::npos);
  ck_assert(seen.head.find("Content-Type: multipart/form-data; boundary=B\r\n") !=
            std::string::npos);
  ck_assert(seen.head.find("Transfer-Encoding") == std::string::npos);
  ck_assert(seen.body == std::string("one\0two", 7));
}
END_TEST

START_TEST(chunked_answer_is_joined) {
  RawServer server([](Peer& peer) {
    Request request;
    while (peer.read_request(request))
      peer.write(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  });
  const auto client = make_client();
  assert_answer(post(*client, server), 200, "abcdefg");
  assert_answer(post(*client, server), 200, "abcdefg");
  ck_assert_uint_eq(server.connections(), 1);
}
END_TEST

START_TEST(redirects_are_returned) {
  RawServer server([](Peer& peer) {
    Request request;
    for (unsigned status : {301, 302, 303, 307, 308})
      if (peer.read_request(request)) peer.answer(status, "", "Location: /other\r\n");
  });
  const auto client = make_client();
  for (unsigned status : {301, 302, 303, 307, 308}) {
    const HttpResult result = post(*client, server);
    assert_answer(result, status, "");
    ck_assert(find_header(result->headers, "Location") == "/other");
  }
  ck_assert_uint_eq(server.requests(), 5);
}
END_TEST

START_TEST(unauthorized_is_returned_after_one_request) {
  RawServer server([](Peer& peer) {
    Request request;
    while (peer.read_request(request))
      peer.answer(401, "who", "WWW-Authenticate: Basic realm=\"x\"\r\n");
  });
  const auto client = make_client();
  HttpRequest request = make_request(server.url());
  request.headers = {{"Authorization", "Bearer key"}};
  const Cancellation never;
  assert_answer(client->send(request, kLong, never), 401, "who");
  ck_assert_uint_eq(server.requests(), 1);
}
END_TEST

START_TEST(endless_answer_is_stopped_at_the_limit) {
  RawServer server([](Peer& peer) {
    Request request;
    if (!peer.read_request(request)) return;
    peer.write("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(64 * 1024, 'x');
    while (peer.write(block)) {
    }
  });
  HttpClient::Config config;
  config.max_response_bytes = 1'000'000;
  const auto client = make_client(config);
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(result.error().message.find("1000000") != std::string::npos);
}
END_TEST

START_TEST(answer_of_just_the_limit_is_taken) {
  const std::string body(200'000, 'x');
  RawServer server([&](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.answer(200, body);
    if (peer.read_request(request)) peer.answer(200, body + "x");
  });
  HttpClient::Config config;
  config.max_response_bytes = body.size();
  const auto client = make_client(config);
  assert_answer(post(*client, server), 200, body);
  assert_fault(post(*client, server), TransportFault::kNetwork);
}
END_TEST

long peak_memory_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long value = 0;
  while (status >> word)
    if (word == "VmHWM:") status >> value;
  return value;
}

START_TEST(large_body_is_sent_exactly_and_not_copied) {
  constexpr std::size_t kSize = 20 * 1024 * 1024;
  std::string payload(kSize, '\0');
  guint32 state = 1;
  for (char& c : payload) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  const CharPtr expected(g_compute_checksum_for_data(
      G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(payload.data()), kSize));
  RawServer server([&](Peer& peer) {
    Request request;
    while (peer.read_head(request)) {
      GChecksum* sum = g_checksum_new(G_CHECKSUM_SHA256);
      peer.read_body(kSize, [&](std::string_view part) {
        g_checksum_update(sum, reinterpret_cast<const guchar*>(part.data()),
                          static_cast<gssize>(part.size()));
      });
      peer.answer(200, g_checksum_get_string(sum));
      g_checksum_free(sum);
    }
  });
  const auto client = make_client();
  HttpRequest request;
  request.url = server.url();
  request.content_type = "audio/wav";
  request.body.emplace_back(g_bytes_new_static(payload.data(), 1000));
  request.body.emplace_back(g_bytes_new_static(payload.data() + 1000, kSize - 1000));
  const long before = peak_memory_kib();
  const Cancellation never;
  for (int i = 0; i < 2; ++i) {  // a body can be sent any number of times
    assert_answer(client->send(request, kLong, never), 200, expected.get());
  }
#ifndef __SANITIZE_ADDRESS__
  // An instrumented heap keeps what was freed.
  if (g_getenv("TRANSCRIBE_SLOW") == nullptr)
    ck_assert_int_lt(peak_memory_kib() - before, 8 * 1024);
#else
  (void)before;
#endif
}
END_TEST

START_TEST(many_posts_use_one_connection) {
  RawServer server(echo_all);
  const auto client = make_client();
  for (int i = 0; i < 20; ++i) {
    const std::string body = "body " + std::to_string(i);
    assert_answer(post(*client, server, kLong, body), 200, body);
  }
  ck_assert_uint_eq(server.connections(), 1);
}
END_TEST

START_TEST(error_statuses_keep_the_connection) {
  RawServer server([](Peer& peer) {
    Request request;
    for (unsigned status : {429, 500, 200})
      if (peer.read_request(request)) peer.answer(status, "body");
  });
  const auto client = make_client();
  assert_answer(post(*client, server), 429, "body");
  assert_answer(post(*client, server), 500, "body");
  assert_answer(post(*client, server), 200, "body");
  ck_assert_uint_eq(server.connections(), 1);
}
END_TEST

START_TEST(eight_senders_have_eight_connections) {
  std::mutex mutex;
  std::condition_variable all_there;
  int waiting = 0;
  // No answer until all eight requests are at the server at once.
  RawServer server([&](Peer& peer) {
    Request request;
    while (peer.read_request(request)) {
      if (request.body == "together") {
        std::unique_lock lock(mutex);
        ++waiting;
        all_there.notify_all();
        all_there.wait(lock, [&] { return waiting == 8; });
      }
      peer.answer(200, request.body);
    }
  });
  const auto client = make_client();
  std::vector<std::thread> senders;
  std::atomic<int> answered{0};
  for (int i = 0; i < 8; ++i) {
    senders.emplace_back([&] {
      if (post(*client, server, kLong, "together").ok()) ++answered;
      for (int k = 0; k < 5; ++k)
        if (post(*client, server, kLong, "again").ok()) ++answered;
    });
  }
  for (std::thread& sender : senders) sender.join();
  ck_assert_int_eq(answered, 48);
  ck_assert_uint_eq(server.connections(), 8);
}
END_TEST

START_TEST(idle_connection_closed_by_the_server_is_replaced) {
  RawServer server([](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.answer(200, "answer");
  });
  const auto client = make_client();
  assert_answer(post(*client, server), 200, "answer");
  server.wait_for_closed(1);
  assert_answer(post(*client, server), 200, "answer");
  ck_assert_uint_eq(server.connections(), 2);
}
END_TEST

START_TEST(proxy_is_used_also_for_loopback) {
  std::string head;
  RawServer proxy([&](Peer& peer) {
    Request request;
    if (!peer.read_request(request)) return;
    head = request.head;
    peer.answer(200, "from the proxy");
  });
  HttpClient::Config config;
  config.proxy = "http://127.0.0.1:" + std::to_string(proxy.port());
  const auto client = make_client(config);
  const Cancellation never;
  assert_answer(client->send(make_request("http://127.0.0.1:9/v1"), kLong, never), 200,
                "from the proxy");
  proxy.wait_for_closed(1);
  ck_assert(head.starts_with("POST http://127.0.0.1:9/v1 HTTP/1.1\r\n"));
}
END_TEST

struct ProxySeen {
  std::mutex mutex;
  std::vector<Request> requests;  // guarded by mutex
};

constexpr char kBasic[] = "Proxy-Authenticate: Basic realm=\"proxy\"\r\n";
constexpr char kBasicAndClose[] =
    "Proxy-Authenticate: Basic realm=\"proxy\"\r\nConnection: close\r\n";
constexpr char kDigest[] =
    "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
constexpr char kStaleDigest[] =
    "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"n\", qop=\"auth\", algorithm=MD5, "
    "stale=true\r\n";

// Demands a password with `demand` the first `refusals` times, then takes everything.
RawServer::Script proxy_script(ProxySeen& seen, unsigned refusals, std::string demand) {
  return [&seen, refusals, demand](Peer& peer) {
    for (;;) {
      Request request;
      if (!peer.read_request(request)) return;
      std::size_t number = 0;
      {
        const std::lock_guard lock(seen.mutex);
        seen.requests.push_back(request);
        number = seen.requests.size();
      }
      if (number > refusals) {
        peer.answer(200, "done");
        continue;
      }
      peer.answer(407, "no", demand);
      if (demand.find("close") != std::string::npos) return;
    }
  };
}

std::unique_ptr<HttpClient> make_client_behind(const RawServer& proxy, const char* login) {
  HttpClient::Config config;
  config.proxy = std::string("http://") + login + "127.0.0.1:" + std::to_string(proxy.port());
  return make_client(config);
}

HttpResult post_behind_proxy(HttpClient& client, const char* scheme) {
  const Cancellation never;
  return client.send(make_request(std::string(scheme) + "://127.0.0.1:9/v1"), kLong, never);
}

START_TEST(proxy_that_asks_for_a_password_gets_the_same_request_again) {
  for (const char* demand : {kBasic, kBasicAndClose, kDigest}) {
    ProxySeen seen;
    RawServer proxy(proxy_script(seen, 1, demand));
    const auto client = make_client_behind(proxy, "user:word@");
    for (int i = 0; i < 2; ++i) assert_answer(post_behind_proxy(*client, "http"), 200, "done");
    const std::lock_guard lock(seen.mutex);
    ck_assert_uint_eq(seen.requests.size(), 3);  // what the first one learned, the next one knows
    for (const Request& request : seen.requests) {
      ck_assert_msg(request.head.starts_with("POST http://127.0.0.1:9/v1 HTTP/1.1\r\n"), "%s",
                    request.head.c_str());
      ck_assert(request.head.find("Host: 127.0.0.1:9\r\n") != std::string::npos);
      ck_assert(request.body == "payload");
    }
    ck_assert(seen.requests[0].head.find("Proxy-Authorization") == std::string::npos);
    for (int i : {1, 2})
      ck_assert(seen.requests[i].head.find(demand == kDigest
                                               ? "Proxy-Authorization: Digest username=\"user\""
                                               : "Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n") !=
                std::string::npos);
  }
}
END_TEST

START_TEST(proxy_that_refuses_the_password_is_asked_twice) {
  for (const char* scheme : {"http", "https"}) {
    for (const char* demand : {kBasic, kBasicAndClose, kDigest, kStaleDigest}) {
      ProxySeen seen;
      RawServer proxy(proxy_script(seen, G_MAXUINT, demand));
      const auto client = make_client_behind(proxy, "user:wrong@");
      for (unsigned i = 1; i <= 2; ++i) {
        const HttpResult result = post_behind_proxy(*client, scheme);
        ck_assert_msg(result.ok(), "%s", result.ok() ? "" : result.error().message.c_str());
        ck_assert_uint_eq(result->status, 407);
        ck_assert_uint_eq(proxy.requests(), 2 * i);
      }
    }
  }
}
END_TEST

START_TEST(proxy_that_asks_in_vain_is_asked_once) {
  for (const char* scheme : {"http", "https"}) {
    for (const char* demand : {kBasic, kBasicAndClose, kDigest, ""}) {
      ProxySeen seen;
      RawServer proxy(proxy_script(seen, G_MAXUINT, demand));
      const auto client = make_client_behind(proxy, "");
      const HttpResult result = post_behind_proxy(*client, scheme);
      ck_assert_msg(result.ok(), "%s", result.ok() ? "" : result.error().message.c_str());
      ck_assert_uint_eq(result->status, 407);
      ck_assert_uint_eq(proxy.requests(), 1);
    }
  }
}
END_TEST

START_TEST(bad_proxy_fails_without_its_password) {
  for (const char* proxy : {"127.0.0.1:3128", "ftp://user:secret@host", "http://", "secret"}) {
    HttpClient::Config config;
    config.proxy = proxy;
    const auto client = HttpClient::create(config, kNoLog);
    ck_assert_msg(!client.ok(), "%s", proxy);
    ck_assert(client.error().message.find("secret") == std::string::npos);
  }
}
END_TEST

START_TEST(bad_authorities_file_fails_by_name) {
  for (const char* file : {"/nowhere/ca.pem", __FILE__, "/dev/null"}) {
    HttpClient::Config config;
    config.tls_ca_file = file;
    const auto client = HttpClient::create(config, kNoLog);
    ck_assert_msg(!client.ok(), "%s", file);
    ck_assert(client.error().message.find(file) != std::string::npos);
  }
}
END_TEST

START_TEST(bad_url_is_invalid_and_not_shown) {
  const auto client = make_client();
  const Cancellation never;
  for (const char* url : {"", "secret", "ftp://secret/", "http:///secret", "http://h:secret/",
                          "https://", "http://[secret"}) {
    const HttpResult result = client->send(make_request(url), kLong, never);
    assert_fault(result, TransportFault::kInvalid);
    ck_assert(result.error().message.find("secret") == std::string::npos);
  }
}
END_TEST

START_TEST(bad_header_is_invalid_and_its_value_not_shown) {
  RawServer server(echo_all);
  const auto client = make_client();
  const Cancellation never;
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"Authorization", "Bearer secret\n"},
      {"X-Extra", std::string("secret\0", 7)},
      {"", "secret"},
      {"two words", "secret"}};
  for (const auto& header : bad) {
    HttpRequest request = make_request(server.url());
    request.headers = {header};
    const HttpResult result = client->send(request, kLong, never);
    assert_fault(result, TransportFault::kInvalid);
    ck_assert(result.error().message.find("secret") == std::string::npos);
    ck_assert(result.error().message.find(header.first) != std::string::npos);
  }
  ck_assert_uint_eq(server.connections(), 0);
}
END_TEST

START_TEST(libsoup2_is_seen_only_when_loaded) { ck_assert(!libsoup2_is_loaded()); }
END_TEST

Suite* make_suite() {
  make_criticals_fatal();
  Suite* suite = suite_create("http_client");
  add_case(suite, "answer",
           {request_and_answer_arrive_whole, chunked_answer_is_joined, redirects_are_returned,
            unauthorized_is_returned_after_one_request, endless_answer_is_stopped_at_the_limit,
            answer_of_just_the_limit_is_taken, large_body_is_sent_exactly_and_not_copied});
  add_case(
      suite, "connections",
      {many_posts_use_one_connection, error_statuses_keep_the_connection,
       eight_senders_have_eight_connections, idle_connection_closed_by_the_server_is_replaced});
  add_case(
      suite, "settings",
      {proxy_is_used_also_for_loopback, proxy_that_asks_for_a_password_gets_the_same_request_again,
       proxy_that_refuses_the_password_is_asked_twice, proxy_that_asks_in_vain_is_asked_once,
       bad_proxy_fails_without_its_password, bad_authorities_file_fails_by_name,
       bad_url_is_invalid_and_not_shown, bad_header_is_invalid_and_its_value_not_shown,
       libsoup2_is_seen_only_when_loaded});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
