#include "dispatch/dispatcher.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "dispatch/worker_pool.h"

namespace transcribe {

namespace {

// One attempt, shared by the state and the worker that carries it out. A flush takes it out of the
// state; a worker that doesn't find it there any more has nothing to report.
struct Flight {
  std::shared_ptr<const Chunk> chunk;
  unsigned attempt = 0;
  TimePoint started{};
  Cancellation cancellation;

  std::uint64_t index() const { return chunk->info.index; }
};
using FlightPtr = std::shared_ptr<Flight>;

struct State {
  State(const Dispatcher::Config& config, std::uint64_t seed)
      : schedule(config.limits, seed, config.store) {}

  Schedule schedule;
  std::set<FlightPtr> flights;
  std::deque<FlightPtr> orders;  // flights no worker has taken yet
  std::optional<RateLimit> new_rate;
  bool new_limits = false;
  bool changed = false;  // since the scheduler last looked
  bool halted = false;   // a job-wide failure waits for the observer's verdict
  bool cancelled = false;
  bool quit = false;
};

// The rate limiter may ring once more when the dispatcher is gone.
struct Shared {
  Shared(const Dispatcher::Config& config, std::uint64_t seed) : state(config, seed) {}

  void touch(Guarded<State>::Access& access) {
    access->changed = true;
    changed.notify_all();
  }

  Guarded<State> state;
  std::condition_variable changed;
};

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

long long in_ms(Nanoseconds time) { return std::chrono::duration_cast<Milliseconds>(time).count(); }

// A cap that keeps the sum with the steady clock's time from overflowing.
constexpr std::chrono::hours kLongestWait{24};

}  // namespace

struct Dispatcher::Private {
  Private(const Config& config, Transcriber& transcriber_, DispatchObserver& observer_,
          const Clock& clock_, const Log& log_)
      : transcriber(transcriber_),
        observer(observer_),
        clock(clock_),
        log(log_),
        until_told(config.until_told),
        shared(std::make_shared<Shared>(config, config.seed != 0 ? config.seed : random_seed())),
        limiter(config.join_group(config.rate_limit_group, clock.now(), config.rate,
                                  [shared_ = shared] {
                                    auto access = shared_->state.lock();
                                    shared_->touch(access);
                                  })),
        pool(config.limits.max_parallel, [this] { run_attempt(); }),
        scheduler([this] { run_scheduler(); }) {}

  ~Private() {
    {
      auto access = state.lock();
      access->quit = true;
      changed.notify_all();
    }
    scheduler.join();
  }

  void run_scheduler();
  void apply(const std::optional<RateLimit>& rate, std::optional<unsigned> max_parallel,
             TimePoint now);
  bool start_next(bool ready, TimePoint now);
  void wait(TimePoint now);

  void run_attempt();
  void report_done(const FlightPtr& flight, Transcription&& transcription);
  void handle_failure(const FlightPtr& flight, Failure&& failure);

  std::vector<PendingChunk> take_all(bool for_good);
  void touch(Guarded<State>::Access& access) { shared->touch(access); }

  Transcriber& transcriber;
  DispatchObserver& observer;
  const Clock& clock;
  const Log& log;

  const bool until_told;
  const std::shared_ptr<Shared> shared;
  Guarded<State>& state = shared->state;
  std::condition_variable& changed = shared->changed;
  std::unique_ptr<RateLimiter> limiter;
  std::optional<Reservation> reservation;  // scheduler thread only
  WorkerPool pool;
  std::thread scheduler;
};

void Dispatcher::Private::run_scheduler() {
  for (;;) {
    const TimePoint now = clock.now();
    std::vector<PendingChunk> expired;
    std::optional<RateLimit> rate;
    std::optional<unsigned> max_parallel;
    bool ready = false;
    {
      auto access = state.lock();
      if (access->quit) return;
      access->changed = false;
      rate = std::exchange(access->new_rate, std::nullopt);
      if (std::exchange(access->new_limits, false)) {
        max_parallel = access->schedule.limits().max_parallel;
      }
      expired = access->schedule.take_expired(now);
      access->schedule.unstored().look(now);
      ready = !access->halted && access->schedule.ready(now);
    }
    apply(rate, max_parallel, now);
    for (const PendingChunk& task : expired) {
      log.print(LogLevel::kInfo, "chunk %" G_GUINT64_FORMAT ": chunk-timeout while it waited",
                task.chunk->info.index);
      if (const auto answer = doubtful_answer(task)) {
        observer.on_done(task.chunk->info, Transcription(*answer), task.attempts,
                         clock.now() - task.chunk->heard_at);
      } else {
        observer.on_failed(task.chunk->info, *task.last_failure, task.attempts);
      }
    }
    if (!start_next(ready, now)) wait(now);
  }
}

void Dispatcher::Private::apply(const std::optional<RateLimit>& rate,
                                std::optional<unsigned> max_parallel, TimePoint now) {
  if (max_parallel) pool.set_max_threads(*max_parallel);
  if (!rate) return;
  // The due time at hand was computed with the old rate.
  if (reservation) limiter->release(*reservation);
  reservation.reset();
  limiter->set_limit(now, *rate);
}

bool Dispatcher::Private::start_next(bool ready, TimePoint now) {
  if (!ready) {
    if (reservation) limiter->release(*reservation);
    reservation.reset();
    return false;
  }
  if (!reservation) reservation = limiter->reserve(now);
  if (!limiter->confirm(*reservation, now)) return false;
  reservation.reset();
  {
    auto access = state.lock();
    // Flushed meanwhile: the token is lost, which only costs time.
    if (access->halted || !access->schedule.ready(now)) return true;
    const PendingChunk& task = access->schedule.start(now);
    const auto flight = std::make_shared<Flight>();
    flight->chunk = task.chunk;
    flight->attempt = task.attempts;
    flight->started = now;
    access->flights.insert(flight);
    access->orders.push_back(flight);
  }
  pool.submit();
  return true;
}

void Dispatcher::Private::wait(TimePoint now) {
  auto access = state.lock();
  std::optional<TimePoint> next = access->schedule.next_event(now);
  if (reservation && (!next || reservation->due < *next)) next = reservation->due;
  const auto woken = [&] { return access->changed || access->quit; };
  if (!next) {
    access.wait(changed, woken);
    return;
  }
  // Relative, so that an injected clock needs no common epoch with the steady one.
  const Nanoseconds left = std::min<Nanoseconds>(*next - clock.now(), kLongestWait);
  access.wait_until(changed, std::chrono::steady_clock::now() + left, woken);
}

void Dispatcher::Private::run_attempt() {
  FlightPtr flight;
  Milliseconds timeout{0};
  {
    auto access = state.lock();
    if (access->halted || access->orders.empty()) return;
    flight = std::move(access->orders.front());
    access->orders.pop_front();
    timeout = access->schedule.attempt_timeout(flight->index(), clock.now());
  }
  if (auto refusal = transcriber.refuse(*flight->chunk)) {
    flight->attempt--;
    handle_failure(flight, std::move(*refusal));
    return;
  }
  observer.on_attempt(flight->chunk->info, flight->attempt);
  AttemptOutcome outcome =
      transcriber.transcribe(*flight->chunk, flight->attempt, timeout, flight->cancellation);
  if (auto* transcription = std::get_if<Transcription>(&outcome)) {
    report_done(flight, std::move(*transcription));
    return;
  }
  if (auto* failure = std::get_if<Failure>(&outcome)) {
    handle_failure(flight, std::move(*failure));
    return;
  }
  // Nobody but a flush cancels, and then this finds nothing to do.
  Failure failure;
  failure.reason = "network";
  failure.message = "The request was cancelled from outside.";
  handle_failure(flight, std::move(failure));
}

void Dispatcher::Private::report_done(const FlightPtr& flight, Transcription&& transcription) {
  {
    auto access = state.lock();
    if (access->flights.erase(flight) == 0) return;
    access->schedule.finish_unstored(flight->index(), clock.now());
    if (until_told) access->schedule.keep_until_told(flight->index());
    touch(access);
  }
  observer.on_done(flight->chunk->info, std::move(transcription), flight->attempt,
                   clock.now() - flight->chunk->heard_at);
}

void Dispatcher::Private::handle_failure(const FlightPtr& flight, Failure&& failure) {
  const std::uint64_t index = flight->index();
  const TimePoint now = clock.now();
  Schedule::Verdict verdict;
  Nanoseconds hold{0};
  {
    auto access = state.lock();
    if (!access->flights.contains(flight)) return;
    verdict = access->schedule.judge(index, failure, now);
    if (failure.severity == Severity::kJob) access->halted = true;
    // Of a delay that is too long, as much as others may wait; then the service says what is left.
    if (failure.hold_group) {
      const auto asked = failure.server_delay.value_or(Nanoseconds(0));
      const Nanoseconds longest = access->schedule.limits().max_server_delay;
      hold = std::max(verdict.delay, std::min(asked, longest));
    }
  }
  // The group learns of it before the slot is free.
  if (failure.slow_down) limiter->slow_down(now, flight->started);
  if (hold.count() > 0) limiter->hold(now + hold);
  if (verdict.retry) {
    log.print(LogLevel::kInfo,
              "chunk %" G_GUINT64_FORMAT ": attempt %u failed (%s), next in %lld ms", index,
              flight->attempt, failure.reason.c_str(), in_ms(verdict.delay));
    // The chunk stays in flight until the observer knows: its next attempt comes after this.
    observer.on_retry(flight->chunk->info, verdict.attempt, verdict.delay, failure);
  } else if (failure.answer) {
    report_done(flight, Transcription(*failure.answer));
    return;
  } else {
    log.print(LogLevel::kInfo, "chunk %" G_GUINT64_FORMAT ": failed after %u attempts (%s)", index,
              flight->attempt, failure.reason.c_str());
  }
  {
    auto access = state.lock();
    if (access->flights.erase(flight) == 0) return;
    if (verdict.retry) {
      access->schedule.put_back(index, now + verdict.delay);
    } else {
      access->schedule.finish(index);
      // It may be the end of the job: nothing takes the slot before the observer knows.
      access->schedule.keep_until_told(index);
    }
    touch(access);
  }
  if (verdict.retry) return;
  observer.on_failed(flight->chunk->info, failure, flight->attempt);
  if (until_told) return;
  auto access = state.lock();
  access->schedule.told(index);
  touch(access);
}

std::vector<PendingChunk> Dispatcher::Private::take_all(bool for_good) {
  std::set<FlightPtr> flights;
  std::set<std::uint64_t> unmade;  // attempts that no worker has begun
  std::vector<PendingChunk> tasks;
  {
    auto access = state.lock();
    access->cancelled = access->cancelled || for_good;
    access->halted = false;
    flights.swap(access->flights);
    for (const FlightPtr& flight : access->orders) unmade.insert(flight->index());
    access->orders.clear();
    tasks = access->schedule.take_all();
    touch(access);
  }
  // Cancelling calls handlers, so no lock may be held.
  for (const FlightPtr& flight : flights) flight->cancellation.cancel();
  for (PendingChunk& task : tasks) {
    if (unmade.contains(task.chunk->info.index)) task.attempts--;
  }
  return tasks;
}

Dispatcher::Dispatcher(const Config& config, Transcriber& transcriber, DispatchObserver& observer,
                       const Clock& clock, const Log& log)
    : d_(std::make_unique<Private>(config, transcriber, observer, clock, log)) {}

Dispatcher::~Dispatcher() { d_->take_all(true); }

void Dispatcher::submit(Chunk chunk) {
  auto access = d_->state.lock();
  if (access->cancelled) return;
  access->schedule.add(std::move(chunk));
  d_->touch(access);
}

std::optional<ChunkInfo> Dispatcher::drop_oldest() {
  auto access = d_->state.lock();
  const std::optional<PendingChunk> task = access->schedule.take_oldest_waiting();
  if (!task) return std::nullopt;
  d_->touch(access);
  return task->chunk->info;
}

std::vector<PendingChunk> Dispatcher::flush() { return d_->take_all(false); }

std::vector<ChunkInfo> Dispatcher::cancel() {
  std::vector<ChunkInfo> infos;
  for (const PendingChunk& task : d_->take_all(true)) infos.push_back(task.chunk->info);
  return infos;
}

void Dispatcher::set_limits(const DispatchLimits& limits, const RateLimit& rate) {
  auto access = d_->state.lock();
  access->schedule.set_limits(limits);
  access->new_limits = true;
  access->new_rate = rate;
  d_->touch(access);
}

void Dispatcher::stored(const std::vector<std::uint64_t>& indices) {
  auto access = d_->state.lock();
  access->schedule.unstored().remove(indices);
  d_->touch(access);
}

void Dispatcher::wait_for_store(bool wait) {
  auto access = d_->state.lock();
  access->schedule.unstored().keep_slots(wait);
  d_->touch(access);
}

void Dispatcher::give_up_store() {
  auto access = d_->state.lock();
  access->schedule.unstored().give_up();
  d_->touch(access);
}

void Dispatcher::untold(std::uint64_t index) {
  if (d_->until_told) d_->state.lock()->schedule.keep_until_told(index);
}

void Dispatcher::told(std::uint64_t index) {
  if (!d_->until_told) return;
  auto access = d_->state.lock();
  access->schedule.told(index);
  d_->touch(access);
}

Dispatcher::Load Dispatcher::load() const {
  auto access = d_->state.lock();
  return {access->schedule.waiting(), access->schedule.in_flight()};
}

double Dispatcher::current_rate() const { return d_->limiter->current_rate(d_->clock.now()); }

void Dispatcher::wake() {
  auto access = d_->state.lock();
  d_->touch(access);
}

}  // namespace transcribe
