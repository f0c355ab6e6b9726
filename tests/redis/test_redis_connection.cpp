#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <string>

#include "raw_server.h"
#include "redis/transport.h"

// Last: see check_main.h.
#include "connection_test.h"

namespace transcribe {
namespace {

using Type = Reply::Type;
using namespace std::string_literals;

bool has_ipv6() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return bound;
}

std::string port_of(const RedisServer& server) { return std::to_string(server.port()); }

START_TEST(values_of_every_type_over_tcp) {
  RedisServer server;
  const auto connection = open(server.uri());
  ck_assert(call(*connection, {"PING"}).type == Type::kStatus);
  assert_text(call(*connection, {"PING", "hello"}).text, "hello");
  ck_assert(call(*connection, {"GET", "none"}).is_nil());
  ck_assert_int_eq(call(*connection, {"INCRBY", "n", "-5"}).integer, -5);
  call(*connection, {"RPUSH", "list", "a", "", "c"});
  const Reply list = call(*connection, {"LRANGE", "list", "0", "-1"});
  ck_assert_uint_eq(list.elements.size(), 3);
  ck_assert(list.elements[1].type == Type::kBulk && list.elements[1].text.empty());
  const auto error = connection->exchange({{"HGET", "list", "x"}}, kLong, kNever);
  ck_assert(error.ok() && error.replies[0].is_error());
  ck_assert(connection->alive());
}
END_TEST

START_TEST(host_name_ipv6_and_socket) {
  RedisServer::Options options;
  options.unix_socket = true;
  RedisServer server(options);
  assert_text(call(*open("redis://localhost:" + port_of(server)), {"PING"}).text, "PONG");
  assert_text(call(*open("redis+unix://" + server.socket_path()), {"PING"}).text, "PONG");
  if (!has_ipv6()) return;
  options.arguments = {"--bind", "::1"};
  RedisServer six(options);
  assert_text(call(*open("redis://[::1]:" + port_of(six)), {"PING"}).text, "PONG");
  // The first address of the name refuses, the other one answers.
  assert_text(call(*open("redis://localhost:" + port_of(six)), {"PING"}).text, "PONG");
}
END_TEST

START_TEST(database_and_client_name) {
  RedisServer server;
  Connection::Settings settings = settings_for(server.uri() + "/5");
  settings.client_name = "openaitranscribe:some-job";
  const auto connection = open(settings);
  const std::string list = call(*connection, {"CLIENT", "LIST"}).text;
  ck_assert_msg(contains(list, " name=openaitranscribe:some-job "), "%s", list.c_str());
  ck_assert_msg(contains(list, " db=5 "), "%s", list.c_str());

  const auto error = assert_open_fails(settings_for(server.uri() + "/99"), RedisFault::kRefused);
  ck_assert(contains(error.message, "DB index"));
}
END_TEST

START_TEST(bytes_of_every_kind_and_a_megabyte) {
  RedisServer server;
  const auto connection = open(server.uri());
  std::string text(1024 * 1024, '\0');
  for (std::size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(i * 31 / 7);
  for (const std::string& value : {""s, "\0"s, "a\0b\r\n$-1\r\n"s, "\xff\xfe%s"s, text}) {
    call(*connection, {"SET", "key\0\r\n"s, value});
    ck_assert(call(*connection, {"GET", "key\0\r\n"s}).text == value);
  }
}
END_TEST

START_TEST(a_pipeline_keeps_its_order) {
  RedisServer server;
  const auto connection = open(server.uri());
  std::vector<Command> commands;
  for (int i = 0; i < 2000; i++) {
    commands.push_back({"ECHO", std::to_string(i)});
    if (i % 100 == 0) commands.push_back({"NOSUCH"});
  }
  const auto answer = connection->exchange(commands, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_uint_eq(answer.replies.size(), commands.size());
  for (std::size_t i = 0; i < commands.size(); i++) {
    if (commands[i][0] == "ECHO") {
      ck_assert(answer.replies[i].text == commands[i][1]);
    } else {
      ck_assert(answer.replies[i].is_error());
    }
  }
  ck_assert(connection->exchange({}, kLong, kNever).ok());
}
END_TEST

// More than all buffers on the way hold, in both directions at once.
START_TEST(a_pipeline_of_megabytes_does_not_lock_up) {
  RedisServer server;
  const auto connection = open(server.uri());
  const std::vector<Command> commands(40, {"ECHO", std::string(1024 * 1024, 'x')});
  const auto answer = connection->exchange(commands, kLong, kNever);
  ck_assert_msg(answer.ok(), "%s", answer.ok() ? "" : answer.error->message.c_str());
  for (const Reply& reply : answer.replies) ck_assert_uint_eq(reply.text.size(), 1024 * 1024);
}
END_TEST

START_TEST(nobody_listens) {
  RedisServer server;
  const std::string uri = server.uri();
  server.kill();
  const auto error = assert_open_fails(settings_for(uri), RedisFault::kLost);
  ck_assert_msg(contains(error.message, "127.0.0.1:" + port_of(server)), "%s",
                error.message.c_str());
  assert_open_fails(settings_for("redis+unix://" + server.directory() + "/none"),
                    RedisFault::kLost);
  assert_open_fails(settings_for("redis://no-such-host.invalid"), RedisFault::kLost);
}
END_TEST

START_TEST(killed_server_is_found_and_found_again) {
  RedisServer server;
  auto connection = open(server.uri());
  call(*connection, {"PING"});
  for (int i = 0; i < 3; i++) {
    server.kill();
    assert_call_fails(*connection, {"PING"}, RedisFault::kLost);
    ck_assert(!connection->alive());
    // Dead for good, whatever the server does.
    server.restart();
    assert_call_fails(*connection, {"PING"}, RedisFault::kLost);
    connection = open(server.uri());
    call(*connection, {"PING"});
  }
}
END_TEST

START_TEST(killed_while_a_command_runs) {
  RedisServer server;
  const auto connection = open(server.uri());
  std::thread killer([&] {
    ck_assert(server.wait_for_log("Ready"));
    std::this_thread::sleep_for(Milliseconds(100));
    ::kill(server.pid(), SIGKILL);
  });
  assert_call_fails(*connection, {"BLPOP", "none", "0"}, RedisFault::kLost);
  killer.join();
}
END_TEST

START_TEST(stopped_server_is_found_by_the_timeout) {
  RedisServer server;
  const auto connection = open(server.uri());
  server.freeze();
  const Milliseconds time =
      time_of([&] { assert_call_fails(*connection, {"PING"}, RedisFault::kLost, kShort); });
  ck_assert(time >= kShort - Milliseconds(1) && time < kShort + kSlack);

  // It still takes connections.
  Connection::Settings settings = settings_for(server.uri());
  settings.timeout = kShort;
  settings.client_name = "x";
  const auto error = assert_open_fails(settings, RedisFault::kLost);
  ck_assert_msg(contains(error.message, "did not answer"), "%s", error.message.c_str());
  server.thaw();
  call(*open(server.uri()), {"PING"});
}
END_TEST

START_TEST(paused_clients_are_found_by_the_timeout) {
  RedisServer server;
  const auto connection = open(server.uri());
  const auto other = open(server.uri());
  call(*other, {"CLIENT", "PAUSE", "100000", "ALL"});
  assert_call_fails(*connection, {"PING"}, RedisFault::kLost, kShort);
}
END_TEST

START_TEST(killed_client_is_found) {
  RedisServer server;
  const auto connection = open(server.uri());
  const auto other = open(server.uri());
  const auto id = call(*connection, {"CLIENT", "ID"}).integer;
  call(*other, {"CLIENT", "KILL", "ID", std::to_string(id)});
  assert_call_fails(*connection, {"PING"}, RedisFault::kLost);
  // In the middle of a pipeline the replies before it remain.
  const auto third = open(server.uri());
  const std::string itself = std::to_string(call(*third, {"CLIENT", "ID"}).integer);
  const auto answer = third->exchange(
      {{"ECHO", "a"}, {"ECHO", "b"}, {"CLIENT", "KILL", "ID", itself, "SKIPME", "no"}, {"PING"}},
      kLong, kNever);
  ck_assert(!answer.ok());
  ck_assert_uint_ge(answer.replies.size(), 2);
  assert_text(answer.replies[1].text, "b");
}
END_TEST

START_TEST(cancel_ends_everything_at_once) {
  RedisServer server;
  {
    const auto connection = open(server.uri());
    CancelLater cancel(Milliseconds(50));
    const auto reply = connection->call({"BLPOP", "none", "0"}, kEver, cancel.get());
    ck_assert(!reply.ok());
    assert_fault(reply.error(), RedisFault::kCancelled);
    ck_assert(!connection->alive());
  }
  server.freeze();
  Connection::Settings settings = settings_for(server.uri());
  settings.client_name = "x";
  settings.timeout = kEver;
  CancelLater cancel(Milliseconds(50));
  const auto connection = Connection::open(settings, cancel.get());
  ck_assert(!connection.ok());
  assert_fault(connection.error(), RedisFault::kCancelled);

  Cancellation before;
  before.cancel();
  ck_assert(Connection::open(settings, before).error().fault == RedisFault::kCancelled);
  server.thaw();
  const auto alive = open(server.uri());
  const auto reply = alive->call({"PING"}, kLong, before);
  ck_assert(!reply.ok() && reply.error().fault == RedisFault::kCancelled);
}
END_TEST

// As after a while in which this process was stopped.
START_TEST(an_answer_that_is_there_counts_however_late) {
  std::promise<void> begun, written;
  RawServer server([&](RawServer::Peer& peer) {
    peer.write("+PO");
    begun.get_future().wait();
    peer.write("NG\r\n");
    written.set_value();
    peer.hang();
  });
  const auto uri = parse_redis_uri("redis://127.0.0.1:" + std::to_string(server.port()));
  auto transport = Transport::open(*uri, "", kLong, kNever);
  ck_assert(transport.ok());
  std::string text;
  const auto result = (*transport)->exchange("", kShort, kNever, [&](std::string_view part) {
    text += part;
    if (text == "+PONG\r\n") return Transport::Next::kNothing;
    begun.set_value();
    written.get_future().wait();
    std::this_thread::sleep_for(2 * kShort);
    return Transport::Next::kPart;
  });
  ck_assert_msg(result.ok(), "%s", result.ok() ? "" : result.error().message.c_str());
  // And only what is there.
  const auto next = (*transport)->exchange("PING\r\n", kShort, kNever, [](std::string_view) {
    return Transport::Next::kNothing;
  });
  ck_assert(!next.ok());
  assert_fault(next.error(), RedisFault::kLost);
}
END_TEST

START_TEST(the_timeout_may_be_none) {
  RedisServer server;
  const auto connection = open(server.uri());
  server.freeze();
  assert_call_fails(*connection, {"PING"}, RedisFault::kLost, Milliseconds(0));
}
END_TEST

START_TEST(descriptors_stay_the_same) {
  RedisServer server;
  RedisServer::Options options;
  options.unix_socket = true;
  RedisServer other(options);
  const int rounds = full_tier() ? 1000 : 200;
  const auto round = [&](int i) {
    const auto connection = open(i % 2 ? server.uri() : "redis+unix://" + other.socket_path());
    call(*connection, {"PING"});
    // Given up in the middle of an answer, as a rule.
    if (i % 3 == 0)
      static_cast<void>(connection->call({"DEBUG", "SLEEP", "0.005"}, Milliseconds(0), kNever));
  };
  for (int i = 0; i < 6; i++) round(i);
  const unsigned before = open_descriptors();
  for (int i = 0; i < rounds; i++) round(i);
  ck_assert_uint_eq(open_descriptors(), before);
  server.kill();
  for (int i = 0; i < rounds; i++)
    ck_assert(!Connection::open(settings_for(server.uri()), kNever).ok());
  ck_assert_uint_eq(open_descriptors(), before - 1);  // the pipe of the server's log
}
END_TEST

START_TEST(no_child_inherits_the_connection) {
  RedisServer server;
  const auto connection = open(server.uri());
  CharPtr listed;
  ck_assert(
      g_spawn_command_line_sync("ls -l /proc/self/fd", out(listed), nullptr, nullptr, nullptr));
  ck_assert_msg(!contains(listed.get(), "socket:"), "%s", listed.get());
}
END_TEST

START_TEST(sigpipe_is_neither_raised_nor_touched) {
  RedisServer server;
  // GIO ignores the signal for the whole process when its sockets are used first.
  g_type_ensure(G_TYPE_SOCKET);
  open(server.uri());
  std::signal(SIGPIPE, SIG_DFL);
  for (int i = 0; i < 3; i++) {
    const auto connection = open(server.uri());
    server.kill();
    assert_call_fails(*connection, {"ECHO", std::string(1 << 20, 'x')}, RedisFault::kLost);
    server.restart();
  }
  ck_assert(std::signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}
END_TEST

START_TEST(a_storm_of_signals_is_survived) {
  RedisServer server;
  struct sigaction action {};
  action.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGALRM, &action, nullptr);
  const itimerval every_millisecond = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every_millisecond, nullptr);
  for (int i = 0; i < 20; i++) {
    const auto connection = open(server.uri());
    call(*connection, {"DEBUG", "SLEEP", "0.02"});
    ck_assert_uint_eq(call(*connection, {"ECHO", std::string(1 << 20, 'x')}).text.size(), 1 << 20);
  }
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_connection");
  add_cases(suite, "commands",
            {values_of_every_type_over_tcp, host_name_ipv6_and_socket, database_and_client_name,
             bytes_of_every_kind_and_a_megabyte, a_pipeline_keeps_its_order,
             a_pipeline_of_megabytes_does_not_lock_up});
  add_cases(suite, "losses",
            {nobody_listens, killed_server_is_found_and_found_again, killed_while_a_command_runs,
             stopped_server_is_found_by_the_timeout, paused_clients_are_found_by_the_timeout,
             killed_client_is_found, cancel_ends_everything_at_once, the_timeout_may_be_none,
             an_answer_that_is_there_counts_however_late});
  add_cases(suite, "process",
            {descriptors_stay_the_same, no_child_inherits_the_connection,
             sigpipe_is_neither_raised_nor_touched, a_storm_of_signals_is_survived});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
