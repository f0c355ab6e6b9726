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
#include "dispatch/unstored_chunks.h"
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
  std::shared_ptr<const Chunk> chunk;  // workers keep it alive past a flush
  unsigned attempts = 0;               // started
  TimePoint due{};                     // not before (retry); the epoch when new
  TimePoint started{};                 // of the attempt in flight
  bool hurried = false;                // has had its retry without a delay
  std::optional<Failure> last_failure;
};

// The answer in doubt that counts when the chunk is not sent again; null: none.
inline std::shared_ptr<const Transcription> doubtful_answer(const PendingChunk& task) {
  return task.last_failure ? task.last_failure->answer : nullptr;
}

class Schedule {
 public:
  Schedule(const DispatchLimits& limits, std::uint64_t seed,
           const std::optional<StoreWait>& store = std::nullopt);
  // Due times that were given stay; everything else applies at once.
  void set_limits(const DispatchLimits& limits);
  const DispatchLimits& limits() const { return limits_; }

  void add(Chunk chunk);

  // A slot is free, and a chunk that is due and within its budget waits.
  bool ready(TimePoint now) const;
  // Takes the one with the lowest index: it is in flight from now on. Call only when ready().
  const PendingChunk& start(TimePoint now);
  // How long the attempt in flight may take: request_timeout, shortened to what is left of
  // chunk_timeout, never 0.
  Milliseconds attempt_timeout(std::uint64_t index, TimePoint now) const;

  // When, after `now`, ready() or take_expired() first changes by itself. Absent: never.
  std::optional<TimePoint> next_event(TimePoint now) const;
  // Waiting chunks whose chunk_timeout is over, in index order; they are out of the schedule.
  // Their last_failure says so.
  std::vector<PendingChunk> take_expired(TimePoint now);

  // What a failed attempt means for its chunk, which stays in flight until put_back() or finish().
  struct Verdict {
    bool retry = false;    // false: `failure` now says kChunk or kJob, and why
    Nanoseconds delay{0};  // what a server that is asked again wants, or ours
    unsigned attempt = 0;  // number of the attempt that follows
  };
  // No retry when the failure is not transient, the server's delay is longer than
  // max_server_delay, the retries are used up or the retry would start after chunk_timeout.
  Verdict judge(std::uint64_t index, Failure& failure, TimePoint now);
  // Lets the chunk in flight wait until `due` for its next attempt.
  void put_back(std::uint64_t index, TimePoint due);
  // Removes and returns a chunk in flight that is settled.
  PendingChunk finish(std::uint64_t index);
  // The same for one whose result is to be stored: its slot is free when that is done.
  void finish_unstored(std::uint64_t index, TimePoint now);
  UnstoredChunks& unstored() { return unstored_; }
  // Keeps a slot, too, until told(): what follows needs to know of it.
  void keep_until_told(std::uint64_t index) { untold_.insert(index); }
  void told(std::uint64_t index) { untold_.erase(index); }

  // Everything leaves the schedule, in index order, but for what waits for the store.
  std::vector<PendingChunk> take_all();
  // The waiting chunk with the lowest index, one that waits for a retry too (leaky).
  std::optional<PendingChunk> take_oldest_waiting();

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t in_flight() const { return flying_.size(); }

 private:
  using Chunks = std::map<std::uint64_t, PendingChunk>;

  bool slot_free() const;
  Chunks::const_iterator find_ready(TimePoint now) const;
  std::optional<TimePoint> budget_end(const PendingChunk& task) const;

  DispatchLimits limits_;
  Backoff backoff_;
  Chunks waiting_;
  Chunks flying_;
  UnstoredChunks unstored_;
  std::set<std::uint64_t> untold_;
};

}  // namespace transcribe
