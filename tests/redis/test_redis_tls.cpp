#include <poll.h>

#include <atomic>
#include <string>

#include "connection_test.h"
#include "raw_server.h"

namespace {

// The process gets its turn late, as on a busy machine: an answer is there by then.
std::atomic<bool> late_polls = false;

}  // namespace

// Instead of the C library's, for GLib.
extern "C" int poll(pollfd* descriptors, nfds_t count, int timeout) {
  if (late_polls) g_usleep(3000);
  timespec time{timeout / 1000, timeout % 1000 * 1000000};
  return ppoll(descriptors, count, timeout < 0 ? nullptr : &time, nullptr);
}

namespace transcribe {
namespace {

RedisServer::Options with_tls() {
  RedisServer::Options options;
  options.tls = true;
  return options;
}

Connection::Settings trusting(const RedisServer& server) {
  Connection::Settings settings = settings_for(server.uri());
  settings.tls_ca_file = server.certificate();
  settings.client_name = "x";
  return settings;
}

START_TEST(right_authority) {
  RedisServer server(with_tls());
  const auto connection = open(trusting(server));
  assert_text(call(*connection, {"PING"}).text, "PONG");
  const std::string text(1 << 20, '\0');
  ck_assert(call(*connection, {"ECHO", text}).text == text);
  const auto answer = connection->exchange(std::vector<Command>(20, {"ECHO", text}), kLong, kNever);
  ck_assert(answer.ok());
  for (const Reply& reply : answer.replies) ck_assert(reply.text == text);

  Connection::Settings by_name = trusting(server);
  by_name.uri.host = "localhost";
  assert_text(call(*open(by_name), {"PING"}).text, "PONG");
}
END_TEST

// What is sent in several pieces is answered as soon as the server has the last one.
START_TEST(answers_that_wait_for_us) {
  RedisServer server(with_tls());
  const auto connection = open(trusting(server));
  late_polls = true;
  for (const std::size_t size : {1, 10000, 30000, 60000, 1000000}) {
    call(*connection, {"SET", "key", std::string(size, 'x')});
    assert_text(call(*connection, {"PING"}).text, "PONG");
  }
  late_polls = false;
}
END_TEST

START_TEST(unknown_authority) {
  RedisServer server(with_tls());
  const auto error = assert_open_fails(settings_for(server.uri()), RedisFault::kRefused);
  ck_assert_msg(contains(error.message, "tls-ca-file"), "%s", error.message.c_str());
}
END_TEST

START_TEST(wrong_host_name) {
  RedisServer::Options options = with_tls();
  options.arguments = {"--bind", "127.0.0.1", "127.0.0.2"};
  RedisServer server(options);
  Connection::Settings settings = trusting(server);
  settings.uri.host = "127.0.0.2";
  const auto error = assert_open_fails(settings, RedisFault::kRefused);
  ck_assert_msg(contains(error.message, "belongs to another name"), "%s", error.message.c_str());
}
END_TEST

START_TEST(expired_certificate) {
  RedisServer::Options options = with_tls();
  options.certificate = std::string(g_getenv("G_TEST_SRCDIR")) + "/redis/expired.pem";
  RedisServer server(options);
  const auto error = assert_open_fails(trusting(server), RedisFault::kRefused);
  ck_assert_msg(contains(error.message, "not valid at this time"), "%s", error.message.c_str());
}
END_TEST

START_TEST(server_that_wants_a_client_certificate) {
  RedisServer::Options options = with_tls();
  options.tls_clients = true;
  RedisServer server(options);
  const auto error = assert_open_fails(trusting(server), RedisFault::kRefused);
  ck_assert_msg(contains(error.message, "tls-auth-clients"), "%s", error.message.c_str());
}
END_TEST

START_TEST(unusable_authority_file) {
  RedisServer server(with_tls());
  Connection::Settings settings = settings_for(server.uri());
  settings.tls_ca_file = "/dev/null";
  const auto error = assert_open_fails(settings, RedisFault::kRefused);
  ck_assert_msg(contains(error.message, "tls-ca-file"), "%s", error.message.c_str());
  settings.tls_ca_file = server.directory() + "/none.pem";
  assert_open_fails(settings, RedisFault::kRefused);
}
END_TEST

START_TEST(tls_client_on_a_plain_port) {
  RedisServer server;
  Connection::Settings settings =
      settings_for("rediss://127.0.0.1:" + std::to_string(server.port()));
  settings.timeout = kShort;
  const Milliseconds time = time_of([&] {
    const auto error = assert_open_fails(settings, RedisFault::kLost);
    ck_assert_msg(contains(error.message, "redis://"), "%s", error.message.c_str());
  });
  ck_assert(time < kShort + kSlack);
}
END_TEST

START_TEST(plain_client_on_a_tls_port) {
  RedisServer server(with_tls());
  Connection::Settings settings =
      settings_for("redis://127.0.0.1:" + std::to_string(server.port()));
  settings.client_name = "x";
  const auto error = assert_open_fails(settings, RedisFault::kLost);
  ck_assert_msg(contains(error.message, "rediss://"), "%s", error.message.c_str());
}
END_TEST

START_TEST(killed_stopped_and_cancelled) {
  RedisServer server(with_tls());
  auto connection = open(trusting(server));
  server.kill();
  assert_call_fails(*connection, {"PING"}, RedisFault::kLost);
  server.restart();
  connection = open(trusting(server));
  server.freeze();
  assert_call_fails(*connection, {"PING"}, RedisFault::kLost, kShort);
  Connection::Settings settings = trusting(server);
  settings.timeout = kShort;
  assert_open_fails(settings, RedisFault::kLost);
  {
    settings.timeout = kEver;
    CancelLater cancel(Milliseconds(50));
    const auto opened = Connection::open(settings, cancel.get());
    ck_assert(!opened.ok() && opened.error().fault == RedisFault::kCancelled);
  }
  server.thaw();
  connection = open(trusting(server));
  CancelLater cancel(Milliseconds(50));
  const auto reply = connection->call({"BLPOP", "none", "0"}, kEver, cancel.get());
  ck_assert(!reply.ok() && reply.error().fault == RedisFault::kCancelled);
}
END_TEST

// A stalled upload: the farewell of TLS would wait behind it.
START_TEST(a_stopped_server_that_is_written_to) {
  RedisServer server(with_tls());
  const auto connection = open(trusting(server));
  server.freeze();
  const std::vector<Command> commands(16, {"ECHO", std::string(1 << 20, 'x')});
  const auto answer = connection->exchange(commands, kShort, kNever);
  ck_assert(!answer.ok());
  assert_fault(*answer.error, RedisFault::kLost);
}
END_TEST

START_TEST(a_server_that_dies_in_the_handshake) {
  RawServer server([](RawServer::Peer& peer) {
    peer.read_body(1, [](std::string_view) {});
    if (peer.number() % 2 == 1) peer.reset_on_close();
  });
  for (int i = 0; i < 4; i++) {
    assert_open_fails(settings_for("rediss://127.0.0.1:" + std::to_string(server.port())),
                      RedisFault::kLost);
  }
}
END_TEST

START_TEST(descriptors_stay_the_same) {
  RedisServer server(with_tls());
  const auto round = [&] { call(*open(trusting(server)), {"PING"}); };
  for (int i = 0; i < 5; i++) round();
  const unsigned before = open_descriptors();
  const int rounds = full_tier() ? 300 : 20;
  for (int i = 0; i < rounds; i++) round();
  ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_tls");
  add_cases(suite, "certificates",
            {right_authority, answers_that_wait_for_us, unknown_authority, wrong_host_name,
             expired_certificate, server_that_wants_a_client_certificate, unusable_authority_file});
  add_cases(suite, "losses",
            {tls_client_on_a_plain_port, plain_client_on_a_tls_port, killed_stopped_and_cancelled,
             a_stopped_server_that_is_written_to, a_server_that_dies_in_the_handshake,
             descriptors_stay_the_same});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
