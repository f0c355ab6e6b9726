#include "redis/job_hints.h"

#include <vector>

namespace transcribe {
namespace {

// A day longer than any job that is not ended.
constexpr Milliseconds kKeepIndex{8 * 24 * 3600 * 1000};

}  // namespace

JobHints::JobHints(std::string job_id, std::string worker, Milliseconds lease)
    : job_id_(std::move(job_id)), worker_(std::move(worker)), lease_(lease) {}

RedisResult<Success> JobHints::tell(JobLink& link, bool works, const Cancellation& cancellation) {
  const auto now = link.time(cancellation);
  if (!now) return now.error();
  const auto lease = static_cast<std::uint64_t>(lease_.count());
  std::vector<Command> commands = {
      {"ZADD", link.shared().index, std::to_string(*now + lease), job_id_},
      {"PEXPIRE", link.shared().index, std::to_string(kKeepIndex.count())}};
  if (works) {
    commands.push_back({"ZADD", link.shared().workers, std::to_string(*now), worker_});
    commands.push_back({"PEXPIRE", link.shared().workers, std::to_string(kForgetWorker.count())});
  }
  const auto replies = link.commands(commands, cancellation);
  if (!replies) return replies.error();
  return Success{};
}

RedisResult<Success> JobHints::announce(JobLink& link, const Cancellation& cancellation) {
  return tell(link, false, cancellation);
}

RedisResult<Success> JobHints::refresh(JobLink& link, const Cancellation& cancellation) {
  return tell(link, true, cancellation);
}

RedisResult<Success> JobHints::leave(JobLink& link, const Cancellation& cancellation) {
  const auto replies = link.commands(
      {{"ZREM", link.shared().index, job_id_}, {"ZREM", link.shared().workers, worker_}},
      cancellation);
  if (!replies) return replies.error();
  return Success{};
}

}  // namespace transcribe
