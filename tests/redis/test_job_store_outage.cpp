// What happens to a server while a job runs, and that its keys hold the whole truth again after.
#include <map>
#include <string>
#include <thread>

#include "begun_job.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

START_TEST(a_server_that_comes_later) {
  RedisServer server;
  server.kill();
  JobRun run(server);
  const auto begin = std::chrono::steady_clock::now();
  run.assert_open();
  ck_assert(is_within(4s, begin));
  ck_assert(!run.job.resumed);
  ck_same(run.watcher.counts(), "1 0 0 0 0");
  const std::string message = run.watcher.seen().errors[0];
  ck_assert_msg(message.find("127.0.0.1:" + std::to_string(server.port())) != std::string::npos,
                "%s", message.c_str());
  run.source = "file:///a";
  run.start();
  run.transcribe(0, "one");
  run.record(make_skipped(1, SkipReason::kSilence));
  ck_assert(run.watcher.seen().stored.empty());
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  ck_assert(run.watcher.seen().stored == (std::vector<std::uint64_t>{0, 1}));
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.state(), "PROCESSING");
  ck_same(view.field("progress", "done"), "1");
  ck_same(view.field("meta", "source"), "file:///a");
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
    run.begin();
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
    run.identity.meta = {{"host", "first"}};
    run.source = "file:///first";
    run.begin();
    run.transcribe(0, "first");
    run.transcribe(1, "second");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  server.kill();
  JobRun run(server);
  run.identity.meta = {{"host", "second"}};
  run.source = "file:///second";
  run.begin();
  run.transcribe(0, "one");
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.transcribe(1, "two");
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.field("meta", "source"), "file:///second");
  redis("DEL", view.key("meta"));
  run.transcribe(2, "three");
  run.complete();
  ck_same(view.field("meta", "source"), "file:///second");
  ck_same(view.field("meta", "host"), "first");
  ck_same(view.problem(), "");
  ck_same(view.state(), "COMPLETED");
  ck_same(view.field("progress", "done"), "3");
  ck_assert(view.has_text(0, "first"));
  ck_same(view.field("ctl", "epoch"), "2");
}
END_TEST

// What differs, or is missing, and when that shows.
START_TEST(a_job_of_another_source_is_not_joined_later) {
  struct Chunk {
    std::uint64_t index;
    const char* sha256;
  };
  const struct {
    const char* name;
    std::vector<Chunk> before, after;  // the server has come back
    bool ends;
    const char* problem;
  } cases[] = {
      {"at once", {{0, "x"}}, {}, false, "chunk 0 differs"},
      {"another index", {{1, "x"}}, {}, false, "chunk 1 differs"},
      {"behind equal ones", {{0, "a"}, {1, "b"}}, {{2, "x"}}, false, "chunk 2 differs"},
      {"shorter", {{0, "a"}}, {{1, "b"}}, true, "ends before chunk 2"},
      {"shorter and over", {{0, "a"}, {1, "b"}}, {}, true, "ends before chunk 2"},
  };
  const auto settle = [](JobRun& run, const Chunk& of, const std::string& text) {
    auto chunk = make_chunk(of.index);
    chunk->sha256 = of.sha256;
    run.record(ChunkQueued{chunk, 1000});
    run.record(ChunkAttempt{chunk, 1});
    run.record(make_done(ChunkPtr(chunk), text));
  };
  for (const auto& one : cases) {
    RedisServer server(with_file());
    std::map<std::string, std::string> chunks;
    {
      JobRun run(server);
      run.begin();
      settle(run, {0, "a"}, "first");
      settle(run, {1, "b"}, "second");
      settle(run, {2, "c"}, "third");
      run.end(JobState::kQueued, JobReason::kStopped);
      run.assert_finish();
      RedisClient redis(server.port());
      chunks = JobView(redis).all("chunks");
    }
    server.kill();
    JobRun run(server);
    run.begin();
    for (const Chunk& chunk : one.before) settle(run, chunk, "other");
    const bool at_once = one.after.empty();
    if (at_once && one.ends) run.end(JobState::kCompleted, JobReason::kEndOfStream);
    server.restart();
    if (!at_once) {
      ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
      for (const Chunk& chunk : one.after) settle(run, chunk, "other");
      if (one.ends) run.end(JobState::kCompleted, JobReason::kEndOfStream);
    }
    ck_assert_msg(run.watcher.wait([](const auto& seen) { return !seen.offs.empty(); }), "%s",
                  one.name);
    ck_assert(!run.finish().ok());
    const std::string message = run.watcher.seen().offs[0];
    for (const char* part : {one.problem, "another source", "job-id", "resume=restart"})
      ck_assert_msg(message.find(part) != std::string::npos, "%s: %s", one.name, message.c_str());
    RedisClient redis(server.port());
    JobView view(redis);
    ck_assert_msg(view.all("chunks") == chunks, "%s", one.name);
    ck_same(view.state(), "QUEUED");
    ck_same(view.field("ctl", "token"), "");
    ck_same(view.problem(), "");
    ck_same(run.watcher.counts(), at_once ? "1 0 1 0 0" : "1 1 1 0 0");
  }
}
END_TEST

// Nothing is known of the job's chunks then.
START_TEST(a_record_that_can_not_be_read_is_found_later) {
  RedisServer server(with_file());
  {
    JobRun run(server);
    run.begin();
    run.transcribe(0, "first");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
    RedisClient redis(server.port());
    redis("HSET", JobView(redis).key("chunks"), "0", "{}");
  }
  server.kill();
  JobRun run(server);
  run.begin();
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return !seen.offs.empty(); }));
  ck_assert(run.watcher.seen().offs[0].find("chunk 0 ") != std::string::npos);
  ck_assert(!run.finish().ok());
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.field("chunks", "0"), "{}");
  ck_same(view.field("ctl", "token"), "");
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
    run.source = "file:///a";
    run.start();
    for (int i = 0; i < 450; i++) run.transcribe(static_cast<std::uint64_t>(i), "text");
    JobView view(redis);
    view.wait_for_done("450");
  }
  server.kill();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  server.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.field("progress", "done"), "450");
  ck_same(view.state(), "PROCESSING");
  ck_same(view.field("meta", "source"), "file:///a");
  ck_same(view.problem(false), "");
  run.complete();
  ck_same(view.problem(false), "");
}
END_TEST

START_TEST(all_keys_are_lost) {
  RedisServer server;
  Begun begun(server);
  RedisClient redis(server.port());
  JobView view(redis);
  const std::string created = view.field("meta", "created_ms");
  redis("FLUSHALL");
  begun.end(server, "0 0 0 0 0");
  // A later time would say that it was started anew.
  ck_same(view.field("meta", "created_ms"), created);
  ck_assert(view.field("meta", "restored_ms") != "-");
}
END_TEST

// It is told where its chunks came from as before, by whoever restores it.
START_TEST(all_keys_are_lost_of_a_job_that_goes_on) {
  for (const bool started : {false, true}) {
    RedisServer server;
    RedisClient redis(server.port());
    JobView view(redis);
    {
      JobRun run(server);
      run.identity.meta = {{"host", "first"}, {"max_chunk_ns", "7"}};
      run.source = "file:///first";
      run.begin();
      run.transcribe(0, "one");
      run.end(JobState::kQueued, JobReason::kStopped);
      run.assert_finish();
      ck_same(view.field("meta", "source"), "file:///first");
    }
    JobRun run(server);
    run.identity.meta = {{"host", "second"}, {"max_chunk_ns", "8"}, {"rate", "16000"}};
    run.source = "file:///second";
    run.assert_open();
    if (started) {
      run.start();
      view.wait_for_state("PROCESSING");
      ck_same(view.field("meta", "source"), "file:///second");
    }
    redis("FLUSHALL");
    run.transcribe(1, "two");
    view.wait_for_done("2");
    ck_same(view.state(), started ? "PROCESSING" : "QUEUED");
    ck_same(view.field("meta", "source"), started ? "file:///second" : "file:///first");
    ck_same(view.field("meta", "host"), "first");
    ck_same(view.field("meta", "max_chunk_ns"), "7");
    ck_same(view.field("meta", "rate"), "-");
    if (!started) run.start();
    run.complete();
    ck_same(view.field("meta", "source"), "file:///second");
    ck_same(view.problem(false), "");
  }
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

// As a server does that evicts: what is written is gone at once.
START_TEST(keys_are_lost_again_and_again) {
  RedisServer server;
  Begun begun(server);
  RedisClient redis(server.port());
  JobView view(redis);
  const auto restored = [&] {
    std::size_t count = 0;
    for (auto& event : view.events()) count += event["event"] == "restored" ? 1 : 0;
    return count;
  };
  const auto end = std::chrono::steady_clock::now() + 4s;
  std::uint64_t index = 10;
  while (std::chrono::steady_clock::now() < end) {
    redis("DEL", view.key("progress"));
    if (index < 20) begun.run.transcribe(index++, "more");
    g_usleep(500);
  }
  begun.wait_for_error();
  ck_assert(begun.run.watcher.seen().errors[0].find("noeviction") != std::string::npos);
  // Three at once, then one to five seconds between them.
  ck_assert_uint_ge(restored(), 3);
  ck_assert_uint_le(restored(), 8);
  begun.wait_for_recovery();
  begun.run.transcribe(5, "six");
  begun.run.done(3, "four");
  begun.run.end(JobState::kFailed, JobReason::kChunksFailed);
  begun.run.assert_finish();
  ck_same(view.problem(false), "");
  ck_same(view.field("progress", "done"), "13");
  ck_same(begun.run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

START_TEST(the_script_is_lost) {
  RedisServer server;
  Begun begun(server);
  RedisClient(server.port())("SCRIPT", "FLUSH");
  begun.end(server, "0 0 0 0 0", true);
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
    run.begin();
    run.transcribe(0, "one");
    // Not only on the server: the answer is here.
    ck_assert(run.watcher.wait([](const auto& seen) { return seen.stored.size() == 1; }));
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
    ck_assert(time >= 700ms);
    ck_assert(is_within(5s, begin));
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
  for (const TTest* test :
       {a_server_that_comes_later, a_server_that_comes_later_and_has_the_job,
        a_job_that_was_interrupted_is_joined_later, a_job_of_another_source_is_not_joined_later,
        a_record_that_can_not_be_read_is_found_later, a_server_that_forgets_everything,
        a_server_with_a_file_that_is_killed, a_server_that_comes_back_older, all_keys_are_lost,
        all_keys_are_lost_of_a_job_that_goes_on, one_key_is_lost, keys_are_lost_again_and_again,
        the_script_is_lost, the_end_waits_for_the_server, the_end_does_not_wait_for_ever}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
