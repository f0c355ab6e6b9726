#include <glib/gstdio.h>

#include <string>

#include "connection_test.h"
#include "redis/script_client.h"
#include "redis/server_facts.h"
#include "redis_cluster.h"

namespace transcribe {
namespace {

using namespace std::string_literals;
using Call = ScriptClient::Call;

std::string with_login(const RedisServer& server, const std::string& login) {
  return "redis://" + login + "@127.0.0.1:" + std::to_string(server.port());
}

void assert_hidden(const RedisError& error, const std::string& secret) {
  ck_assert_msg(!contains(error.message, secret), "%s", error.message.c_str());
  ck_assert_msg(contains(error.message, "redis-uri"), "%s", error.message.c_str());
}

START_TEST(password_of_the_default_user) {
  RedisServer::Options options;
  options.arguments = {"--requirepass", "p@ss word"};
  RedisServer server(options);
  assert_text(call(*open(with_login(server, ":p%40ss%20word")), {"PING"}).text, "PONG");
  assert_text(call(*open(with_login(server, "default:p%40ss%20word")), {"PING"}).text, "PONG");
  assert_hidden(
      assert_open_fails(settings_for(with_login(server, ":topsecret")), RedisFault::kRefused),
      "topsecret");
  const auto connection = open(server.uri());
  assert_call_fails(*connection, {"PING"}, RedisFault::kRefused);
}
END_TEST

START_TEST(users_of_the_acl) {
  RedisServer::Options options;
  options.acl =
      "user default off\n"
      "user some on >topsecret ~a* +@all -config -client -append\n"
      "user none on nopass ~* +ping\n"
      "user gone off >topsecret ~* +@all\n";
  RedisServer server(options);
  Connection::Settings settings = settings_for(with_login(server, "some:topsecret"));
  settings.client_name = "refused-but-no-reason-to-stop";
  const auto connection = open(settings);
  call(*connection, {"SET", "a", "1"});
  assert_call_fails(*connection, {"SET", "b", "1"}, RedisFault::kRefused);
  assert_call_fails(*connection, {"CONFIG", "GET", "*"}, RedisFault::kRefused);
  assert_call_fails(*connection, {"EVAL", "return redis.call('APPEND', KEYS[1], 'x')", "1", "a"},
                    RedisFault::kRefused);
  assert_call_fails(*connection, {"EVAL", "return redis.call('SET', 'b', 'x')", "0"},
                    RedisFault::kRefused);
  ck_assert(connection->alive());
  assert_text(call(*open(with_login(server, "none")), {"PING"}).text, "PONG");
  for (const char* login : {"some:topsecretx", "gone:topsecret", "nobody:topsecret"}) {
    assert_hidden(assert_open_fails(settings_for(with_login(server, login)), RedisFault::kRefused),
                  "topsecret");
  }
  settings = settings_for(with_login(server, "none"));
  settings.uri.database = 1;
  assert_open_fails(settings, RedisFault::kRefused);
}
END_TEST

START_TEST(a_password_nobody_asked_for) {
  RedisServer server;
  assert_hidden(
      assert_open_fails(settings_for(with_login(server, ":topsecret")), RedisFault::kRefused),
      "topsecret");
}
END_TEST

// The server repeats what it does not know.
START_TEST(a_server_without_auth_repeats_the_password) {
  RedisServer::Options options;
  options.arguments = {"--rename-command", "AUTH", ""};
  RedisServer server(options);
  assert_hidden(
      assert_open_fails(settings_for(with_login(server, "u:topsecret")), RedisFault::kRefused),
      "topsecret");
}
END_TEST

START_TEST(full_server) {
  RedisServer server;
  const auto connection = open(server.uri());
  call(*connection, {"CONFIG", "SET", "maxmemory", "1"});
  assert_call_fails(*connection, {"SET", "a", "b"}, RedisFault::kFull);
  assert_call_fails(*connection, {"EVAL", "return redis.call('SET', KEYS[1], 'b')", "1", "a"},
                    RedisFault::kFull);
  ck_assert(call(*connection, {"GET", "a"}).is_nil());
  call(*connection, {"CONFIG", "SET", "maxmemory", "0"});
  call(*connection, {"SET", "a", "b"});
}
END_TEST

START_TEST(replica_takes_no_writes) {
  RedisServer master;
  RedisServer::Options options;
  options.replica_of = master.port();
  RedisServer replica(options);
  ck_assert(replica.wait_for_log("Finished with success"));
  const auto connection = open(replica.uri());
  assert_call_fails(*connection, {"SET", "a", "b"}, RedisFault::kReadOnly);
  assert_call_fails(*connection, {"EVAL", "return redis.call('SET', KEYS[1], 'b')", "1", "a"},
                    RedisFault::kReadOnly);
  const ServerFacts facts = parse_info(call(*connection, {"INFO"}).text);
  assert_text(facts.role, "slave");
  call(*connection, {"CONFIG", "SET", "replica-serve-stale-data", "no"});
  master.kill();
  ck_assert(replica.wait_for_log("Connection with master lost"));
  assert_call_fails(*connection, {"GET", "a"}, RedisFault::kReadOnly);
}
END_TEST

START_TEST(too_few_replicas) {
  RedisServer server;
  const auto connection = open(server.uri());
  call(*connection, {"CONFIG", "SET", "min-replicas-to-write", "1"});
  assert_call_fails(*connection, {"SET", "a", "b"}, RedisFault::kDisk);
}
END_TEST

START_TEST(snapshot_that_can_not_be_written) {
  RedisServer::Options options;
  options.arguments = {"--save", "3600 1", "--dbfilename", "dump.rdb"};
  RedisServer server(options);
  const auto connection = open(server.uri());
  call(*connection, {"SET", "a", "b"});
  // A directory stands where the file should go; even root can't write it.
  ck_assert(g_mkdir((server.directory() + "/dump.rdb").c_str(), 0700) == 0);
  ck_assert(g_mkdir((server.directory() + "/dump.rdb/x").c_str(), 0700) == 0);
  ck_assert(!connection->call({"SAVE"}, kLong, kNever).ok());
  call(*connection, {"BGSAVE"});
  ck_assert(server.wait_for_log("Background saving error"));
  assert_call_fails(*connection, {"SET", "a", "c"}, RedisFault::kDisk);
  assert_text(call(*connection, {"GET", "a"}).text, "b");
}
END_TEST

START_TEST(no_room_for_another_client) {
  RedisServer::Options options;
  options.arguments = {"--maxclients", "1"};
  RedisServer server(options);
  const auto connection = open(server.uri());
  call(*connection, {"PING"});
  Connection::Settings settings = settings_for(server.uri());
  settings.client_name = "x";
  for (int i = 0; i < 20; i++) assert_open_fails(settings, RedisFault::kMaxClients);
}
END_TEST

START_TEST(loading_server) {
  RedisServer::Options options;
  options.append_only = true;
  RedisServer server(options);
  {
    const auto connection = open(server.uri());
    std::vector<Command> commands;
    for (int i = 0; i < 3000; i++) {
      const std::string name = std::to_string(i);
      commands.push_back({"SET", name, name});
    }
    ck_assert(connection->exchange(commands, kLong, kNever).ok());
    call(*connection, {"BGREWRITEAOF"});
    ck_assert(server.wait_for_log("Background AOF rewrite finished successfully"));
  }
  server.restart({"--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"},
                 false);
  Connection::Settings settings = settings_for(server.uri() + "/0");
  settings.client_name = "x";
  const auto connection = open(settings);
  assert_call_fails(*connection, {"PING"}, RedisFault::kLoading);
  assert_call_fails(*connection, {"SCRIPT", "LOAD", "return 1"}, RedisFault::kLoading);
  ck_assert(connection->alive());
  ck_assert(parse_info(call(*connection, {"INFO"}).text).loading);
}
END_TEST

START_TEST(busy_server) {
  RedisServer::Options options;
  options.arguments = {"--busy-reply-threshold", "50"};
  RedisServer server(options);
  const auto connection = open(server.uri());
  std::thread looping([&] {
    const auto other = open(server.uri());
    assert_call_fails(*other, {"EVAL", "while true do end", "0"}, RedisFault::kOther);
  });
  ck_assert(server.wait_for_log("Slow script detected"));
  assert_call_fails(*connection, {"GET", "a"}, RedisFault::kBusy);
  call(*connection, {"SCRIPT", "KILL"});
  looping.join();
  ck_assert(call(*connection, {"GET", "a"}).is_nil());
}
END_TEST

START_TEST(facts_of_a_real_server) {
  RedisServer server;
  const auto connection = open(server.uri());
  const ServerFacts facts = parse_info(call(*connection, {"INFO"}).text);
  ck_assert(facts.version.find('.') != std::string::npos);
  assert_text(facts.role, "master");
  assert_text(facts.maxmemory_policy, "noeviction");
  ck_assert_uint_eq(facts.run_id.size(), 40);
  ck_assert(!facts.appends_to_file && !facts.loading && !facts.cluster);
  ck_assert_uint_eq(durability_warnings(facts).size(), 1);
  call(*connection, {"CONFIG", "SET", "appendonly", "yes"});
  ck_assert(durability_warnings(parse_info(call(*connection, {"INFO"}).text)).empty());
}
END_TEST

START_TEST(cluster_names_the_other_node) {
  {
    RedisServer::Options options;
    options.cluster = true;
    RedisServer alone(options);
    assert_call_fails(*open(alone.uri()), {"GET", "foo"}, RedisFault::kUnsettled);
  }
  RedisCluster cluster;
  const auto first = open(cluster.first.uri());
  // Slot 12182.
  const auto error = assert_call_fails(*first, {"SET", "foo", "1"}, RedisFault::kMoved);
  ck_assert_uint_eq(error.slot, 12182);
  assert_text(error.host, "127.0.0.1");
  ck_assert_uint_eq(error.port, cluster.second.port());
  Connection::Settings settings = settings_for(cluster.first.uri());
  settings.uri.host = error.host;
  settings.uri.port = error.port;
  call(*open(settings), {"SET", "foo", "1"});
  // Before it says that it does not know the script.
  assert_call_fails(*first, {"EVALSHA", std::string(40, 'a'), "1", "foo"}, RedisFault::kMoved);
  assert_call_fails(*first, {"MSET", "foo", "1", "bar", "2"}, RedisFault::kRefused);
  assert_open_fails(settings_for(cluster.first.uri() + "/1"), RedisFault::kRefused);
}
END_TEST

const char kAppend[] = "return redis.call('RPUSH', KEYS[1], ARGV[1])";

START_TEST(script_survives_a_flush) {
  RedisServer server;
  const auto connection = open(server.uri());
  const ScriptClient script(kAppend);
  // Never loaded.
  auto answer = script.run(*connection, {{{"list"}, {"0"}}}, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_int_eq(answer.replies[0].integer, 1);
  call(*connection, {"SCRIPT", "FLUSH"});
  ck_assert(script.load(*connection, kLong, kNever).ok());
  const Reply known = call(*connection, {"SCRIPT", "EXISTS", script.sha()});
  ck_assert_int_eq(known.elements[0].integer, 1);

  call(*connection, {"SCRIPT", "FLUSH"});
  std::vector<Call> calls;
  for (int i = 1; i < 100; i++) calls.push_back({{"list"}, {std::to_string(i)}});
  answer = script.run(*connection, calls, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_uint_eq(answer.replies.size(), calls.size());
  const Reply list = call(*connection, {"LRANGE", "list", "0", "-1"});
  ck_assert_uint_eq(list.elements.size(), 100);
  for (int i = 0; i < 100; i++) assert_text(list.elements[i].text, std::to_string(i));
  ck_assert(script.run(*connection, {}, kLong, kNever).ok());
}
END_TEST

START_TEST(script_flushed_all_the_time) {
  RedisServer server;
  const auto connection = open(server.uri());
  const ScriptClient script(kAppend);
  std::thread flusher([&] {
    const auto other = open(server.uri());
    for (int i = 0; i < 200; i++) call(*other, {"SCRIPT", "FLUSH"});
  });
  int number = 0;
  for (int round = 0; round < 200; round++) {
    std::vector<Call> calls;
    for (int i = 0; i < 5; i++) calls.push_back({{"list"}, {std::to_string(number++)}});
    const auto answer = script.run(*connection, calls, kLong, kNever);
    ck_assert(answer.ok());
    ck_assert_uint_eq(answer.replies.size(), 5);
    for (const Reply& reply : answer.replies)
      ck_assert_msg(!reply.is_error(), "%s", reply.text.c_str());
  }
  flusher.join();
  const Reply list = call(*connection, {"LRANGE", "list", "0", "-1"});
  ck_assert_int_eq(static_cast<int>(list.elements.size()), number);
  for (int i = 0; i < number; i++) assert_text(list.elements[i].text, std::to_string(i));
}
END_TEST

START_TEST(script_errors_stay_in_their_place) {
  RedisServer server;
  const auto connection = open(server.uri());
  const ScriptClient script("return redis.call('INCR', KEYS[1])");
  call(*connection, {"SET", "text", "x"});
  const auto answer =
      script.run(*connection, {{{"a"}, {}}, {{"text"}, {}}, {{"a"}, {}}}, kLong, kNever);
  ck_assert(answer.ok());
  ck_assert_int_eq(answer.replies[0].integer, 1);
  ck_assert(answer.replies[1].is_error());
  ck_assert_int_eq(answer.replies[2].integer, 2);
  ck_assert(!ScriptClient("no lua").load(*connection, kLong, kNever).ok());
}
END_TEST

START_TEST(script_on_a_lost_connection) {
  RedisServer server;
  const auto connection = open(server.uri());
  const ScriptClient script(kAppend);
  server.kill();
  const auto answer = script.run(*connection, {{{"list"}, {"1"}}}, kLong, kNever);
  ck_assert(!answer.ok());
  assert_fault(*answer.error, RedisFault::kLost);
  ck_assert(answer.replies.empty());
  const auto loaded = script.load(*connection, kLong, kNever);
  ck_assert(!loaded.ok());
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_answers");
  add_cases(suite, "rights",
            {password_of_the_default_user, users_of_the_acl, a_password_nobody_asked_for,
             a_server_without_auth_repeats_the_password});
  add_cases(suite, "states",
            {full_server, replica_takes_no_writes, too_few_replicas,
             snapshot_that_can_not_be_written, no_room_for_another_client, loading_server,
             busy_server, facts_of_a_real_server, cluster_names_the_other_node});
  add_cases(suite, "scripts",
            {script_survives_a_flush, script_flushed_all_the_time,
             script_errors_stay_in_their_place, script_on_a_lost_connection});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
