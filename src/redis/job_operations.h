// Events of a job as operations of the job script. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "job/event.h"
#include "job/record_spool.h"

namespace transcribe {

struct JobOperation {
  enum class Kind { kBegin, kRetry, kDone, kFail, kSkip, kProgress, kMove };
  Kind kind = Kind::kBegin;
  std::uint64_t index = 0;               // of the chunk
  std::vector<std::string> arguments{};  // behind index and record
  RecordSpool::Position record{};        // of kDone, kFail and kSkip
  JobState state = JobState::kQueued;    // of kMove

  // What only tells how things go: may be lost in an outage.
  bool advisory() const {
    return kind == Kind::kBegin || (kind == Kind::kProgress && arguments[1] != "0");
  }
  bool settles() const { return kind == Kind::kDone || kind == Kind::kFail || kind == Kind::kSkip; }
  // After it this owner writes nothing any more.
  bool last() const { return kind == Kind::kMove && state != JobState::kProcessing; }
};

// Name in the script: "begin".
const char* to_string(JobOperation::Kind kind);

JobOperation begin_operation(std::uint64_t index, unsigned attempt);
JobOperation retry_operation(const ChunkRetry& retry);
JobOperation settle_operation(const Outcome& outcome, const RecordSpool::Position& record);
JobOperation move_operation(const StateChanged& change);
// `event`: number of the stream event; 0 for none.
JobOperation progress_operation(std::uint64_t total, std::uint64_t event);

}  // namespace transcribe
