// Each operation of the job script whose answer is lost when the server has carried it out: the
// client goes on, and the job says what it says without the loss.
#include <cstdio>
#include <functional>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "cutting_proxy.h"
#include "job_store_test.h"
#include "redis/job_session.h"
#include "redis/scripts.h"
#include "shared_server.h"

namespace transcribe {
namespace {

using Fate = CuttingProxy::Fate;
using Words = std::vector<std::string>;

// Of a call of the job script, else empty.
std::string operation_of(const Words& request) {
  const bool is_job = request.size() > 12 && request[0] == "EVALSHA" && request[2] == "9";
  return is_job ? request[12] : "";
}

// All that a job's keys and its stream say, but for what differs from run to run: times, tokens,
// and the counters that are told now and then.
std::string told(JobClient& job) {
  static const std::set<std::string> kPassing = {"token", "released", "lease", "told",
                                                 "seq",   "ts",       "total"};
  std::string text = job.id + " " + job.state() + "\n";
  for (const std::string key : {"meta", "progress", "error", "ctl", "chunks", "inflight", "cerr"}) {
    for (auto [field, value] : job.all(key)) {
      if (field.ends_with("_ms") && field != "audio_ms") continue;
      if (key == "ctl" && kPassing.contains(field)) continue;
      if (key == "inflight") value = std::regex_replace(value, std::regex(":[0-9]{6,}"), "");
      text += key + " " + field + "=" + value + "\n";
    }
  }
  for (const auto& event : job.events()) {
    if (event.at("event") == "progress") continue;
    for (const auto& [field, value] : event)
      if (!kPassing.contains(field)) text += field + "=" + value + " ";
    text += "\n";
  }
  return text;
}

// Shows soon that it lives, and whom it frees; waits long for the server.
struct LivelyRun : JobRun {
  explicit LivelyRun(const std::string& uri) : JobRun(uri) {
    settings.required = true;
    settings.timeout = settings.flush_timeout = Milliseconds(30000);
    settings.lease = Milliseconds(300);
    settings.reaper = {Milliseconds(0), Milliseconds(100), Milliseconds(0)};
  }
};

// The server has a field of the job, and what it begins with.
void wait_for(JobView& view, const std::string& key, const std::string& field,
              const std::string& wanted) {
  ck_assert_msg(eventually([&] { return view.field(key, field).starts_with(wanted); }), "%s %s: %s",
                key.c_str(), field.c_str(), view.dump().c_str());
}

void wait_for_beat(JobView& view) {
  const std::string lease = view.field("ctl", "lease");
  ck_assert(eventually([&] { return view.field("ctl", "lease") != lease; }));
}

// A story goes over `uri`; tells what the job says in the end. One step at a time, so that what is
// lost is not repaired by what follows it.
using Story = std::string (*)(RedisClient& redis, const std::string& uri);

// Begun, retried, settled in every way, freed for another owner; reconnected, lost, healed, ended.
std::string whole_life(RedisClient& redis, const std::string& uri) {
  JobView view(redis);
  JobClient dead(redis, "dead");
  dead.create();
  dead("move", {"PROCESSING", "start"});
  dead("done", {"0", record("done", 0)});
  redis("HSET", dead.key("ctl"), "lease", "1");
  redis("ZADD", "transcribe:index:active", "1", "dead");

  LivelyRun run(uri);
  run.begin();
  view.wait_for_state("PROCESSING");
  run.queue(0);
  wait_for(view, "inflight", "0", "1:1:");
  run.record(ChunkRetry{make_chunk(0), 2, Milliseconds(700), {}});
  wait_for(view, "inflight", "0", "1:2:");
  run.record(ChunkAttempt{make_chunk(0), 2});
  ck_assert(eventually([&] { return !view.field("inflight", "0").ends_with(":wait"); }));
  run.done(0, "one");
  view.wait_for_done("1");
  run.record(make_skipped(1, SkipReason::kSilence));
  wait_for(view, "progress", "skipped", "1");
  run.queue(2);
  wait_for(view, "inflight", "2", "1:1:");
  run.record(make_failed(2));
  wait_for(view, "progress", "failed", "1");
  run.queue(3);
  wait_for(view, "inflight", "3", "1:1:");
  wait_for_beat(view);
  ck_assert(eventually([&] { return dead.state() == "QUEUED"; }));
  redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  wait_for_beat(view);
  run.transcribe(4, "five");
  view.wait_for_done("2");
  wait_for(view, "inflight", "3", "1:1:");
  // Counters are told now and then.
  ck_assert_msg(eventually([&] { return view.problem().empty(); }), "%s", view.problem().c_str());
  const std::string before = told(view) + told(dead);

  redis("FLUSHALL");
  view.wait_for_done("2");
  run.transcribe(5, "six");
  view.wait_for_done("3");
  wait_for(view, "inflight", "3", "1:1:");
  run.done(3, "four");
  run.end(JobState::kFailed, JobReason::kChunksFailed);
  run.assert_finish();
  ck_same(view.problem(false), "");
  const auto seen = run.watcher.seen();
  ck_assert_int_eq(seen.recovered, static_cast<int>(seen.errors.size()));
  ck_assert(seen.offs.empty() && seen.takeovers.empty());
  return before + told(view);
}

std::string stopped_and_resumed(RedisClient& redis, const std::string& uri) {
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  LivelyRun run(uri);
  run.assert_open();
  ck_assert(run.job.resumed);
  ck_same(run.found_text(), "0:done");
  run.start();
  run.complete();
  JobView view(redis);
  ck_same(view.problem(), "");
  return told(view);
}

std::string restarted(RedisClient& redis, const std::string& uri) {
  {
    JobRun run(*shared_server);
    run.begin();
    run.transcribe(0, "one");
    run.complete();
  }
  LivelyRun run(uri);
  run.assert_open(ResumePolicy::kRestart);
  ck_assert(!run.job.resumed);
  ck_same(run.found_text(), "");
  run.start();
  run.transcribe(0, "uno");
  run.complete();
  JobView view(redis);
  ck_same(view.problem(), "");
  return told(view);
}

// What no run of a job says itself: said again over a new connection, as a person would.
std::string said_again(RedisClient& redis, const std::string& uri, const std::string& answers,
                       const std::function<JobCall(const JobRequest&)>& make_call) {
  LivelyRun run(uri);
  JobSession session(run.settings, run.identity, ResumePolicy::kRestart, run.clock, run.log);
  const Cancellation never;
  const JobCall call = make_call(session.request);
  std::string answer;
  while (answer.empty()) {
    ck_assert(session.link.open(never).ok());
    const auto result = session.link.call(call, never);
    if (result) answer = result->str();
  }
  ck_assert_msg(std::regex_match(answer, std::regex(answers)), "%s", answer.c_str());
  JobView view(redis);
  ck_same(view.problem(), "");
  return told(view);
}

std::string reset(RedisClient& redis, const std::string& uri) {
  JobClient before(redis, "talk", "before");
  before.create();
  before("move", {"PROCESSING", "start"});
  before("done", {"0", record("done", 0)});
  before("move", {"COMPLETED", "eos"});
  return said_again(redis, uri, "(OK|DUP) 2 .*", [](const JobRequest& request) {
    return JobCall{"reset", request.create("").arguments};
  });
}

std::string cancelled(RedisClient& redis, const std::string& uri, bool owned) {
  JobClient job(redis, "talk", "owner");
  job.create();
  job("move", {"PROCESSING", "start"});
  if (!owned) job("move", {"QUEUED", "stopped"});
  return said_again(redis, uri, owned ? "(OK|DUP) PROCESSING" : "(OK|TERMINAL) FAILED.*",
                    [](const JobRequest&) {
                      return JobCall{"cancel", {"enough"}};
                    });
}

std::string cancelled_with_an_owner(RedisClient& redis, const std::string& uri) {
  return cancelled(redis, uri, true);
}

std::string cancelled_without_one(RedisClient& redis, const std::string& uri) {
  return cancelled(redis, uri, false);
}

struct Loss {
  const char* operation;
  unsigned which;  // of its calls in the story, from 1
  Story story;
};

const Loss kLosses[] = {
    {"probe", 1, whole_life},
    {"create", 1, whole_life},
    {"create", 1, stopped_and_resumed},
    {"create", 1, restarted},
    {"reset", 1, reset},
    {"restore", 1, whole_life},
    {"sync", 1, whole_life},
    {"reap", 1, whole_life},
    {"cancel", 1, cancelled_with_an_owner},
    {"cancel", 1, cancelled_without_one},
    {"move", 1, whole_life},
    {"move", 2, whole_life},
    {"begin", 1, whole_life},
    {"retry", 1, whole_life},
    {"done", 1, whole_life},
    {"fail", 1, whole_life},
    {"skip", 1, whole_life},
    {"put", 1, whole_life},
    {"progress", 1, whole_life},
    {"beat", 1, whole_life},
};

START_TEST(a_lost_answer_changes_nothing) {
  const Loss& loss = kLosses[_i];
  RedisClient redis(shared_server->port());
  const std::string wanted = loss.story(redis, shared_server->uri());
  redis("FLUSHALL");
  unsigned calls = 0;
  CuttingProxy proxy(shared_server->port(), [&](const Words& request) {
    return operation_of(request) == loss.operation && ++calls == loss.which ? Fate::kLoseAnswer
                                                                            : Fate::kPass;
  });
  // Where it differs ck_same() tells.
  std::printf("# without answer %u to %s\n", loss.which, loss.operation);
  std::fflush(stdout);
  ck_same(loss.story(redis, proxy.uri()), wanted);
  ck_assert_uint_eq(proxy.lost(), 1);
}
END_TEST

START_TEST(no_operation_is_missing) {
  std::set<std::string> in_script, in_table;
  const std::string script(kJobScript);
  const std::regex names("\n(?:function ops\\.(\\w+)\\(|ops\\.(\\w+) = |if op == '(\\w+)' then)");
  for (std::sregex_iterator name(script.begin(), script.end(), names), end; name != end; ++name)
    in_script.insert(name->format("$1$2$3"));
  for (const Loss& loss : kLosses) in_table.insert(loss.operation);
  ck_assert_uint_gt(in_script.size(), 10);
  for (const std::string& name : in_script)
    ck_assert_msg(in_table.contains(name), "whose answer is never lost: %s", name.c_str());
  for (const std::string& name : in_table)
    ck_assert_msg(in_script.contains(name), "not found in the script: %s", name.c_str());
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("lost_answers");
  TCase* tcase = tcase_create("answers");
  tcase_set_timeout(tcase, 120);
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, no_operation_is_missing);
  tcase_add_loop_test(tcase, a_lost_answer_changes_nothing, 0, std::size(kLosses));
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
