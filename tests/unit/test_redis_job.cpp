// The pure parts of a job in Redis: owners, answers, requests, operations.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <string>

#include "outcomes.h"
#include "redis/job_keys.h"
#include "redis/job_operations.h"
#include "redis/job_owner.h"
#include "redis/job_request.h"

#include "check_main.h"

using namespace transcribe;

namespace {

Reply answer_of(const std::vector<std::string>& words) {
  Reply reply;
  reply.type = Reply::Type::kArray;
  for (const std::string& word : words) {
    Reply element;
    element.type = Reply::Type::kBulk;
    element.text = word;
    reply.elements.push_back(element);
  }
  return reply;
}

JobAnswer parsed(const std::vector<std::string>& words) {
  const auto answer = parse_job_answer(answer_of(words));
  ck_assert(answer.ok());
  return *answer;
}

// Waits for the end of `child`, and leaves it as a zombie.
void wait_for_zombie(pid_t child) {
  siginfo_t info;
  ck_assert_int_eq(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
}

START_TEST(an_owner_is_read_back) {
  const JobOwner here = JobOwner::here();
  ck_assert_uint_eq(here.process, static_cast<std::uint64_t>(getpid()));
  ck_assert_uint_gt(here.started, 0);
  ck_assert(here.host.find(' ') == std::string::npos);
  const auto read = JobOwner::parse(here.text());
  ck_assert(read.has_value());
  assert_text(read->text(), here.text());
  for (const char* text : {"", "host", "host boot 1", "host boot x 1", "host boot 1 2 3"})
    ck_assert_msg(!JobOwner::parse(text), "%s", text);
  assert_text(describe_owner("machine boot 17 4"), "process 17 on machine");
  assert_text(describe_owner("somebody"), "somebody");
  assert_text(describe_owner(""), "nobody");
}
END_TEST

START_TEST(only_dead_owners_of_this_host_are_dead) {
  JobOwner owner = JobOwner::here();
  ck_assert(!owner.is_dead());
  // The same number, another process.
  owner.started--;
  ck_assert(owner.is_dead());
  owner.boot = "other";
  ck_assert(!owner.is_dead());

  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  JobOwner other = JobOwner::here();
  other.process = static_cast<std::uint64_t>(child);
  // Its start time is not ours.
  ck_assert(other.is_dead() || other.started == JobOwner::here().started);
  ::kill(child, SIGKILL);
  wait_for_zombie(child);
  ck_assert(other.is_dead());
  waitpid(child, nullptr, 0);
  ck_assert(other.is_dead());
  other.process = 0;
  ck_assert(!other.is_dead());
  other.process = static_cast<std::uint64_t>(child);
  ck_assert(other.is_dead());
  other.host = "clone";
  ck_assert(!other.is_dead());
  JobOwner nowhere = *JobOwner::parse("machine - 1 1");
  ck_assert(!nowhere.is_dead());
}
END_TEST

START_TEST(answers_are_parsed) {
  const JobAnswer answer = parsed({"OK", "12", "a note", "x"});
  ck_assert(answer.word == JobAnswer::Word::kOk);
  ck_assert_uint_eq(answer.number(0), 12);
  assert_text(answer.text(1), "a note");
  ck_assert_uint_eq(answer.number(2), 0);
  ck_assert_uint_eq(answer.number(9), 0);
  assert_text(answer.text(9), "");
  assert_text(answer.str(), "OK 12 a note x");
  for (const char* word :
       {"OK",      "DUP",      "RESUMED", "ALREADY",   "TERMINAL", "RELEASED",   "FENCED",
        "STALE",   "PARTIAL",  "NOJOB",   "COMPLETED", "FAILED",   "FPMISMATCH", "LOCKED",
        "ILLEGAL", "REQUEUED", "ALIVE",   "IDLE",      "NOPERM",   "WRONGTYPE",  "BADARG"}) {
    assert_text(parsed({word, "1"}).str(), word + std::string(" 1"));
  }
  Reply number = answer_of({"OK"});
  number.elements.emplace_back();
  number.elements[1].type = Reply::Type::kInteger;
  number.elements[1].integer = 42;
  ck_assert_uint_eq(parse_job_answer(number)->number(0), 42);
}
END_TEST

START_TEST(other_replies_are_errors) {
  ck_assert(!parse_job_answer(answer_of({"WHAT"})).ok());
  ck_assert(!parse_job_answer(answer_of({})).ok());
  ck_assert(!parse_job_answer(Reply()).ok());
  Reply error;
  error.type = Reply::Type::kError;
  error.text = "OOM command not allowed when used memory > 'maxmemory'.";
  ck_assert(parse_job_answer(error).error().fault == RedisFault::kFull);
}
END_TEST

START_TEST(ownership_is_read) {
  const Ownership made = read_ownership(parsed({"OK", "1", "1", "0", "0", "0", "1", ""}));
  ck_assert_uint_eq(made.epoch, 1);
  ck_assert(!made.resumed);
  const Ownership resumed =
      read_ownership(parsed({"RESUMED", "3", "2", "5", "1", "4", "99", "PROCESSING"}));
  ck_assert(resumed.resumed);
  ck_assert_uint_eq(resumed.epoch, 3);
  ck_assert_uint_eq(resumed.attempt, 2);
  ck_assert_uint_eq(resumed.tally.done, 5);
  ck_assert_uint_eq(resumed.tally.failed, 1);
  ck_assert_uint_eq(resumed.tally.skipped, 4);
  ck_assert_uint_eq(resumed.seq, 99);
  assert_text(resumed.previous, "PROCESSING");
  ck_assert(!read_ownership(parsed({"DUP", "1", "1", "0", "0", "0", "1", "QUEUED"})).resumed);
  ck_assert(read_ownership(parsed({"DUP", "2", "2", "0", "0", "0", "1", "QUEUED"})).resumed);
}
END_TEST

START_TEST(refusals_say_what_to_do) {
  struct Row {
    std::vector<std::string> answer;
    StoreRefusal::Kind kind;
    const char* part;
  };
  for (const Row& row :
       {Row{{"FAILED", "3", "c", "m"}, StoreRefusal::Kind::kSettings, "resume=retry-failed"},
        Row{{"FPMISMATCH", "fp"}, StoreRefusal::Kind::kSettings, "resume=restart"},
        Row{{"PARTIAL", "meta"}, StoreRefusal::Kind::kSettings, "\"meta\" was lost"},
        Row{{"BADARG", "lease"}, StoreRefusal::Kind::kUnavailable, "BADARG lease"}}) {
    const auto refusal = refusal_of(parsed(row.answer), "talk");
    ck_assert(refusal && refusal->kind == row.kind);
    ck_assert_msg(refusal->message.find(row.part) != std::string::npos, "%s",
                  refusal->message.c_str());
    ck_assert(refusal->message.find("\"talk\"") != std::string::npos);
  }
  for (const char* word : {"OK", "RESUMED", "DUP", "COMPLETED", "LOCKED"})
    ck_assert(!refusal_of(parsed({word}), "talk"));
}
END_TEST

START_TEST(a_renewed_claim_is_a_sign_of_life) {
  const LeaseSeen seen = read_lease(parsed({"LOCKED", "a b 1 1", "2500", "1700000000000"}));
  ck_assert(seen.left == Milliseconds(2500));
  ck_assert(!is_renewed(seen, {"a b 1 1", Milliseconds(2000), 1700000000000}));
  ck_assert(is_renewed(seen, {"a b 1 1", Milliseconds(2500), 1700000000500}));
  ck_assert(is_renewed(seen, {"a b 2 1", Milliseconds(2000), 1700000000000}));
  ck_assert(busy("talk", seen).message.find("another 3 s") != std::string::npos);
}
END_TEST

START_TEST(requests_hold_what_the_script_wants) {
  JobRequest request;
  request.identity = {"talk", "fp", {{"model", "m"}}};
  request.owner = "h b 1 1";
  request.lease = Milliseconds(0);
  request.retention = Milliseconds(0);
  request.stream_max_length = 0;
  request.consumer_group = "g";
  const JobCall create = request.create("dead");
  assert_text(create.operation, "create");
  const std::vector<std::string> wanted = {"h b 1 1", "1", "fp",   "1",    "604800000", "1",
                                           "3",       "g", "auto", "dead", "model",     "m"};
  ck_assert(create.arguments == wanted);
  request.policy = ResumePolicy::kRestart;
  assert_text(request.create("").arguments[8], "restart");
  request.policy = ResumePolicy::kRetryFailed;
  assert_text(request.create("").arguments[8], "retry-failed");
  Ownership ownership;
  ownership.attempt = 2;
  ownership.seq = 17;
  // What is given, not what this run would create the job with.
  const std::map<std::string, std::string> meta = {{"host", "first"}, {"source", "file:///a"}};
  const JobCall restore = request.restore(ownership, JobState::kProcessing, 9, meta);
  const std::vector<std::string> end(restore.arguments.begin() + 8, restore.arguments.end());
  std::vector<std::string> last = {"2",    "PROCESSING", "17",     "9",
                                   "host", "first",      "source", "file:///a"};
  ck_assert(end == last);
  ownership.created_ms = 1234567890123;
  last.insert(last.end(), {"created_ms", "1234567890123"});
  const JobCall known = request.restore(ownership, JobState::kProcessing, 9, meta);
  ck_assert(std::vector<std::string>(known.arguments.begin() + 8, known.arguments.end()) == last);
}
END_TEST

START_TEST(keys_of_a_job_share_a_slot) {
  const JobKeys keys("tr", "a:b");
  ck_assert_uint_eq(keys.all.size(), 9);
  assert_text(keys.all[0], "tr:jobs:a:b");
  assert_text(keys.all[1], "{tr:jobs:a:b}:state");
  assert_text(keys.chunks, "{tr:jobs:a:b}:chunks");
  assert_text(keys.errors, "{tr:jobs:a:b}:cerr");
  assert_text(SharedKeys("tr").index, "tr:index:active");
}
END_TEST

START_TEST(long_and_broken_texts_are_cut) {
  ChunkRetry retry{make_chunk(0), 0, Nanoseconds(-5), {}};
  for (int i = 0; i < 400; i++) retry.failure.reason += "\xe2\x82\xac";  // 3 bytes each
  const JobOperation operation = retry_operation(retry);
  assert_text(operation.arguments[1], "1");
  assert_text(operation.arguments[2], "0");
  const std::string& reason = operation.arguments[4];
  ck_assert_uint_le(reason.size(), 1000);
  ck_assert(g_utf8_validate(reason.c_str(), -1, nullptr));
  ck_assert_uint_ge(reason.size(), 990);
  retry.failure.reason = std::string(998, 'a') + "\xff\xff\xff\xff";
  ck_assert_uint_le(retry_operation(retry).arguments[4].size(), 1000);
  assert_text(begin_operation(7, 0).arguments[1], "1");
}
END_TEST

START_TEST(the_error_of_a_failed_job) {
  StateChanged change{JobState::kFailed, JobState::kProcessing, JobReason::kError};
  auto error = std::make_shared<ChunkFailed>(make_failed(3, 429));
  error->failure.error_code = "insufficient_quota";
  error->failure.severity = Severity::kRetry;
  change.error = error;
  const std::vector<std::string> wanted = {"FAILED",      "error",
                                           "code",        "insufficient_quota",
                                           "message",     "The service failed.",
                                           "http_status", "429",
                                           "chunk",       "3",
                                           "retryable",   "1"};
  ck_assert(move_operation(change).arguments == wanted);
  auto bare = std::make_shared<ChunkFailed>();
  bare->failure.reason = "network";
  change.error = bare;
  const std::vector<std::string> short_one = {"FAILED",  "error", "code",      "network",
                                              "message", "",      "retryable", "1"};
  ck_assert(move_operation(change).arguments == short_one);
  change.error = nullptr;
  change.reason = JobReason::kCancelled;
  assert_text(move_operation(change).arguments[3], "cancelled");
  change.reason = JobReason::kError;
  ck_assert_uint_eq(move_operation(change).arguments.size(), 2);
}
END_TEST

START_TEST(the_source_goes_with_the_start_only) {
  StateChanged change{JobState::kProcessing, JobState::kQueued, JobReason::kStart};
  ck_assert(move_operation(change).arguments == (std::vector<std::string>{"PROCESSING", "start"}));
  change.source = "file:///a";
  ck_assert(move_operation(change).arguments ==
            (std::vector<std::string>{"PROCESSING", "start", "source", "file:///a"}));
  change.state = JobState::kCompleted;
  change.reason = JobReason::kEndOfStream;
  ck_assert(move_operation(change).arguments == (std::vector<std::string>{"COMPLETED", "eos"}));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_job");
  TCase* tcase = tcase_create("redis_job");
  for (const TTest* test :
       {an_owner_is_read_back, only_dead_owners_of_this_host_are_dead, answers_are_parsed,
        other_replies_are_errors, ownership_is_read, refusals_say_what_to_do,
        a_renewed_claim_is_a_sign_of_life, requests_hold_what_the_script_wants,
        keys_of_a_job_share_a_slot, long_and_broken_texts_are_cut, the_error_of_a_failed_job,
        the_source_goes_with_the_start_only}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
