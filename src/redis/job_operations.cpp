#include "redis/job_operations.h"

#include <algorithm>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

// The script's limit for reasons; a message is for people.
constexpr std::size_t kMaxReason = 1000;
constexpr std::size_t kMaxMessage = 4000;

// Valid UTF-8 of at most `limit` bytes.
std::string shorten(const std::string& text, std::size_t limit) {
  const CharPtr valid(
      g_utf8_make_valid(text.data(), static_cast<gssize>(std::min(text.size(), limit))));
  std::string result = valid.get();
  while (result.size() > limit) {
    const char* begin = result.c_str();
    result.resize(static_cast<std::size_t>(g_utf8_prev_char(begin + result.size()) - begin));
  }
  return result;
}

void explain(std::vector<std::string>& arguments, const ChunkFailed& error) {
  const Failure& failure = error.failure;
  const auto add = [&](const char* name, std::string value) {
    arguments.push_back(name);
    arguments.push_back(std::move(value));
  };
  const std::string& code = failure.error_code.empty() ? failure.reason : failure.error_code;
  add("code", shorten(code.empty() ? "error" : code, kMaxReason));
  add("message", shorten(failure.message, kMaxMessage));
  if (failure.http_status != 0) add("http_status", std::to_string(failure.http_status));
  if (error.chunk) add("chunk", std::to_string(error.chunk->index));
  add("retryable", failure.severity == Severity::kRetry ? "1" : "0");
}

}  // namespace

const char* to_string(JobOperation::Kind kind) {
  switch (kind) {
    case JobOperation::Kind::kBegin:
      return "begin";
    case JobOperation::Kind::kRetry:
      return "retry";
    case JobOperation::Kind::kDone:
      return "done";
    case JobOperation::Kind::kFail:
      return "fail";
    case JobOperation::Kind::kSkip:
      return "skip";
    case JobOperation::Kind::kProgress:
      return "progress";
    case JobOperation::Kind::kMove:
      return "move";
  }
  return "";
}

JobOperation begin_operation(std::uint64_t index, unsigned attempt) {
  JobOperation operation{JobOperation::Kind::kBegin, index};
  operation.arguments = {std::to_string(index), std::to_string(std::max(attempt, 1u))};
  return operation;
}

JobOperation retry_operation(const ChunkRetry& retry) {
  JobOperation operation{JobOperation::Kind::kRetry, retry.chunk->index};
  const auto delay = std::chrono::duration_cast<Milliseconds>(retry.delay).count();
  operation.arguments = {
      std::to_string(retry.chunk->index), std::to_string(std::max(retry.attempt, 1u)),
      std::to_string(std::max<std::int64_t>(delay, 0)), std::to_string(retry.failure.http_status),
      shorten(retry.failure.reason, kMaxReason)};
  return operation;
}

JobOperation settle_operation(const Outcome& outcome, const RecordSpool::Position& record) {
  JobOperation operation{JobOperation::Kind::kDone, chunk_of(outcome).index};
  if (std::holds_alternative<ChunkFailed>(outcome)) operation.kind = JobOperation::Kind::kFail;
  if (const auto* skipped = std::get_if<ChunkSkipped>(&outcome)) {
    operation.kind = JobOperation::Kind::kSkip;
    operation.arguments = {std::string(to_string(skipped->reason))};
  }
  operation.record = record;
  return operation;
}

JobOperation move_operation(const StateChanged& change) {
  JobOperation operation{JobOperation::Kind::kMove};
  operation.state = change.state;
  operation.arguments = {std::string(to_string(change.state)),
                         std::string(to_string(change.reason))};
  if (change.state == JobState::kProcessing && !change.source.empty())
    operation.arguments.insert(operation.arguments.end(), {"source", change.source});
  if (change.state != JobState::kFailed) return operation;
  if (change.error) {
    explain(operation.arguments, *change.error);
  } else if (change.reason == JobReason::kCancelled) {
    operation.arguments.insert(operation.arguments.end(),
                               {"code", "cancelled", "message", "A user ended the job."});
  }
  return operation;
}

JobOperation progress_operation(std::uint64_t total, std::uint64_t event) {
  JobOperation operation{JobOperation::Kind::kProgress};
  operation.arguments = {std::to_string(total), std::to_string(event)};
  return operation;
}

}  // namespace transcribe
