// Starts that have claimed their job and can't read it: refused and given back where Redis is
// required, made good later where it is not.
#include <atomic>
#include <string>
#include <vector>

#include "cutting_proxy.h"
#include "job_store_test.h"
#include "shared_server.h"

namespace transcribe {
namespace {

using Fate = CuttingProxy::Fate;
using Words = std::vector<std::string>;

void settle_first(JobRun& run, const std::string& sha256, const std::string& text) {
  auto chunk = make_chunk(0);
  chunk->sha256 = sha256;
  run.record(ChunkQueued{chunk, 1000});
  run.record(make_done(ChunkPtr(chunk), text));
}

void leave_a_job() {
  JobRun run(*shared_server);
  run.begin();
  settle_first(run, "own", "first");
  run.record(make_skipped(1, SkipReason::kSilence));
  run.transcribe(2, "third");
  run.end(JobState::kQueued, JobReason::kStopped);
  run.assert_finish();
}

void assert_part(const std::string& message, const std::string& part) {
  ck_assert_msg(message.find(part) != std::string::npos, "no \"%s\": %s", part.c_str(),
                message.c_str());
}

std::string stored_chunks(JobView& view) {
  return view.redis("HGETALL", view.key("chunks")).str() +
         view.redis("HGETALL", view.key("cerr")).str();
}

// A start is refused with these words; the next one, without any trouble, has the whole job.
void check_refused_start(JobRun& run, const std::vector<std::string>& parts) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  const std::string before = stored_chunks(view);
  run.settings.required = true;
  ck_assert(!run.open());
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kUnavailable);
  for (const std::string& part : parts) assert_part(run.refusal.message, part);
  ck_same(run.watcher.counts(), "0 0 0 0 0");
  ck_assert_uint_eq(run.found.size(), 0);

  ck_same(view.state(), "QUEUED");
  ck_same(view.field("ctl", "token"), "");
  ck_same(view.field("ctl", "epoch"), "2");  // it was claimed
  ck_same(view.problem(), "");
  ck_same(stored_chunks(view), before);
  ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");

  JobRun next(*shared_server);
  next.assert_open();
  ck_assert_uint_eq(next.waits.size(), 0);
  ck_same(next.found_text(), "0:done 2:done");
  next.start();
  next.complete();
  ck_same(view.problem(), "");
}

START_TEST(the_connection_is_lost_whenever_it_reads) {
  leave_a_job();
  unsigned claims = 0;
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    if (request.size() > 12 && request[12] == "create") claims++;
    return request[0] == "HSCAN" ? Fate::kLoseAnswer : Fate::kPass;
  });
  JobRun run(proxy.uri());
  check_refused_start(run, {proxy.uri().substr(8), "redis-uri", "redis-policy"});
  ck_assert_uint_eq(claims, 1);
  ck_assert_uint_gt(proxy.lost(), 1);
}
END_TEST

// Reading takes four commands: nothing is known of the job until the last of them.
START_TEST(the_right_to_read_is_lost) {
  leave_a_job();
  RedisClient redis(shared_server->port());
  redis("ACL", "SETUSER", "job", "reset", "on", "nopass", "~*", "+@all");
  int reads = 0;
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    if (request[0] == "HSCAN" && reads++ == _i) {
      RedisClient admin(shared_server->port());
      admin("ACL", "SETUSER", "job", "-hscan");
    }
    return Fate::kPass;
  });
  JobRun run("redis://job:x@" + proxy.uri().substr(8));
  check_refused_start(run, {"NOPERM", "hscan", "redis-uri", "redis-policy"});
  ck_assert_int_eq(reads, _i + 1);
}
END_TEST

START_TEST(the_answer_to_the_claim_is_never_heard) {
  leave_a_job();
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    return request.size() > 12 && request[12] == "create" ? Fate::kLoseAnswer : Fate::kPass;
  });
  JobRun run(proxy.uri());
  run.settings.timeout = Milliseconds(1000);
  check_refused_start(run, {proxy.uri().substr(8), "redis-uri", "redis-policy"});
  ck_assert_uint_gt(proxy.lost(), 0);
}
END_TEST

START_TEST(a_connection_that_is_lost_while_it_reads) {
  leave_a_job();
  int reads = 0;
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    return request[0] == "HSCAN" && reads++ == _i ? Fate::kLoseAnswer : Fate::kPass;
  });
  JobRun run(proxy.uri());
  run.settings.required = true;
  run.settings.timeout = Milliseconds(30000);
  run.assert_open();
  ck_same(run.found_text(), "0:done 2:done");
  ck_assert_uint_eq(run.job.next_index, 3);
  run.start();
  run.complete();
  RedisClient redis(shared_server->port());
  JobView view(redis);
  ck_same(view.problem(), "");
  ck_same(view.field("ctl", "epoch"), "2");
  ck_assert_uint_eq(proxy.lost(), 1);
}
END_TEST

// Best effort: the run has begun without what is there, which may be of another source.
START_TEST(a_job_that_is_read_later) {
  const bool same = _i == 0;
  leave_a_job();
  RedisClient redis(shared_server->port());
  JobView view(redis);
  const std::string before = stored_chunks(view);
  std::atomic<bool> cut = true;
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    return request[0] == "HSCAN" && cut ? Fate::kLoseAnswer : Fate::kPass;
  });
  JobRun run(proxy.uri());
  run.assert_open();
  ck_same(run.watcher.counts(), "1 0 0 0 0");
  ck_same(run.found_text(), "");
  run.start();
  settle_first(run, same ? "own" : "other", "again");
  run.transcribe(3, "fourth");
  // What it reads it compares with what it was told before it last failed to read.
  const unsigned lost = proxy.lost();
  ck_assert(eventually([&] { return proxy.lost() > lost + 1; }));
  cut = false;
  if (same) {
    ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
    run.record(make_skipped(1, SkipReason::kSilence));
    run.transcribe(2, "again");
    run.complete();
    ck_same(view.state(), "COMPLETED");
    ck_assert(view.has_text(0, "first") && view.has_text(2, "third") && view.has_text(3, "fourth"));
    ck_same(run.watcher.counts(), "1 1 0 0 0");
  } else {
    ck_assert(run.watcher.wait([](const auto& seen) { return !seen.offs.empty(); }));
    assert_part(run.watcher.seen().offs[0], "another source: chunk 0 differs");
    ck_assert(!run.finish().ok());
    ck_same(stored_chunks(view), before);
    ck_same(view.state(), "QUEUED");
    ck_same(view.field("ctl", "token"), "");
    ck_same(run.watcher.counts(), "1 0 1 0 0");
  }
  ck_same(view.problem(), "");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_load");
  TCase* tcase = tcase_create("load");
  tcase_set_timeout(tcase, 120);
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, the_connection_is_lost_whenever_it_reads);
  tcase_add_loop_test(tcase, the_right_to_read_is_lost, 0, 4);
  tcase_add_test(tcase, the_answer_to_the_claim_is_never_heard);
  tcase_add_loop_test(tcase, a_connection_that_is_lost_while_it_reads, 0, 4);
  tcase_add_loop_test(tcase, a_job_that_is_read_later, 0, 2);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
