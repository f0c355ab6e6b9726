// A dispatcher on a clock that the test moves, with a service and an observer of the test's own.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "dispatch/dispatcher.h"
#include "fake_clock.h"

#include "check_main.h"

namespace transcribe {

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
inline constexpr Milliseconds kHeardBefore = 150ms;

inline Chunk chunk(std::uint64_t index, TimePoint cut_at) {
  Chunk result;
  result.info.index = index;
  result.pcm.reset(g_bytes_new(&index, sizeof index));
  result.cut_at = cut_at;
  result.heard_at = cut_at - kHeardBefore;
  return result;
}

inline constexpr Milliseconds kBudget = 1h;

inline Dispatcher::Config config(unsigned max_parallel, double rate = 0) {
  static int groups = 0;
  Dispatcher::Config result;
  result.limits.chunk_timeout = kBudget;
  result.limits.max_parallel = max_parallel;
  result.rate.requests_per_second = rate;
  result.rate_limit_group = "test-" + std::to_string(groups++);
  result.seed = 1;
  return result;
}

inline Failure transient() {
  Failure failure;
  failure.reason = "http-status";
  failure.http_status = 503;
  return failure;
}

inline Failure busy(Nanoseconds delay) {
  Failure failure = transient();
  failure.http_status = 429;
  failure.server_delay = delay;
  failure.hold_group = true;
  return failure;
}

inline Failure job_wide() {
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
inline void settle(Dispatcher& dispatcher, Recorder& recorder, const Clock& clock) {
  for (int i = 0; i < 2; i++) {
    const std::size_t before = recorder.all(Seen::kFailed).size();
    dispatcher.submit(chunk(1000000, clock.now() - 2 * kBudget));
    recorder.wait(Seen::kFailed, before + 1);
  }
}

inline void Fixture::settle() { transcribe::settle(*dispatcher, recorder, clock); }

inline void check_indices(const std::vector<ChunkInfo>& infos,
                          std::vector<std::uint64_t> expected) {
  ck_assert_uint_eq(infos.size(), expected.size());
  for (std::size_t i = 0; i < infos.size(); i++) ck_assert_uint_eq(infos[i].index, expected[i]);
}
inline void check_indices(const std::vector<PendingChunk>& left,
                          std::vector<std::uint64_t> expected) {
  std::vector<ChunkInfo> infos;
  for (const PendingChunk& chunk : left) infos.push_back(chunk.chunk->info);
  check_indices(infos, std::move(expected));
}

}  // namespace transcribe
