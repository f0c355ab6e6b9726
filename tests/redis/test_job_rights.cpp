// The rights that docs/redis.md gives, as written there: enough, and none too many.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "check_text.h"
#include "documented_rights.h"
#include "job_client.h"
#include "redis/scripts.h"
#include "shared_server.h"

#include "check_main.h"

namespace transcribe {
namespace {

using Words = std::vector<std::string>;

Words documented() {
  const Words words = documented_rights();
  ck_assert_msg(!words.empty(), "no ACL line");
  return words;
}

Words without(Words words, const std::string& one) {
  std::erase(words, one);
  return words;
}

RedisClient log_in(const Words& rights) {
  RedisClient admin(shared_server->port());
  admin("ACL", "DELUSER", "transcribe");
  ck_same(admin.command(rights).text, "OK");
  RedisClient user(shared_server->port());
  ck_same(user("AUTH", "transcribe", "PASSWORD").text, "OK");
  return user;
}

std::string probe(JobClient& job) {
  return job("probe", {"transcribe:index:active", "transcribe:workers"});
}

START_TEST(the_documented_rights_are_enough) {
  RedisClient redis = log_in(documented());
  JobClient job(redis, "rights");
  ck_same(probe(job), "OK ");
  ck_same(redis("CLIENT", "SETNAME", "x").text, "OK");
  ck_same(redis("SELECT", "0").text, "OK");
  ck_same(redis("PING").text, "PONG");
  ck_assert(!redis("INFO", "server", "memory").is_error());
  job.group = "readers";
  ck_same(job.create(), "OK 1 1 0 0 0 1 ");
  ck_same(job("move", {"PROCESSING", "start"}), "OK 2 ");
  ck_same(job("begin", {"0", "1"}), "OK 2 ");
  ck_same(job("retry", {"0", "2", "5", "503", "busy"}), "OK 3 ");
  ck_same(job("done", {"0", record("done", 0)}), "OK 4 ");
  ck_same(job("skip", {"1", record("skipped", 1), "silence"}), "OK 5 ");
  ck_same(job("fail", {"2", record("failed", 2)}), "OK 6 ");
  ck_same(job("put", {"3", record("done", 3)}), "OK 6  1");
  ck_same(job("progress", {"4", "1"}), "OK 7 ");
  ck_same(job("beat", {"1"}), "OK 7 ");
  ck_same(job("sync", {"9"}), "OK 9  PROCESSING 2 1 1");
  std::string answer;
  do {
    answer = job("reap");
  } while (answer.starts_with("ALIVE"));
  ck_same(answer, "REQUEUED 0");
  job.token = "token-b";
  ck_same(job.create("retry-failed"), "RESUMED 3 2 2 0 1 11 QUEUED");
  ck_same(job("cancel"), "OK QUEUED");
  job.epoch = "4";
  ck_same(job.restore("PROCESSING", 20, 4), "OK 21  2 0 1");
  ck_same(job("move", {"FAILED", "error", "code", "x"}), "OK 22 ");
  job.token = "token-c";
  ck_same(job.create("restart", "", "reset"), "OK 5 1 0 0 0 23 FAILED");
  ck_assert(!redis("HSCAN", job.key("chunks"), "0").is_error());
  ck_assert(!redis("ZADD", "transcribe:index:active", "1", "x").is_error());
  ck_assert(!redis("ZRANGEBYSCORE", "transcribe:index:active", "0", "1").is_error());
  ck_assert(!redis("ZREM", "transcribe:index:active", "x").is_error());
  ck_assert(!redis("ZADD", "transcribe:workers", "1", "x").is_error());
  ck_assert(!redis("ZCOUNT", "transcribe:workers", "0", "1").is_error());
  ck_assert(!redis("SCAN", "0", "MATCH", "{transcribe:jobs:*}:ctl").is_error());
  const std::string limiter = redis.load(kLimitScript);
  ck_same(redis("EVALSHA", limiter, "3", "{transcribe:rl:x}:tat", "{transcribe:rl:x}:pace",
                "{transcribe:rl:x}:hold", "take", "1000", "1", "1", "0")
              .items[0]
              .text,
          "1");
}
END_TEST

START_TEST(each_missing_right_is_found_before_anything_is_written) {
  const Words all = documented();
  RedisClient admin(shared_server->port());
  admin.load(kJobScript);
  int scripted = 0;
  for (const std::string& right : all) {
    if (right[0] != '+') continue;
    const std::string name = right.substr(1);
    // What the connection itself needs it finds out itself.
    static const Words kOutside = {"ping", "info", "select", "client|setname", "scan"};
    if (std::find(kOutside.begin(), kOutside.end(), name) != kOutside.end()) continue;
    RedisClient user = log_in(without(all, right));
    JobClient job(admin, "rights");
    Words words = {"EVALSHA", job.digest, "9"};
    words.insert(words.end(), job.keys.begin(), job.keys.end());
    words.insert(words.end(), {"probe", "", "", "transcribe:index:active", "transcribe:workers"});
    const RedisReply reply = user.command(words);
    if (name == "evalsha") {
      ck_assert(reply.text.starts_with("NOPERM"));
    } else if (name == "script|load") {
      ck_assert(user("SCRIPT", "LOAD", "return 1").text.starts_with("NOPERM"));
    } else {
      std::string wanted = "NOPERM " + name.substr(0, name.find('|'));
      std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                     [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      ck_same(reply.str(), wanted);
      scripted++;
    }
    ck_same(admin("DBSIZE").text, "0");
  }
  ck_assert_int_eq(scripted, 20);
}
END_TEST

START_TEST(other_keys_are_found_too) {
  Words narrow = documented();
  for (const char* pattern : {"~transcribe:*", "~{transcribe:*"}) {
    RedisClient user = log_in(without(narrow, pattern));
    JobClient job(user, "rights");
    ck_assert(probe(job).starts_with("NOPERM"));
  }
  Words others = documented();
  for (std::string& word : others) {
    if (word == "~transcribe:*") word = "~transcribe:jobs:*";
  }
  RedisClient user = log_in(others);
  JobClient job(user, "rights");
  ck_same(probe(job), "NOPERM ZADD");
}
END_TEST

START_TEST(every_field_is_documented) {
  std::ifstream file(TRANSCRIBE_REDIS_DOC);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  RedisClient redis(shared_server->port());
  JobClient job(redis, "fields");
  job.create();
  job("move", {"PROCESSING", "start"});
  job("retry", {"0", "2", "5", "503", "busy"});
  job("skip", {"1", record("skipped", 1), "silence"});
  job("fail", {"2", record("failed", 2)});
  job("progress", {"4", "1"});
  job("cancel");
  job("move", {"FAILED", "error", "code", "x", "message", "y", "http_status", "401", "chunk", "3",
               "retryable", "0"});
  job.epoch = "2";
  job.restore("QUEUED", 0, 0);
  redis("HSET", job.key("ctl"), "lease", "1");
  job("reap");
  job.token = "token-b";
  job.create();
  std::set<std::string> fields;
  for (const char* name : {"meta", "progress", "ctl"}) {
    for (const auto& field : job.all(name)) fields.insert(field.first);
  }
  for (const auto& event : job.events()) {
    fields.insert(event.at("event"));
    for (const auto& field : event) fields.insert(field.first);
  }
  for (const char* name : {"code", "message", "http_status", "chunk", "retryable", "at_ms"}) {
    fields.insert(name);
  }
  for (const std::string& field : fields) {
    ck_assert_msg(text.find("`" + field + "`") != std::string::npos, "%s", field.c_str());
  }
  ck_assert_uint_gt(fields.size(), 40);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_rights");
  TCase* tcase = tcase_create("job_rights");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, the_documented_rights_are_enough);
  tcase_add_test(tcase, each_missing_right_is_found_before_anything_is_written);
  tcase_add_test(tcase, other_keys_are_found_too);
  tcase_add_test(tcase, every_field_is_documented);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
