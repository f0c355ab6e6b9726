// Sends chunks through a Transcriber: in order, in parallel, within the rate, with retries.
//
// One scheduler thread decides what starts when (schedule.h, rate_limiter.h); workers of a pool
// carry out attempts. Nobody sleeps in a worker, and every wait ends at once on cancel.
//
// Threads: submit(), flush(), cancel(), set_limits(): any. The observer is called on the scheduler
// and worker threads, several at once, never with a lock of the dispatcher held; it may call
// everything here but the destructor. The destructor cancels, and returns when the last observer
// call has returned.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "dispatch/rate_limiter.h"
#include "dispatch/schedule.h"
#include "openai/transcriber.h"

namespace transcribe {

class DispatchObserver {
 public:
  virtual ~DispatchObserver() = default;
  // An attempt begins; `attempt` counts from 1.
  virtual void on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept = 0;
  // Returns before the next attempt of this chunk begins.
  virtual void on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                        const Failure& failure) noexcept = 0;
  virtual void on_done(const ChunkInfo& chunk, Transcription&& transcription, unsigned attempts,
                       Nanoseconds latency) noexcept = 0;
  // No further attempt, and no answer in doubt; `failure` is of severity kChunk or kJob. One of
  // severity kJob concerns all chunks: the observer cancels, and nothing is started until it has
  // (or has flushed).
  virtual void on_failed(const ChunkInfo& chunk, const Failure& failure,
                         unsigned attempts) noexcept = 0;
};

class Dispatcher {
 public:
  using JoinGroup = std::function<std::unique_ptr<RateLimiter>(
      const std::string& group, TimePoint now, const RateLimit& limit, RateLimiter::Wake wake)>;

  struct Config {
    DispatchLimits limits;
    RateLimit rate;
    std::string rate_limit_group;
    JoinGroup join_group = join_rate_limit_group;
    std::optional<StoreWait> store;  // where results are stored: stored() tells of each
    bool until_told = false;         // a chunk that is done keeps its slot until told()
    std::uint64_t seed = 0;          // of the jitter; 0: a random one
  };
  struct Load {
    std::size_t waiting = 0;
    std::size_t in_flight = 0;
  };

  // Everything passed by reference outlives the dispatcher.
  Dispatcher(const Config& config, Transcriber& transcriber, DispatchObserver& observer,
             const Clock& clock, const Log& log);
  ~Dispatcher();

  // Never blocks. Ignored after cancel().
  void submit(Chunk chunk);
  // Takes the oldest chunk that is not in flight out of the queue (leaky=downstream).
  std::optional<ChunkInfo> drop_oldest();
  // Cancels what is in flight and forgets what waits; returns those chunks in index order, with
  // the attempts that were made and the last failure, at once. They are never reported done or
  // failed afterwards; an on_attempt() or on_retry() that was on its way on another thread may
  // still arrive. Usable again (flush).
  std::vector<PendingChunk> flush();
  // As flush(), for good.
  std::vector<ChunkInfo> cancel();
  void set_limits(const DispatchLimits& limits, const RateLimit& rate);
  // With Config::store a chunk that is done keeps its slot until its result is stored, ...
  void stored(const std::vector<std::uint64_t>& indices);
  // ... but not while the store is away (false), until it says that it is back (true), ...
  void wait_for_store(bool wait);
  // ... nor, after a result that could not be stored, until all are.
  void give_up_store();
  // With Config::until_told: so does what is settled without a request, from here on, ...
  void untold(std::uint64_t index);
  // ... and is free now that the chunks that follow can build on it.
  void told(std::uint64_t index);
  Load load() const;
  // Requests per second in force in the group; 0: no limit.
  double current_rate() const;
  // Looks at the clock again: for a clock that can jump.
  void wake();

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
