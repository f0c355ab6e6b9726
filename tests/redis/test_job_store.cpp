// The life of a job in Redis on a healthy server: what a run leaves, and what the next one finds.
#include <string>

#include "job/earlier_run.h"
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

START_TEST(a_stopped_job_goes_on) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.record(make_skipped(1, SkipReason::kFlushed));
    run.transcribe(2, "two");
    run.queue(3);
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
    ck_same(view.state(), "QUEUED");
    ck_same(view.field("ctl", "owner"), "");
    ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");
  }
  JobRun run(*shared_server);
  run.assert_open();
  ck_assert(run.job.resumed);
  ck_assert(run.job.state == JobState::kQueued);
  ck_assert(run.job.meta == run.identity.meta);
  ck_same(run.found_text(), "0:done 2:done");
  ck_same(std::get<ChunkDone>(run.found[1].outcome).transcription->text, "two");
  run.start();
  // Stored ones are not sent again; one that is known elsewhere only (a journal) is.
  ChunkDone known = make_done(0, "one");
  known.resumed = true;
  run.record(known);
  ChunkDone elsewhere = make_done(3, "three");
  elsewhere.resumed = true;
  run.record(elsewhere);
  run.complete();
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "3");
  ck_assert(view.has_text(3, "three"));
  ck_same(view.field("ctl", "epoch"), "2");
  ck_same(run.watcher.counts(), "0 0 0 0 0");
}
END_TEST

// Nothing has begun: the engine tells no change of state.
START_TEST(finish_gives_a_job_back_that_nothing_has_ended) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.assert_open();
  run.record(StateChanged{JobState::kQueued, std::nullopt, JobReason::kCreated});
  run.assert_finish();
  ck_same(view.state(), "QUEUED");
  ck_same(view.field("ctl", "owner"), "");
  ck_same(view.problem(), "");
  JobRun next(*shared_server);
  next.assert_open();
  ck_assert(next.job.resumed);
}
END_TEST

// What was dropped or failed in one run may be transcribed in the next, and the other way round.
START_TEST(a_later_run_settles_chunks_otherwise) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.record(make_skipped(0, SkipReason::kFlushed));
    run.record(make_skipped(1, SkipReason::kQueueFull));
    run.record(make_failed(2));
    run.record(make_failed(3));
    run.transcribe(4, "five");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  JobRun run(*shared_server);
  run.assert_open();
  ck_same(run.found_text(), "4:done");
  run.start();
  run.transcribe(0, "one");
  run.record(make_failed(1));
  run.record(make_skipped(2, SkipReason::kFlushed));
  run.transcribe(3, "four");
  run.end(JobState::kFailed, JobReason::kChunksFailed);
  run.assert_finish();
  ck_same(view.problem(), "");
  ck_same(redis("HMGET", view.key("progress"), "done", "failed", "skipped", "audio_ms").str(),
          "3 1 1 30000");
  ck_assert(view.has_text(0, "one") && view.has_text(3, "four"));
  ck_same(redis("HKEYS", view.key("cerr")).str(), "1");
}
END_TEST

// A live source can't be heard again: what became of its chunks stays, and it goes on behind all
// that were cut.
START_TEST(a_live_job_keeps_what_was_not_transcribed) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    ck_assert_uint_eq(run.job.next_index, 0);
    run.start();
    run.transcribe(0, "one");
    run.record(make_skipped(1, SkipReason::kSilence));
    run.transcribe(2, "three");
    run.queue(3);
    run.record(make_failed(3, 413));
    run.record(make_skipped(4, SkipReason::kSilence));
    run.queue(5);
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  const auto chunks = view.all("chunks");
  const auto errors = view.all("cerr");
  JobRun run(*shared_server);
  run.assert_open();
  ck_same(run.found_text(), "0:done 2:done");
  ck_assert_uint_eq(run.job.next_index, 6);
  EarlierRun earlier;
  for (const StoredChunk& chunk : run.found) earlier.add({chunk_of(chunk.outcome), std::nullopt});
  run.start();
  const auto events = earlier.take_all(run.job.others, run.job.next_index);
  ck_assert_uint_eq(events.size(), 6);
  for (const Event& event : events) run.record(event);
  run.transcribe(6, "seven");
  run.end(JobState::kFailed, JobReason::kChunksFailed);
  run.assert_finish();
  ck_same(view.problem(), "");
  ck_assert(view.all("cerr") == errors);
  auto now = view.all("chunks");
  ck_assert_uint_eq(now.size(), chunks.size() + 2);
  for (const auto& [index, record] : chunks) ck_same(now[index], record);
  ck_assert(now["5"].find("\"flushed\"") != std::string::npos);
  ck_same(redis("HMGET", view.key("progress"), "total", "done", "failed", "skipped").str(),
          "7 3 1 3");
  ck_same(run.watcher.counts(), "0 0 0 0 0");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.stored.size() == 7; }));

  // The failed one can't be sent again either: it is given up.
  JobRun retry(*shared_server);
  retry.assert_open(ResumePolicy::kRetryFailed);
  ck_assert_uint_eq(retry.job.next_index, 7);
  ck_assert_uint_eq(retry.job.others.size(), 3);
}
END_TEST

START_TEST(a_complete_job_is_replayed) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.record(make_skipped(1, SkipReason::kSilence));
    run.record(make_skipped(2, SkipReason::kQueueFull));
    run.complete();
  }
  const std::string before = view.dump();
  for (const ResumePolicy policy : {ResumePolicy::kAuto, ResumePolicy::kRetryFailed}) {
    JobRun run(*shared_server);
    run.assert_open(policy);
    ck_assert(run.job.resumed);
    ck_assert(run.job.state == JobState::kCompleted);
    ck_same(run.found_text(), "0:done 2:skipped");
    run.start();
    run.transcribe(0, "other");
    run.complete();
  }
  ck_same(view.dump(), before);
  ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");
}
END_TEST

START_TEST(failed_chunks_are_sent_again_when_that_is_asked_for) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.queue(1);
    run.record(make_failed(1, 503));
    StateChanged end{JobState::kFailed, JobState::kProcessing, JobReason::kChunksFailed};
    auto error = std::make_shared<ChunkFailed>(make_failed(1, 503));
    error->failure.error_code = "overloaded";
    end.error = error;
    run.record(end);
    run.assert_finish();
    ck_same(view.state(), "FAILED");
    ck_same(view.field("error", "code"), "overloaded");
    ck_same(view.field("error", "message"), "The service failed.");
    ck_same(view.field("error", "http_status"), "503");
    ck_same(view.field("error", "chunk"), "1");
    ck_same(view.field("error", "retryable"), "0");
    ck_same(view.problem(), "");
  }
  JobRun refused(*shared_server);
  ck_assert(!refused.open());
  ck_assert(refused.refusal.kind == StoreRefusal::Kind::kSettings);
  for (const char* part : {"\"talk\"", "1 failed", "resume=retry-failed", "resume=restart"})
    ck_assert_msg(refused.refusal.message.find(part) != std::string::npos, "%s",
                  refused.refusal.message.c_str());
  ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");

  JobRun run(*shared_server);
  run.assert_open(ResumePolicy::kRetryFailed);
  ck_assert(run.job.state == JobState::kFailed);
  ck_same(run.found_text(), "0:done");
  run.start();
  run.transcribe(1, "two");
  run.complete();
  ck_same(view.state(), "COMPLETED");
  ck_same(view.field("progress", "failed"), "0");
  ck_same(view.problem(), "");
  ck_same(redis("EXISTS", view.key("error")).str(), "0");
}
END_TEST

START_TEST(a_job_that_failed_as_a_whole_goes_on) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    StateChanged end{JobState::kFailed, JobState::kProcessing, JobReason::kError};
    auto error = std::make_shared<ChunkFailed>();
    error->failure.reason = "http-status";
    error->failure.message = std::string(9000, 'x') + "\xff";
    end.error = error;
    run.record(end);
    run.assert_finish();
    ck_same(view.field("error", "code"), "http-status");
    ck_assert_uint_le(view.field("error", "message").size(), 4000);
  }
  JobRun run(*shared_server);
  run.assert_open();
  ck_assert(run.job.state == JobState::kFailed);
  ck_same(run.found_text(), "0:done");
  run.start();
  run.complete();
  ck_same(view.state(), "COMPLETED");
}
END_TEST

START_TEST(restart_forgets_what_is_there) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.complete();
  }
  JobRun run(*shared_server);
  run.identity.fingerprint = "other";
  run.assert_open(ResumePolicy::kRestart);
  ck_assert(!run.job.resumed);
  ck_same(run.found_text(), "");
  run.start();
  run.transcribe(0, "uno");
  run.complete();
  ck_assert(view.has_text(0, "uno"));
  ck_same(view.problem(), "");
}
END_TEST

START_TEST(other_settings_are_refused) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.assert_finish();
  }
  const std::string before = view.dump();
  JobRun run(*shared_server);
  run.identity.fingerprint = "other";
  ck_assert(!run.open());
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kSettings);
  for (const char* part : {"other settings", "resume=restart", "job-id"})
    ck_assert(run.refusal.message.find(part) != std::string::npos);
  ck_same(view.dump(), before);
}
END_TEST

START_TEST(a_damaged_job_is_refused) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.assert_finish();
  }
  redis("DEL", view.key("meta"));
  JobRun run(*shared_server);
  ck_assert(!run.open());
  ck_assert(run.refusal.kind == StoreRefusal::Kind::kSettings);
  ck_assert(run.refusal.message.find("resume=restart") != std::string::npos);
  JobRun anew(*shared_server);
  anew.assert_open(ResumePolicy::kRestart);
  ck_same(view.problem(false), "");
}
END_TEST

START_TEST(a_user_cancels) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.lease = Milliseconds(300);
  run.begin();
  view.wait_for_state("PROCESSING");
  ck_same(view("cancel", {"no longer needed"}), "OK PROCESSING");
  // With the next sign of life.
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.cancels.size() == 1; }));
  ck_same(run.watcher.seen().cancels[0], "no longer needed");
  run.transcribe(0, "one");
  run.end(JobState::kFailed, JobReason::kCancelled);
  run.assert_finish();
  ck_same(view.state(), "FAILED");
  ck_same(view.field("error", "code"), "cancelled");
  ck_same(view.field("meta", "reason"), "cancelled");
  ck_same(run.watcher.counts(), "0 0 0 0 1");
}
END_TEST

START_TEST(a_living_owner_keeps_its_lease) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.lease = Milliseconds(300);
  run.assert_open();
  const std::string lease = view.field("ctl", "lease");
  const std::string hint = redis("ZSCORE", "transcribe:index:active", "talk").text;
  ck_assert(eventually([&] { return view.field("ctl", "lease") > lease; }));
  ck_assert(
      eventually([&] { return redis("ZSCORE", "transcribe:index:active", "talk").text > hint; }));
}
END_TEST

START_TEST(the_destructor_ends_at_once) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    view.wait_for_state("PROCESSING");
    shared_server->freeze();
    run.transcribe(0, "one");
    const auto begin = std::chrono::steady_clock::now();
    run.store.reset();
    ck_assert(is_within(std::chrono::seconds(3), begin));
    shared_server->thaw();
  }
  // Neither given back nor ended.
  ck_same(view.state(), "PROCESSING");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store");
  TCase* tcase = tcase_create("job_store");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, a_run_from_start_to_end);
  tcase_add_test(tcase, a_stopped_job_goes_on);
  tcase_add_test(tcase, finish_gives_a_job_back_that_nothing_has_ended);
  tcase_add_test(tcase, a_later_run_settles_chunks_otherwise);
  tcase_add_test(tcase, a_live_job_keeps_what_was_not_transcribed);
  tcase_add_test(tcase, a_complete_job_is_replayed);
  tcase_add_test(tcase, failed_chunks_are_sent_again_when_that_is_asked_for);
  tcase_add_test(tcase, a_job_that_failed_as_a_whole_goes_on);
  tcase_add_test(tcase, restart_forgets_what_is_there);
  tcase_add_test(tcase, other_settings_are_refused);
  tcase_add_test(tcase, a_damaged_job_is_refused);
  tcase_add_test(tcase, a_user_cancels);
  tcase_add_test(tcase, a_living_owner_keeps_its_lease);
  tcase_add_test(tcase, the_destructor_ends_at_once);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
