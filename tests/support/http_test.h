// What the tests of src/http share. Include it after the standard headers.
#pragma once

#include <dirent.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "http/client.h"
#include "raw_server.h"

// Last: see check_main.h.
#include "check_main.h"

namespace transcribe {

using std::chrono::steady_clock;
using Peer = RawServer::Peer;
using Request = RawServer::Request;

inline constexpr Milliseconds kLong{60000};  // nothing may come near it
inline constexpr Milliseconds kSoon{2000};   // generous for "at once"

inline const Log kNoLog;

inline std::unique_ptr<HttpClient> make_client(HttpClient::Config config = {}) {
  auto client = HttpClient::create(config, kNoLog);
  ck_assert(client.ok());
  return std::move(*client);
}

inline HttpRequest make_request(const std::string& url, const std::string& body = "payload") {
  HttpRequest request;
  request.url = url;
  request.content_type = "text/plain";
  if (!body.empty()) request.body.emplace_back(g_bytes_new(body.data(), body.size()));
  return request;
}

inline HttpResult post(HttpClient& client, const RawServer& server, Milliseconds timeout = kLong,
                       const std::string& body = "payload") {
  const Cancellation never;
  return client.send(make_request(server.url(), body), timeout, never);
}

inline void assert_fault(const HttpResult& result, TransportFault fault) {
  ck_assert_msg(!result.ok(), "no error but status %u", result.ok() ? result->status : 0);
  ck_assert_msg(result.error().fault == fault, "fault %d: %s",
                static_cast<int>(result.error().fault), result.error().message.c_str());
}

inline void assert_answer(const HttpResult& result, unsigned status, const std::string& body) {
  ck_assert_msg(result.ok(), "%s", result.ok() ? "" : result.error().message.c_str());
  ck_assert_uint_eq(result->status, status);
  ck_assert_msg(result->body == body, "body: %s", result->body.c_str());
}

inline void echo_all(Peer& peer) {
  Request request;
  while (peer.read_request(request)) peer.answer(200, request.body);
}

// Cancels from another thread once `ready` returned and measures how long send() then takes.
template <typename Ready>
void assert_cancel_is_instant(HttpClient& client, const std::string& url, const std::string& body,
                              Ready ready) {
  Cancellation cancellation;
  steady_clock::time_point cancelled;
  std::thread canceller([&] {
    ready();
    cancelled = steady_clock::now();
    cancellation.cancel();
  });
  const HttpResult result = client.send(make_request(url, body), kLong, cancellation);
  canceller.join();
  const auto took = steady_clock::now() - cancelled;
  assert_fault(result, TransportFault::kCancelled);
  ck_assert_msg(took < kSoon, "send() returned %ld ms after the cancel",
                static_cast<long>(std::chrono::duration_cast<Milliseconds>(took).count()));
}

// The server reads nothing, so that the client gets stuck in sending. When its buffers are full,
// and whether acknowledgements then leave some room in them, differs from run to run: hence
// several pauses before the cancel. The outcome does not depend on them.
inline void assert_cancel_ends_sending(const std::string& certificate) {
  HttpClient::Config config;
  config.tls_ca_file = certificate;
  const auto client = make_client(config);
  const std::string body(50'000'000, 'a');
  for (const gulong pause : {5'000, 10'000, 20'000, 40'000, 80'000, 160'000}) {
    RawServer server(
        [](Peer& peer) {
          if (peer.read_body(0, [](std::string_view) {})) peer.hang();
        },
        certificate);
    assert_cancel_is_instant(*client, server.url(), body, [&] {
      server.wait_for_requests(1);
      g_usleep(pause);
    });
  }
}

// Counts what a directory of /proc lists, "." and ".." included.
inline unsigned entries(const char* directory) {
  DIR* dir = opendir(directory);
  unsigned count = 0;
  while (readdir(dir)) ++count;
  closedir(dir);
  return count;
}

// A critical of GLib or libsoup is a defect in these tests.
inline void make_criticals_fatal() {
  g_log_set_always_fatal(
      static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING));
}

inline void add_case(Suite* suite, const char* name, std::initializer_list<const TTest*> tests) {
  TCase* tcase = tcase_create(name);
  for (const TTest* test : tests) tcase_add_test(tcase, test);
  suite_add_tcase(suite, tcase);
}

}  // namespace transcribe
