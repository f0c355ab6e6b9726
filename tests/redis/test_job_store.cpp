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

START_TEST(a_stopped_job_goes_on) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.start();
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
    run.assert_open();
    run.start();
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

START_TEST(a_complete_job_is_replayed) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.start();
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
    run.assert_open();
    run.start();
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
    run.assert_open();
    run.start();
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
    run.assert_open();
    run.start();
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

START_TEST(jobs_without_a_result) {
  RedisClient redis(shared_server->port());
  for (const bool skipped : {false, true}) {
    const std::string id = skipped ? "silent" : "empty";
    JobView view(redis, id);
    JobRun run(*shared_server);
    run.identity.job_id = id;
    run.assert_open();
    run.start();
    if (skipped) run.record(make_skipped(0, SkipReason::kSilence));
    run.complete();
    ck_same(view.state(), "COMPLETED");
    ck_same(view.problem(), "");
    ck_same(view.field("progress", "total"), skipped ? "1" : "0");
  }
}
END_TEST

START_TEST(only_resumed_chunks) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  JobRun run(*shared_server);
  run.assert_open();
  run.start();
  ChunkDone done = make_done(0, "one");
  done.resumed = true;
  run.record(done);
  run.complete();
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
}
END_TEST

START_TEST(retries_and_progress_are_seen) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.assert_open();
  run.start();
  run.queue(0);
  ChunkRetry retry{make_chunk(0), 2, std::chrono::milliseconds(700), {}};
  retry.failure.http_status = 429;
  retry.failure.reason = std::string(3000, 'r');
  run.record(retry);
  // "epoch:attempt:ms:wait"
  ck_assert(eventually([&] {
    return view.field("inflight", "0").ends_with(":wait") &&
           view.field("inflight", "0").starts_with("1:2:");
  }));
  run.record(ChunkAttempt{make_chunk(0), 2});
  for (int i = 1; i < 30; i++) run.record(ChunkQueued{make_chunk(i), 1});
  ck_assert(eventually([&] { return view.field("progress", "total") == "30"; }));
  ck_same(view.field("progress", "inflight"), "1");
  run.record(ChunkQueued{make_chunk(30), 1});
  run.end(JobState::kQueued, JobReason::kStopped);
  run.assert_finish();
  ck_same(view.field("progress", "total"), "31");
  ck_same(view.problem(), "");
  int progress = 0;
  for (auto& event : view.events()) {
    if (event["event"] == "progress") progress++;
    if (event["status"] != "retry") continue;
    ck_same(event["attempt"], "2");
    ck_same(event["delay_ms"], "700");
    ck_same(event["http_status"], "429");
    ck_assert_uint_eq(event["reason"].size(), 1000);
  }
  ck_assert_int_ge(progress, 1);
  ck_assert_int_le(progress, 2);
}
END_TEST

START_TEST(the_group_of_consumers_misses_nothing) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.consumer_group = "readers";
  run.assert_open();
  run.start();
  run.transcribe(0, "one");
  run.complete();
  const RedisReply read =
      redis("XREADGROUP", "GROUP", "readers", "me", "STREAMS", view.key(""), ">");
  ck_assert_uint_eq(read.items[0].items[1].items.size(), view.events().size());
  ck_assert_uint_eq(view.events().size(), 4);
}
END_TEST

START_TEST(settings_reach_the_keys) {
  RedisClient redis(shared_server->port());
  JobRun run(*shared_server);
  run.settings.key_prefix = "tr:x";
  run.settings.stream_max_length = 100;
  run.settings.retention = Milliseconds(60000);
  run.settings.lease = Milliseconds(12345);
  run.assert_open();
  ck_same(redis("HMGET", "{tr:x:jobs:talk}:ctl", "maxlen", "retention").str(), "100 60000");
  ck_same(redis("ZCARD", "tr:x:index:active").str(), "1");
  ck_assert(eventually([&] { return redis("ZCARD", "tr:x:workers").str() == "1"; }));
  const std::int64_t left = std::stoll(redis("HGET", "{tr:x:jobs:talk}:ctl", "lease").text) -
                            std::stoll(redis("TIME").items[0].text) * 1000;
  ck_assert(left > 5000 && left <= 12345 + 1000);
  run.start();
  run.complete();
  const std::int64_t kept = redis("PTTL", "{tr:x:jobs:talk}:state").number;
  ck_assert(kept > 0 && kept <= 60000);
  ck_same(redis("KEYS", "transcribe*").str(), "");
}
END_TEST

// Everything a service or a file can hold comes back as it was, as far as a record can hold it.
START_TEST(hostile_content) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  std::string large;
  while (large.size() < (1u << 20)) large += "\"0123456789\\ \r\n{}\t\x01äöü\xf0\x9f\x8e\xa7";
  const std::vector<std::string> texts = {
      large, "\r\n$5\r\nhello\r\n", "\"status\":\"failed\"", ",\"frames\":99999999999999",
      "",    "\x7f\x01 %s %n"};
  {
    JobRun run(*shared_server);
    run.identity.meta["na me\r\n"] = std::string("a\0b\xff", 4);
    run.assert_open();
    run.start();
    for (std::size_t i = 0; i < texts.size(); i++) run.transcribe(i, texts[i]);
    run.transcribe(texts.size(), "broken \xff\xfe text");
    run.transcribe(texts.size() + 1, std::string("cut\0off", 7));
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "audio_ms"), "80000");
  JobRun run(*shared_server);
  run.identity.meta["na me\r\n"] = "";
  run.assert_open();
  ck_assert_uint_eq(run.found.size(), texts.size() + 2);
  for (std::size_t i = 0; i < texts.size(); i++)
    ck_same(std::get<ChunkDone>(run.found[i].outcome).transcription->text, texts[i]);
  ck_assert(run.job.meta.at("na me\r\n") == std::string("a\0b\xff", 4));
}
END_TEST

START_TEST(unreadable_records_are_passed_over) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.start();
    run.transcribe(0, "one");
    run.transcribe(1, "two");
    run.transcribe(2, "three");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  redis("HSET", view.key("chunks"), "1", "{\"status\":\"done\",\"frames\":1}");
  redis("HSET", view.key("chunks"), "2", view.field("chunks", "0"));
  JobRun run(*shared_server);
  run.assert_open();
  ck_same(run.found_text(), "0:done");
  ck_assert(run.log.text().find("chunk 1 ") != std::string::npos);
  ck_assert(run.log.text().find("chunk 2 ") != std::string::npos);
}
END_TEST

START_TEST(many_chunks_come_back_in_order) {
  RedisClient redis(shared_server->port());
  constexpr std::uint64_t kChunks = 1500;
  {
    JobRun run(*shared_server);
    run.assert_open();
    run.start();
    for (std::uint64_t i = 0; i < kChunks; i++) run.transcribe(i, "text " + std::to_string(i));
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  JobRun run(*shared_server);
  run.assert_open();
  ck_assert_uint_eq(run.found.size(), kChunks);
  for (std::uint64_t i = 0; i < kChunks; i++) {
    const auto& done = std::get<ChunkDone>(run.found[i].outcome);
    ck_assert_uint_eq(done.chunk->index, i);
    ck_same(done.transcription->text, "text " + std::to_string(i));
  }
}
END_TEST

START_TEST(a_user_cancels) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.lease = Milliseconds(300);
  run.assert_open();
  run.start();
  ck_assert(eventually([&] { return view.state() == "PROCESSING"; }));
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
    run.assert_open();
    run.start();
    ck_assert(eventually([&] { return view.state() == "PROCESSING"; }));
    shared_server->freeze();
    run.transcribe(0, "one");
    const auto begin = std::chrono::steady_clock::now();
    run.store.reset();
    ck_assert(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
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
  tcase_add_test(tcase, a_complete_job_is_replayed);
  tcase_add_test(tcase, failed_chunks_are_sent_again_when_that_is_asked_for);
  tcase_add_test(tcase, a_job_that_failed_as_a_whole_goes_on);
  tcase_add_test(tcase, restart_forgets_what_is_there);
  tcase_add_test(tcase, other_settings_are_refused);
  tcase_add_test(tcase, a_damaged_job_is_refused);
  tcase_add_test(tcase, jobs_without_a_result);
  tcase_add_test(tcase, only_resumed_chunks);
  tcase_add_test(tcase, retries_and_progress_are_seen);
  tcase_add_test(tcase, the_group_of_consumers_misses_nothing);
  tcase_add_test(tcase, settings_reach_the_keys);
  tcase_add_test(tcase, hostile_content);
  tcase_add_test(tcase, unreadable_records_are_passed_over);
  tcase_add_test(tcase, many_chunks_come_back_in_order);
  tcase_add_test(tcase, a_user_cancels);
  tcase_add_test(tcase, a_living_owner_keeps_its_lease);
  tcase_add_test(tcase, the_destructor_ends_at_once);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
