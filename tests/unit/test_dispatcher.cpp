#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "dispatch/dispatcher.h"
#include "fake_clock.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

using Answer = std::function<AttemptOutcome(const Chunk&, unsigned attempt)>;

// Answers at once by `answer`, or, without one, when the test says so.
class FakeTranscriber final : public Transcriber {
 public:
  struct Call {
    std::uint64_t index;
    unsigned attempt;
    Milliseconds timeout;
    const void* pcm;
  };

  explicit FakeTranscriber(Answer answer = nullptr) : answer_(std::move(answer)) {}
  // Goes on after a cancel, as a slow server close would.
  bool stubborn = false;
  std::optional<std::uint64_t> refused;  // index

  std::optional<Failure> refuse(const Chunk& chunk) override {
    if (chunk.info.index != refused) return std::nullopt;
    Failure failure;
    failure.severity = Severity::kChunk;
    failure.reason = "too-large";
    return failure;
  }

  AttemptOutcome transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                            const Cancellation& cancellation) override {
    {
      auto state = state_.lock();
      state->calls.push_back(
          {chunk.info.index, attempt, timeout, g_bytes_get_data(chunk.pcm.get(), nullptr)});
      state->inside++;
      state->most = std::max(state->most, state->inside);
      changed_.notify_all();
    }
    AttemptOutcome outcome = Cancelled();
    if (answer_) {
      outcome = answer_(chunk, attempt);
    } else {
      const gulong handler =
          g_cancellable_connect(cancellation.get(), G_CALLBACK(on_cancelled), this, nullptr);
      {
        auto state = state_.lock();
        state.wait(changed_, [&] {
          return state->released.contains(chunk.info.index) ||
                 (!stubborn && cancellation.cancelled());
        });
        auto released = state->released.extract(chunk.info.index);
        if (released) outcome = std::move(released.mapped());
      }
      g_cancellable_disconnect(cancellation.get(), handler);
    }
    state_.lock()->inside--;
    return outcome;
  }

  void release(std::uint64_t index, AttemptOutcome outcome = Transcription()) {
    auto state = state_.lock();
    state->released.insert_or_assign(index, std::move(outcome));
    changed_.notify_all();
  }
  std::vector<Call> wait_calls(std::size_t count) {
    auto state = state_.lock();
    state.wait(changed_, [&] { return state->calls.size() >= count; });
    return state->calls;
  }
  std::vector<Call> calls() { return state_.lock()->calls; }
  unsigned most() { return state_.lock()->most; }

 private:
  struct State {
    std::vector<Call> calls;
    std::map<std::uint64_t, AttemptOutcome> released;
    unsigned inside = 0;
    unsigned most = 0;
  };

  static void on_cancelled(GCancellable*, gpointer self) noexcept {
    auto* fake = static_cast<FakeTranscriber*>(self);
    auto state = fake->state_.lock();
    fake->changed_.notify_all();
  }

  Answer answer_;
  Guarded<State> state_;
  std::condition_variable changed_;
};

struct Seen {
  enum Kind { kAttempt, kRetry, kDone, kFailed } kind;
  std::uint64_t index;
  unsigned attempt;
  Nanoseconds time{0};  // retry: its delay; done: its latency
  Failure failure{};
  TimePoint at{};
};

class Recorder final : public DispatchObserver {
 public:
  explicit Recorder(const Clock& clock) : clock_(clock) {}
  std::function<void()> when_failed;

  void on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept override {
    add({Seen::kAttempt, chunk.index, attempt});
  }
  void on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                const Failure& failure) noexcept override {
    add({Seen::kRetry, chunk.index, next_attempt, delay, failure});
  }
  void on_done(const ChunkInfo& chunk, Transcription&&, unsigned attempts,
               Nanoseconds latency) noexcept override {
    add({Seen::kDone, chunk.index, attempts, latency});
  }
  void on_failed(const ChunkInfo& chunk, const Failure& failure,
                 unsigned attempts) noexcept override {
    if (when_failed) when_failed();
    add({Seen::kFailed, chunk.index, attempts, 0ns, failure});
  }

  std::vector<Seen> wait(Seen::Kind kind, std::size_t count) {
    auto seen = seen_.lock();
    seen.wait(changed_, [&] { return pick(*seen, kind).size() >= count; });
    return pick(*seen, kind);
  }
  void wait_settled(std::size_t count) {
    auto seen = seen_.lock();
    seen.wait(changed_, [&] {
      return pick(*seen, Seen::kDone).size() + pick(*seen, Seen::kFailed).size() >= count;
    });
  }
  std::vector<Seen> all() { return *seen_.lock(); }
  std::vector<Seen> all(Seen::Kind kind) { return pick(*seen_.lock(), kind); }

 private:
  static std::vector<Seen> pick(const std::vector<Seen>& seen, Seen::Kind kind) {
    std::vector<Seen> result;
    std::copy_if(seen.begin(), seen.end(), std::back_inserter(result),
                 [&](const Seen& event) { return event.kind == kind; });
    return result;
  }
  void add(Seen event) {
    event.at = clock_.now();
    auto seen = seen_.lock();
    seen->push_back(std::move(event));
    changed_.notify_all();
  }

  const Clock& clock_;
  Guarded<std::vector<Seen>> seen_;
  std::condition_variable changed_;
};

// A chunk ends before it is cut, in the pause that is cut.
constexpr Milliseconds kHeardBefore = 150ms;

Chunk chunk(std::uint64_t index, TimePoint cut_at) {
  Chunk result;
  result.info.index = index;
  result.pcm.reset(g_bytes_new(&index, sizeof index));
  result.cut_at = cut_at;
  result.heard_at = cut_at - kHeardBefore;
  return result;
}

constexpr Milliseconds kBudget = 1h;

Dispatcher::Config config(unsigned max_parallel, double rate = 0) {
  static int groups = 0;
  Dispatcher::Config result;
  result.limits.chunk_timeout = kBudget;
  result.limits.max_parallel = max_parallel;
  result.rate.requests_per_second = rate;
  result.rate_limit_group = "test-" + std::to_string(groups++);
  result.seed = 1;
  return result;
}

Failure transient() {
  Failure failure;
  failure.reason = "http-status";
  failure.http_status = 503;
  return failure;
}

Failure busy(Nanoseconds delay) {
  Failure failure = transient();
  failure.http_status = 429;
  failure.server_delay = delay;
  failure.hold_group = true;
  return failure;
}

Failure job_wide() {
  Failure failure = transient();
  failure.severity = Severity::kJob;
  failure.http_status = 401;
  return failure;
}

// A dispatcher on a clock that the test moves.
struct Fixture {
  FakeClock clock;
  Log log;
  FakeTranscriber transcriber;
  Recorder recorder{clock};
  TimePoint begin = clock.now();
  std::unique_ptr<Dispatcher> dispatcher;

  explicit Fixture(const Dispatcher::Config& settings, Answer answer = nullptr)
      : transcriber(std::move(answer)),
        dispatcher(std::make_unique<Dispatcher>(settings, transcriber, recorder, clock, log)) {}

  void submit(std::uint64_t first, std::uint64_t count = 1) {
    for (std::uint64_t i = 0; i < count; i++) {
      dispatcher->submit(chunk(first + i, clock.now()));
    }
  }
  void advance(Nanoseconds by) {
    clock.advance(by);
    dispatcher->wake();
  }
  void settle();
};

// The scheduler has dealt with all that was there before. Chunks that are over when they arrive
// pass through: when the second comes out, the round that found the first is complete.
void settle(Dispatcher& dispatcher, Recorder& recorder, const Clock& clock) {
  for (int i = 0; i < 2; i++) {
    const std::size_t before = recorder.all(Seen::kFailed).size();
    dispatcher.submit(chunk(1000000, clock.now() - 2 * kBudget));
    recorder.wait(Seen::kFailed, before + 1);
  }
}

void Fixture::settle() { transcribe::settle(*dispatcher, recorder, clock); }

void check_indices(const std::vector<ChunkInfo>& infos, std::vector<std::uint64_t> expected) {
  ck_assert_uint_eq(infos.size(), expected.size());
  for (std::size_t i = 0; i < infos.size(); i++) ck_assert_uint_eq(infos[i].index, expected[i]);
}
void check_indices(const std::vector<PendingChunk>& left, std::vector<std::uint64_t> expected) {
  std::vector<ChunkInfo> infos;
  for (const PendingChunk& chunk : left) infos.push_back(chunk.chunk->info);
  check_indices(infos, std::move(expected));
}

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

START_TEST(too_long_a_server_delay_holds_nobody) {
  Fixture f(config(2));
  f.submit(0);
  f.transcriber.wait_calls(1);
  f.transcriber.release(0, busy(1h));
  ck_assert(f.recorder.wait(Seen::kFailed, 1)[0].failure.severity == Severity::kJob);
  f.dispatcher->flush();
  f.submit(1);
  f.transcriber.wait_calls(2);
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

Dispatcher::Config stored_config(unsigned max_parallel,
                                 std::optional<Milliseconds> patience = std::nullopt) {
  Dispatcher::Config result = config(max_parallel);
  result.store = StoreWait{patience};
  return result;
}

AttemptOutcome succeed(const Chunk&, unsigned) { return Transcription(); }

START_TEST(a_done_chunk_keeps_its_slot_until_it_is_stored) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 6);
  f.recorder.wait(Seen::kDone, 2);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 0);
  f.dispatcher->stored({1});
  f.recorder.wait(Seen::kDone, 3);
  // Again, and one that nobody knows.
  f.dispatcher->stored({1, 77});
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 3);
  f.dispatcher->stored({0, 2});
  f.recorder.wait(Seen::kDone, 5);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 5);
  auto limits = stored_config(3).limits;
  f.dispatcher->set_limits(limits, {});
  f.recorder.wait(Seen::kDone, 6);
}
END_TEST

START_TEST(a_store_that_is_away_holds_nothing_back) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 2);
  f.dispatcher->wait_for_store(false);
  f.recorder.wait(Seen::kDone, 4);
  f.submit(4, 4);
  f.recorder.wait(Seen::kDone, 8);
  // All but one: it is not back yet.
  f.dispatcher->stored({0, 1, 2, 3, 4, 5, 6});
  f.submit(8, 4);
  f.recorder.wait(Seen::kDone, 12);
  // Acknowledged before, told only now; and one that the store had from an earlier run.
  f.dispatcher->stored({7, 8, 9, 10, 11, 77});
  f.submit(12, 4);
  f.recorder.wait(Seen::kDone, 16);
  // Back, with four that are not stored.
  f.dispatcher->wait_for_store(true);
  f.submit(16);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 16);
  f.dispatcher->stored({12, 13, 14});
  f.recorder.wait(Seen::kDone, 17);
}
END_TEST

// What an earlier run stored says nothing of the store now.
START_TEST(known_chunks_end_no_outage) {
  Fixture f(stored_config(2), succeed);
  f.dispatcher->wait_for_store(false);
  f.dispatcher->stored({77});
  f.submit(0, 6);
  f.recorder.wait(Seen::kDone, 6);
}
END_TEST

START_TEST(slots_are_kept_again_once_a_store_that_failed_has_all) {
  Fixture f(stored_config(2), succeed);
  f.dispatcher->give_up_store();
  f.dispatcher->stored({77});
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 4);
  f.dispatcher->stored({0, 1, 2, 3});
  f.submit(4, 4);
  f.recorder.wait(Seen::kDone, 6);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 6);
}
END_TEST

START_TEST(a_slow_store_is_waited_for_with_patience) {
  Fixture f(stored_config(2, 2000ms), succeed);
  f.submit(0, 3);
  f.recorder.wait(Seen::kDone, 2);
  f.advance(1999ms);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  f.advance(1ms);
  f.recorder.wait(Seen::kDone, 3);
  f.dispatcher->stored({0, 1, 2});
  f.submit(3, 3);
  f.recorder.wait(Seen::kDone, 5);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 5);
}
END_TEST

// Nobody rings: the scheduler wakes by itself.
START_TEST(patience_ends_by_itself) {
  const SystemClock clock;
  const Log log;
  FakeTranscriber transcriber(succeed);
  Recorder recorder(clock);
  Dispatcher dispatcher(stored_config(1, 20ms), transcriber, recorder, clock, log);
  for (std::uint64_t i = 0; i < 2; i++) dispatcher.submit(chunk(i, clock.now()));
  const auto done = recorder.wait(Seen::kDone, 2);
  ck_assert(done[1].at - done[0].at >= 20ms);
}
END_TEST

START_TEST(a_flush_keeps_slots_of_what_is_not_stored) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 2);
  check_indices(f.dispatcher->flush(), {2, 3});
  f.submit(4, 2);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  f.dispatcher->stored({0, 1});
  f.recorder.wait(Seen::kDone, 4);
}
END_TEST

// A later run sends it again anyhow.
START_TEST(a_failed_chunk_keeps_no_slot) {
  Fixture f(stored_config(1), [](const Chunk&, unsigned) {
    Failure failure = transient();
    failure.severity = Severity::kChunk;
    return failure;
  });
  f.submit(0, 3);
  f.recorder.wait(Seen::kFailed, 3);
}
END_TEST

// Never more requests on the way or unstored than slots, whatever the store does.
START_TEST(no_more_unstored_chunks_than_slots) {
  constexpr std::uint64_t kChunks = 300;
  constexpr unsigned kSlots = 4;
  Fixture f(stored_config(kSlots), succeed);
  f.submit(0, kChunks);
  std::mt19937 random(7);
  std::vector<std::uint64_t> unstored;
  std::size_t seen = 0;
  std::size_t stored = 0;
  while (stored < kChunks) {
    const auto done = f.recorder.wait(Seen::kDone, seen + (unstored.empty() ? 1 : 0));
    ck_assert_uint_le(f.transcriber.calls().size(), stored + kSlots);
    for (; seen < done.size(); seen++) unstored.push_back(done[seen].index);
    std::shuffle(unstored.begin(), unstored.end(), random);
    const std::size_t count = random() % (unstored.size() + 1);
    const std::vector<std::uint64_t> now(unstored.end() - static_cast<std::ptrdiff_t>(count),
                                         unstored.end());
    unstored.resize(unstored.size() - count);
    stored += count;
    f.dispatcher->stored(now);
  }
  ck_assert_uint_eq(f.transcriber.calls().size(), kChunks);
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
  f.transcriber.release(0);
  f.recorder.wait(Seen::kDone, 1);
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

// An answer for every (chunk, attempt) by its own dice, whatever the threads do.
AttemptOutcome random_answer(const Chunk& chunk, unsigned attempt) {
  std::minstd_rand random(static_cast<unsigned>(chunk.info.index * 131 + attempt));
  random.discard(3);
  Failure failure = transient();
  switch (random() % 8) {
    case 0:
      failure.retry_at_once = true;
      return failure;
    case 1:
      return busy(50us);
    case 2:
      failure.slow_down = true;
      return failure;
    case 3:
      return failure;
    case 4:
      if (random() % 2 == 0) return Transcription();
      failure.severity = Severity::kChunk;
      return failure;
    default:
      return Transcription();
  }
}

Dispatcher::Config fast_config() {
  auto settings = config(8);
  settings.limits.retry_delay = 1ms;
  settings.limits.max_retry_delay = 2ms;
  settings.limits.retries = 3;
  return settings;
}

START_TEST(random_failures_settle_each_chunk_once) {
  SystemClock clock;
  Log log;
  FakeTranscriber transcriber(random_answer);
  Recorder recorder(clock);
  Dispatcher dispatcher(fast_config(), transcriber, recorder, clock, log);
  for (std::uint64_t i = 0; i < 200; i++) dispatcher.submit(chunk(i, clock.now()));
  recorder.wait_settled(200);
  std::map<std::uint64_t, unsigned> calls;
  std::map<std::uint64_t, const void*> data;
  for (const auto& call : transcriber.calls()) {
    ck_assert_uint_eq(call.attempt, ++calls[call.index]);
    ck_assert_ptr_eq(data.try_emplace(call.index, call.pcm).first->second, call.pcm);
  }
  std::map<std::uint64_t, unsigned> settled;
  for (const Seen& event : recorder.all()) {
    if (event.kind == Seen::kAttempt) ck_assert_uint_eq(settled.count(event.index), 0);
    if (event.kind != Seen::kDone && event.kind != Seen::kFailed) continue;
    ck_assert_uint_eq(++settled[event.index], 1);
    ck_assert_uint_eq(event.attempt, calls[event.index]);
    ck_assert_uint_le(event.attempt, 4);
  }
  ck_assert_uint_eq(settled.size(), 200);
  ck_assert_uint_le(transcriber.most(), 8);
}
END_TEST

START_TEST(flushes_at_random_moments_settle_each_chunk_once) {
  SystemClock clock;
  Log log;
  FakeTranscriber transcriber(random_answer);
  Recorder recorder(clock);
  std::vector<ChunkInfo> flushed;
  {
    Dispatcher dispatcher(fast_config(), transcriber, recorder, clock, log);
    std::mt19937 random(11);
    for (std::uint64_t i = 0; i < 2000; i++) {
      const std::size_t before = transcriber.calls().size();
      dispatcher.submit(chunk(i, clock.now()));
      if (random() % 16 == 0) transcriber.wait_calls(before + 1);
      if (random() % 32 != 0) continue;
      for (const PendingChunk& left : dispatcher.flush()) flushed.push_back(left.chunk->info);
    }
    const auto infos = dispatcher.cancel();
    flushed.insert(flushed.end(), infos.begin(), infos.end());
  }
  std::map<std::uint64_t, unsigned> ends;
  for (const ChunkInfo& info : flushed) ends[info.index]++;
  for (const Seen& event : recorder.all()) {
    if (event.kind == Seen::kDone || event.kind == Seen::kFailed) ends[event.index]++;
  }
  ck_assert_uint_eq(ends.size(), 2000);
  for (const auto& [index, count] : ends) ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_hundred_lives) {
  for (int i = 0; i < 100; i++) {
    Fixture f(config(4, i % 3 == 0 ? 1 : 0));
    f.submit(0, static_cast<std::uint64_t>(i % 10));
    if (i % 10 > 0 && i % 2 == 0) f.transcriber.wait_calls(1);
    if (i % 5 == 0) f.dispatcher->flush();
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("dispatcher");
  TCase* tests = tcase_create("dispatcher");
  tcase_add_test(tests, reaches_and_keeps_max_parallel);
  tcase_add_test(tests, starts_in_index_order);
  tcase_add_test(tests, keeps_to_the_rate);
  tcase_add_test(tests, retry_waits_for_the_server_delay);
  tcase_add_test(tests, backoff_without_a_server_delay);
  tcase_add_test(tests, others_go_on_while_one_backs_off);
  tcase_add_test(tests, hold_stops_another_dispatcher_of_the_group);
  tcase_add_test(tests, the_slowest_dispatcher_of_a_group_leaves);
  tcase_add_test(tests, an_unknown_due_time_ends_with_a_wake);
  tcase_add_test(tests, two_dispatchers_share_a_rate);
  tcase_add_test(tests, slow_down_halves_the_rate);
  tcase_add_test(tests, job_wide_failure_starts_nothing_more);
  tcase_add_test(tests, job_wide_failure_halts_until_the_flush);
  tcase_add_test(tests, too_long_a_server_delay_holds_nobody);
  tcase_add_test(tests, retries_end);
  tcase_add_test(tests, chunk_timeout_ends_a_wait);
  tcase_add_test(tests, cancel_while_in_flight);
  tcase_add_test(tests, flush_does_not_wait_for_a_worker);
  tcase_add_test(tests, flush_in_backoff);
  tcase_add_test(tests, flush_tells_attempts_and_the_last_failure);
  tcase_add_test(tests, what_is_refused_makes_no_attempt);
  tcase_add_test(tests, flush_while_waiting_for_the_rate);
  tcase_add_test(tests, higher_limits_count_at_once);
  tcase_add_test(tests, lower_max_parallel_lets_what_flies_land);
  tcase_add_test(tests, a_done_chunk_keeps_its_slot_until_it_is_stored);
  tcase_add_test(tests, a_store_that_is_away_holds_nothing_back);
  tcase_add_test(tests, a_slow_store_is_waited_for_with_patience);
  tcase_add_test(tests, patience_ends_by_itself);
  tcase_add_test(tests, known_chunks_end_no_outage);
  tcase_add_test(tests, slots_are_kept_again_once_a_store_that_failed_has_all);
  tcase_add_test(tests, a_flush_keeps_slots_of_what_is_not_stored);
  tcase_add_test(tests, a_failed_chunk_keeps_no_slot);
  tcase_add_test(tests, no_more_unstored_chunks_than_slots);
  tcase_add_test(tests, drop_oldest_takes_what_waits);
  tcase_add_test(tests, cancelled_from_outside_is_settled_too);
  tcase_add_test(tests, random_failures_settle_each_chunk_once);
  tcase_add_test(tests, flushes_at_random_moments_settle_each_chunk_once);
  tcase_add_test(tests, a_hundred_lives);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
