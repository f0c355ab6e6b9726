#include "redis/job_hints.h"

#include <string_view>
#include <vector>

namespace transcribe {
namespace {

constexpr Milliseconds kGrace{5000};  // an owner that is only slow
constexpr const char* kAtOnce = "20";
constexpr Milliseconds kReapInterval{15000};
constexpr Milliseconds kReapJitter{3000};
constexpr Milliseconds kForgetWorker{3600 * 1000};

std::string score(std::uint64_t now, Milliseconds back) {
  const auto less = static_cast<std::uint64_t>(back.count());
  return std::to_string(now > less ? now - less : 0);
}

Command range_until(const std::string& key, const std::string& end) {
  return {"ZRANGEBYSCORE", key, "-inf", end, "LIMIT", "0", kAtOnce};
}

constexpr const char* kKeysAtOnce = "1000";

std::string escape_glob(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// A job that is not to be watched any more.
bool is_over(const JobAnswer& answer) { return answer.word != JobAnswer::Word::kAlive; }

}  // namespace

JobHints::JobHints(std::string prefix, std::string job_id, std::string worker, Milliseconds lease)
    : prefix_(std::move(prefix)),
      job_id_(std::move(job_id)),
      worker_(std::move(worker)),
      lease_(lease),
      random_(std::random_device{}()) {}

RedisResult<Success> JobHints::tell(JobLink& link, bool works, const Cancellation& cancellation) {
  const auto now = link.time(cancellation);
  if (!now) return now.error();
  const auto lease = static_cast<std::uint64_t>(lease_.count());
  std::vector<Command> commands = {
      {"ZADD", link.shared().index, std::to_string(*now + lease), job_id_}};
  if (works) commands.push_back({"ZADD", link.shared().workers, std::to_string(*now), worker_});
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

std::vector<std::string> JobHints::suspects(const Reply& index, const Reply& keys) {
  std::vector<std::string> ids;
  for (const Reply& member : index.elements) ids.push_back(member.text);
  if (keys.elements.size() != 2) {
    cursor_ = "0";
    return ids;
  }
  cursor_ = keys.elements[0].text;
  const std::size_t begin = prefix_.size() + std::string_view("{:jobs:").size();
  const std::size_t end = std::string_view("}:ctl").size();
  for (const Reply& key : keys.elements[1].elements) {
    if (key.text.size() > begin + end)
      ids.push_back(key.text.substr(begin, key.text.size() - begin - end));
  }
  return ids;
}

RedisResult<Success> JobHints::reap(JobLink& link, const Cancellation& cancellation) {
  const auto now = link.time(cancellation);
  if (!now) return now.error();
  const std::string control = "{" + escape_glob(prefix_) + ":jobs:*}:ctl";
  const auto lists = link.commands({range_until(link.shared().index, score(*now, kGrace)),
                                    range_until(link.shared().workers, score(*now, kForgetWorker)),
                                    {"SCAN", cursor_, "MATCH", control, "COUNT", kKeysAtOnce}},
                                   cancellation);
  if (!lists) return lists.error();
  std::vector<Command> forget;
  for (const Reply& member : (*lists)[1].elements)
    forget.push_back({"ZREM", link.shared().workers, member.text});
  for (const std::string& id : suspects((*lists)[0], (*lists)[2])) {
    if (id == job_id_) continue;
    const auto answer = link.call_for(JobKeys(prefix_, id), {"reap"}, cancellation);
    if (!link.is_open()) return answer.error();
    if (answer && is_over(*answer)) forget.push_back({"ZREM", link.shared().index, id});
  }
  if (forget.empty()) return Success{};
  const auto replies = link.commands(forget, cancellation);
  if (!replies) return replies.error();
  return Success{};
}

Nanoseconds JobHints::next_reap() {
  std::uniform_int_distribution<std::int64_t> jitter(-kReapJitter.count(), kReapJitter.count());
  return kReapInterval + Milliseconds(jitter(random_));
}

}  // namespace transcribe
