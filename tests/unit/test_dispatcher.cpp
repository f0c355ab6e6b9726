// Which chunk starts when, what is tried again, and what flush and cancel leave.
#include "dispatcher_test.h"

namespace transcribe {
namespace {

START_TEST(reaches_and_keeps_max_parallel) {
  Fixture f(config(4));
  f.submit(0, 20);
  f.transcriber.wait_calls(4);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 4);
  ck_assert_uint_eq(f.dispatcher->load().waiting, 16);
  for (std::uint64_t i = 0; i < 20; i++) f.transcriber.release(i);
  f.recorder.wait(Seen::kDone, 20);
  ck_assert_uint_eq(f.transcriber.most(), 4);
  ck_assert_uint_eq(f.transcriber.calls().size(), 20);
  ck_assert_uint_eq(f.dispatcher->load().in_flight + f.dispatcher->load().waiting, 0);
}
END_TEST

START_TEST(starts_in_index_order) {
  Fixture f(config(1));
  f.submit(0);
  f.transcriber.wait_calls(1);
  for (const std::uint64_t index : {3, 1, 4, 2}) f.submit(index);
  for (std::uint64_t i = 0; i < 5; i++) f.transcriber.release(i);
  f.recorder.wait(Seen::kDone, 5);
  const auto calls = f.transcriber.calls();
  for (std::uint64_t i = 0; i < 5; i++) ck_assert_uint_eq(calls[i].index, i);
}
END_TEST

START_TEST(retry_waits_for_the_server_delay) {
  Fixture f(config(2));
  f.submit(0);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, busy(5s));
  const Seen retry = f.recorder.wait(Seen::kRetry, 1)[0];
  ck_assert_uint_eq(retry.attempt, 2);
  ck_assert(retry.time == 5s);
  ck_assert_uint_eq(retry.failure.http_status, 429);
  f.advance(4999ms);
  f.settle();
  f.advance(1ms);
  f.transcriber.wait_calls(2);
  f.transcriber.release(0);
  const Seen done = f.recorder.wait(Seen::kDone, 1)[0];
  ck_assert_uint_eq(done.attempt, 2);
  ck_assert(done.time == 5s + kHeardBefore);
  ck_assert(f.recorder.all(Seen::kAttempt)[1].at == f.begin + 5s);
  const auto calls = f.transcriber.calls();
  ck_assert_uint_eq(calls[1].attempt, 2);
  ck_assert_ptr_eq(calls[0].pcm, calls[1].pcm);
}
END_TEST

START_TEST(backoff_without_a_server_delay) {
  Fixture f(config(2));
  f.submit(0);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, transient());
  const Seen retry = f.recorder.wait(Seen::kRetry, 1)[0];
  ck_assert(retry.time >= 250ms);
  ck_assert(retry.time <= 500ms);
  f.advance(retry.time);
  f.transcriber.wait_calls(2);
  ck_assert(f.recorder.all(Seen::kAttempt)[1].at == f.begin + retry.time);
}
END_TEST

START_TEST(others_go_on_while_one_backs_off) {
  Fixture f(config(1));
  f.submit(0, 2);
  f.transcriber.wait_calls(1);
  Failure failure = transient();
  failure.server_delay = 60s;
  f.transcriber.release(0, failure);
  ck_assert_uint_eq(f.transcriber.wait_calls(2)[1].index, 1);
  f.transcriber.release(1);
  ck_assert_uint_eq(f.recorder.wait(Seen::kDone, 1)[0].index, 1);
}
END_TEST

START_TEST(job_wide_failure_starts_nothing_more) {
  Fixture f(config(1));
  f.recorder.when_failed = [&] { f.dispatcher->cancel(); };
  f.submit(0, 4);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, job_wide());
  f.recorder.wait(Seen::kFailed, 1);
  f.submit(4);
  ck_assert(f.dispatcher->flush().empty());
  f.dispatcher.reset();
  ck_assert_uint_eq(f.transcriber.calls().size(), 1);
  ck_assert_uint_eq(f.recorder.all(Seen::kFailed).size(), 1);
}
END_TEST

START_TEST(job_wide_failure_halts_until_the_flush) {
  Fixture f(config(1));
  f.submit(0, 3);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, job_wide());
  f.recorder.wait(Seen::kFailed, 1);
  f.settle();
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 0);
  check_indices(f.dispatcher->flush(), {1, 2});
  f.submit(3);
  ck_assert_uint_eq(f.transcriber.wait_calls(2)[1].index, 3);
}
END_TEST

START_TEST(retries_end) {
  auto settings = config(2);
  settings.limits.retries = 2;
  settings.limits.retry_delay = 0ms;
  Fixture f(settings, [](const Chunk&, unsigned) { return transient(); });
  f.submit(0);
  const Seen failed = f.recorder.wait(Seen::kFailed, 1)[0];
  ck_assert_uint_eq(failed.attempt, 3);
  ck_assert(failed.failure.severity == Severity::kChunk);
  // An attempt is never told before the retry that announced it.
  unsigned expected = 1;
  for (const Seen& event : f.recorder.all()) {
    if (event.kind == Seen::kAttempt) ck_assert_uint_eq(event.attempt, expected);
    if (event.kind == Seen::kRetry) ck_assert_uint_eq(event.attempt, ++expected);
  }
}
END_TEST

START_TEST(chunk_timeout_ends_a_wait) {
  auto settings = config(1);
  settings.limits.chunk_timeout = 10s;
  Fixture f(settings);
  f.submit(0, 2);
  const auto calls = f.transcriber.wait_calls(1);
  ck_assert(calls[0].timeout == 10s);
  f.advance(10s);
  const Seen failed = f.recorder.wait(Seen::kFailed, 1)[0];
  ck_assert_uint_eq(failed.index, 1);
  ck_assert_uint_eq(failed.attempt, 0);
  ck_assert_str_eq(failed.failure.reason.c_str(), "chunk-timeout");
  Failure timeout;
  timeout.reason = "timeout";
  f.transcriber.release(0, timeout);
  const Seen second = f.recorder.wait(Seen::kFailed, 2)[1];
  ck_assert_uint_eq(second.index, 0);
  ck_assert_str_eq(second.failure.reason.c_str(), "chunk-timeout");
}
END_TEST

START_TEST(cancel_while_in_flight) {
  Fixture f(config(2));
  f.submit(0, 5);
  f.transcriber.wait_calls(2);
  check_indices(f.dispatcher->cancel(), {0, 1, 2, 3, 4});
  f.submit(5);
  f.dispatcher.reset();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  ck_assert(f.recorder.all(Seen::kDone).empty());
  ck_assert(f.recorder.all(Seen::kFailed).empty());
}
END_TEST

START_TEST(flush_does_not_wait_for_a_worker) {
  Fixture f(config(1));
  f.transcriber.stubborn = true;
  f.submit(0, 2);
  f.transcriber.wait_calls(1);
  check_indices(f.dispatcher->flush(), {0, 1});
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 0);
  f.submit(2);
  f.transcriber.release(0);
  f.transcriber.release(2);
  const auto done = f.recorder.wait(Seen::kDone, 1);
  ck_assert_uint_eq(done[0].index, 2);
  f.dispatcher.reset();
  ck_assert_uint_eq(f.recorder.all(Seen::kDone).size(), 1);
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
}
END_TEST

START_TEST(flush_in_backoff) {
  Fixture f(config(2));
  f.submit(0, 2);
  f.transcriber.wait_calls(2);
  f.transcriber.release(1, busy(100s));
  f.recorder.wait(Seen::kRetry, 1);
  check_indices(f.dispatcher->flush(), {0, 1});
  ck_assert(f.recorder.all(Seen::kFailed).empty());
  f.advance(1000s);
  f.settle();
  f.submit(2);
  ck_assert_uint_eq(f.transcriber.wait_calls(3)[2].index, 2);
}
END_TEST

START_TEST(flush_tells_attempts_and_the_last_failure) {
  Fixture f(config(2));
  f.submit(0, 4);
  f.transcriber.wait_calls(2);
  f.transcriber.release(0, busy(100s));
  f.recorder.wait(Seen::kRetry, 1);
  f.transcriber.wait_calls(2);
  f.advance(100s);
  // The chunk is back in flight, with nothing to tell of its second attempt yet.
  f.transcriber.wait_calls(3);
  const auto left = f.dispatcher->flush();
  check_indices(left, {0, 1, 2, 3});
  unsigned attempts = 0;
  for (const PendingChunk& chunk : left) attempts += chunk.attempts;
  ck_assert_uint_eq(attempts, f.transcriber.calls().size());
  ck_assert_uint_eq(left[0].last_failure.value().http_status, 429);
  ck_assert(!left[1].last_failure && !left[3].last_failure);
  ck_assert_uint_eq(left[3].attempts, 0);
}
END_TEST

START_TEST(what_is_refused_makes_no_attempt) {
  Fixture f(config(1));
  f.transcriber.refused = 1;
  f.submit(0, 3);
  for (std::uint64_t i : {0, 2}) f.transcriber.release(i);
  f.recorder.wait_settled(3);
  const auto failed = f.recorder.all(Seen::kFailed);
  ck_assert_uint_eq(failed.size(), 1);
  ck_assert_uint_eq(failed[0].index, 1);
  ck_assert_uint_eq(failed[0].attempt, 0);
  ck_assert_str_eq(failed[0].failure.reason.c_str(), "too-large");
  for (const Seen& event : f.recorder.all(Seen::kAttempt)) ck_assert_uint_ne(event.index, 1);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 0);
}
END_TEST

START_TEST(higher_limits_count_at_once) {
  auto settings = config(1, 0.001);
  Fixture f(settings);
  f.submit(0, 6);
  f.transcriber.wait_calls(1);
  settings.limits.max_parallel = 4;
  settings.rate.requests_per_second = 0;
  f.dispatcher->set_limits(settings.limits, settings.rate);
  f.transcriber.wait_calls(4);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 4);
  ck_assert_double_eq(f.dispatcher->current_rate(), 0);
}
END_TEST

START_TEST(lower_max_parallel_lets_what_flies_land) {
  auto settings = config(4);
  Fixture f(settings);
  f.submit(0, 8);
  f.transcriber.wait_calls(4);
  settings.limits.max_parallel = 1;
  f.dispatcher->set_limits(settings.limits, settings.rate);
  for (std::uint64_t i = 0; i < 3; i++) f.transcriber.release(i);
  f.recorder.wait(Seen::kDone, 3);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 1);
  for (std::uint64_t i = 3; i < 8; i++) f.transcriber.release(i);
  f.recorder.wait(Seen::kDone, 8);
}
END_TEST

START_TEST(drop_oldest_takes_what_waits) {
  Fixture f(config(1));
  ck_assert(!f.dispatcher->drop_oldest());
  f.submit(0, 3);
  f.transcriber.wait_calls(1);
  ck_assert_uint_eq(f.dispatcher->drop_oldest()->index, 1);
  ck_assert_uint_eq(f.dispatcher->drop_oldest()->index, 2);
  ck_assert(!f.dispatcher->drop_oldest());
  f.transcriber.release(0, transient());
  f.recorder.wait(Seen::kRetry, 1);
  while (f.dispatcher->load().in_flight > 0) std::this_thread::yield();
  ck_assert_uint_eq(f.dispatcher->drop_oldest()->index, 0);
  f.advance(1min);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 1);
}
END_TEST

START_TEST(cancelled_from_outside_is_settled_too) {
  auto settings = config(1);
  settings.limits.retries = 0;
  Fixture f(settings, [](const Chunk&, unsigned) { return Cancelled(); });
  f.submit(0);
  f.recorder.wait(Seen::kFailed, 1);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("dispatcher");
  TCase* tests = tcase_create("dispatcher");
  tcase_add_test(tests, reaches_and_keeps_max_parallel);
  tcase_add_test(tests, starts_in_index_order);
  tcase_add_test(tests, retry_waits_for_the_server_delay);
  tcase_add_test(tests, backoff_without_a_server_delay);
  tcase_add_test(tests, others_go_on_while_one_backs_off);
  tcase_add_test(tests, job_wide_failure_starts_nothing_more);
  tcase_add_test(tests, job_wide_failure_halts_until_the_flush);
  tcase_add_test(tests, retries_end);
  tcase_add_test(tests, chunk_timeout_ends_a_wait);
  tcase_add_test(tests, cancel_while_in_flight);
  tcase_add_test(tests, flush_does_not_wait_for_a_worker);
  tcase_add_test(tests, flush_in_backoff);
  tcase_add_test(tests, flush_tells_attempts_and_the_last_failure);
  tcase_add_test(tests, what_is_refused_makes_no_attempt);
  tcase_add_test(tests, higher_limits_count_at_once);
  tcase_add_test(tests, lower_max_parallel_lets_what_flies_land);
  tcase_add_test(tests, drop_oldest_takes_what_waits);
  tcase_add_test(tests, cancelled_from_outside_is_settled_too);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
