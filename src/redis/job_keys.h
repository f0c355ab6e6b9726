// The names of a job's keys (docs/redis.md). Pure.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"

namespace transcribe {

struct JobKeys {
  JobKeys(const std::string& prefix, const std::string& job_id);

  // In the order of KEYS in scripts/job.lua.
  std::vector<std::string> all;
  std::string stream;
  std::string state;
  std::string meta;
  std::string progress;
  std::string error;
  std::string control;
  std::string chunks;
  std::string errors;  // records of failed chunks
};

// A worker without a sign of life for so long is taken out of SharedKeys::workers.
inline constexpr Milliseconds kForgetWorker{600 * 1000};

// Sorted sets that all jobs share; in a cluster they may lie on other nodes than the job.
struct SharedKeys {
  explicit SharedKeys(const std::string& prefix)
      : index(prefix + ":index:active"), workers(prefix + ":workers") {}

  std::string index;    // job by the end of its lease
  std::string workers;  // worker by its last sign of life
};

}  // namespace transcribe
