// Who may have a job: every way to start against everything that can be stored.
#include <cstdio>
#include <string>
#include <vector>

#include "check_text.h"
#include "job_client.h"
#include "shared_server.h"

#include "check_main.h"

namespace transcribe {
namespace {

void lose_owner(JobClient& job) { job.redis("HSET", job.key("ctl"), "lease", "1"); }

void make_processing(JobClient& job) {
  ck_same(job.create(), "OK 1 1 0 0 0 1 ");
  ck_same(job("move", {"PROCESSING", "start"}), "OK 2 ");
}

// Everything that a start can find.
enum class Found {
  kNothing,
  kQueuedOwned,
  kQueuedDead,
  kQueuedIdle,
  kProcessingOwned,
  kProcessingDead,
  kStopped,
  kCompleted,
  kFailed,
  kFailedChunks,
};
constexpr Found kAll[] = {Found::kNothing,     Found::kQueuedOwned,     Found::kQueuedDead,
                          Found::kQueuedIdle,  Found::kProcessingOwned, Found::kProcessingDead,
                          Found::kStopped,     Found::kCompleted,       Found::kFailed,
                          Found::kFailedChunks};

void leave(JobClient& job, Found found) {
  if (found == Found::kNothing) return;
  if (found == Found::kQueuedOwned || found == Found::kQueuedDead || found == Found::kQueuedIdle) {
    job.create();
    if (found == Found::kQueuedDead) lose_owner(job);
    if (found == Found::kQueuedIdle) job("move", {"QUEUED", "stopped"});
    return;
  }
  make_processing(job);
  job("done", {"0", record("done", 0)});
  job("skip", {"1", record("skipped", 1), "silence"});
  if (found == Found::kFailedChunks) job("fail", {"2", record("failed", 2)});
  if (found != Found::kCompleted && found != Found::kFailedChunks) job("begin", {"3", "1"});
  if (found == Found::kProcessingDead) lose_owner(job);
  if (found == Found::kStopped) job("move", {"QUEUED", "stopped"});
  if (found == Found::kCompleted) job("move", {"COMPLETED", "eos"});
  if (found == Found::kFailed) job("move", {"FAILED", "error", "code", "c", "message", "m"});
  if (found == Found::kFailedChunks) {
    job("move", {"FAILED", "chunks-failed", "code", "c", "message", "m"});
  }
}

std::string expected(Found found, const std::string& mode) {
  const bool anew = mode == "restart";
  switch (found) {
    case Found::kNothing:
      return "OK 1 1 0 0 0 1 ";
    case Found::kQueuedOwned:
    case Found::kProcessingOwned:
      return "LOCKED";
    case Found::kQueuedDead:
    case Found::kQueuedIdle:
      return anew ? "OK 2 1 0 0 0 2 QUEUED" : "RESUMED 2 2 0 0 0 2 QUEUED";
    case Found::kProcessingDead:
      return anew ? "OK 2 1 0 0 0 5 PROCESSING" : "RESUMED 2 2 1 0 1 5 PROCESSING";
    case Found::kStopped:
      return anew ? "OK 2 1 0 0 0 6 QUEUED" : "RESUMED 2 2 1 0 1 6 QUEUED";
    case Found::kCompleted:
      return anew ? "OK 2 1 0 0 0 6 COMPLETED" : "COMPLETED 1 1 0 1 2";
    case Found::kFailed:
      return anew ? "OK 2 1 0 0 0 6 FAILED" : "RESUMED 2 2 1 0 1 6 FAILED";
    case Found::kFailedChunks:
      if (mode == "auto") return "FAILED 1 c m";
      return anew ? "OK 2 1 0 0 0 7 FAILED" : "RESUMED 2 2 1 0 1 7 FAILED";
  }
  return "";
}

bool refused(const std::string& answer) {
  return answer.starts_with("LOCKED") || answer.starts_with("COMPLETED") ||
         answer.starts_with("FAILED") || answer.starts_with("FPMISMATCH");
}

START_TEST(every_start_meets_every_state) {
  RedisClient redis(shared_server->port());
  for (const Found found : kAll) {
    for (const char* mode : {"auto", "retry-failed", "restart", "reset"}) {
      redis("FLUSHALL");
      JobClient first(redis, "start");
      leave(first, found);
      const std::string before = first.dump();
      JobClient second(redis, "start", "token-b");
      second.owner = "host boot 2 2";
      const bool reset = std::string(mode) == "reset";
      const std::string wanted = expected(found, reset ? "restart" : mode);
      std::string answer = second.create(reset ? "auto" : mode, "", reset ? "reset" : "create");
      if (wanted == "LOCKED") {
        const std::string prefix = "LOCKED " + first.owner + " ";
        ck_assert(answer.starts_with(prefix));
        const int left = std::stoi(answer.substr(prefix.size()));
        ck_assert(left > 0 && left <= 30000);
        ck_assert(answer.ends_with(first.field("ctl", "lease")));
        ck_same(first.dump(), before);
        // A wrong guess about who died changes nothing, a right one takes the job.
        ck_assert(second.create("auto", "somebody").starts_with("LOCKED"));
        ck_same(first.dump(), before);
        ck_same(first("beat", {"30000"}), "OK " + first.field("ctl", "seq") + " ");
        ck_assert(second.create(reset ? "restart" : mode, first.owner)
                      .starts_with(std::string(mode) == "restart" || reset ? "OK 2" : "RESUMED 2"));
        answer = "OK";
      } else {
        ck_same(answer, wanted);
      }
      if (refused(answer)) {
        ck_same(first.dump(), before);
      } else {
        ck_same(second.state(), "QUEUED");
        ck_same(second.problem(), "");
        ck_same(second("move", {"PROCESSING", "start"}), "OK " + second.field("ctl", "seq") + " ");
        if (found != Found::kNothing) {
          ck_assert(first("done", {"9", record("done", 9)}).starts_with("FENCED 2"));
        }
        ck_same(second.problem(), "");
      }
    }
  }
}
END_TEST

START_TEST(other_settings_are_refused) {
  RedisClient redis(shared_server->port());
  for (const Found found : kAll) {
    if (found == Found::kNothing) continue;
    for (const char* mode : {"auto", "retry-failed"}) {
      redis("FLUSHALL");
      JobClient first(redis, "settings");
      leave(first, found);
      const std::string before = first.dump();
      JobClient second(redis, "settings", "token-b");
      second.fingerprint = "other";
      ck_same(second.create(mode, first.owner), "FPMISMATCH fp");
      ck_same(first.dump(), before);
      ck_assert(second.create("restart", first.owner).starts_with("OK 2"));
      ck_same(second.field("meta", "fp"), "other");
      ck_same(second.problem(), "");
    }
  }
}
END_TEST

START_TEST(keeps_failed_chunks_unless_they_are_asked_for) {
  RedisClient redis(shared_server->port());
  for (const std::string mode : {"auto", "retry-failed"}) {
    redis("FLUSHALL");
    JobClient job(redis, "chunks");
    make_processing(job);
    job("done", {"0", record("done", 0)});
    job("fail", {"1", record("failed", 1)});
    lose_owner(job);
    JobClient next(redis, "chunks", "token-b");
    ck_same(next.create(mode),
            mode == "auto" ? "RESUMED 2 2 1 1 0 5 PROCESSING" : "RESUMED 2 2 1 0 0 5 PROCESSING");
    ck_same(next("begin", {"0", "1"}), "ALREADY 5  done");
    ck_same(next("begin", {"1", "1"}), mode == "auto" ? "ALREADY 5  failed" : "OK 5 ");
    ck_same(next.problem(), "");
  }
}
END_TEST

std::string first_word(const std::string& answer) { return answer.substr(0, answer.find(' ')); }
#define ck_first_word(answer, wanted) ck_same(first_word(answer), wanted)

// A run that goes on after a kill sends again what an earlier one failed or dropped: that is told,
// and in flight, whichever of the operations comes first.
START_TEST(what_failed_in_an_earlier_run_is_open_again) {
  const char* const kFirst[] = {"begin", "retry", "settle"};
  for (const std::string status : {"failed", "skipped"}) {
    for (const std::string first : kFirst) {
      RedisClient redis(shared_server->port());
      redis("FLUSHALL");
      JobClient job(redis, "again");
      const auto settle = [&](std::uint64_t epoch) {
        if (status == "failed") return job("fail", {"4", record(status, 4, "hi", epoch)});
        return job("skip", {"4", record(status, 4, "hi", epoch), "flushed"});
      };
      job.create();
      job("move", {"PROCESSING", "start"});
      job("done", {"0", record("done", 0, "hi", 1)});
      ck_first_word(settle(1), "OK");
      // In the same run it is settled.
      ck_first_word(job("begin", {"4", "2"}), "ALREADY");
      ck_first_word(job("retry", {"4", "2", "10", "503", "busy"}), "ALREADY");
      ck_first_word(settle(1), "DUP");
      lose_owner(job);
      job.token = "token-2";
      ck_first_word(job.create(), "RESUMED");
      job("move", {"PROCESSING", "start"});
      ck_same(job.field("progress", status), "1");
      const std::size_t events = job.events().size();
      if (first == "begin") ck_first_word(job("begin", {"4", "1"}), "OK");
      if (first == "retry") ck_first_word(job("retry", {"4", "2", "10", "503", "busy"}), "OK");
      if (first == "settle") {
        ck_first_word(settle(2), "OK");
        ck_first_word(settle(2), "DUP");
        ck_same(job.field("progress", status), "1");
        ck_same(job.field(status == "failed" ? "cerr" : "chunks", "4"), record(status, 4, "hi", 2));
      } else {
        ck_same(job.field("progress", status), "0");
        ck_same(job.field("progress", "inflight"), "1");
        ck_same(job.field("progress", "total"), "2");
        ck_first_word(job("begin", {"4", "1"}), "DUP");
        ck_same(job.events().back().at("status"), "retry");
        ck_same(job.events().back().at("reason"), first == "begin" ? "resumed" : "busy");
      }
      // What is skipped again is no news.
      const bool silent = first == "settle" && status == "skipped";
      ck_assert_uint_eq(job.events().size(), events + (silent ? 0 : 1));
      // What is done is done, whoever did it.
      ck_first_word(job("begin", {"0", "1"}), "ALREADY");
      ck_first_word(job("done", {"4", record("done", 4, "hi", 2)}), "OK");
      ck_same(job.field("progress", "inflight"), "0");
      ck_same(job.field("progress", "done"), "2");
      ck_same(job.field("progress", "failed"), "0");
      ck_same(job.field("progress", "skipped"), "0");
      ck_same(job.problem(), "");
    }
  }
}
END_TEST

START_TEST(the_reaper_takes_only_what_is_dead) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "reap");
  JobClient reaper(redis, "reap", "");
  make_processing(job);
  job("begin", {"0", "1"});
  job("begin", {"1", "1"});
  ck_assert(reaper("reap").starts_with("ALIVE "));
  lose_owner(job);
  ck_same(reaper("reap"), "REQUEUED 2");
  ck_same(reaper("reap"), "IDLE");
  ck_same(job.state(), "QUEUED");
  ck_same(job("done", {"0", record("done", 0)}), "FENCED 2 ");
  ck_same(job.events().back()["reason"], "lease-expired");
  ck_same(job.events().back()["lost"], "2");
  ck_same(job.problem(), "");
}
END_TEST

// Between what a reaper has seen and what it does the owner may have come back.
START_TEST(the_reaper_takes_only_what_it_has_seen) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "reap");
  make_processing(job);
  const std::string alive = job.field("ctl", "lease");
  ck_assert(job("reap", {alive}).starts_with("ALIVE "));
  redis("HSET", job.key("ctl"), "lease", "7");
  for (const char* other : {"6", "8", "0"}) ck_same(job("reap", {other}), "ALIVE 0");
  ck_same(job("reap", {alive}), "ALIVE 0");
  for (const char* bad : {"", "x", "-7", "07"}) ck_same(job("reap", {bad}), "BADARG lease");
  ck_same(job.state(), "PROCESSING");
  ck_same(job("reap", {"7"}), "REQUEUED 0");
}
END_TEST

START_TEST(an_expired_lease_alone_stops_nobody) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "late");
  make_processing(job);
  lose_owner(job);
  ck_same(job("done", {"0", record("done", 0)}), "OK 3 ");
  ck_same(job("beat", {"30000"}), "OK 3 ");
  ck_assert(job("reap").starts_with("ALIVE "));
}
END_TEST

START_TEST(only_attempts_without_a_new_chunk_count) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "barren");
  job.create();
  job("move", {"PROCESSING", "start"});
  int attempt = 1;
  const auto die = [&](bool stored) {
    if (stored) {
      const std::string index = std::to_string(attempt);
      ck_assert(job("done", {index, record("done", static_cast<std::uint64_t>(attempt))})
                    .starts_with("OK"));
    }
    lose_owner(job);
    const std::string answer = job("reap");
    if (answer.starts_with("REQUEUED")) {
      attempt++;
      job.token = "token-" + std::to_string(attempt);
      ck_assert(job.create().starts_with("RESUMED"));
      ck_same(job.field("ctl", "attempt"), std::to_string(attempt));
      ck_assert(job("move", {"PROCESSING", "start"}).starts_with("OK"));
    }
    return answer;
  };
  for (int i = 0; i < 10; i++) ck_same(die(true), "REQUEUED 0");
  for (int i = 0; i < 2; i++) ck_same(die(false), "REQUEUED 0");
  ck_same(die(true), "REQUEUED 0");
  for (int i = 0; i < 2; i++) ck_same(die(false), "REQUEUED 0");
  ck_same(die(false), "FAILED 0");
  ck_same(job.state(), "FAILED");
  ck_same(job.field("error", "code"), "stalled");
  ck_same(job.problem(), "");
  // Who starts it by hand begins to count anew.
  job.token = "by hand";
  ck_assert(job.create().starts_with("RESUMED"));
  ck_same(job.field("ctl", "barren"), "0");
  ck_same(job.problem(), "");
}
END_TEST

START_TEST(a_cancel_reaches_the_owner) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "cancel");
  JobClient user(redis, "cancel", "");
  make_processing(job);
  ck_same(user("cancel", {"by a user"}), "OK PROCESSING");
  ck_same(job("begin", {"0", "1"}), "OK 3 by a user");
  ck_same(job("beat", {"30000"}), "OK 3 by a user");
  ck_same(job("done", {"0", record("done", 0)}), "OK 4 by a user");
  ck_same(job("move", {"FAILED", "cancelled"}), "OK 5 by a user");
  ck_same(job.problem(), "");
  ck_same(user("cancel"), "TERMINAL FAILED 5 1 0 0");
  // The next start is a new wish.
  JobClient next(redis, "cancel", "token-b");
  ck_assert(next.create().starts_with("RESUMED"));
  ck_same(next("beat", {"30000"}), "OK 6 ");
}
END_TEST

START_TEST(a_cancel_ends_a_job_that_nobody_has) {
  RedisClient redis(shared_server->port());
  for (const bool dead : {false, true}) {
    redis("FLUSHALL");
    JobClient job(redis, "cancel");
    make_processing(job);
    if (!dead) job("move", {"QUEUED", "stopped"});
    ck_same(job("cancel"), dead ? "OK PROCESSING" : "OK FAILED");
    if (dead) {
      lose_owner(job);
      ck_same(job("reap"), "FAILED 0");
    }
    ck_same(job.state(), "FAILED");
    ck_same(job.field("error", "code"), "cancelled");
    ck_same(job.problem(), "");
  }
}
END_TEST

// An empty server, an older one, a part of the keys: always the owner's own truth comes back.
START_TEST(restores_over_whatever_is_left) {
  RedisClient redis(shared_server->port());
  for (const char* lost : {"", "state", "meta", "progress", "ctl", "chunks", "cerr"}) {
    for (const bool older : {false, true}) {
      redis("FLUSHALL");
      JobClient job(redis, "lost");
      make_processing(job);
      job("done", {"0", record("done", 0)});
      job("skip", {"1", record("skipped", 1), "silence"});
      job("fail", {"2", record("failed", 2)});
      job("begin", {"3", "1"});
      JobClient owner = job;
      if (older) {
        owner.epoch = "2";
        owner.token = "token-b";
        ck_same(owner("done", {"0", record("done", 0)}), "STALE 1");
      }
      const std::string seq = job.field("ctl", "seq");
      redis("DEL", job.key(lost));
      if (!older) {
        const std::string name = *lost == '\0' ? "stream" : lost;
        ck_same(owner("done", {"9", record("done", 9)}), "PARTIAL " + name);
        ck_same(owner("sync", {"0"}), "PARTIAL " + name);
        ck_same(owner("reap"), "PARTIAL " + name);
        ck_same(owner("cancel"), "PARTIAL " + name);
      }
      ck_assert(owner.restore("PROCESSING", std::stoull(seq) + 10, 5).starts_with("OK "));
      ck_same(owner.problem(false), "");
      ck_same(owner("put",
                    {"0", record("done", 0), "1", record("skipped", 1), "2", record("failed", 2)})
                  .substr(0, 5),
              "OK " + owner.field("ctl", "seq"));
      ck_same(owner.problem(false), "");
      auto progress = owner.all("progress");
      ck_same(progress["done"] + progress["skipped"] + progress["failed"], "111");
      ck_same(progress["audio_ms"], "1000");
      ck_same(progress["inflight"], "0");
      ck_same(progress["total"], "5");
      ck_assert_int_gt(std::stoi(owner.field("ctl", "seq")), std::stoi(seq) + 10);
      ck_assert(owner("done", {"3", record("done", 3)}).starts_with("OK"));
      ck_same(owner.events().back()["epoch"], owner.epoch);
      if (older) ck_assert(job("done", {"4", record("done", 4)}).starts_with("FENCED 2"));
    }
  }
}
END_TEST

START_TEST(restores_into_an_empty_server) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "empty");
  make_processing(job);
  redis("FLUSHALL");
  ck_same(job("sync", {"2"}), "NOJOB");
  job.group = "readers";
  ck_same(job.restore("PROCESSING", 2, 3), "OK 3  0 0 0");
  ck_same(job.problem(), "");
  ck_same(job.field("meta", "reason"), "restored");
  ck_same(job.events()[0]["event"], "restored");
  ck_same(redis("XINFO", "GROUPS", job.key("")).items[0].items[1].text, "readers");
  // A process that was fenced out before does not come back this way.
  JobClient zombie(redis, "empty", "token-b");
  zombie.epoch = "1";
  ck_same(zombie.restore("PROCESSING", 2, 3), "FENCED 1 " + job.owner);
}
END_TEST

// By it subscribers know a job that was started anew.
START_TEST(restoring_makes_no_job_younger) {
  RedisClient redis(shared_server->port());
  for (const bool known : {true, false}) {
    redis("FLUSHALL");
    JobClient job(redis, "age");
    make_processing(job);
    const std::string created = job.field("meta", "created_ms");
    if (known) job.meta.insert(job.meta.end(), {"created_ms", created});
    for (const char* lost : {"progress", "ctl", "meta", "progress", "state"}) {
      redis("DEL", job.key(lost));
      const std::string before = job.field("meta", "restored_ms");
      do {
        redis("DEL", job.key(lost));
        ck_assert(job.restore("PROCESSING", 2, 3).starts_with("OK "));
      } while (job.field("meta", "restored_ms") == before);
      const bool lost_it = job.field("meta", "created_ms") == job.field("meta", "restored_ms");
      if (job.field("meta", "created_ms") != created) ck_assert(!known && lost_it);
    }
    ck_assert_int_eq(job.field("meta", "created_ms") == created, known);
  }
}
END_TEST

START_TEST(an_older_job_of_other_settings_leaves_nothing) {
  RedisClient redis(shared_server->port());
  JobClient old(redis, "older");
  make_processing(old);
  old("done", {"0", record("done", 0)});
  JobClient job(redis, "older", "token-b");
  job.epoch = "2";
  job.fingerprint = "other";
  ck_same(job.restore("PROCESSING", 9, 0), "OK 10  0 0 0");
  ck_same(job.problem(false), "");
}
END_TEST

// Nobody remembers what was lost: a new process.
START_TEST(starts_over_what_can_be_mended_only) {
  RedisClient redis(shared_server->port());
  for (const std::string lost : {"", "state", "meta", "progress", "ctl", "chunks", "cerr"}) {
    for (const bool completed : {false, true}) {
      redis("FLUSHALL");
      JobClient job(redis, "lost");
      make_processing(job);
      job("done", {"0", record("done", 0)});
      job("skip", {"1", record("skipped", 1), "silence"});
      if (completed) {
        job("move", {"COMPLETED", "eos"});
      } else {
        job("fail", {"2", record("failed", 2)});
        lose_owner(job);
      }
      if (completed && lost == "cerr") continue;
      redis("DEL", job.key(lost));
      JobClient next(redis, "lost", "token-b");
      const std::string answer = next.create();
      if (lost == "state" || lost == "meta" || lost == "ctl") {
        ck_same(answer, "PARTIAL " + lost);
      } else if (completed) {
        ck_same(answer, lost.empty() ? "COMPLETED 1 1 0 1 2" : "PARTIAL " + lost);
      } else {
        ck_assert(answer.starts_with("RESUMED 2 2 "));
        ck_same(next.problem(false), "");
        ck_same(next.field("progress", "done"), lost == "chunks" ? "0" : "1");
      }
      if (!answer.starts_with("RESUMED")) {
        ck_assert(next.create("restart").starts_with("OK "));
        ck_same(next.problem(false), "");
        ck_same(next.field("progress", "done"), "0");
      }
    }
  }
}
END_TEST

START_TEST(a_group_may_be_there_before_the_job) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "group");
  redis("XGROUP", "CREATE", job.key(""), "readers", "0", "MKSTREAM");
  job.group = "readers";
  make_processing(job);
  ck_same(job.problem(), "");
  redis("FLUSHALL");
  job.group = "";
  make_processing(job);
  ck_assert_uint_eq(redis("XINFO", "GROUPS", job.key("")).items.size(), 0);
}
END_TEST

// The stream outlives the other keys: whoever reads it must not see a number twice.
// Servers evict key by key. What has been paid for is not thrown away without asking.
START_TEST(results_without_their_state_are_kept) {
  RedisClient redis(shared_server->port());
  for (const std::string what : {"done", "failed"}) {
    for (const bool meta : {true, false}) {
      redis("FLUSHALL");
      JobClient job(redis, "evicted");
      make_processing(job);
      for (const char* index : {"0", "1", "2"})
        job(what == "done" ? "done" : "fail", {index, record(what, std::stoull(index))});
      for (const char* name : {"state", "ctl", "progress"}) redis("DEL", job.key(name));
      if (!meta) redis("DEL", job.key("meta"));
      JobClient next(redis, "evicted", "token-b");
      const std::string before = job.dump();
      for (const char* mode : {"auto", "retry-failed"}) ck_same(next.create(mode), "PARTIAL state");
      ck_same(job.dump(), before);
      ck_assert_uint_eq(job.all(what == "done" ? "chunks" : "cerr").size(), 3);
      if (meta) {
        // Its owner still knows what it was.
        ck_assert(job.restore("PROCESSING", 5, 3).starts_with("OK "));
        ck_same(job.field("progress", what), "3");
      } else {
        ck_assert(next.create("restart").starts_with("OK 2 "));
      }
      ck_same(job.problem(false), "");
    }
  }
}
END_TEST

START_TEST(a_new_job_continues_a_stream_that_was_left) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "left");
  make_processing(job);
  for (const char* name : {"state", "meta", "progress", "ctl"}) redis("DEL", job.key(name));
  JobClient next(redis, "left", "token-b");
  ck_same(next.create(), "OK 2 1 0 0 0 3 ");
}
END_TEST

START_TEST(all_keys_of_a_job_share_a_slot) {
  RedisServer::Options options;
  options.cluster = true;
  RedisServer server(options);
  RedisClient redis(server.port());
  ck_same(redis("CLUSTER", "ADDSLOTSRANGE", "0", "16383").text, "OK");
  ck_assert(server.wait_for_log("Cluster state changed: ok"));
  for (const char* id : {"a", "0", "A.b_c-d:e", "7f0c9d2e-8c2b-4b43-9a1f-3d9d0c6c2f11"}) {
    JobClient job(redis, id);
    const std::string slot = redis("CLUSTER", "KEYSLOT", job.keys[0]).text;
    for (const std::string& key : job.keys) ck_same(redis("CLUSTER", "KEYSLOT", key).text, slot);
    make_processing(job);
    ck_same(job("done", {"0", record("done", 0)}), "OK 3 ");
    ck_same(job.problem(), "");
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_owner");
  TCase* tcase = tcase_create("job_owner");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, every_start_meets_every_state);
  tcase_add_test(tcase, other_settings_are_refused);
  tcase_add_test(tcase, keeps_failed_chunks_unless_they_are_asked_for);
  tcase_add_test(tcase, what_failed_in_an_earlier_run_is_open_again);
  tcase_add_test(tcase, the_reaper_takes_only_what_is_dead);
  tcase_add_test(tcase, the_reaper_takes_only_what_it_has_seen);
  tcase_add_test(tcase, an_expired_lease_alone_stops_nobody);
  tcase_add_test(tcase, only_attempts_without_a_new_chunk_count);
  tcase_add_test(tcase, a_cancel_reaches_the_owner);
  tcase_add_test(tcase, a_cancel_ends_a_job_that_nobody_has);
  tcase_add_test(tcase, restores_over_whatever_is_left);
  tcase_add_test(tcase, restores_into_an_empty_server);
  tcase_add_test(tcase, an_older_job_of_other_settings_leaves_nothing);
  tcase_add_test(tcase, starts_over_what_can_be_mended_only);
  tcase_add_test(tcase, a_group_may_be_there_before_the_job);
  tcase_add_test(tcase, restoring_makes_no_job_younger);
  tcase_add_test(tcase, results_without_their_state_are_kept);
  tcase_add_test(tcase, a_new_job_continues_a_stream_that_was_left);
  tcase_add_test(tcase, all_keys_of_a_job_share_a_slot);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
