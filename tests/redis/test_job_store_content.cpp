// What a job's keys hold: settings, progress, contents of every kind.
#include <algorithm>
#include <string>

#include "job_store_test.h"
#include "shared_server.h"

namespace transcribe {
namespace {

START_TEST(retries_and_progress_are_seen) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  const TimePoint begin = run.clock.now();
  run.begin();
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
  // One each half a second.
  ck_assert_int_le(progress, 2 + (run.clock.now() - begin) / std::chrono::milliseconds(500));
}
END_TEST

START_TEST(the_group_of_consumers_misses_nothing) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  JobRun run(*shared_server);
  run.settings.consumer_group = "readers";
  run.begin();
  run.transcribe(0, "one");
  run.complete();
  const RedisReply read =
      redis("XREADGROUP", "GROUP", "readers", "me", "STREAMS", view.key(""), ">");
  const auto events = view.events();
  ck_assert_uint_eq(read.items[0].items[1].items.size(), events.size());
  // Of progress there is as much as time.
  const auto told = std::count_if(events.begin(), events.end(), [](const auto& event) {
    return event.at("event") != "progress";
  });
  ck_assert_int_eq(told, 4);
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
    run.begin();
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

START_TEST(an_unreadable_record_is_refused) {
  RedisClient redis(shared_server->port());
  JobView view(redis);
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.transcribe(1, "two");
    run.transcribe(2, "three");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  const std::string remedy = "HDEL " + view.key("chunks") + " 1";
  for (const std::string& record :
       {std::string("{\"status\":\"done\",\"frames\":1}"), view.field("chunks", "0")}) {
    redis("HSET", view.key("chunks"), "1", record);
    JobRun run(*shared_server);
    ck_assert(!run.open());
    ck_assert(run.refusal.kind == StoreRefusal::Kind::kSettings);
    for (const std::string& part : {std::string("chunk 1 "), remedy, std::string("resume=restart")})
      ck_assert_msg(run.refusal.message.find(part) != std::string::npos, "%s",
                    run.refusal.message.c_str());
    // Given back as it was.
    ck_same(view.state(), "QUEUED");
    ck_same(view.field("ctl", "token"), "");
    ck_same(view.field("chunks", "1"), record);
    ck_same(redis("ZCARD", "transcribe:index:active").str(), "0");
    ck_same(view.problem(), "");
  }
  redis("HDEL", view.key("chunks"), "1");
  {
    JobRun run(*shared_server);
    run.assert_open();
    ck_same(run.found_text(), "0:done 2:done");
    run.start();
    run.transcribe(1, "zwei");
    run.complete();
    ck_same(view.state(), "COMPLETED");
    ck_assert(view.has_text(1, "zwei"));
    ck_same(view.field("progress", "audio_ms"), "30000");
    ck_same(view.problem(false), "");
  }
  // Of a job that is complete nothing can be sent again.
  redis("HSET", view.key("chunks"), "1", "{}");
  const std::string before = view.dump();
  JobRun replay(*shared_server);
  ck_assert(!replay.open());
  ck_assert(replay.refusal.message.find("chunk 1 ") != std::string::npos);
  ck_assert(replay.refusal.message.find("HDEL") == std::string::npos);
  ck_same(view.dump(), before);
  JobRun anew(*shared_server);
  anew.assert_open(ResumePolicy::kRestart);
}
END_TEST

START_TEST(many_chunks_come_back_in_order) {
  RedisClient redis(shared_server->port());
  constexpr std::uint64_t kChunks = 1500;
  {
    JobRun run(*shared_server);
    run.begin();
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

START_TEST(jobs_without_a_result) {
  RedisClient redis(shared_server->port());
  for (const bool skipped : {false, true}) {
    const std::string id = skipped ? "silent" : "empty";
    JobView view(redis, id);
    JobRun run(*shared_server);
    run.identity.job_id = id;
    run.begin();
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
    run.begin();
    run.transcribe(0, "one");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  JobRun run(*shared_server);
  run.begin();
  ChunkDone done = make_done(0, "one");
  done.resumed = true;
  run.record(done);
  run.complete();
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_content");
  TCase* tcase = tcase_create("content");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, retries_and_progress_are_seen);
  tcase_add_test(tcase, the_group_of_consumers_misses_nothing);
  tcase_add_test(tcase, settings_reach_the_keys);
  tcase_add_test(tcase, hostile_content);
  tcase_add_test(tcase, an_unreadable_record_is_refused);
  tcase_add_test(tcase, many_chunks_come_back_in_order);
  tcase_add_test(tcase, jobs_without_a_result);
  tcase_add_test(tcase, only_resumed_chunks);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
