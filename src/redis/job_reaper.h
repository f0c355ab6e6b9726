// Frees the jobs of dead owners, so that what they had begun shows as nobody's.
//
// It looks now and then at the jobs in the index and, page by page, at all other jobs of the
// server, for in a cluster the index may lie elsewhere. An owner counts as dead whose lease is over
// at two looks, the same lease, with nothing between them that kept owners from renewing it: after
// an outage all leases are over, and all owners live.
//
// One thread at a time, the link's.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "redis/job_link.h"
#include "redis/job_store.h"

namespace transcribe {

class JobReaper {
 public:
  // `job_id`: the caller's own, which is let be.
  JobReaper(std::string prefix, std::string job_id, ReaperTimes times);

  // Of the next look; at first at once.
  TimePoint due() const { return due_; }
  // Owners could not renew their leases. No look is due before resume(), and then after an
  // interval.
  void interrupt();
  void resume(TimePoint now);

  // To be called when the server is known to take writes at present. A few round trips, however
  // many jobs there are. Only a lost connection is an error.
  RedisResult<Success> look(JobLink& link, TimePoint now, const Cancellation& cancellation);

 private:
  struct Suspects {
    std::set<std::string> ids;
    std::set<std::string> indexed;  // those of them that are in the index
    std::vector<Command> mend;      // what the index and the workers are to be told
  };
  // The end of a job's lease, where an owner has it.
  struct Lease {
    enum class Kind { kNone, kOwned, kUnknown };
    Kind kind = Kind::kUnknown;
    std::uint64_t end = 0;
  };

  RedisResult<Suspects> find(JobLink& link, std::uint64_t now, const Cancellation& cancellation);
  void add_page(const Reply& page, Suspects& suspects);
  RedisResult<std::map<std::string, Lease>> leases(JobLink& link, const std::set<std::string>& ids,
                                                   const Cancellation& cancellation) const;
  RedisResult<Success> free(JobLink& link, const std::map<std::string, std::uint64_t>& dead,
                            Suspects& suspects, const Cancellation& cancellation);
  void schedule(TimePoint now);

  const std::string prefix_;
  const std::string job_id_;
  const ReaperTimes times_;
  TimePoint due_{};
  std::map<std::string, std::uint64_t> seen_;  // leases that were over at the last look
  std::string cursor_ = "0";                   // of the keys
  std::mt19937_64 random_;
};

}  // namespace transcribe
