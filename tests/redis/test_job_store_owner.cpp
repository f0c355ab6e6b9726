// Who may have a job: starts against living, dead and silent owners, and what becomes of an owner
// whose job another one has.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "cutting_proxy.h"
#include "job_store_test.h"
#include "redis/job_owner.h"
#include "redis/job_session.h"
#include "shared_server.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

// Opens the job in a process of its own, which dies with it.
void die_as_owner() {
  const pid_t child = fork();
  if (child == 0) {
    JobRun run(*shared_server);
    run.settings.lease = Milliseconds(600000);
    if (!run.open()) _exit(1);
    run.start();
    run.transcribe(0, "one");
    RedisClient redis(shared_server->port());
    JobView view(redis);
    const bool stored = eventually([&] { return view.field("progress", "done") == "1"; });
    _exit(stored ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(a_dead_owner_on_this_host_is_no_obstacle) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  die_as_owner();
  ck_same(view.state(), "PROCESSING");
  JobRun run(*shared_server);
  const auto begin = std::chrono::steady_clock::now();
  run.assert_open();
  ck_assert(is_within(10s, begin));
  ck_assert(run.job.resumed);
  ck_assert(run.job.state == JobState::kProcessing);
  ck_assert_uint_eq(run.waits.size(), 0);
  ck_same(run.found_text(), "0:done");
  ck_same(view.field("ctl", "epoch"), "2");
  run.start();
  run.complete();
  ck_same(view.problem(), "");
}
END_TEST

// Whatever a killed owner leaves goes by itself, even if nobody ever comes again.
START_TEST(a_dead_owner_leaves_nothing_for_ever) {
  RedisClient redis(shared_server->port());
  die_as_owner();
  const std::int64_t day = 24 * 3600 * 1000;
  int keys = 0;
  for (const RedisReply& key : redis("KEYS", "*").items) {
    const std::int64_t left = redis("PTTL", key.text).number;
    const std::int64_t most = key.text == "transcribe:index:active" ? 8 * day
                              : key.text == "transcribe:workers"    ? 10 * 60 * 1000
                                                                    : 7 * day;
    ck_assert_msg(left > most - 60000 && left <= most, "%s: %s", key.text.c_str(),
                  std::to_string(left).c_str());
    keys++;
  }
  ck_assert_int_ge(keys, 7);
}
END_TEST

// Else it would be taken out of the workers, which are counted for the request rate.
START_TEST(an_owner_with_a_long_lease_shows_that_it_lives) {
  JobRun run(*shared_server);
  for (const int lease : {3000, 3600 * 1000}) {
    run.settings.lease = Milliseconds(lease);
    run.identity.job_id = std::to_string(lease);
    JobSession session(run.settings, run.identity, ResumePolicy::kAuto, run.clock, run.log);
    const Cancellation never;
    ck_assert(session.link.open(never).ok());
    ck_assert(session.create(never).ok());
    ck_assert(session.beat(never).ok());
    const auto next = session.beat_at - run.clock.now();
    ck_assert(next <= std::min(Milliseconds(lease / 3), Milliseconds(200000)));
    ck_assert(next > Milliseconds(0));
  }
}
END_TEST

START_TEST(a_living_owner_is_named) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun owner(*shared_server);
  owner.settings.lease = Milliseconds(900);
  owner.assert_open();
  for (const ResumePolicy policy : {ResumePolicy::kAuto, ResumePolicy::kRestart}) {
    JobRun run(*shared_server);
    ck_assert(!run.open(policy));
    ck_assert(run.refusal.kind == StoreRefusal::Kind::kBusy);
    const std::string name = "process " + std::to_string(getpid()) + " on ";
    ck_assert_msg(run.refusal.message.find(name) != std::string::npos, "%s",
                  run.refusal.message.c_str());
    ck_assert(run.refusal.message.find("1 s") != std::string::npos);
    ck_assert_uint_eq(run.waits.size(), 1);
    ck_assert(run.waits[0].find(name) != std::string::npos);
  }
  owner.start();
  owner.transcribe(0, "one");
  owner.complete();
  ck_same(view.problem(), "");
  ck_same(view.field("ctl", "epoch"), "1");
  ck_same(owner.watcher.counts(), "0 0 0 0 0");
}
END_TEST

// An owner of another host: nobody here can know whether it lives.
struct Stranger {
  explicit Stranger(RedisClient& redis, const std::string& lease) : job(redis, "talk", "strange") {
    job.lease = lease;
    job.owner = "far-away other-boot 17 1";
    ck_same(job.create(), "OK 1 1 0 0 0 1 ");
    ck_same(job("move", {"PROCESSING", "start"}), "OK 2 ");
  }
  JobClient job;
};

START_TEST(a_silent_owner_loses_its_job_with_its_lease) {
  RedisClient redis(shared_server->port());
  const Stranger stranger(redis, "1500");
  JobRun run(*shared_server);
  const auto begin = std::chrono::steady_clock::now();
  run.assert_open();
  ck_assert(std::chrono::steady_clock::now() - begin > 500ms);
  ck_assert_uint_eq(run.waits.size(), 1);
  ck_assert_msg(run.waits[0].find("process 17 on far-away") != std::string::npos, "%s",
                run.waits[0].c_str());
  ck_assert(run.job.state == JobState::kProcessing);
}
END_TEST

START_TEST(a_job_that_is_given_back_is_taken_before_the_lease_ends) {
  RedisClient redis(shared_server->port());
  Stranger stranger(redis, "600000");
  JobRun run(*shared_server);
  std::thread other([&] {
    run.wait_for_wait();
    stranger.job("move", {"QUEUED", "stopped"});
  });
  run.assert_open();
  other.join();
  ck_assert(run.job.resumed);
}
END_TEST

START_TEST(another_owner_that_comes_first_is_named) {
  RedisClient redis(shared_server->port());
  Stranger stranger(redis, "600000");
  JobRun run(*shared_server);
  std::thread other([&] {
    run.wait_for_wait();
    redis("HSET", stranger.job.key("ctl"), "owner", "third boot 3 3", "token", "t3");
  });
  ck_assert(!run.open());
  other.join();
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kBusy);
  ck_assert(run.refusal.message.find("process 3 on third") != std::string::npos);
}
END_TEST

START_TEST(a_wait_for_an_owner_is_cancelled) {
  RedisClient redis(shared_server->port());
  const Stranger stranger(redis, "600000");
  JobRun run(*shared_server);
  run.store = std::make_unique<RedisJobStore>(run.settings, run.watcher, run.clock, run.log);
  std::chrono::steady_clock::time_point cancelled;
  std::thread other([&] {
    run.wait_for_wait();
    cancelled = std::chrono::steady_clock::now();
    run.store->cancel_open();
  });
  ck_assert(!run.reopen(ResumePolicy::kAuto));
  other.join();
  ck_assert(std::chrono::steady_clock::now() - cancelled < 3s);
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kUnavailable);

  JobRun before(*shared_server);
  before.store =
      std::make_unique<RedisJobStore>(before.settings, before.watcher, before.clock, before.log);
  before.store->cancel_open();
  ck_assert(!before.reopen(ResumePolicy::kAuto));
  ck_assert(before.refusal.kind == StoreRefusal::Kind::kUnavailable);
}
END_TEST

// The job is ours and stays resumable, whatever the user did meanwhile.
START_TEST(a_cancelled_start_leaves_no_claim) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  for (int i = 0; i < 20; i++) {
    JobRun run(*shared_server);
    run.store = std::make_unique<RedisJobStore>(run.settings, run.watcher, run.clock, run.log);
    std::thread other([&] {
      g_usleep(static_cast<gulong>(i) * 700);
      run.store->cancel_open();
    });
    if (run.reopen(ResumePolicy::kAuto)) run.assert_finish();
    other.join();
    run.store.reset();
    ck_same(view.problem(), "");
    ck_assert_uint_lt(view.field("ctl", "token").size(), 32);
  }
}
END_TEST

// Whatever the server was asked, and has carried out, when the start was cancelled.
START_TEST(a_start_that_is_cancelled_on_its_way_leaves_no_claim) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  int claims = 0;
  bool opened = false;
  for (unsigned turn = 1; !opened; turn++) {
    ck_assert_uint_lt(turn, 100);
    CuttingProxy proxy(shared_server->port(), [](unsigned) { return CuttingProxy::kUnlimited; });
    proxy.hold(turn);
    JobRun run(proxy.uri());
    run.settings.timeout = Milliseconds(1000);
    run.store = std::make_unique<RedisJobStore>(run.settings, run.watcher, run.clock, run.log);
    std::atomic<bool> over = false;
    bool ours = false;
    std::thread other([&] {
      ours = run.reopen(ResumePolicy::kAuto);
      over = true;
    });
    ck_assert(eventually([&] { return proxy.holds() || over; }));
    opened = over;
    if (!opened && view.field("ctl", "token").size() == 32) claims++;
    run.store->cancel_open();
    other.join();
    if (ours) run.assert_finish();
    run.store.reset();
    ck_same(view.problem(), "");
    ck_assert_uint_lt(view.field("ctl", "token").size(), 32);
  }
  ck_assert_int_gt(claims, 0);
}
END_TEST

START_TEST(an_owner_whose_job_is_taken_writes_no_more) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.lease = Milliseconds(600);
  run.begin();
  run.transcribe(0, "one");
  view.wait_for_done("1");
  JobClient thief(redis, "talk", "thief");
  thief.owner = "far-away boot 3 3";
  ck_same(thief.create("auto", JobOwner::here().text()).substr(0, 9), "RESUMED 2");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.takeovers.size() == 1; }));
  const std::string message = run.watcher.seen().takeovers[0];
  ck_assert_msg(message.find("process 3 on far-away") != std::string::npos, "%s", message.c_str());
  const std::string before = view.dump();
  run.transcribe(1, "two");
  run.record(StateChanged{JobState::kFailed, JobState::kProcessing, JobReason::kTakenOver});
  const Status status = run.finish();
  ck_assert(!status.ok());
  run.store.reset();
  ck_same(view.dump(), before);
  ck_same(run.watcher.counts(), "0 0 0 1 0");
}
END_TEST

// Found out by the last operation: the end is not ours to write either.
START_TEST(a_takeover_shows_at_the_end) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.begin();
  view.wait_for_state("PROCESSING");
  JobClient thief(redis, "talk", "thief");
  ck_same(thief.create("auto", JobOwner::here().text()).substr(0, 9), "RESUMED 2");
  run.end(JobState::kCompleted, JobReason::kEndOfStream);
  const Status status = run.finish();
  ck_assert(!status.ok());
  ck_assert(status.error().message.find("taken over") != std::string::npos);
  ck_same(view.state(), "QUEUED");
  ck_same(run.watcher.counts(), "0 0 0 1 0");
}
END_TEST

START_TEST(an_owner_that_was_given_up_learns_why) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.begin();
  view.wait_for_state("PROCESSING");
  redis("HSET", view.key("ctl"), "lease", "1");
  ck_same(view("reap"), "REQUEUED 0");
  run.transcribe(0, "one");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.takeovers.size() == 1; }));
  ck_assert(run.watcher.seen().takeovers[0].find("redis-lease") != std::string::npos);
  ck_same(view.field("progress", "done"), "0");
}
END_TEST

START_TEST(jobs_of_dead_owners_are_freed) {
  RedisClient redis(shared_server->port());
  redis("ZADD", "transcribe:index:active", "1", "idle", "1", "none", "1", "dead", "1", "living",
        "1", "{bad}");
  redis("ZADD", "transcribe:workers", "1", "old");
  JobClient idle(redis, "idle"), dead(redis, "dead"), living(redis, "living");
  idle.create();
  idle("move", {"QUEUED", "stopped"});
  dead.create();
  dead("move", {"PROCESSING", "start"});
  dead("done", {"0", record("done", 0)});
  redis("HSET", dead.key("ctl"), "lease", "1");
  living.create();
  JobRun run(*shared_server);
  run.settings.reaper.interval = Milliseconds(100);
  run.settings.reaper.jitter = Milliseconds(0);
  run.assert_open();
  ck_assert(eventually([&] {
    return redis("ZRANGE", "transcribe:index:active", "0", "-1").str() == "living talk";
  }));
  ck_same(dead.state(), "QUEUED");
  ck_same(dead.field("meta", "reason"), "lease-expired");
  ck_same(living.field("ctl", "epoch"), "1");
  ck_assert(redis("ZSCORE", "transcribe:workers", "old").is_nil());
  ck_assert(eventually([&] { return redis("ZCARD", "transcribe:workers").str() == "1"; }));
  ck_same(run.watcher.counts(), "0 0 0 0 0");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_owner");
  TCase* tcase = tcase_create("owner");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  for (const TTest* test :
       {a_dead_owner_on_this_host_is_no_obstacle, a_dead_owner_leaves_nothing_for_ever,
        an_owner_with_a_long_lease_shows_that_it_lives, a_living_owner_is_named,
        a_silent_owner_loses_its_job_with_its_lease,
        a_job_that_is_given_back_is_taken_before_the_lease_ends,
        another_owner_that_comes_first_is_named, a_wait_for_an_owner_is_cancelled,
        a_cancelled_start_leaves_no_claim, a_start_that_is_cancelled_on_its_way_leaves_no_claim,
        an_owner_whose_job_is_taken_writes_no_more, a_takeover_shows_at_the_end,
        an_owner_that_was_given_up_learns_why, jobs_of_dead_owners_are_freed}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
