// Which jobs are taken from their owners, and which are not.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "begun_job.h"
#include "cutting_proxy.h"
#include "redis/job_reaper.h"
#include "shared_server.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

constexpr const char* kIndex = "transcribe:index:active";

std::string numbered(const std::string& name, int i) { return name + std::to_string(i); }

// A reaper whose looks the test makes.
struct Looks {
  explicit Looks(const std::string& uri, const std::string& prefix = "transcribe")
      : link({connection(uri), JobKeys(prefix, "own"), SharedKeys(prefix), "token"}, log),
        reaper(prefix, "own", ReaperTimes{}) {
    ck_assert(link.open(never).ok());
  }
  Looks() : Looks(shared_server->uri()) {}
  static Connection::Settings connection(const std::string& uri) {
    Connection::Settings settings;
    settings.uri = *parse_redis_uri(uri);
    return settings;
  }
  void look() {
    const auto looked = reaper.look(link, now, never);
    ck_assert_msg(looked.ok(), "%s", looked.ok() ? "" : looked.error().message.c_str());
  }

  const Cancellation never;
  KeptLog log;
  JobLink link;
  JobReaper reaper;
  TimePoint now{Milliseconds(1000000)};
};

// A job whose owner let its lease run out, as far as the keys tell.
struct Late : JobClient {
  Late(RedisClient& client, const std::string& job, bool indexed = true) : JobClient(client, job) {
    create();
    (*this)("move", {"PROCESSING", "start"});
    // A run that stored something is never stalled.
    (*this)("done", {"0", record("done", 0)});
    expire("1");
    if (indexed) client("ZADD", kIndex, "1", job);
  }
  void expire(const std::string& when) { redis("HSET", key("ctl"), "lease", when); }
};

START_TEST(an_owner_is_dead_at_the_second_look) {
  RedisClient redis(shared_server->port());
  Late indexed(redis, "indexed"), other(redis, "other", false);
  Looks looks;
  looks.look();
  ck_same(indexed.state(), "PROCESSING");
  ck_same(other.state(), "PROCESSING");
  looks.look();
  for (Late* job : {&indexed, &other}) {
    ck_same(job->state(), "QUEUED");
    ck_same(job->field("meta", "reason"), "lease-expired");
    ck_same(job->problem(), "");
  }
  ck_same(redis("ZCARD", kIndex).str(), "0");
}
END_TEST

START_TEST(an_owner_that_renewed_in_between_lives) {
  RedisClient redis(shared_server->port());
  Late job(redis, "talk");
  Looks looks;
  for (int i = 1; i < 6; i++) {
    looks.look();
    ck_same(job.state(), "PROCESSING");
    job.expire(std::to_string(i + 1));
  }
  looks.look();
  ck_same(job.state(), "PROCESSING");
  looks.look();
  ck_same(job.state(), "QUEUED");
}
END_TEST

START_TEST(an_owner_in_its_grace_lives) {
  RedisClient redis(shared_server->port());
  Late job(redis, "talk");
  const std::int64_t now = std::stoll(redis("TIME").items[0].text) * 1000;
  job.expire(std::to_string(now + 1));  // over, but not for long
  Looks looks;
  looks.look();
  // The entry of the index was wrong.
  ck_same(redis("ZSCORE", kIndex, "talk").text, std::to_string(now + 1));
  looks.look();
  ck_same(job.state(), "PROCESSING");
}
END_TEST

START_TEST(an_interruption_makes_all_looks_void) {
  RedisClient redis(shared_server->port());
  Late job(redis, "talk");
  Looks looks;
  ck_assert(looks.reaper.due() == TimePoint{});
  for (int i = 0; i < 5; i++) {
    looks.look();
    ck_assert(looks.reaper.due() >= looks.now + Milliseconds(12000));
    ck_assert(looks.reaper.due() <= looks.now + Milliseconds(18000));
    looks.reaper.interrupt();
    ck_assert(looks.reaper.due() == TimePoint::max());
    looks.now += Milliseconds(60000);
    looks.reaper.resume(looks.now);
    const TimePoint due = looks.reaper.due();
    ck_assert(due >= looks.now + Milliseconds(12000));
    looks.reaper.resume(looks.now + Milliseconds(60000));
    ck_assert(looks.reaper.due() == due);
  }
  ck_same(job.state(), "PROCESSING");
  looks.look();
  looks.look();
  ck_same(job.state(), "QUEUED");
}
END_TEST

// What keeps the reaper from writing kept the owners from it.
START_TEST(a_full_server_makes_all_looks_void) {
  RedisClient redis(shared_server->port());
  Late job(redis, "talk");
  Looks looks;
  looks.look();
  redis("CONFIG", "SET", "maxmemory", "1");
  looks.look();
  ck_assert(looks.reaper.due() == TimePoint::max());
  redis("CONFIG", "SET", "maxmemory", "0");
  looks.look();
  ck_same(job.state(), "PROCESSING");
  looks.look();
  ck_same(job.state(), "QUEUED");
}
END_TEST

START_TEST(what_can_not_be_freed_is_in_nobodys_way) {
  RedisClient redis(shared_server->port());
  for (int i = 0; i < 40; i++) {
    redis("ZADD", kIndex, "1", numbered("{bad}", i));
    redis("ZADD", kIndex, "1", numbered("none", i));
    redis("ZADD", kIndex, "1", numbered("text", i));
    redis("SET", "{transcribe:jobs:" + numbered("text", i) + "}:ctl", "x");
    redis("ZADD", kIndex, "1", numbered("broken", i));
    redis("HSET", "{transcribe:jobs:" + numbered("broken", i) + "}:ctl", "lease", "1", "token",
          "x");
    redis("ZADD", kIndex, "1", numbered("mad", i));
    redis("HSET", "{transcribe:jobs:" + numbered("mad", i) + "}:ctl", "lease", "soon", "token",
          "x");
  }
  JobClient done(redis, "over"), idle(redis, "idle"), living(redis, "living");
  for (JobClient* job : {&done, &idle, &living}) {
    job->create();
    redis("ZADD", kIndex, "1", job->id);
  }
  done("move", {"FAILED", "error"});
  idle("move", {"QUEUED", "stopped"});
  redis("ZADD", kIndex, "1", "own");
  Late late(redis, "zz");
  redis("ZADD", kIndex, "2", "zz");  // behind all others
  redis("ZADD", "transcribe:workers", "1", "old");

  Looks looks;
  for (int i = 0; i < 5; i++) looks.look();
  ck_same(late.state(), "QUEUED");
  ck_same(redis("ZRANGE", kIndex, "0", "-1").str(), "own living");
  ck_same(redis("ZSCORE", kIndex, "living").text, living.field("ctl", "lease"));
  ck_same(done.state(), "FAILED");
  ck_same(living.field("ctl", "epoch"), "1");
  ck_same(redis("ZCARD", "transcribe:workers").str(), "0");
}
END_TEST

// The thread that looks has results to store.
START_TEST(a_look_takes_few_round_trips) {
  RedisClient redis(shared_server->port());
  for (int i = 0; i < 60; i++) Late(redis, numbered("late", i), i % 2 == 0);
  CuttingProxy proxy(shared_server->port(), [](unsigned) { return CuttingProxy::kUnlimited; });
  Looks looks(proxy.uri());
  for (int i = 0; i < 2; i++) {
    const unsigned before = proxy.turns();
    looks.look();
    // Five; a long request may come in pieces.
    ck_assert_uint_le(proxy.turns() - before, 12);
  }
  for (int i = 0; i < 60; i++) ck_same(JobClient(redis, numbered("late", i)).state(), "QUEUED");
}
END_TEST

// As in a cluster, where the index may lie elsewhere.
START_TEST(jobs_that_are_in_no_index_are_found) {
  RedisClient redis(shared_server->port());
  for (int i = 0; i < 3000; i++) redis("SET", numbered("x", i), "");
  const std::string prefix = "a*[b]?\\-^";
  const std::string keys = "{" + prefix + ":jobs:talk}:";
  {
    JobRun run(*shared_server);
    run.settings.key_prefix = prefix;
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    ck_assert(eventually([&] { return redis("HGET", keys + "progress", "done").str() == "1"; }));
  }
  redis("HSET", keys + "ctl", "lease", "1");
  redis("DEL", prefix + ":index:active");
  Looks looks(shared_server->uri(), prefix);
  int rounds = 0;
  while (redis("GET", keys + "state").str() != "QUEUED") {
    looks.look();
    ck_assert_int_lt(++rounds, 20);
  }
}
END_TEST

// All leases ran out meanwhile: nobody could renew them, so that proves nobody dead.
START_TEST(an_outage_that_is_longer_than_all_leases) {
  const bool full = _i == 1;
  RedisServer server(with_file());
  std::vector<std::unique_ptr<JobRun>> runs;
  for (const char* id : {"a", "b", "c"}) {
    JobRun& run = *runs.emplace_back(std::make_unique<JobRun>(server));
    run.identity.job_id = id;
    run.settings.lease = Milliseconds(1000);
    run.settings.timeout = Milliseconds(1000);
    run.settings.reaper.grace = Milliseconds(0);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    ck_assert(run.watcher.wait([](const auto& seen) { return seen.stored.size() == 1; }));
  }
  if (full) {
    RedisClient redis(server.port());
    redis("CONFIG", "SET", "maxmemory", "1");
  } else {
    server.kill();
  }
  for (auto& run : runs) {
    run->transcribe(1, "two");
    ck_assert(run->watcher.wait([](const auto& seen) { return !seen.errors.empty(); }));
  }
  std::this_thread::sleep_for(1200ms);
  if (!full) server.restart();
  RedisClient redis(server.port());
  // One that starts now sees nothing but leases that are over.
  JobRun late(server);
  late.settings.reaper.grace = Milliseconds(0);
  if (full) redis("CONFIG", "SET", "maxmemory", "0");
  late.assert_open();
  for (auto& run : runs) {
    ck_assert(run->watcher.wait(
        [](const auto& seen) { return seen.recovered > 0 || !seen.takeovers.empty(); }));
    ck_same(run->watcher.counts(), "1 1 0 0 0");
  }
  for (auto& run : runs) {
    run->transcribe(2, "three");
    run->complete();
    JobView view(redis, run->identity.job_id);
    ck_same(view.problem(), "");
    ck_same(view.state(), "COMPLETED");
    ck_same(view.field("progress", "done"), "3");
    ck_same(view.field("ctl", "epoch"), "1");
    ck_same(run->watcher.counts(), "1 1 0 0 0");
  }
}
END_TEST

// What was seen before an outage proves nothing after it.
START_TEST(an_outage_makes_the_reaper_look_again) {
  RedisServer server(with_file());
  const auto looks = [](RedisClient& redis) {
    const std::string stats = redis("INFO", "commandstats").text;
    const std::string name = "cmdstat_zrangebyscore:calls=";
    const auto at = stats.find(name);
    return at == std::string::npos ? 0 : std::stoi(stats.substr(at + name.size())) / 2;
  };
  const auto begin = std::chrono::steady_clock::now();
  JobRun run(server);
  run.settings.lease = Milliseconds(1000);
  run.settings.timeout = Milliseconds(1000);
  run.settings.reaper = {Milliseconds(0), Milliseconds(4000), Milliseconds(0)};
  {
    RedisClient redis(server.port());
    JobClient other(redis, "other");
    other.lease = "1";
    other.create();
    other("move", {"PROCESSING", "start"});
    g_usleep(5000);
    run.assert_open();
    run.start();
    ck_assert(eventually([&] { return looks(redis) == 1; }));
    run.transcribe(0, "one");
    ck_assert(run.watcher.wait([](const auto& seen) { return seen.stored.size() == 1; }));
  }
  server.kill();
  // The next look was not before the outage, or nothing is shown.
  if (std::chrono::steady_clock::now() - begin > 4s) return;
  ck_assert(run.watcher.wait([](const auto& seen) { return !seen.errors.empty(); }));
  server.restart();
  RedisClient redis(server.port());
  JobClient other(redis, "other");
  ck_assert(eventually([&] { return other.state() == "QUEUED"; }));
  ck_assert_int_eq(looks(redis), 2);
  run.complete();
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_reaper");
  TCase* tcase = tcase_create("reaper");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  for (const TTest* test :
       {an_owner_is_dead_at_the_second_look, an_owner_that_renewed_in_between_lives,
        an_owner_in_its_grace_lives, an_interruption_makes_all_looks_void,
        a_full_server_makes_all_looks_void, what_can_not_be_freed_is_in_nobodys_way,
        a_look_takes_few_round_trips, jobs_that_are_in_no_index_are_found}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  TCase* leases = tcase_create("leases");
  tcase_set_timeout(leases, 120);
  tcase_add_loop_test(leases, an_outage_that_is_longer_than_all_leases, 0, 2);
  tcase_add_test(leases, an_outage_makes_the_reaper_look_again);
  suite_add_tcase(suite, leases);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
