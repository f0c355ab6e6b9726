// What is to be sent next, and when: the queue, the retry times and the budgets of all chunks.
// Pure bookkeeping, time passed in, so that every rule is tested without a thread or a sleep.
// Not thread-safe: the dispatcher guards it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "audio/chunk.h"
#include "dispatch/backoff.h"
#include "openai/failure.h"

namespace transcribe {

// Limits of the dispatch; all may change while running.
struct DispatchLimits {
  unsigned max_parallel = 8;
  int retries = 5;  // further attempts per chunk; -1: only chunk_timeout bounds them
  Milliseconds retry_delay{500};
  Milliseconds max_retry_delay{30000};
  Milliseconds max_server_delay{120000};
  Milliseconds request_timeout{300000};
  Milliseconds chunk_timeout{0};  // from the cut to the end, waits included; 0: none
};

// A chunk on its way.
struct PendingChunk {
  Chunk chunk;
  unsigned attempts = 0;  // started
  TimePoint due{};        // not before (retry); the epoch when new
  TimePoint started{};    // of the attempt in flight
  std::optional<Failure> last_failure;
};

class Schedule {
 public:
  Schedule(const DispatchLimits& limits, std::uint64_t seed);
  void set_limits(const DispatchLimits& limits);
  const DispatchLimits& limits() const { return limits_; }

  void add(Chunk chunk);

  // The next chunk that may be started at `now` (lowest index among those due), if a slot is free.
  bool ready(TimePoint now) const;
  // Takes it: it is in flight from now on. Call only when ready().
  PendingChunk& start(TimePoint now);
  // How long this attempt may take: request_timeout, shortened to what is left of chunk_timeout.
  Milliseconds attempt_timeout(const PendingChunk& task, TimePoint now) const;

  // When something changes by itself: the next due time while a slot is free, or the next chunk
  // whose budget ends. Absent: nothing to wait for.
  std::optional<TimePoint> next_event(TimePoint now) const;
  // Waiting chunks whose chunk_timeout is over; they are out of the schedule.
  std::vector<PendingChunk> take_expired(TimePoint now);

  // The attempt in flight is over. What a failure means for the chunk:
  struct Retry {
    Nanoseconds delay{0};
    unsigned attempt = 0;  // number of the attempt that will follow
  };
  // Removes and returns a chunk that is settled.
  PendingChunk finish(std::uint64_t index);
  // Reschedules after a failure. Absent: no further attempt (not transient, budget used up, or the
  // server's delay is too long); `failure` then tells why and the chunk awaits finish().
  std::optional<Retry> retry(std::uint64_t index, Failure& failure, TimePoint now);

  // Everything that waits (and, unless `waiting_only`, is in flight) leaves the schedule.
  std::vector<PendingChunk> take_all(bool waiting_only = false);
  // The waiting chunk with the lowest or highest index that has not been tried yet (leaky).
  std::optional<PendingChunk> take_oldest_waiting();

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t in_flight() const { return flying_.size(); }
  bool empty() const { return waiting_.empty() && flying_.empty(); }

 private:
  DispatchLimits limits_;
  Backoff backoff_;
  std::map<std::uint64_t, PendingChunk> waiting_;
  std::map<std::uint64_t, PendingChunk> flying_;
};

}  // namespace transcribe
