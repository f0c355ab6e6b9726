// Servers that can't be used: refused at the start where Redis is required, and once told and left
// alone where it is not.
#include <string>

#include "job_store_test.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

constexpr const char* kSecret = "pa55-w0rd";

void assert_no_secret(JobRun& run) {
  const auto seen = run.watcher.seen();
  std::string all = run.log.text() + run.refusal.message;
  for (const auto* texts : {&seen.errors, &seen.offs, &seen.takeovers})
    for (const std::string& text : *texts) all += text;
  ck_assert_msg(all.find(kSecret) == std::string::npos, "%s", all.c_str());
}

// What both policies do with a server that will not become usable by itself.
void check_hopeless(const std::string& uri, const std::string& part) {
  {
    JobRun run(uri);
    run.settings.required = true;
    const auto begin = std::chrono::steady_clock::now();
    ck_assert(!run.open());
    ck_assert(is_within(5s, begin));
    ck_assert(run.refusal.kind == StoreRefusal::Kind::kUnavailable);
    ck_assert_msg(run.refusal.message.find(part) != std::string::npos, "%s instead of %s",
                  run.refusal.message.c_str(), part.c_str());
    ck_same(run.watcher.counts(), "0 0 0 0 0");
    assert_no_secret(run);
  }
  JobRun run(uri);
  run.assert_open();
  ck_same(run.watcher.counts(), "0 0 1 0 0");
  ck_assert_msg(run.watcher.seen().offs[0].find(part) != std::string::npos, "%s",
                run.watcher.seen().offs[0].c_str());
  run.start();
  run.transcribe(0, "one");
  run.end(JobState::kCompleted, JobReason::kEndOfStream);
  ck_assert(!run.finish().ok());
  ck_same(run.watcher.counts(), "0 0 1 0 0");
  assert_no_secret(run);
}

START_TEST(no_server) {
  RedisServer server;
  server.kill();
  JobRun run(server);
  run.settings.required = true;
  run.settings.timeout = Milliseconds(1000);
  const auto begin = std::chrono::steady_clock::now();
  ck_assert(!run.open());
  ck_assert(is_within(4s, begin));
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kUnavailable);
  for (const std::string& part : {"127.0.0.1:" + std::to_string(server.port()),
                                  std::string("redis-uri"), std::string("redis-policy")})
    ck_assert_msg(run.refusal.message.find(part) != std::string::npos, "%s",
                  run.refusal.message.c_str());
  ck_same(run.watcher.counts(), "0 0 0 0 0");
}
END_TEST

START_TEST(a_server_that_does_not_answer) {
  RedisServer server;
  server.freeze();
  for (const bool required : {false, true}) {
    JobRun run(server);
    run.settings.required = required;
    run.settings.timeout = Milliseconds(1500);
    const auto begin = std::chrono::steady_clock::now();
    ck_assert(run.open() == !required);
    ck_assert(is_within(6s, begin));
    ck_same(run.watcher.counts(), required ? "0 0 0 0 0" : "1 0 0 0 0");
  }
}
END_TEST

START_TEST(users_and_passwords) {
  RedisServer::Options options;
  options.acl = std::string("user default off\nuser job on >") + kSecret +
                " ~* +@all\nuser weak on >" + kSecret + " ~* +@all -xadd\n";
  RedisServer server(options);
  const std::string address = "127.0.0.1:" + std::to_string(server.port());
  check_hopeless("redis://" + address, "NOAUTH");
  check_hopeless("redis://job:" + std::string(kSecret) + "x@" + address, "WRONGPASS");
  check_hopeless("redis://weak:" + std::string(kSecret) + "@" + address, "XADD");
  JobRun run("redis://job:" + std::string(kSecret) + "@" + address);
  run.begin();
  run.complete();
  assert_no_secret(run);
}
END_TEST

START_TEST(keys_of_another_kind) {
  RedisServer server;
  RedisClient redis(server.port());
  JobView view(redis);
  redis("SET", view.key(""), "text");
  check_hopeless(server.uri(), view.key(""));
  redis("DEL", view.key(""));
  redis("SET", view.key("chunks"), "text");
  check_hopeless(server.uri(), view.key("chunks"));
}
END_TEST

START_TEST(a_certificate_that_is_not_trusted) {
  RedisServer::Options options;
  options.tls = true;
  RedisServer server(options);
  check_hopeless(server.uri(), "tls-ca-file");
  JobRun run(server);
  run.settings.tls_ca_file = server.certificate();
  run.begin();
  run.complete();
}
END_TEST

START_TEST(a_database_that_is_not_there) {
  RedisServer server;
  check_hopeless(server.uri() + "/99", "DB index");
}
END_TEST

// Rights that are taken away while the job runs.
START_TEST(rights_are_lost_on_the_way) {
  RedisServer server;
  RedisClient redis(server.port());
  redis("ACL", "SETUSER", "job", "on", std::string(">") + kSecret, "~*", "+@all");
  JobRun run("redis://job:" + std::string(kSecret) + "@127.0.0.1:" + std::to_string(server.port()));
  run.begin();
  JobView view(redis);
  view.wait_for_state("PROCESSING");
  redis("ACL", "SETUSER", "job", "resetpass", ">other");
  redis("CLIENT", "KILL", "USER", "job");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.offs.size() == 1; }));
  run.transcribe(0, "one");
  ck_assert(!run.finish().ok());
  assert_no_secret(run);
}
END_TEST

START_TEST(what_a_server_lacks_is_told_once) {
  RedisServer server;
  JobRun run(server);
  run.begin();
  RedisClient redis(server.port());
  redis("CLIENT", "KILL", "TYPE", "normal");
  run.transcribe(0, "one");
  run.complete();
  ck_assert(run.log.text().find("connected to") != std::string::npos);
  const std::string log = run.log.text();
  const auto first = log.find("appendonly yes");
  ck_assert(first != std::string::npos);
  ck_assert(log.find("appendonly yes", first + 1) == std::string::npos);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_refusal");
  TCase* tcase = tcase_create("refusal");
  for (const TTest* test :
       {no_server, a_server_that_does_not_answer, users_and_passwords, keys_of_another_kind,
        a_certificate_that_is_not_trusted, a_database_that_is_not_there, rights_are_lost_on_the_way,
        what_a_server_lacks_is_told_once}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
