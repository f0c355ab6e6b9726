// What the outside learns of a job, in order.
#pragma once

#include <optional>
#include <string>

#include "job/job.h"
#include "transcript/writer.h"

namespace transcribe {

// The job's end as the observer learns it.
struct JobEnd {
  JobState state = JobState::kCompleted;
  JobReason reason = JobReason::kEndOfStream;
  Counters counters;
  std::string text;  // the joined transcript, up to 1 MiB
  bool text_truncated = false;
  std::optional<ChunkFailed> fatal;         // what ended the job (reason kError)
  std::optional<ChunkFailed> first_failed;  // the one with the lowest index
  std::string failed_chunks;                // "3, 7, 12, …" for messages
  // Of the transcript: the file, or a result of an earlier run that could not be read back.
  std::optional<WriteError> incomplete_file;
  std::string unstored;         // why the job store could not be told all of it; empty: it was
  bool must_be_stored = false;  // redis-policy=required
};

class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  // Created and started; the end is told by on_end() and on_stopped().
  virtual void on_state(const StateChanged& change, const Counters& counters) noexcept = 0;
  virtual void on_queued(const ChunkQueued& event, const Counters& counters) noexcept = 0;
  virtual void on_retry(const ChunkRetry& event) noexcept = 0;
  // In index order; `counters` as of now.
  virtual void on_released(const Released& released, const Counters& counters) noexcept = 0;
  // Once per outage of the transcript file.
  virtual void on_file_error(const WriteError& error) noexcept = 0;
  virtual void on_file_recovered() noexcept = 0;
  // The same for the job store (journal, Redis).
  virtual void on_store_error(const std::string& message) noexcept = 0;
  virtual void on_store_recovered() noexcept = 0;
  // Nothing is stored any more in this run.
  virtual void on_store_off(const std::string& message) noexcept = 0;
  // The job can't begin yet: another owner may still live.
  virtual void on_store_waiting(const std::string& message) noexcept = 0;
  // All is told; the end is being stored. Not for a job that is another owner's now.
  virtual void on_complete(const JobEnd& end) noexcept = 0;
  // The job's end. One of the two, once, the last call. on_stopped(): after cancel().
  virtual void on_end(const JobEnd& end) noexcept = 0;
  virtual void on_stopped(const Counters& counters) noexcept = 0;
};

}  // namespace transcribe
