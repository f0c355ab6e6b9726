// What the rate limit and the delays of a server do to the chunks of a group.
#include <atomic>

#include "dispatcher_test.h"

namespace transcribe {
namespace {

START_TEST(keeps_to_the_rate) {
  Fixture f(config(8, 2));
  f.submit(0, 3);
  f.transcriber.wait_calls(1);
  f.advance(499ms);
  f.settle();
  f.advance(1ms);
  f.transcriber.wait_calls(2);
  f.advance(500ms);
  f.transcriber.wait_calls(3);
  const auto attempts = f.recorder.all(Seen::kAttempt);
  for (int i = 0; i < 3; i++) ck_assert(attempts[i].at == f.begin + i * 500ms);
}
END_TEST

START_TEST(hold_stops_another_dispatcher_of_the_group) {
  const auto settings = config(2);
  Fixture one(settings);
  Recorder recorder(one.clock);
  FakeTranscriber transcriber;
  Dispatcher two(settings, transcriber, recorder, one.clock, one.log);
  one.submit(0);
  one.transcriber.wait_calls(1);
  one.transcriber.release(0, busy(2s));
  one.recorder.wait(Seen::kRetry, 1);
  two.submit(chunk(0, one.clock.now()));
  settle(two, recorder, one.clock);
  one.advance(2s - 1ns);
  settle(two, recorder, one.clock);
  ck_assert_uint_eq(two.load().in_flight, 0);
  one.advance(1ns);
  two.wake();
  transcriber.wait_calls(1);
  one.transcriber.wait_calls(2);
  ck_assert(recorder.all(Seen::kAttempt)[0].at == one.begin + 2s);
}
END_TEST

START_TEST(the_slowest_dispatcher_of_a_group_leaves) {
  auto settings = config(2, 0.001);
  auto slow = std::make_unique<Fixture>(settings);
  settings.rate.requests_per_second = 0;
  Fixture f(settings);
  f.submit(0, 2);
  f.transcriber.wait_calls(1);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 1);
  slow.reset();
  f.transcriber.wait_calls(2);
}
END_TEST

// Says "not yet" until the test lets it go.
class GatedLimiter final : public RateLimiter {
 public:
  struct Gate {
    Guarded<bool> open{false};
    std::atomic<int> released = 0;
    Wake wake;
  };
  explicit GatedLimiter(Gate& gate) : gate_(gate) {}
  Reservation reserve(TimePoint) override { return {TimePoint::max(), 1}; }
  bool confirm(Reservation&, TimePoint) override { return *gate_.open.lock(); }
  void renew(Reservation&, TimePoint) override {}
  void release(const Reservation&) override { gate_.released++; }
  void hold(TimePoint) override {}
  void slow_down(TimePoint, TimePoint) override {}
  void set_limit(TimePoint, const RateLimit&) override {}
  double current_rate(TimePoint) const override { return 0; }

 private:
  Gate& gate_;
};

START_TEST(an_unknown_due_time_ends_with_a_wake) {
  GatedLimiter::Gate gate;
  auto settings = config(2);
  settings.join_group = [&](const std::string&, TimePoint, const RateLimit&,
                            RateLimiter::Wake wake) {
    gate.wake = std::move(wake);
    return std::make_unique<GatedLimiter>(gate);
  };
  auto f = std::make_unique<Fixture>(settings);
  f->submit(0);
  f->settle();
  f->advance(10min);
  f->settle();
  ck_assert(f->transcriber.calls().empty());
  ck_assert_int_eq(gate.released, 0);
  f->submit(1);
  check_indices(f->dispatcher->flush(), {0, 1});
  f->settle();
  ck_assert_int_eq(gate.released, 1);
  f->submit(2);
  f->settle();
  *gate.open.lock() = true;
  gate.wake();
  ck_assert_uint_eq(f->transcriber.wait_calls(1)[0].index, 2);
  f.reset();
  // The limiter's thread may be late.
  gate.wake();
}
END_TEST

START_TEST(two_dispatchers_share_a_rate) {
  const auto settings = config(8, 10);
  Fixture one(settings);
  Recorder recorder(one.clock);
  Dispatcher two(settings, one.transcriber, recorder, one.clock, one.log);
  one.submit(0, 5);
  for (std::uint64_t i = 5; i < 10; i++) two.submit(chunk(i, one.clock.now()));
  for (std::size_t sent = 1; sent <= 10; sent++) {
    one.transcriber.wait_calls(sent);
    one.advance(100ms);
    two.wake();
  }
  auto all = one.recorder.all();
  const auto others = recorder.all();
  all.insert(all.end(), others.begin(), others.end());
  std::sort(all.begin(), all.end(), [](const Seen& a, const Seen& b) { return a.at < b.at; });
  ck_assert_uint_eq(all.size(), 10);
  for (int i = 0; i < 10; i++) ck_assert(all[i].at == one.begin + i * 100ms);
}
END_TEST

START_TEST(slow_down_halves_the_rate) {
  Fixture f(config(2, 8));
  f.advance(1s);
  f.submit(0);
  f.transcriber.wait_calls(1);
  Failure failure = transient();
  failure.slow_down = true;
  f.clock.advance(100ms);
  f.transcriber.release(0, failure);
  f.recorder.wait(Seen::kRetry, 1);
  ck_assert_double_eq(f.dispatcher->current_rate(), 4);
}
END_TEST

// For as long as an element waits; then the service says what is left.
START_TEST(too_long_a_server_delay_holds_the_group_for_the_longest_allowed) {
  const auto settings = config(2);
  Fixture f(settings);
  Recorder recorder(f.clock);
  FakeTranscriber transcriber;
  Dispatcher other(settings, transcriber, recorder, f.clock, f.log);
  f.submit(0);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, busy(30min));
  ck_assert(f.recorder.wait(Seen::kFailed, 1)[0].failure.severity == Severity::kJob);
  other.submit(chunk(0, f.clock.now()));
  settle(other, recorder, f.clock);
  f.clock.advance(settings.limits.max_server_delay - 1ns);
  settle(other, recorder, f.clock);
  ck_assert(transcriber.calls().empty());
  f.clock.advance(1ns);
  other.wake();
  transcriber.wait_calls(1);
}
END_TEST

START_TEST(the_delay_of_a_chunk_that_is_not_sent_again_holds_the_group) {
  Fixture f(config(2));
  f.submit(0);
  f.transcriber.wait_calls(1);
  Failure failure = busy(2s);
  failure.severity = Severity::kChunk;
  f.transcriber.release(0, failure);
  f.recorder.wait(Seen::kFailed, 1);
  f.submit(1);
  f.settle();
  f.advance(2s - 1ns);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 1);
  f.advance(1ns);
  f.transcriber.wait_calls(2);
}
END_TEST

START_TEST(flush_while_waiting_for_the_rate) {
  Fixture f(config(8, 0.001));
  f.submit(0, 4);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0);
  f.recorder.wait(Seen::kDone, 1);
  check_indices(f.dispatcher->flush(), {1, 2, 3});
  f.submit(4);
  f.advance(1000s);
  ck_assert_uint_eq(f.transcriber.wait_calls(2)[1].index, 4);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("dispatcher_rate");
  TCase* tests = tcase_create("dispatcher_rate");
  tcase_add_test(tests, keeps_to_the_rate);
  tcase_add_test(tests, hold_stops_another_dispatcher_of_the_group);
  tcase_add_test(tests, the_slowest_dispatcher_of_a_group_leaves);
  tcase_add_test(tests, an_unknown_due_time_ends_with_a_wake);
  tcase_add_test(tests, two_dispatchers_share_a_rate);
  tcase_add_test(tests, slow_down_halves_the_rate);
  tcase_add_test(tests, too_long_a_server_delay_holds_the_group_for_the_longest_allowed);
  tcase_add_test(tests, the_delay_of_a_chunk_that_is_not_sent_again_holds_the_group);
  tcase_add_test(tests, flush_while_waiting_for_the_rate);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
