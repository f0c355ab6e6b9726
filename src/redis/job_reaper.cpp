#include "redis/job_reaper.h"

#include <charconv>
#include <string_view>

namespace transcribe {
namespace {

constexpr const char* kIndexAtOnce = "100";
constexpr const char* kKeysAtOnce = "1000";

std::string score(std::uint64_t now, Milliseconds back) {
  const auto less = static_cast<std::uint64_t>(back.count());
  return std::to_string(now > less ? now - less : 0);
}

Command range_until(const std::string& key, const std::string& end) {
  return {"ZRANGEBYSCORE", key, "-inf", end, "LIMIT", "0", kIndexAtOnce};
}

std::string escape_glob(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// The server's state, not the job's: it may be asked again.
bool passes(const RedisError& error) {
  switch (error.fault) {
    case RedisFault::kMoved:
    case RedisFault::kRefused:
    case RedisFault::kOther:
      return false;
    default:
      return true;
  }
}

bool is_terminal(const std::string& state) { return state == "COMPLETED" || state == "FAILED"; }

}  // namespace

JobReaper::JobReaper(std::string prefix, std::string job_id, ReaperTimes times)
    : prefix_(std::move(prefix)),
      job_id_(std::move(job_id)),
      times_(times),
      random_(std::random_device{}()) {}

void JobReaper::interrupt() {
  seen_.clear();
  due_ = TimePoint::max();
}

void JobReaper::resume(TimePoint now) {
  if (due_ == TimePoint::max()) schedule(now);
}

void JobReaper::schedule(TimePoint now) {
  const std::int64_t most = times_.jitter.count();
  std::uniform_int_distribution<std::int64_t> jitter(-most, most);
  due_ = now + times_.interval + Milliseconds(jitter(random_));
}

void JobReaper::add_page(const Reply& page, Suspects& suspects) {
  if (page.elements.size() != 2) {
    cursor_ = "0";
    return;
  }
  cursor_ = page.elements[0].text;
  const std::size_t begin = prefix_.size() + std::string_view("{:jobs:").size();
  const std::size_t end = std::string_view("}:ctl").size();
  for (const Reply& key : page.elements[1].elements) {
    if (key.text.size() > begin + end)
      suspects.ids.insert(key.text.substr(begin, key.text.size() - begin - end));
  }
}

RedisResult<JobReaper::Suspects> JobReaper::find(JobLink& link, std::uint64_t now,
                                                 const Cancellation& cancellation) {
  const std::string control = "{" + escape_glob(prefix_) + ":jobs:*}:ctl";
  const auto lists = link.commands({range_until(link.shared().index, score(now, times_.grace)),
                                    range_until(link.shared().workers, score(now, kForgetWorker)),
                                    {"SCAN", cursor_, "MATCH", control, "COUNT", kKeysAtOnce}},
                                   cancellation);
  if (!lists) return lists.error();
  Suspects suspects;
  for (const Reply& member : (*lists)[0].elements) suspects.indexed.insert(member.text);
  suspects.indexed.erase(job_id_);
  suspects.ids = suspects.indexed;
  for (const auto& [id, end] : seen_) suspects.ids.insert(id);
  add_page((*lists)[2], suspects);
  suspects.ids.erase(job_id_);
  for (const Reply& member : (*lists)[1].elements)
    suspects.mend.push_back({"ZREM", link.shared().workers, member.text});
  return suspects;
}

RedisResult<std::map<std::string, JobReaper::Lease>> JobReaper::leases(
    JobLink& link, const std::set<std::string>& ids, const Cancellation& cancellation) const {
  std::vector<Command> commands;
  for (const std::string& id : ids) {
    const JobKeys keys(prefix_, id);
    commands.push_back({"HMGET", keys.control, "lease", "token"});
    commands.push_back({"GET", keys.state});
  }
  std::map<std::string, Lease> found;
  if (commands.empty()) return found;
  const auto replies = link.commands(commands, cancellation);
  if (!replies) return replies.error();
  auto reply = replies->begin();
  for (const std::string& id : ids) {
    const Reply& control = *reply++;
    const Reply& state = *reply++;
    Lease& lease = found[id];
    if (control.is_error()) {
      if (!passes(classify_error_reply(control.text))) lease.kind = Lease::Kind::kNone;
      continue;
    }
    lease.kind = Lease::Kind::kNone;
    if (control.elements.size() != 2 || control.elements[1].text.empty()) continue;
    const std::string& end = control.elements[0].text;
    const auto read = std::from_chars(end.data(), end.data() + end.size(), lease.end);
    if (read.ec == std::errc() && read.ptr == end.data() + end.size() && !is_terminal(state.text))
      lease.kind = Lease::Kind::kOwned;
  }
  return found;
}

RedisResult<Success> JobReaper::free(JobLink& link,
                                     const std::map<std::string, std::uint64_t>& dead,
                                     Suspects& suspects, const Cancellation& cancellation) {
  std::vector<std::pair<JobKeys, JobCall>> calls;
  for (const auto& [id, end] : dead)
    calls.push_back({JobKeys(prefix_, id), {"reap", {std::to_string(end)}}});
  if (calls.empty()) return Success{};
  const auto result = link.run_for(calls, cancellation);
  auto answer = result.answers.begin();
  for (const auto& [id, end] : dead) {
    if (answer == result.answers.end()) break;
    if (!*answer && passes(answer->error())) {
      // Whoever could not write this now could not renew a lease either.
      interrupt();
    } else if (!*answer || (*answer)->word != JobAnswer::Word::kAlive) {
      suspects.mend.push_back({"ZREM", link.shared().index, id});
    }
    ++answer;
  }
  if (result.lost && !link.is_open()) return *result.lost;
  return Success{};
}

RedisResult<Success> JobReaper::look(JobLink& link, TimePoint at,
                                     const Cancellation& cancellation) {
  schedule(at);
  const auto now = link.time(cancellation);
  if (!now) return link.is_open() ? RedisResult<Success>(Success{}) : now.error();
  auto suspects = find(link, *now, cancellation);
  if (!suspects) return suspects.error();
  const auto leases = this->leases(link, suspects->ids, cancellation);
  if (!leases) return leases.error();

  std::map<std::string, std::uint64_t> dead, over;
  for (const auto& [id, lease] : *leases) {
    const bool indexed = suspects->indexed.contains(id);
    if (lease.kind == Lease::Kind::kNone) {
      if (indexed) suspects->mend.push_back({"ZREM", link.shared().index, id});
    } else if (lease.kind == Lease::Kind::kOwned) {
      const auto before = seen_.find(id);
      if (lease.end + static_cast<std::uint64_t>(times_.grace.count()) >= *now) {
        // The entry was wrong, not the owner late.
        if (indexed)
          suspects->mend.push_back(
              {"ZADD", link.shared().index, "XX", std::to_string(lease.end), id});
      } else if (before != seen_.end() && before->second == lease.end) {
        dead[id] = lease.end;
      } else {
        over[id] = lease.end;
      }
    }
  }
  seen_ = std::move(over);
  if (auto freed = free(link, dead, *suspects, cancellation); !freed) return freed;
  if (suspects->mend.empty()) return Success{};
  const auto replies = link.commands(suspects->mend, cancellation);
  if (!replies) return replies.error();
  return Success{};
}

}  // namespace transcribe
