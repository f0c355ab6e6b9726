#include "http_test.h"

namespace transcribe {
namespace {

std::string certificate_file() {
  return std::string(g_getenv("G_TEST_SRCDIR")) + "/support/loopback.pem";
}

std::unique_ptr<HttpClient> make_trusting_client() {
  HttpClient::Config config;
  config.tls_ca_file = certificate_file();
  return make_client(config);
}

START_TEST(tls_with_the_right_authority) {
  RawServer server(echo_all, certificate_file());
  const auto client = make_trusting_client();
  assert_answer(post(*client, server), 200, "payload");
  assert_answer(post(*client, server), 200, "payload");
  ck_assert_uint_eq(server.connections(), 1);
}
END_TEST

START_TEST(tls_with_an_unknown_authority) {
  RawServer server(echo_all, certificate_file());
  const auto client = make_client();
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kTls);
  ck_assert(!result.error().connected);
  ck_assert(result.error().message.find("tls-ca-file") != std::string::npos);
  ck_assert_uint_eq(server.requests(), 0);
}
END_TEST

START_TEST(tls_towards_a_server_without_it) {
  RawServer server([](Peer& peer) { peer.write("HTTP/1.1 400 Bad Request\r\n\r\n"); });
  const auto client = make_trusting_client();
  const Cancellation never;
  const std::string url = "https://127.0.0.1:" + std::to_string(server.port());
  const HttpResult result = client->send(make_request(url), kLong, never);
  ck_assert(!result.ok());
  ck_assert(!result.error().connected);
}
END_TEST

START_TEST(cancel_ends_a_tls_handshake) {
  RawServer server([](Peer& peer) {
    if (peer.read_body(1, [](std::string_view) {})) peer.hang();
  });
  const auto client = make_trusting_client();
  const std::string url = "https://127.0.0.1:" + std::to_string(server.port());
  assert_cancel_is_instant(*client, url, "payload", [&] { server.wait_for_requests(1); });
}
END_TEST

START_TEST(cancel_ends_a_stalled_upload_over_tls) {
  assert_cancel_ends_sending(certificate_file());
}
END_TEST

START_TEST(proxy_gets_the_password_for_a_tunnel_to_the_service) {
  for (const std::string close : {"", "Connection: close\r\n"}) {
    std::mutex mutex;
    std::vector<std::string> heads;
    RawServer proxy([&](Peer& peer) {
      Request request;
      while (peer.read_request(request)) {
        bool first = false;
        {
          const std::lock_guard lock(mutex);
          heads.push_back(request.head);
          first = heads.size() == 1;
        }
        if (!first) {
          peer.answer(200, "");
          peer.read_body(1, [](std::string_view) {});  // TLS has begun
          return;
        }
        peer.answer(407, "no", "Proxy-Authenticate: Basic realm=\"proxy\"\r\n" + close);
        if (!close.empty()) return;
      }
    });
    HttpClient::Config config;
    config.proxy = "http://user:word@127.0.0.1:" + std::to_string(proxy.port());
    const auto client = make_client(config);
    const Cancellation never;
    const HttpResult result = client->send(make_request("https://127.0.0.1:9/v1"), kLong, never);
    ck_assert(!result.ok());
    ck_assert(!result.error().connected);
    const std::lock_guard lock(mutex);
    ck_assert_uint_eq(heads.size(), 2);
    for (const std::string& head : heads)
      ck_assert_msg(head.starts_with("CONNECT 127.0.0.1:9 HTTP/1.1\r\n"), "%s", head.c_str());
    ck_assert(heads[1].find("Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n") != std::string::npos);
  }
}
END_TEST

Suite* make_suite() {
  make_criticals_fatal();
  Suite* suite = suite_create("http_tls");
  add_case(
      suite, "tls",
      {tls_with_the_right_authority, tls_with_an_unknown_authority, tls_towards_a_server_without_it,
       cancel_ends_a_tls_handshake, cancel_ends_a_stalled_upload_over_tls,
       proxy_gets_the_password_for_a_tunnel_to_the_service});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
