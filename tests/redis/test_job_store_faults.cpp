// Servers that refuse, hang and close while a job runs; replies that are cut.
#include <atomic>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "begun_job.h"
#include "cutting_proxy.h"

namespace transcribe {
namespace {

// `break_it` makes every write fail until `mend_it`.
template <typename Break, typename Mend>
void check_refused_writes(RedisServer& server, Break break_it, Mend mend_it) {
  Begun begun(server);
  RedisClient redis(server.port());
  break_it(redis);
  begun.run.transcribe(5, "six");
  begun.wait_for_error();
  // Whatever comes now is kept.
  for (std::uint64_t i = 6; i < 100; i++) begun.run.transcribe(i, "more");
  g_usleep(300000);
  mend_it(redis);
  begun.wait_for_recovery();
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
  begun.run.done(3, "four");
  begun.run.transcribe(4, "five");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.assert_finish();
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.state(), "FAILED");
  ck_same(view.field("progress", "done"), "98");
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
}

START_TEST(memory_is_full) {
  RedisServer server;
  check_refused_writes(
      server, [](RedisClient& redis) { redis("CONFIG", "SET", "maxmemory", "1"); },
      [](RedisClient& redis) { redis("CONFIG", "SET", "maxmemory", "0"); });
}
END_TEST

START_TEST(the_disk_is_broken) {
  RedisServer server;
  check_refused_writes(
      server,
      [&](RedisClient& redis) {
        std::filesystem::remove_all(server.directory());
        redis("CONFIG", "SET", "save", "3600 1");
        redis("BGSAVE");
        ck_assert(eventually([&] { return redis("SET", "x", "y").text.starts_with("MISCONF"); }));
      },
      [](RedisClient& redis) { redis("CONFIG", "SET", "stop-writes-on-bgsave-error", "no"); });
}
END_TEST

START_TEST(replicas_are_missing) {
  RedisServer server;
  check_refused_writes(
      server, [](RedisClient& redis) { redis("CONFIG", "SET", "min-replicas-to-write", "1"); },
      [](RedisClient& redis) { redis("CONFIG", "SET", "min-replicas-to-write", "0"); });
}
END_TEST

START_TEST(the_server_becomes_a_replica) {
  RedisServer server;
  check_refused_writes(
      server, [](RedisClient& redis) { redis("REPLICAOF", "127.0.0.1", "1"); },
      [](RedisClient& redis) { redis("REPLICAOF", "NO", "ONE"); });
}
END_TEST

START_TEST(the_server_stops) {
  RedisServer server;
  Begun begun(server);
  server.freeze();
  begun.run.transcribe(5, "six");
  begun.wait_for_error();
  server.thaw();
  begun.wait_for_recovery();
  begun.run.done(3, "four");
  begun.run.transcribe(4, "five");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.assert_finish();
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "4");
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

START_TEST(connections_are_killed_again_and_again) {
  RedisServer server;
  Begun begun(server);
  RedisClient redis(server.port());
  for (std::uint64_t i = 5; i < 60; i++) {
    redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    begun.run.transcribe(i, "more");
    g_usleep(5000);
  }
  begun.run.done(3, "four");
  begun.run.transcribe(4, "five");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.assert_finish();
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "58");
  const auto seen = begun.run.watcher.seen();
  ck_assert_int_eq(seen.recovered, static_cast<int>(seen.errors.size()));
  ck_assert(seen.offs.empty() && seen.takeovers.empty());
}
END_TEST

// No outage: nothing had to wait.
START_TEST(a_lost_connection_that_is_back_at_once) {
  RedisServer server;
  Begun begun(server);
  RedisClient redis(server.port());
  redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  begun.end(server, "0 0 0 0 0", true);
}
END_TEST

// It is well until it is written to.
START_TEST(a_connection_that_is_lost_with_every_chunk) {
  RedisServer server;
  RedisClient redis(server.port());
  std::atomic<bool> cut{true};
  CuttingProxy proxy(server.port(), [&](unsigned) -> std::uint64_t {
    return cut ? 6400 : CuttingProxy::kUnlimited;
  });
  JobRun run(proxy.uri());
  run.settings.lease = Milliseconds(1200);
  run.begin();
  for (std::uint64_t i = 0; i < 200; i++) run.transcribe(i, "text");
  ck_assert(run.watcher.wait([](const auto& seen) { return !seen.errors.empty(); }));
  cut = false;
  run.complete();
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "200");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

enum class Story { kEnds, kStops, kIsLost };

// One job through a proxy that cuts a dozen connections, each a bit later than the one before.
void check_cut_replies(Story story, std::uint64_t step) {
  RedisServer server;
  RedisClient redis(server.port());
  CuttingProxy proxy(server.port(), [&](unsigned number) -> std::uint64_t {
    // The handshake alone is some 5 kB.
    return number > 12 ? CuttingProxy::kUnlimited : 4000 + (number * 3 + step) * 61;
  });
  JobRun run(proxy.uri());
  run.settings.flush_timeout = Milliseconds(25000);
  run.begin();
  for (std::uint64_t i = 0; i < 6; i++) {
    run.queue(i);
    g_usleep(2000);
    run.done(i, "text");
    if (i == 3 && story == Story::kIsLost) redis("FLUSHALL");
  }
  run.queue(6);
  run.record(make_failed(6));
  run.record(make_skipped(7, SkipReason::kFlushed));
  if (story == Story::kStops) {
    run.end(JobState::kQueued, JobReason::kStopped);
  } else {
    run.end(JobState::kFailed, JobReason::kChunksFailed);
  }
  run.assert_finish();
  JobView view(redis);
  ck_same(view.problem(story != Story::kIsLost), "");
  ck_same(view.state(), story == Story::kStops ? "QUEUED" : "FAILED");
  ck_same(redis("HMGET", view.key("progress"), "done", "failed", "skipped", "total").str(),
          "6 1 1 8");
  ck_same(view.field("ctl", "owner").empty() ? "released" : "owned",
          story == Story::kStops ? "released" : "owned");
  ck_same(view.field("ctl", "epoch"), "1");
  ck_assert(run.watcher.seen().offs.empty() && run.watcher.seen().takeovers.empty());
}

// Every reply of a job's life is cut somewhere: none is carried out twice, none is lost.
START_TEST(replies_are_cut_at_every_place) {
  for (std::uint64_t step = 1; step < 60; step += 5) check_cut_replies(Story::kEnds, step);
}
END_TEST

// The last answers of a job: those to its end, and to what comes right before and after it.
void check_cut_end(JobState state, JobReason reason) {
  RedisServer server;
  RedisClient redis(server.port());
  std::uint64_t whole = 0;
  for (std::uint64_t missing = 0; missing < 130; missing += missing == 0 ? 1 : 3) {
    redis("FLUSHALL");
    CuttingProxy proxy(server.port(), [&](unsigned number) {
      return number > 0 || missing == 0 ? CuttingProxy::kUnlimited : whole - missing;
    });
    JobRun run(proxy.uri());
    run.begin();
    run.transcribe(0, "text");
    JobView view(redis);
    view.wait_for_done("1");
    run.end(state, reason);
    run.assert_finish();
    if (missing == 0) whole = proxy.passed();
    ck_same(view.problem(), "");
    ck_same(view.state(), std::string(to_string(state)));
    ck_same(run.watcher.counts(), "0 0 0 0 0");
  }
}

START_TEST(replies_to_the_end_are_cut) {
  check_cut_end(JobState::kCompleted, JobReason::kEndOfStream);
}
END_TEST

START_TEST(replies_to_the_farewell_are_cut) {
  check_cut_end(JobState::kQueued, JobReason::kStopped);
  for (std::uint64_t step = 1; step < 60; step += 7) check_cut_replies(Story::kStops, step);
}
END_TEST

START_TEST(replies_in_healing_are_cut) {
  for (std::uint64_t step = 1; step < 60; step += 6) check_cut_replies(Story::kIsLost, step);
}
END_TEST

enum Interruption { kScriptIsFlushed, kReplicaTakesOver, kLateReplicaTakesOver, kInterruptions };

// Between two operations of one pipeline; an earlier pipeline has been acknowledged.
START_TEST(in_the_middle_of_a_pipeline) {
  using Fate = CuttingProxy::Fate;
  constexpr unsigned kChunks = 80, kDetached = 5, kInterrupted = 50;
  RedisServer master;
  RedisServer::Options options;
  options.replica_of = master.port();
  RedisServer replica(options);
  ck_assert(replica.wait_for_log("Finished with success"));
  const auto wait_for_replica = [&] {
    RedisClient redis(master.port());
    // WAIT is for the writes of its own connection, and so for all before them.
    redis("SET", "mark", "x");
    ck_assert(eventually([&] { return redis("WAIT", "1", "100").number == 1; }));
  };
  const auto promote = [&] { RedisClient(replica.port())("REPLICAOF", "NO", "ONE"); };
  std::atomic<bool> all_recorded = false;
  std::atomic<CuttingProxy*> way = nullptr;
  unsigned done = 0;
  CuttingProxy proxy(master.port(), [&](const std::vector<std::string>& request) {
    const std::string operation = request.size() > 12 ? request[12] : "";
    // From now on all travels in pipelines.
    if (operation == "begin") ck_assert(eventually([&] { return all_recorded.load(); }));
    if (operation != "done") return Fate::kPass;
    done++;
    if (done == kDetached && _i == kLateReplicaTakesOver) {
      wait_for_replica();
      promote();
    }
    if (done != kInterrupted) return Fate::kPass;
    RedisClient redis(master.port());
    JobView view(redis);
    view.wait_for_done(std::to_string(kInterrupted - 1));
    if (_i == kScriptIsFlushed) {
      redis("SCRIPT", "FLUSH");
      return Fate::kPass;
    }
    if (_i == kReplicaTakesOver) {
      wait_for_replica();
      promote();
    }
    master.freeze();
    way.load()->lead_to(replica.port());
    return Fate::kCut;
  });
  way = &proxy;
  JobRun run(proxy.uri());
  run.settings.flush_timeout = Milliseconds(30000);
  run.begin();
  for (unsigned i = 0; i < kChunks; i++) run.transcribe(i, "text");
  all_recorded = true;
  run.complete();

  RedisClient redis(_i == kScriptIsFlushed ? master.port() : replica.port());
  JobView view(redis);
  const bool complete = _i != kLateReplicaTakesOver;
  ck_same(view.problem(complete), "");
  ck_same(view.state(), "COMPLETED");
  ck_same(view.field("progress", "done"), std::to_string(kChunks));
  ck_same(view.field("ctl", "epoch"), "1");
  const auto seen = run.watcher.seen();
  ck_assert_int_eq(seen.recovered, static_cast<int>(seen.errors.size()));
  ck_assert(seen.offs.empty() && seen.takeovers.empty());
  // In the order in which it happened, nothing twice; what only the lost server knew is left out.
  std::string wanted = "state QUEUED created, state PROCESSING start";
  std::uint64_t seq = 0;
  std::string state;
  unsigned next = 0, left_out = 0;
  for (auto& event : view.events()) {
    ck_assert_uint_gt(std::stoull(event["seq"]), seq);
    seq = std::stoull(event["seq"]);
    if (event["event"] == "state") ck_same(event["prev"], std::exchange(state, event["state"]));
    if (event["event"] != "chunk") continue;
    ck_same(event["status"], "done");
    const unsigned index = static_cast<unsigned>(std::stoul(event["idx"]));
    ck_assert_uint_ge(index, next);
    if (index > next) ck_assert_uint_eq(next, kDetached - 1);
    left_out += index - next;
    next = index + 1;
    wanted += ", chunk " + event["idx"] + " done";
  }
  ck_assert_uint_eq(next, kChunks);
  ck_assert(complete ? left_out == 0 : left_out > 0 && left_out < kInterrupted - kDetached);
  ck_same(view.events_text(), wanted + ", state COMPLETED eos");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_faults");
  TCase* tcase = tcase_create("faults");
  tcase_set_timeout(tcase, 120);
  for (const TTest* test :
       {memory_is_full, the_disk_is_broken, replicas_are_missing, the_server_becomes_a_replica,
        the_server_stops, connections_are_killed_again_and_again,
        a_lost_connection_that_is_back_at_once, a_connection_that_is_lost_with_every_chunk,
        replies_are_cut_at_every_place, replies_to_the_end_are_cut, replies_to_the_farewell_are_cut,
        replies_in_healing_are_cut}) {
    tcase_add_test(tcase, test);
  }
  tcase_add_loop_test(tcase, in_the_middle_of_a_pipeline, 0, kInterruptions);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
