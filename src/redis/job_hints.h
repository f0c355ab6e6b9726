// The sorted sets in which all jobs meet: which are active, until when; who works. Hints only:
// what counts is the job's own keys, and errors here are passed over, but for a lost connection.
//
// One thread at a time, the link's.
#pragma once

#include <string>

#include "base/clock.h"
#include "redis/job_link.h"

namespace transcribe {

class JobHints {
 public:
  JobHints(std::string job_id, std::string worker, Milliseconds lease);

  // The job will be there.
  RedisResult<Success> announce(JobLink& link, const Cancellation& cancellation);
  // It is there and its owner lives.
  RedisResult<Success> refresh(JobLink& link, const Cancellation& cancellation);
  // The job needs no owner any more.
  RedisResult<Success> leave(JobLink& link, const Cancellation& cancellation);

 private:
  RedisResult<Success> tell(JobLink& link, bool works, const Cancellation& cancellation);

  const std::string job_id_;
  const std::string worker_;
  const Milliseconds lease_;
};

}  // namespace transcribe
