// What a network does to replies, byte by byte. The server here is a script, so that every cut is
// where the test wants it.
#include <atomic>
#include <string>

#include "connection_test.h"
#include "raw_server.h"
#include "redis/script_client.h"

namespace transcribe {
namespace {

using Peer = RawServer::Peer;
using namespace std::string_literals;

std::string uri_of(const RawServer& server) {
  return "redis://127.0.0.1:" + std::to_string(server.port());
}

std::string bytes_of(const std::vector<Command>& commands) {
  std::string bytes;
  for (const Command& command : commands) append_command(bytes, command);
  return bytes;
}

bool expect(Peer& peer, const std::vector<Command>& commands) {
  const std::string wanted = bytes_of(commands);
  std::string got;
  return peer.read_body(wanted.size(), [&](std::string_view part) { got += part; }) &&
         got == wanted;
}

const std::vector<Command> kThree = {{"ECHO", "a"}, {"GET", "b"}, {"INCR", "c"}};
const std::string kAnswers = "$1\r\na\r\n*2\r\n$-1\r\n+x\r\n:42\r\n";

START_TEST(replies_cut_at_every_byte) {
  RawServer server([](Peer& peer) {
    if (!expect(peer, kThree)) return;
    peer.write(std::string_view(kAnswers).substr(0, peer.number()));
    if (peer.number() % 2 == 1) peer.reset_on_close();
  });
  for (std::size_t cut = 0; cut < kAnswers.size(); cut++) {
    const auto connection = open(uri_of(server));
    const auto answer = connection->exchange(kThree, kLong, kNever);
    ck_assert(!answer.ok());
    assert_fault(*answer.error, RedisFault::kLost);
    // A reset may overtake what was sent before it.
    const std::size_t complete = cut < 7 ? 0 : cut < 20 ? 1 : 2;
    ck_assert_uint_le(answer.replies.size(), complete);
    if (cut % 2 == 0) ck_assert_uint_eq(answer.replies.size(), complete);
    ck_assert(!connection->alive());
  }
  const auto whole = open(uri_of(server));
  const auto answer = whole->exchange(kThree, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_int_eq(answer.replies[2].integer, 42);
}
END_TEST

START_TEST(one_byte_at_a_time) {
  RawServer server([](Peer& peer) {
    if (!expect(peer, kThree)) return;
    for (const char& byte : kAnswers)
      if (!peer.write({&byte, 1}) || !peer.pause(Milliseconds(10))) return;
    peer.hang_until_closed();
  });
  const auto connection = open(uri_of(server));
  const auto answer = connection->exchange(kThree, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_uint_eq(answer.replies.size(), 3);
  assert_text(answer.replies[1].elements[1].text, "x");
}
END_TEST

// Bytes alone don't extend the wait, replies do.
START_TEST(an_endless_reply_is_ended_by_the_timeout) {
  RawServer server([](Peer& peer) {
    if (!expect(peer, {{"GET", "a"}})) return;
    peer.write("$1000000\r\n");
    while (peer.write("x") && peer.pause(Milliseconds(10))) {
    }
  });
  // Long enough that no busy machine makes such a pause by itself.
  constexpr Milliseconds kTimeout{2000};
  const auto connection = open(uri_of(server));
  const Milliseconds time = time_of([&] {
    assert_call_fails(*connection, {"GET", "a"}, RedisFault::kLost, kTimeout);
  });
  ck_assert(time < kTimeout + kSlack);
}
END_TEST

START_TEST(every_reply_has_its_own_timeout) {
  RawServer server([](Peer& peer) {
    const std::vector<Command> commands(6, {"PING"});
    if (!expect(peer, commands)) return;
    for (std::size_t i = 0; i < commands.size(); i++)
      if (!peer.pause(Milliseconds(400)) || !peer.write("+PONG\r\n")) return;
    peer.hang_until_closed();
  });
  const auto connection = open(uri_of(server));
  const auto answer =
      connection->exchange(std::vector<Command>(6, {"PING"}), Milliseconds(1500), kNever);
  ck_assert_msg(answer.ok(), "%s", answer.ok() ? "" : answer.error->message.c_str());
}
END_TEST

START_TEST(more_replies_than_commands) {
  for (const char* answer : {"+PONG\r\n+PONG\r\n", "+PONG\r\n+", "+PONG\r\n$5\r\nab"}) {
    RawServer server([answer](Peer& peer) {
      if (!expect(peer, {{"PING"}})) return;
      peer.write(answer);
      peer.hang_until_closed();
    });
    const auto connection = open(uri_of(server));
    const auto got = connection->exchange({{"PING"}}, kLong, kNever);
    ck_assert_msg(!got.ok(), "%s", answer);
    ck_assert_uint_eq(got.replies.size(), 1);
    ck_assert(!connection->alive());
  }
}
END_TEST

START_TEST(an_answer_before_the_question) {
  RawServer server([](Peer& peer) { peer.write("-ERR max number of clients reached\r\n"); });
  Connection::Settings settings = settings_for(uri_of(server));
  settings.client_name = "x";
  for (int i = 0; i < 20; i++) {
    const auto connection = Connection::open(settings, kNever);
    ck_assert(!connection.ok());
    // The reset that answers our bytes may overtake the message.
    const RedisFault fault = connection.error().fault;
    ck_assert(fault == RedisFault::kMaxClients || fault == RedisFault::kLost);
  }
}
END_TEST

START_TEST(another_protocol) {
  RawServer server([](Peer& peer) {
    peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    peer.hang_until_closed();
  });
  const auto connection = open(uri_of(server));
  const auto error = assert_call_fails(*connection, {"PING"}, RedisFault::kLost);
  ck_assert_msg(contains(error.message, "redis-uri"), "%s", error.message.c_str());
  ck_assert(!connection->alive());
}
END_TEST

START_TEST(handshake_cut_after_each_answer) {
  RawServer server([](Peer& peer) {
    if (!expect(peer, {{"AUTH", "u", "topsecret"}, {"SELECT", "3"}, {"CLIENT", "SETNAME", "n"}}))
      return;
    for (unsigned i = 0; i < peer.number(); i++) peer.write("+OK\r\n");
    if (peer.number() == 3) peer.hang_until_closed();
  });
  Connection::Settings settings = settings_for(uri_of(server));
  settings.uri.user = "u";
  settings.uri.password = "topsecret";
  settings.uri.database = 3;
  settings.client_name = "n";
  for (int i = 0; i < 3; i++) {
    const auto error = assert_open_fails(settings, RedisFault::kLost);
    ck_assert(!contains(error.message, "topsecret"));
  }
  open(settings);
}
END_TEST

START_TEST(script_lost_in_the_middle_of_a_pipeline) {
  const ScriptClient script("return 1");
  const auto evaluate = [&](const char* argument) {
    return Command{"EVALSHA", script.sha(), "1", "key", argument};
  };
  std::atomic<bool> as_expected{false};
  RawServer server([&](Peer& peer) {
    if (!expect(peer, {evaluate("1"), evaluate("2"), evaluate("3"), evaluate("4")})) return;
    // The fourth was carried out too early.
    peer.write(":1\r\n-NOSCRIPT No matching script.\r\n-NOSCRIPT No matching script.\r\n:4\r\n");
    if (!expect(peer,
                {{"SCRIPT", "LOAD", "return 1"}, evaluate("2"), evaluate("3"), evaluate("4")}))
      return;
    peer.write("$3\r\nsha\r\n:2\r\n-NOSCRIPT No matching script.\r\n-ERR other\r\n");
    if (!expect(peer, {{"SCRIPT", "LOAD", "return 1"}, evaluate("3"), evaluate("4")})) return;
    peer.write("$3\r\nsha\r\n:3\r\n:44\r\n");
    as_expected = true;
    peer.hang_until_closed();
  });
  const auto connection = open(uri_of(server));
  const auto answer = script.run(
      *connection, {{{"key"}, {"1"}}, {{"key"}, {"2"}}, {{"key"}, {"3"}}, {{"key"}, {"4"}}}, kLong,
      kNever);
  ck_assert(answer.ok());
  ck_assert_uint_eq(answer.replies.size(), 4);
  for (int i = 0; i < 3; i++) ck_assert_int_eq(answer.replies[i].integer, i + 1);
  ck_assert_int_eq(answer.replies[3].integer, 44);
  ck_assert(as_expected);
}
END_TEST

START_TEST(script_that_is_never_there) {
  const ScriptClient script("return 1");
  const Command evaluate = {"EVALSHA", script.sha(), "0"};
  RawServer server([&](Peer& peer) {
    if (!expect(peer, {evaluate})) return;
    peer.write("-NOSCRIPT No matching script.\r\n");
    while (expect(peer, {{"SCRIPT", "LOAD", "return 1"}, evaluate}))
      peer.write("$3\r\nsha\r\n-NOSCRIPT No matching script.\r\n");
  });
  const auto connection = open(uri_of(server));
  const auto answer = script.run(*connection, {ScriptClient::Call{}}, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_uint_eq(answer.replies.size(), 1);
  ck_assert(classify_error_reply(answer.replies[0].text).fault == RedisFault::kNoScript);
}
END_TEST

// The connection breaks in the second round: what the first round had is kept.
START_TEST(script_pipeline_cut_after_a_load) {
  const ScriptClient script("return 1");
  const auto evaluate = [&](const char* argument) {
    return Command{"EVALSHA", script.sha(), "0", argument};
  };
  for (const bool after_load : {false, true}) {
    RawServer server([&](Peer& peer) {
      if (!expect(peer, {evaluate("1"), evaluate("2")})) return;
      peer.write(":1\r\n-NOSCRIPT No matching script.\r\n");
      if (!expect(peer, {{"SCRIPT", "LOAD", "return 1"}, evaluate("2")})) return;
      if (after_load) peer.write("$3\r\nsha\r\n");
    });
    const auto connection = open(uri_of(server));
    const auto answer = script.run(*connection, {{{}, {"1"}}, {{}, {"2"}}}, kLong, kNever);
    ck_assert(!answer.ok());
    ck_assert_uint_eq(answer.replies.size(), 1);
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_proxy");
  add_cases(
      suite, "replies",
      {replies_cut_at_every_byte, one_byte_at_a_time, an_endless_reply_is_ended_by_the_timeout,
       every_reply_has_its_own_timeout, more_replies_than_commands, an_answer_before_the_question,
       another_protocol, handshake_cut_after_each_answer});
  add_cases(suite, "scripts",
            {script_lost_in_the_middle_of_a_pipeline, script_that_is_never_there,
             script_pipeline_cut_after_a_load});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
