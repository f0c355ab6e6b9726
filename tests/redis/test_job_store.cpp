// The life of a job in Redis on a healthy server: what a run leaves, and what the next one finds.
#include <string>

#include "job_store_test.h"
#include "shared_server.h"

namespace transcribe {
namespace {

START_TEST(a_run_from_start_to_end) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.assert_open();
  ck_assert(!run.job.resumed);
  ck_same(view.state(), "QUEUED");
  run.start();
  run.transcribe(0, "one");
  run.record(make_skipped(1, SkipReason::kSilence));
  run.transcribe(2, "two");
  run.complete();

  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "2");
  ck_same(view.field("progress", "skipped"), "1");
  ck_same(view.field("progress", "total"), "3");
  ck_same(view.field("meta", "model"), "whisper-1");
  ck_assert(view.has_text(0, "one") && view.has_text(2, "two"));
  ck_same(view.events_text(),
          "state QUEUED created, state PROCESSING start, chunk 0 done, chunk silence 1 skipped, "
          "chunk 2 done, state COMPLETED eos");
  ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");
  ck_same(redis("ZCARD", "transcribe:workers").str(), "0");
  ck_same(run.watcher.counts(), "0 0 0 0 0");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store");
  TCase* tcase = tcase_create("job_store");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, a_run_from_start_to_end);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
