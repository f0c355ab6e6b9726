// What a run asks of the job script to become the owner of its job. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "job/persistent_store.h"
#include "redis/job_answers.h"
#include "redis/job_store.h"

namespace transcribe {

// Arguments of the script, the operation first; JobLink adds keys, epoch and token.
struct JobCall {
  std::string operation;
  std::vector<std::string> arguments{};
};

struct JobRequest {
  JobIdentity identity;
  ResumePolicy policy = ResumePolicy::kAuto;
  std::string owner;
  std::uint64_t stream_max_length = 10000;
  Milliseconds retention{0};
  Milliseconds lease{0};
  std::string consumer_group;

  // `takeover`: the owner that is known to be dead; empty: none.
  JobCall create(const std::string& takeover) const;
  // `meta`: what the job was created with, by this run or an earlier one.
  JobCall restore(const Ownership& ownership, JobState state, std::uint64_t total,
                  const std::map<std::string, std::string>& meta) const;

 private:
  std::vector<std::string> settings() const;
};

// Why the job can't be had, as create answered; absent when it can, or may be later (LOCKED).
std::optional<StoreRefusal> refusal_of(const JobAnswer& answer, const std::string& job_id);

// An owner's claim, as LOCKED tells it.
struct LeaseSeen {
  std::string owner;
  Milliseconds left{0};
  std::uint64_t end_ms = 0;  // on the server's clock
};
LeaseSeen read_lease(const JobAnswer& answer);
// The job is alive: somebody has renewed the claim, or has another one.
inline bool is_renewed(const LeaseSeen& before, const LeaseSeen& now) {
  return now.owner != before.owner || now.end_ms > before.end_ms;
}
StoreRefusal busy(const std::string& job_id, const LeaseSeen& lease);

std::optional<JobState> job_state_named(const std::string& name);

}  // namespace transcribe
