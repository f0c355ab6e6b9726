// What happens to a server while a job runs, and that its keys hold the whole truth again after.
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "cutting_proxy.h"
#include "job_store_test.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

RedisServer::Options with_file() {
  RedisServer::Options options;
  options.append_only = true;
  return options;
}

// A job with a few chunks that the server has.
struct Begun {
  explicit Begun(const RedisServer& server) : run(server) {
    run.settings.timeout = Milliseconds(1000);
    // An idle connection's loss shows with the next sign of life.
    run.settings.lease = Milliseconds(1200);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    run.record(make_skipped(1, SkipReason::kSilence));
    run.queue(2);
    run.record(make_failed(2));
    run.queue(3);  // stays in flight
    RedisClient redis(server.port());
    JobView view(redis);
    ck_assert(eventually([&] { return view.field("progress", "inflight") == "1"; }));
    ck_same(view.problem(), "");
  }
  void wait_for_error() {
    ck_assert(run.watcher.wait([](const auto& seen) { return !seen.errors.empty(); }));
  }
  void wait_for_recovery() {
    ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered > 0; }));
  }
  // Ends the job; the server has all of it.
  void end(const RedisServer& server, const std::string& counts, bool complete = false) {
    run.done(3, "four");
    run.transcribe(4, "five");
    run.end(JobState::kFailed, JobReason::kChunksFailed);
    run.assert_finish();
    RedisClient redis(server.port());
    JobView view(redis);
    ck_same(view.state(), "FAILED");
    ck_same(view.problem(complete), "");
    ck_same(view.field("progress", "done"), "3");
    ck_same(view.field("progress", "failed"), "1");
    ck_same(view.field("progress", "skipped"), "1");
    ck_same(view.field("progress", "total"), "5");
    ck_same(view.field("progress", "audio_ms"), "30000");
    ck_same(view.field("meta", "model"), "whisper-1");
    ck_assert(view.has_text(0, "one") && view.has_text(3, "four") && view.has_text(4, "five"));
    ck_same(run.watcher.counts(), counts);
  }
  JobRun run;
};

START_TEST(a_server_that_comes_later) {
  RedisServer server;
  server.kill();
  JobRun run(server);
  const auto begin = std::chrono::steady_clock::now();
  run.assert_open();
  ck_assert(std::chrono::steady_clock::now() - begin < 4s);
  ck_assert(!run.job.resumed);
  ck_same(run.watcher.counts(), "1 0 0 0 0");
  const std::string message = run.watcher.seen().errors[0];
  ck_assert_msg(message.find("127.0.0.1:" + std::to_string(server.port())) != std::string::npos,
                "%s", message.c_str());
  run.start();
  run.transcribe(0, "one");
  run.record(make_skipped(1, SkipReason::kSilence));
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.state(), "PROCESSING");
  ck_same(view.field("progress", "done"), "1");
  run.transcribe(2, "two");
  run.complete();
  ck_same(view.problem(), "");
  ck_same(view.state(), "COMPLETED");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

// The job turns out not to be ours: nothing is written, the user is told.
START_TEST(a_server_that_comes_later_and_has_the_job) {
  for (const std::string what : {"COMPLETED", "FAILED", "other settings", "in work"}) {
    RedisServer server(with_file());
    {
      RedisClient redis(server.port());
      JobClient job(redis, "talk", "other");
      job.owner = "far-away boot 17 1";
      if (what == "other settings") job.fingerprint = "other";
      if (what == "in work") job.lease = "60000";
      job.create();
      job("move", {"PROCESSING", "start"});
      if (what == "FAILED") job("fail", {"0", record("failed", 0)});
      if (what == "COMPLETED" || what == "FAILED") job("move", {what, "eos"});
      if (what == "other settings") job("move", {"QUEUED", "stopped"});
    }
    server.kill();
    JobRun run(server);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    server.restart();
    RedisClient redis(server.port());
    JobView view(redis);
    const std::string before = view.dump();
    ck_assert(eventually([&] {
      // The owner shows that it lives.
      if (what == "in work") redis("HINCRBY", view.key("ctl"), "lease", "1");
      return run.watcher.seen().offs.size() == 1;
    }));
    run.transcribe(1, "two");
    run.end(JobState::kCompleted, JobReason::kEndOfStream);
    ck_assert(!run.finish().ok());
    ck_same(view.dump(), before);
    ck_same(run.watcher.counts(), "1 0 1 0 0");
  }
}
END_TEST

START_TEST(a_job_that_was_interrupted_is_joined_later) {
  RedisServer server(with_file());
  {
    JobRun run(server);
    run.assert_open();
    run.start();
    run.transcribe(0, "first");
    run.transcribe(1, "second");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  server.kill();
  JobRun run(server);
  run.assert_open();
  run.start();
  run.transcribe(0, "one");
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.transcribe(2, "three");
  run.complete();
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.state(), "COMPLETED");
  ck_same(view.field("progress", "done"), "3");
  ck_assert(view.has_text(0, "first"));
  ck_same(view.field("ctl", "epoch"), "2");
}
END_TEST

START_TEST(a_server_that_forgets_everything) {
  RedisServer server;
  Begun begun(server);
  server.kill();
  begun.wait_for_error();
  begun.run.transcribe(5, "six");
  server.restart();
  begun.wait_for_recovery();
  {
    RedisClient redis(server.port());
    JobView view(redis);
    ck_same(view.field("progress", "inflight"), "1");
    ck_same(view.field("progress", "done"), "2");
    ck_assert(view.events_text().starts_with("restored PROCESSING"));
    ck_same(view.field("ctl", "epoch"), "1");
  }
  begun.run.done(3, "four");
  begun.run.transcribe(4, "five");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.assert_finish();
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.problem(false), "");
  ck_same(view.state(), "FAILED");
  ck_same(view.field("progress", "done"), "4");
  ck_same(view.field("progress", "failed"), "1");
  ck_same(view.field("progress", "skipped"), "1");
  ck_assert(view.has_text(5, "six"));
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

START_TEST(a_server_with_a_file_that_is_killed) {
  RedisServer server(with_file());
  Begun begun(server);
  for (int i = 0; i < 3; i++) {
    server.kill();
    ck_assert(begun.run.watcher.wait(
        [&](const auto& seen) { return seen.errors.size() == static_cast<std::size_t>(i) + 1; }));
    server.restart();
    ck_assert(begun.run.watcher.wait([&](const auto& seen) { return seen.recovered == i + 1; }));
  }
  begun.end(server, "3 3 0 0 0", true);
}
END_TEST

// The last snapshot is what it has: an older state, fewer chunks.
START_TEST(a_server_that_comes_back_older) {
  RedisServer server;
  JobRun run(server);
  run.settings.timeout = Milliseconds(1000);
  run.assert_open();
  {
    RedisClient redis(server.port());
    ck_same(redis("SAVE").text, "OK");
    run.start();
    for (int i = 0; i < 450; i++) run.transcribe(static_cast<std::uint64_t>(i), "text");
    JobView view(redis);
    ck_assert(eventually([&] { return view.field("progress", "done") == "450"; }));
  }
  server.kill();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.field("progress", "done"), "450");
  ck_same(view.state(), "PROCESSING");
  ck_same(view.problem(false), "");
  run.complete();
  ck_same(view.problem(false), "");
}
END_TEST

START_TEST(all_keys_are_lost) {
  RedisServer server;
  Begun begun(server);
  RedisClient(server.port())("FLUSHALL");
  begun.end(server, "0 0 0 0 0");
}
END_TEST

START_TEST(one_key_is_lost) {
  for (const char* name : {"", "state", "meta", "progress", "ctl", "chunks", "cerr"}) {
    RedisServer server;
    Begun begun(server);
    RedisClient redis(server.port());
    JobView view(redis);
    ck_same(redis("DEL", view.key(name)).str(), "1");
    begun.end(server, "0 0 0 0 0");
  }
}
END_TEST

START_TEST(the_script_is_lost) {
  RedisServer server;
  Begun begun(server);
  RedisClient(server.port())("SCRIPT", "FLUSH");
  begun.end(server, "0 0 0 0 0", true);
}
END_TEST

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
  run.assert_open();
  run.start();
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

// Every reply of a job's life is cut somewhere: none is carried out twice, none is lost.
START_TEST(replies_are_cut_at_every_place) {
  RedisServer server;
  RedisClient redis(server.port());
  for (std::uint64_t step = 1; step < 60; step += 2) {
    redis("FLUSHALL");
    CuttingProxy proxy(server.port(), [&](unsigned number) -> std::uint64_t {
      // The handshake alone is some 5 kB.
      return number > 12 ? CuttingProxy::kUnlimited : 4000 + (number * 3 + step) * 61;
    });
    JobRun run(proxy.uri());
    run.settings.flush_timeout = Milliseconds(25000);
    run.assert_open();
    run.start();
    for (std::uint64_t i = 0; i < 6; i++) {
      run.queue(i);
      g_usleep(2000);
      run.done(i, "text");
    }
    run.queue(6);
    run.record(make_failed(6));
    run.record(make_skipped(7, SkipReason::kFlushed));
    run.end(JobState::kFailed, JobReason::kChunksFailed);
    run.assert_finish();
    JobView view(redis);
    ck_same(view.problem(), "");
    ck_same(view.state(), "FAILED");
    ck_same(view.field("progress", "done"), "6");
    ck_same(view.field("ctl", "epoch"), "1");
    ck_assert(run.watcher.seen().offs.empty() && run.watcher.seen().takeovers.empty());
  }
}
END_TEST

START_TEST(the_end_waits_for_the_server) {
  RedisServer server(with_file());
  Begun begun(server);
  server.kill();
  begun.wait_for_error();
  std::thread other([&] { g_usleep(500000); });
  begun.run.done(3, "four");
  begun.run.transcribe(4, "five");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.settings.flush_timeout = Milliseconds(10000);
  other.join();
  // A server must be started by the test's own thread: finish() waits in another.
  Status status = Error{"not finished"};
  std::thread finishing([&] { status = begun.run.finish(); });
  server.restart();
  finishing.join();
  ck_assert_msg(status.ok(), "%s", status.ok() ? "" : status.error().message.c_str());
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.state(), "FAILED");
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

START_TEST(the_end_does_not_wait_for_ever) {
  for (const bool frozen : {false, true}) {
    RedisServer server;
    JobRun run(server);
    run.settings.flush_timeout = Milliseconds(700);
    run.settings.lease = Milliseconds(1200);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    RedisClient redis(server.port());
    JobView view(redis);
    ck_assert(eventually([&] { return view.field("progress", "done") == "1"; }));
    if (frozen) {
      server.freeze();
    } else {
      server.kill();
      ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
    }
    run.transcribe(1, "two");
    run.transcribe(2, "three");
    run.end(JobState::kCompleted, JobReason::kEndOfStream);
    const auto begin = std::chrono::steady_clock::now();
    const Status status = run.store->finish();
    const auto time = std::chrono::steady_clock::now() - begin;
    ck_assert(time >= 700ms && time < 5s);
    ck_assert(!status.ok());
    for (const char* part : {"700 ms", "redis-flush-timeout", "127.0.0.1"})
      ck_assert_msg(status.error().message.find(part) != std::string::npos, "%s",
                    status.error().message.c_str());
    if (!frozen) {
      ck_assert_msg(
          status.error().message.find("2 chunks and the state COMPLETED") != std::string::npos,
          "%s", status.error().message.c_str());
    }
    const auto end = std::chrono::steady_clock::now();
    run.store.reset();
    ck_assert(std::chrono::steady_clock::now() - end < 3s);
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_outage");
  TCase* tcase = tcase_create("outage");
  tcase_set_timeout(tcase, 120);
  for (const TTest* test : {a_server_that_comes_later,
                            a_server_that_comes_later_and_has_the_job,
                            a_job_that_was_interrupted_is_joined_later,
                            a_server_that_forgets_everything,
                            a_server_with_a_file_that_is_killed,
                            a_server_that_comes_back_older,
                            all_keys_are_lost,
                            one_key_is_lost,
                            the_script_is_lost,
                            memory_is_full,
                            the_disk_is_broken,
                            replicas_are_missing,
                            the_server_becomes_a_replica,
                            the_server_stops,
                            connections_are_killed_again_and_again,
                            a_lost_connection_that_is_back_at_once,
                            a_connection_that_is_lost_with_every_chunk,
                            replies_are_cut_at_every_place,
                            the_end_waits_for_the_server,
                            the_end_does_not_wait_for_ever}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
