// What the job script answers (scripts/job.lua). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "redis/reply.h"

namespace transcribe {

struct JobAnswer {
  enum class Word {
    kOk,
    kDup,
    kResumed,
    kAlready,
    kTerminal,
    kReleased,
    kFenced,
    kStale,
    kPartial,
    kNoJob,
    kCompleted,
    kFailed,
    kMismatch,
    kLocked,
    kIllegal,
    kRequeued,
    kAlive,
    kIdle,
    kNoPermission,
    kWrongType,
    kBadArgument,
  };
  Word word = Word::kOk;
  std::vector<std::string> rest;  // behind the word

  // Empty and 0 where there is none.
  std::string text(std::size_t i) const { return i < rest.size() ? rest[i] : std::string(); }
  std::uint64_t number(std::size_t i) const;
  // "LOCKED a b", for logs.
  std::string str() const;
};

// An error reply, or anything that is no answer, becomes an error.
RedisResult<JobAnswer> parse_job_answer(const Reply& reply);

// Chunks that are settled on the server.
struct JobTally {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;
};

// OK, RESUMED and DUP of create.
struct Ownership {
  std::uint64_t epoch = 0;
  std::uint64_t attempt = 0;
  JobTally tally;
  std::uint64_t seq = 0;
  std::string previous;  // state
  bool resumed = false;
  std::uint64_t created_ms = 0;  // in meta; 0: not known
};
Ownership read_ownership(const JobAnswer& answer);

}  // namespace transcribe
