// A job that has begun, for tests of what may happen to it then.
#pragma once

#include "job_store_test.h"

namespace transcribe {

inline RedisServer::Options with_file() {
  RedisServer::Options options;
  options.append_only = true;
  // Else the file may lag behind a slow disk, and a killed server forgets what it has acknowledged.
  options.arguments = {"--appendfsync", "always"};
  return options;
}

// A job with a few chunks that the server has.
struct Begun {
  explicit Begun(const RedisServer& server) : run(server) {
    run.settings.timeout = Milliseconds(1000);
    // An idle connection's loss shows with the next sign of life.
    run.settings.lease = Milliseconds(1200);
    run.begin();
    run.transcribe(0, "one");
    run.record(make_skipped(1, SkipReason::kSilence));
    run.queue(2);
    run.record(make_failed(2));
    run.queue(3);  // stays in flight
    RedisClient redis(server.port());
    JobView view(redis);
    // In this order: a chunk before the last was in flight, too.
    ck_assert(eventually([&] { return view.field("progress", "failed") == "1"; }));
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

}  // namespace transcribe
