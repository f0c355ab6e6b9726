// The job's state as the fold of its events. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "job/event.h"

namespace transcribe {

struct Counters {
  std::uint64_t submitted = 0;  // chunks handed to the dispatcher (sent ones, not skipped silence)
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t skipped_silence = 0;
  std::uint64_t skipped_queue_full = 0;
  std::uint64_t skipped_flushed = 0;
  std::uint64_t resumed = 0;  // of the completed: taken from an earlier run
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
  std::uint64_t rate_limited = 0;  // retries after a 429
  std::uint64_t bytes_sent = 0;    // WAV bytes of all attempts
  Nanoseconds audio_submitted{0};
  Nanoseconds audio_settled{0};  // done, failed or skipped
  Nanoseconds audio_skipped{0};  // silence
  Nanoseconds total_latency{0};  // over the completed that were not resumed
  Nanoseconds max_latency{0};

  std::uint64_t skipped() const { return skipped_silence + skipped_queue_full + skipped_flushed; }
};

// QUEUED → PROCESSING → COMPLETED | FAILED; PROCESSING → QUEUED when stopped; QUEUED → FAILED.
bool is_legal(JobState from, JobState to);
inline bool is_terminal(JobState state) {
  return state == JobState::kCompleted || state == JobState::kFailed;
}

class Job {
 public:
  explicit Job(std::string id);

  // Illegal state changes are refused (false) and leave the job as it was. Legal is: QUEUED,
  // created, first and once; then what is_legal() says, from the state the job is in.
  bool apply(const Event& event);

  const std::string& id() const { return id_; }
  JobState state() const { return state_; }
  const Counters& counters() const { return counters_; }
  // Chunks handed over and not settled.
  std::uint64_t open() const { return open_.size(); }
  bool is_open(std::uint64_t index) const { return open_.contains(index); }

 private:
  bool change(const StateChanged& event);
  void count(const ChunkQueued& event);
  void count(const ChunkAttempt& event);
  void count(const ChunkRetry& event);
  void count(const ChunkDone& event);
  void count(const ChunkFailed& event);
  void count(const ChunkSkipped& event);
  void settle(const ChunkInfo& chunk);

  std::string id_;
  JobState state_ = JobState::kQueued;
  bool created_ = false;
  std::map<std::uint64_t, std::uint64_t> open_;  // index → bytes of the WAV
  Counters counters_;
};

}  // namespace transcribe
