#include "redis/job_request.h"

#include <algorithm>

#include "redis/job_owner.h"

namespace transcribe {
namespace {

// An active job lives on without a sign of life for this long.
constexpr Milliseconds kActiveTtl{7 * 24 * 3600 * 1000};
// Owners in a row that die without storing a chunk.
constexpr int kMaxAttempts = 3;

const char* mode(ResumePolicy policy) {
  switch (policy) {
    case ResumePolicy::kAuto:
      return "auto";
    case ResumePolicy::kRetryFailed:
      return "retry-failed";
    case ResumePolicy::kRestart:
      return "restart";
  }
  return "auto";
}

void append(const std::map<std::string, std::string>& meta, std::vector<std::string>& arguments) {
  for (const auto& [name, value] : meta) {
    arguments.push_back(name);
    arguments.push_back(value);
  }
}

std::string seconds(Milliseconds time) {
  return std::to_string((time.count() + 999) / 1000) + " s";
}

}  // namespace

std::vector<std::string> JobRequest::settings() const {
  return {owner,
          std::to_string(std::max(lease, Milliseconds(1)).count()),
          identity.fingerprint,
          std::to_string(std::max<std::uint64_t>(stream_max_length, 1)),
          std::to_string(std::max(kActiveTtl, 2 * lease).count()),
          std::to_string(std::max(retention, Milliseconds(1)).count()),
          std::to_string(kMaxAttempts),
          consumer_group};
}

JobCall JobRequest::create(const std::string& takeover) const {
  JobCall call{"create", settings()};
  call.arguments.push_back(mode(policy));
  call.arguments.push_back(takeover);
  append(identity.meta, call.arguments);
  return call;
}

JobCall JobRequest::restore(const Ownership& ownership, JobState state, std::uint64_t total,
                            const std::map<std::string, std::string>& meta) const {
  JobCall call{"restore", settings()};
  call.arguments.push_back(std::to_string(ownership.attempt));
  call.arguments.push_back(std::string(to_string(state)));
  call.arguments.push_back(std::to_string(ownership.seq));
  call.arguments.push_back(std::to_string(total));
  append(meta, call.arguments);
  if (ownership.created_ms != 0) {
    call.arguments.push_back("created_ms");
    call.arguments.push_back(std::to_string(ownership.created_ms));
  }
  return call;
}

std::optional<StoreRefusal> refusal_of(const JobAnswer& answer, const std::string& job_id) {
  const std::string job = "Job \"" + job_id + "\" in Redis ";
  const auto settings = [&](const std::string& text) {
    return StoreRefusal{StoreRefusal::Kind::kSettings, job + text};
  };
  switch (answer.word) {
    case JobAnswer::Word::kOk:
    case JobAnswer::Word::kResumed:
    case JobAnswer::Word::kDup:
    case JobAnswer::Word::kCompleted:
    case JobAnswer::Word::kLocked:
      return std::nullopt;
    case JobAnswer::Word::kFailed:
      return settings("ended with " + answer.text(0) +
                      " failed chunks; send them again with resume=retry-failed, or start anew "
                      "with resume=restart");
    case JobAnswer::Word::kMismatch:
      return settings(
          "was begun with other settings; use the same ones, another job-id, or resume=restart");
    case JobAnswer::Word::kPartial:
      return settings("is damaged: its key \"" + answer.text(0) +
                      "\" was lost (evicted or deleted); use another job-id, or start anew with "
                      "resume=restart");
    default:
      return StoreRefusal{StoreRefusal::Kind::kUnavailable,
                          job + "can't be created: the script answered " + answer.str()};
  }
}

LeaseSeen read_lease(const JobAnswer& answer) {
  return {answer.text(0), Milliseconds(answer.number(1)), answer.number(2)};
}

StoreRefusal busy(const std::string& job_id, const LeaseSeen& lease) {
  return {StoreRefusal::Kind::kBusy,
          "Job \"" + job_id + "\" is in work by " + describe_owner(lease.owner) +
              ", which has it for another " + seconds(lease.left) +
              " and renews that; wait for its end, stop it, or use another job-id"};
}

std::optional<JobState> job_state_named(const std::string& name) {
  for (const JobState state :
       {JobState::kQueued, JobState::kProcessing, JobState::kCompleted, JobState::kFailed}) {
    if (to_string(state) == name) return state;
  }
  return std::nullopt;
}

}  // namespace transcribe
