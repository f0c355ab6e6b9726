#include <algorithm>
#include <string>

#include "redis/fault.h"
#include "redis/reconnect.h"
#include "redis/server_facts.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;
using Fault = RedisFault;

START_TEST(error_replies_by_their_text) {
  const struct {
    const char* text;
    Fault fault;
  } cases[] = {
      {"LOADING Redis is loading the dataset in memory", Fault::kLoading},
      {"READONLY You can't write against a read only replica.", Fault::kReadOnly},
      {"READONLY You can't write against a read only replica. script: 1f, on @user_script:1.",
       Fault::kReadOnly},
      {"ERR Error running script (call to f_1f): @user_script:1: @user_script: 1: -READONLY You "
       "can't write against a read only replica.",
       Fault::kReadOnly},
      {"ERR Error running script (call to f_1f): @user_script:1: user text", Fault::kOther},
      {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
       Fault::kReadOnly},
      {"OOM command not allowed when used memory > 'maxmemory'.", Fault::kFull},
      {"MISCONF Redis is configured to save RDB snapshots, but ...", Fault::kDisk},
      {"NOREPLICAS Not enough good replicas to write.", Fault::kDisk},
      {"BUSY Redis is busy running a script.", Fault::kBusy},
      {"ASK 3999 127.0.0.1:6381", Fault::kUnsettled},
      {"TRYAGAIN Multiple keys request during rehashing of slot", Fault::kUnsettled},
      {"CLUSTERDOWN The cluster is down", Fault::kUnsettled},
      {"NOSCRIPT No matching script. Please use EVAL.", Fault::kNoScript},
      {"NOAUTH Authentication required.", Fault::kRefused},
      {"WRONGPASS invalid username-password pair or user is disabled.", Fault::kRefused},
      {"NOPERM this user has no permissions to run the 'get' command", Fault::kRefused},
      {"DENIED Redis is running in protected mode", Fault::kRefused},
      {"WRONGTYPE Operation against a key holding the wrong kind of value", Fault::kRefused},
      {"CROSSSLOT Keys in request don't hash to the same slot", Fault::kRefused},
      {"ERR The user executing the script can't run this command or subcommand", Fault::kRefused},
      {"ERR The user executing the script can't access at least one of the keys mentioned in the "
       "command arguments script: 1f, on @user_script:1.",
       Fault::kRefused},
      {"ERR Error running script (call to f_1f): @user_script:1: @user_script: 1: The user "
       "executing the script can't run this command or subcommand",
       Fault::kRefused},
      {"ERR DB index is out of range", Fault::kRefused},
      {"ERR SELECT is not allowed in cluster mode", Fault::kRefused},
      {"ERR max number of clients reached", Fault::kMaxClients},
      {"ERR max number of clients + cluster connections reached", Fault::kMaxClients},
      {"ERR unknown command", Fault::kOther},
      {"BUSYGROUP Consumer Group name already exists", Fault::kOther},
      {"", Fault::kOther},
      {"MOVED", Fault::kOther},
  };
  for (const auto& c : cases) {
    const RedisError error = classify_error_reply(c.text);
    ck_assert_msg(error.fault == c.fault, "%s: %s", c.text, to_string(error.fault));
    assert_text(error.message, c.text);
  }
}
END_TEST

START_TEST(moved_names_the_node) {
  const struct {
    const char* text;
    const char* host;
    unsigned port;
  } cases[] = {
      {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 6381},
      {"MOVED 3999 ::1:6381", "::1", 6381},
      {"MOVED 3999 redis.example:6381", "redis.example", 6381},
      {"MOVED 3999 :6381", "", 6381},
      {"MOVED 3999 ?:6381", "", 6381},
  };
  for (const auto& c : cases) {
    const RedisError error = classify_error_reply(c.text);
    ck_assert_msg(error.fault == Fault::kMoved, "%s", c.text);
    ck_assert_uint_eq(error.slot, 3999);
    assert_text(error.host, c.host);
    ck_assert_uint_eq(error.port, c.port);
  }
  for (const char* text : {"MOVED ", "MOVED 1", "MOVED x a:1", "MOVED 1 a:", "MOVED 1 a:0",
                           "MOVED 1 a:65536", "MOVED 1 a", "MOVED a:1"}) {
    const RedisError error = classify_error_reply(text);
    ck_assert_msg(error.fault == Fault::kOther, "%s", text);
    ck_assert(error.host.empty());
  }
}
END_TEST

START_TEST(which_errors_keep_the_connection) {
  for (Fault fault :
       {Fault::kLost, Fault::kCancelled, Fault::kReadOnly, Fault::kMoved, Fault::kMaxClients}) {
    ck_assert_msg(!keeps_connection(fault), "%s", to_string(fault));
  }
  for (Fault fault : {Fault::kLoading, Fault::kFull, Fault::kDisk, Fault::kBusy, Fault::kUnsettled,
                      Fault::kRefused, Fault::kNoScript, Fault::kOther}) {
    ck_assert_msg(keeps_connection(fault), "%s", to_string(fault));
  }
  ck_assert_str_eq(to_string(Fault::kOther), "other");
  ck_assert_str_eq(to_string(Fault::kLost), "lost");
}
END_TEST

struct Seen {
  Nanoseconds lowest = 1h;
  Nanoseconds highest = 0s;
};

// Of the delay after `failures` failures, over many clients.
Seen spread(Fault fault, unsigned failures) {
  Seen seen;
  for (std::uint64_t seed = 0; seed < 400; seed++) {
    ReconnectPolicy policy(seed);
    std::optional<Nanoseconds> delay;
    for (unsigned i = 0; i < failures; i++) delay = policy.failed(fault);
    ck_assert(delay.has_value());
    seen.lowest = std::min(seen.lowest, *delay);
    seen.highest = std::max(seen.highest, *delay);
  }
  return seen;
}

void assert_range(Fault fault, unsigned failures, Nanoseconds floor, Nanoseconds ceiling) {
  const Seen seen = spread(fault, failures);
  const Nanoseconds edge = (ceiling - floor) / 20;
  ck_assert(seen.lowest >= floor && seen.lowest < floor + edge);
  ck_assert(seen.highest <= ceiling && seen.highest > ceiling - edge);
}

START_TEST(full_jitter_below_a_doubling_ceiling) {
  Nanoseconds ceiling = 100ms;
  for (unsigned failures = 1; failures < 12; failures++) {
    assert_range(Fault::kLost, failures, 0ms, ceiling);
    ceiling = std::min<Nanoseconds>(ceiling * 2, 5s);
  }
  assert_range(Fault::kReadOnly, 3, 0ms, 400ms);
}
END_TEST

START_TEST(loading_and_full_are_polled_slowly) {
  assert_range(Fault::kLoading, 1, 200ms, 400ms);
  assert_range(Fault::kLoading, 9, 200ms, 1s);
  assert_range(Fault::kFull, 1, 1s, 2s);
  assert_range(Fault::kDisk, 9, 1s, 5s);
}
END_TEST

START_TEST(moved_is_followed_at_once_but_not_for_ever) {
  ReconnectPolicy policy(1);
  ck_assert(*policy.failed(Fault::kMoved) == 0s);
  assert_range(Fault::kMoved, 8, 0ms, 5s);
  policy.succeeded();
  ck_assert(*policy.failed(Fault::kMoved) == 0s);
}
END_TEST

START_TEST(permanent_errors_are_not_tried_again) {
  ReconnectPolicy policy(1);
  ck_assert(!policy.failed(Fault::kRefused));
  ck_assert(!policy.failed(Fault::kCancelled));
  ck_assert(!policy.failed(Fault::kOther));
  ck_assert_uint_eq(policy.failures(), 0);
}
END_TEST

START_TEST(success_starts_from_the_beginning) {
  ReconnectPolicy policy(1);
  for (int i = 0; i < 100; i++) ck_assert(*policy.failed(Fault::kLost) <= 5s);
  ck_assert_uint_eq(policy.failures(), 100);
  policy.succeeded();
  ck_assert(*policy.failed(Fault::kLost) <= 100ms);
}
END_TEST

START_TEST(a_seed_gives_the_same_delays) {
  ReconnectPolicy one(7), two(7);
  for (int i = 0; i < 20; i++) ck_assert(one.failed(Fault::kLost) == two.failed(Fault::kLost));
}
END_TEST

START_TEST(info_is_read) {
  const ServerFacts facts = parse_info(
      "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n\r\n# Memory\r\n"
      "maxmemory_policy:volatile-lru\r\n# Persistence\r\nloading:1\r\naof_enabled:0\r\n"
      "# Replication\r\nrole:slave\r\nmaster_replid:x:y\r\n# Cluster\r\ncluster_enabled:1");
  assert_text(facts.version, "7.0.15");
  assert_text(facts.run_id, "abc");
  assert_text(facts.role, "slave");
  assert_text(facts.maxmemory_policy, "volatile-lru");
  ck_assert(!facts.appends_to_file);
  ck_assert(facts.loading && facts.cluster);
  const auto warnings = durability_warnings(facts);
  ck_assert_uint_eq(warnings.size(), 3);
  ck_assert(warnings[0].find("appendonly yes") != std::string::npos);
  ck_assert(warnings[1].find("volatile-lru") != std::string::npos);
  ck_assert(warnings[2].find("replica") != std::string::npos);
}
END_TEST

START_TEST(a_safe_or_silent_server_gives_no_warning) {
  ck_assert(durability_warnings(parse_info("")).empty());
  ck_assert(durability_warnings(parse_info("garbage\n:\n\r\n")).empty());
  ck_assert(durability_warnings(parse_info("redis_version:6.2\nrole:master\naof_enabled:1\n"
                                           "maxmemory_policy:noeviction\n"))
                .empty());
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_policy");
  TCase* tests = tcase_create("redis_policy");
  tcase_add_test(tests, error_replies_by_their_text);
  tcase_add_test(tests, moved_names_the_node);
  tcase_add_test(tests, which_errors_keep_the_connection);
  tcase_add_test(tests, full_jitter_below_a_doubling_ceiling);
  tcase_add_test(tests, loading_and_full_are_polled_slowly);
  tcase_add_test(tests, moved_is_followed_at_once_but_not_for_ever);
  tcase_add_test(tests, permanent_errors_are_not_tried_again);
  tcase_add_test(tests, success_starts_from_the_beginning);
  tcase_add_test(tests, a_seed_gives_the_same_delays);
  tcase_add_test(tests, info_is_read);
  tcase_add_test(tests, a_safe_or_silent_server_gives_no_warning);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
