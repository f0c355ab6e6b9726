// The sorted sets in which all jobs meet: which are active, until when; who works. Hints only:
// what counts is the job's own keys, and errors here are passed over, but for a lost connection.
// Frees the jobs of dead owners.
//
// One thread at a time, the link's.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "redis/job_link.h"

namespace transcribe {

class JobHints {
 public:
  JobHints(std::string prefix, std::string job_id, std::string worker, Milliseconds lease);

  // The job will be there.
  RedisResult<Success> announce(JobLink& link, const Cancellation& cancellation);
  // It is there and its owner lives.
  RedisResult<Success> refresh(JobLink& link, const Cancellation& cancellation);
  // The job needs no owner any more.
  RedisResult<Success> leave(JobLink& link, const Cancellation& cancellation);

  // Looks for jobs whose owners let their leases run out: in the index, and, for those that are not
  // in it, page by page through all keys of this server.
  RedisResult<Success> reap(JobLink& link, const Cancellation& cancellation);
  Nanoseconds next_reap();

 private:
  RedisResult<Success> tell(JobLink& link, bool works, const Cancellation& cancellation);

  std::vector<std::string> suspects(const Reply& index, const Reply& keys);

  const std::string prefix_;
  const std::string job_id_;
  const std::string worker_;
  const Milliseconds lease_;
  std::string cursor_ = "0";  // of the keys
  std::mt19937_64 random_;
};

}  // namespace transcribe
