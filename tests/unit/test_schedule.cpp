#include <algorithm>
#include <string>
#include <vector>

#include "dispatch/schedule.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

TimePoint at(Nanoseconds time) { return TimePoint(1000s + time); }

Chunk chunk(std::uint64_t index, TimePoint cut_at = at(0s)) {
  Chunk result;
  result.info.index = index;
  result.pcm.reset(g_bytes_new_static("pcm", 3));
  result.cut_at = cut_at;
  return result;
}

DispatchLimits limits() {
  DispatchLimits result;
  result.max_parallel = 2;
  result.retries = 2;
  result.retry_delay = 1000ms;
  result.max_retry_delay = 8000ms;
  result.max_server_delay = 60000ms;
  result.request_timeout = 30000ms;
  return result;
}

DispatchLimits limits_with_budget(Milliseconds budget) {
  DispatchLimits result = limits();
  result.chunk_timeout = budget;
  return result;
}

Failure transient() {
  Failure failure;
  failure.reason = "http-status";
  failure.http_status = 503;
  failure.message = "HTTP 503.";
  return failure;
}

Failure transient(Nanoseconds server_delay) {
  Failure failure = transient();
  failure.server_delay = server_delay;
  return failure;
}

// One attempt that fails at once.
Schedule::Verdict attempt(Schedule& schedule, Failure& failure, TimePoint now) {
  const std::uint64_t index = schedule.start(now).chunk->info.index;
  const auto verdict = schedule.judge(index, failure, now);
  if (verdict.retry) schedule.put_back(index, now + verdict.delay);
  return verdict;
}

START_TEST(starts_in_index_order_within_the_slots) {
  Schedule schedule(limits(), 1);
  ck_assert(!schedule.ready(at(0s)));
  for (const std::uint64_t index : {3, 1, 2}) schedule.add(chunk(index));
  ck_assert(schedule.ready(at(0s)));
  ck_assert_uint_eq(schedule.start(at(0s)).chunk->info.index, 1);
  const PendingChunk& second = schedule.start(at(1s));
  ck_assert_uint_eq(second.chunk->info.index, 2);
  ck_assert_uint_eq(second.attempts, 1);
  ck_assert(second.started == at(1s));
  ck_assert(!schedule.ready(at(9s)));
  ck_assert_uint_eq(schedule.in_flight(), 2);
  ck_assert_uint_eq(schedule.waiting(), 1);
  ck_assert_uint_eq(schedule.finish(1).chunk->info.index, 1);
  ck_assert_uint_eq(schedule.start(at(9s)).chunk->info.index, 3);
}
END_TEST

START_TEST(a_due_retry_goes_before_newer_chunks) {
  Schedule schedule(limits(), 1);
  for (std::uint64_t index = 0; index < 4; index++) schedule.add(chunk(index));
  Failure failure = transient(5s);
  ck_assert(attempt(schedule, failure, at(0s)).retry);
  ck_assert_uint_eq(schedule.start(at(0s)).chunk->info.index, 1);
  schedule.finish(1);
  ck_assert_uint_eq(schedule.start(at(4999ms)).chunk->info.index, 2);
  const PendingChunk& again = schedule.start(at(5s));
  ck_assert_uint_eq(again.chunk->info.index, 0);
  ck_assert_uint_eq(again.attempts, 2);
  ck_assert_uint_eq(again.last_failure->http_status, 503);
}
END_TEST

START_TEST(retries_are_further_attempts) {
  Schedule schedule(limits(), 1);
  schedule.add(chunk(0));
  TimePoint now = at(0s);
  for (unsigned next = 2; next <= 3; next++) {
    Failure failure = transient();
    const auto verdict = attempt(schedule, failure, now);
    ck_assert(verdict.retry);
    ck_assert_uint_eq(verdict.attempt, next);
    now += verdict.delay;
  }
  Failure failure = transient();
  ck_assert(!attempt(schedule, failure, now).retry);
  ck_assert(failure.severity == Severity::kChunk);
  ck_assert_str_eq(failure.reason.c_str(), "http-status");
  ck_assert_uint_eq(schedule.finish(0).attempts, 3);
}
END_TEST

START_TEST(no_retries_at_all) {
  DispatchLimits none = limits();
  none.retries = 0;
  Schedule schedule(none, 1);
  schedule.add(chunk(0));
  Failure failure = transient();
  ck_assert(!attempt(schedule, failure, at(0s)).retry);
}
END_TEST

START_TEST(unlimited_retries) {
  DispatchLimits unlimited = limits();
  unlimited.retries = -1;
  Schedule schedule(unlimited, 1);
  schedule.add(chunk(0));
  TimePoint now = at(0s);
  for (int i = 0; i < 1000; i++) {
    Failure failure = transient();
    const auto verdict = attempt(schedule, failure, now);
    ck_assert(verdict.retry);
    now += verdict.delay;
  }
}
END_TEST

START_TEST(backoff_grows_with_the_attempts) {
  DispatchLimits many = limits();
  many.retries = 10;
  Schedule schedule(many, 1);
  schedule.add(chunk(0));
  TimePoint now = at(0s);
  for (const Nanoseconds ceiling : {1s, 2s, 4s, 8s, 8s}) {
    Failure failure = transient();
    const auto verdict = attempt(schedule, failure, now);
    ck_assert(verdict.delay >= ceiling / 2);
    ck_assert(verdict.delay <= ceiling);
    now += verdict.delay;
  }
}
END_TEST

START_TEST(server_delay_wins_over_backoff) {
  Schedule schedule(limits(), 1);
  schedule.add(chunk(0));
  Failure longer = transient(45s);
  ck_assert(attempt(schedule, longer, at(0s)).delay == 45s);
  ck_assert(!schedule.ready(at(45s - 1ns)));
  ck_assert(schedule.ready(at(45s)));
  Failure shorter = transient(10ms);
  ck_assert(attempt(schedule, shorter, at(45s)).delay == 10ms);
}
END_TEST

START_TEST(server_delay_of_zero_backs_off) {
  Schedule schedule(limits(), 1);
  schedule.add(chunk(0));
  Failure failure = transient(0s);
  ck_assert(attempt(schedule, failure, at(0s)).delay >= 500ms);
}
END_TEST

START_TEST(server_delay_over_the_maximum_ends_the_job) {
  Schedule schedule(limits(), 1);
  schedule.add(chunk(0));
  Failure just = transient(60s);
  ck_assert(attempt(schedule, just, at(0s)).retry);
  Failure over = transient(60s + 1ms);
  ck_assert(!attempt(schedule, over, at(60s)).retry);
  ck_assert(over.severity == Severity::kJob);
  ck_assert(over.cause == Cause::kBusy);
  ck_assert_str_eq(over.reason.c_str(), "server-delay");
  ck_assert_uint_eq(over.http_status, 503);
}
END_TEST

START_TEST(lost_idle_connection_is_retried_at_once_but_once) {
  Schedule schedule(limits(), 1);
  schedule.add(chunk(0));
  Failure first = transient();
  first.retry_at_once = true;
  ck_assert(attempt(schedule, first, at(0s)).delay == 0s);
  ck_assert(schedule.ready(at(0s)));
  Failure second = transient();
  second.retry_at_once = true;
  ck_assert(attempt(schedule, second, at(0s)).delay >= 1s);
}
END_TEST

START_TEST(final_failures_stay_as_they_are) {
  Schedule schedule(limits_with_budget(1000ms), 1);
  for (const Severity severity : {Severity::kChunk, Severity::kJob}) {
    schedule.add(chunk(0));
    Failure failure = transient(300s);
    failure.severity = severity;
    schedule.start(at(0s));
    ck_assert(!schedule.judge(0, failure, at(5s)).retry);
    ck_assert(failure.severity == severity);
    ck_assert_str_eq(failure.reason.c_str(), "http-status");
    schedule.finish(0);
  }
}
END_TEST

START_TEST(attempt_timeout_is_cut_to_the_budget) {
  Schedule schedule(limits_with_budget(60000ms), 1);
  schedule.add(chunk(0));
  schedule.start(at(1s));
  ck_assert(schedule.attempt_timeout(0, at(1s)) == 30s);
  ck_assert(schedule.attempt_timeout(0, at(45s)) == 15s);
  ck_assert(schedule.attempt_timeout(0, at(59999500us)) == 1ms);
  ck_assert(schedule.attempt_timeout(0, at(70s)) == 1ms);
  schedule.set_limits(limits());
  ck_assert(schedule.attempt_timeout(0, at(70s)) == 30s);
}
END_TEST

START_TEST(retry_that_cannot_start_in_time_fails_at_once) {
  Schedule schedule(limits_with_budget(10000ms), 1);
  schedule.add(chunk(0));
  schedule.add(chunk(1));
  Failure fits = transient(9999ms);
  ck_assert(attempt(schedule, fits, at(0s)).retry);
  Failure late = transient(10s);
  ck_assert(!attempt(schedule, late, at(0s)).retry);
  ck_assert(late.severity == Severity::kChunk);
  ck_assert(late.cause == Cause::kTimeBudget);
  ck_assert_str_eq(late.reason.c_str(), "chunk-timeout");
  ck_assert_uint_eq(late.http_status, 503);
  ck_assert(late.message.find("HTTP 503.") != std::string::npos);
}
END_TEST

START_TEST(deadline_of_an_attempt_at_the_end_of_the_budget_is_chunk_timeout) {
  DispatchLimits none = limits_with_budget(10000ms);
  none.retries = 0;
  Schedule schedule(none, 1);
  schedule.add(chunk(0));
  schedule.start(at(2s));
  Failure failure;
  failure.reason = "timeout";
  ck_assert(!schedule.judge(0, failure, at(10s)).retry);
  ck_assert_str_eq(failure.reason.c_str(), "chunk-timeout");
}
END_TEST

START_TEST(budget_counts_from_the_cut_and_over_waits) {
  Schedule schedule(limits_with_budget(10000ms), 1);
  schedule.add(chunk(2, at(1s)));
  schedule.add(chunk(1, at(0s)));
  schedule.add(chunk(3, at(50s)));
  Failure failure = transient(9s);
  ck_assert(attempt(schedule, failure, at(0s)).retry);
  ck_assert(schedule.take_expired(at(9999ms)).empty());
  ck_assert(schedule.ready(at(9999ms)));
  const auto first = schedule.take_expired(at(10s));
  ck_assert_uint_eq(first.size(), 1);
  ck_assert_uint_eq(first[0].chunk->info.index, 1);
  ck_assert_uint_eq(first[0].attempts, 1);
  ck_assert_str_eq(first[0].last_failure->reason.c_str(), "chunk-timeout");
  ck_assert_uint_eq(first[0].last_failure->http_status, 503);
  const auto second = schedule.take_expired(at(11s));
  ck_assert_uint_eq(second.size(), 1);
  ck_assert(second[0].last_failure->cause == Cause::kTimeBudget);
  ck_assert_uint_eq(schedule.waiting(), 1);
}
END_TEST

START_TEST(an_expired_chunk_is_not_started) {
  Schedule schedule(limits_with_budget(10000ms), 1);
  schedule.add(chunk(0, at(0s)));
  ck_assert(!schedule.ready(at(10s)));
  schedule.add(chunk(1, at(5s)));
  ck_assert_uint_eq(schedule.start(at(10s)).chunk->info.index, 1);
}
END_TEST

START_TEST(next_event_is_exact) {
  Schedule schedule(limits(), 1);
  ck_assert(!schedule.next_event(at(0s)));
  for (std::uint64_t index = 0; index < 2; index++) schedule.add(chunk(index));
  Failure later = transient(7s), sooner = transient(3s);
  attempt(schedule, later, at(0s));
  attempt(schedule, sooner, at(0s));
  ck_assert(*schedule.next_event(at(0s)) == at(3s));
  ck_assert(*schedule.next_event(at(3s) - 1ns) == at(3s));
  // Ready: nothing further changes by itself.
  ck_assert(!schedule.next_event(at(3s)));
  ck_assert_uint_eq(schedule.start(at(3s)).chunk->info.index, 1);
  ck_assert(*schedule.next_event(at(3s)) == at(7s));
  // No slot: a due time changes nothing.
  schedule.add(chunk(2));
  schedule.start(at(3s));
  ck_assert(!schedule.next_event(at(3s)));
  schedule.finish(1);
  ck_assert(*schedule.next_event(at(3s)) == at(7s));
}
END_TEST

START_TEST(next_event_names_the_end_of_patience) {
  Schedule schedule(limits(), 1, StoreWait{2000ms});
  for (const std::uint64_t index : {0, 1, 2}) schedule.add(chunk(index));
  schedule.start(at(0s));
  schedule.start(at(0s));
  schedule.finish_unstored(1, at(1s));
  schedule.finish_unstored(0, at(2s));
  ck_assert(!schedule.ready(at(2s)));
  ck_assert(schedule.next_event(at(2s)) == at(3s));
  schedule.unstored().look(at(2999ms));
  ck_assert(!schedule.ready(at(2999ms)));
  schedule.unstored().look(at(3s));
  ck_assert(schedule.ready(at(3s)));
  ck_assert(!schedule.next_event(at(3s)));
  schedule.start(at(3s));
  schedule.unstored().remove({0, 1});
  schedule.finish_unstored(2, at(3s));
  // Nothing waits for its slot.
  ck_assert(!schedule.next_event(at(3s)));
}
END_TEST

START_TEST(next_event_names_budget_ends) {
  Schedule schedule(limits_with_budget(10000ms), 1);
  schedule.add(chunk(0, at(2s)));
  schedule.add(chunk(1, at(1s)));
  ck_assert(*schedule.next_event(at(2s)) == at(11s));
  schedule.start(at(2s));
  schedule.start(at(2s));
  ck_assert(!schedule.next_event(at(2s)));
  schedule.add(chunk(2, at(3s)));
  ck_assert(*schedule.next_event(at(3s)) == at(13s));
}
END_TEST

START_TEST(limits_change_at_once) {
  Schedule schedule(limits(), 1);
  for (std::uint64_t index = 0; index < 4; index++) schedule.add(chunk(index));
  DispatchLimits changed = limits();
  changed.max_parallel = 3;
  changed.retries = 0;
  schedule.set_limits(changed);
  for (int i = 0; i < 3; i++) schedule.start(at(0s));
  ck_assert(!schedule.ready(at(0s)));
  Failure failure = transient();
  ck_assert(!schedule.judge(0, failure, at(0s)).retry);
  schedule.finish(0);
  changed.max_parallel = 1;
  schedule.set_limits(changed);
  ck_assert(!schedule.ready(at(0s)));
  schedule.finish(1);
  ck_assert(!schedule.ready(at(0s)));
  schedule.finish(2);
  ck_assert(schedule.ready(at(0s)));
}
END_TEST

START_TEST(take_all_in_index_order) {
  Schedule schedule(limits(), 1);
  for (const std::uint64_t index : {5, 1, 4, 2, 3}) schedule.add(chunk(index));
  Failure failure = transient();
  attempt(schedule, failure, at(0s));
  schedule.start(at(0s));
  schedule.start(at(0s));
  const auto all = schedule.take_all();
  ck_assert_uint_eq(all.size(), 5);
  for (std::size_t i = 0; i < 5; i++) ck_assert_uint_eq(all[i].chunk->info.index, i + 1);
  ck_assert_uint_eq(schedule.waiting() + schedule.in_flight(), 0);
  ck_assert(schedule.take_all().empty());
}
END_TEST

START_TEST(oldest_waiting_may_wait_for_a_retry) {
  Schedule schedule(limits(), 1);
  ck_assert(!schedule.take_oldest_waiting());
  for (std::uint64_t index = 0; index < 3; index++) schedule.add(chunk(index));
  schedule.start(at(0s));
  Failure failure = transient();
  attempt(schedule, failure, at(0s));
  // 0 is in flight, 1 waits for its retry, 2 was never tried.
  const auto oldest = schedule.take_oldest_waiting();
  ck_assert_uint_eq(oldest->chunk->info.index, 1);
  ck_assert_uint_eq(oldest->attempts, 1);
  ck_assert_uint_eq(schedule.take_oldest_waiting()->chunk->info.index, 2);
  ck_assert(!schedule.take_oldest_waiting());
  ck_assert_uint_eq(schedule.in_flight(), 1);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("schedule");
  TCase* tests = tcase_create("schedule");
  tcase_add_test(tests, starts_in_index_order_within_the_slots);
  tcase_add_test(tests, a_due_retry_goes_before_newer_chunks);
  tcase_add_test(tests, retries_are_further_attempts);
  tcase_add_test(tests, no_retries_at_all);
  tcase_add_test(tests, unlimited_retries);
  tcase_add_test(tests, backoff_grows_with_the_attempts);
  tcase_add_test(tests, server_delay_wins_over_backoff);
  tcase_add_test(tests, server_delay_of_zero_backs_off);
  tcase_add_test(tests, server_delay_over_the_maximum_ends_the_job);
  tcase_add_test(tests, lost_idle_connection_is_retried_at_once_but_once);
  tcase_add_test(tests, final_failures_stay_as_they_are);
  tcase_add_test(tests, attempt_timeout_is_cut_to_the_budget);
  tcase_add_test(tests, retry_that_cannot_start_in_time_fails_at_once);
  tcase_add_test(tests, deadline_of_an_attempt_at_the_end_of_the_budget_is_chunk_timeout);
  tcase_add_test(tests, budget_counts_from_the_cut_and_over_waits);
  tcase_add_test(tests, an_expired_chunk_is_not_started);
  tcase_add_test(tests, next_event_is_exact);
  tcase_add_test(tests, next_event_names_the_end_of_patience);
  tcase_add_test(tests, next_event_names_budget_ends);
  tcase_add_test(tests, limits_change_at_once);
  tcase_add_test(tests, take_all_in_index_order);
  tcase_add_test(tests, oldest_waiting_may_wait_for_a_retry);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
