#include "dispatch/schedule.h"

#include <algorithm>
#include <utility>

namespace transcribe {

namespace {

std::string seconds(Nanoseconds time) {
  CharPtr text(g_strdup_printf("%.3g s", std::chrono::duration<double>(time).count()));
  return text.get();
}

// Keeps what the last answer told: it is the reason behind the reason.
Failure out_of_time(Failure last, Milliseconds budget) {
  const std::string before = last.message.empty() ? "" : " Last failure: " + last.message;
  last.severity = Severity::kChunk;
  last.cause = Cause::kTimeBudget;
  last.reason = "chunk-timeout";
  last.message = "The chunk was not transcribed within chunk-timeout (" + seconds(budget) +
                 "). Raise it, or max-parallel and requests-per-second if chunks had to wait." +
                 before;
  return last;
}

Failure too_long_a_delay(Failure last, Milliseconds allowed) {
  const std::string before = last.message.empty() ? "" : " " + last.message;
  last.severity = Severity::kJob;
  last.cause = Cause::kBusy;
  last.reason = "server-delay";
  last.message = "The service asks to wait " + seconds(last.server_delay.value_or(Nanoseconds(0))) +
                 ", longer than max-server-delay (" + seconds(allowed) +
                 "). Try again later or raise max-server-delay." + before;
  return last;
}

}  // namespace

Schedule::Schedule(const DispatchLimits& limits, std::uint64_t seed,
                   const std::optional<StoreWait>& store)
    : limits_(limits),
      backoff_(limits.retry_delay, limits.max_retry_delay, seed),
      unstored_(store) {}

void Schedule::set_limits(const DispatchLimits& limits) {
  limits_ = limits;
  backoff_.configure(limits.retry_delay, limits.max_retry_delay);
}

void Schedule::add(Chunk chunk) {
  const std::uint64_t index = chunk.info.index;
  waiting_[index].chunk = std::make_shared<const Chunk>(std::move(chunk));
}

bool Schedule::slot_free() const {
  const std::size_t kept = std::max(unstored_.slots(), untold_.size());
  return flying_.size() + kept < std::max(limits_.max_parallel, 1u);
}

std::optional<TimePoint> Schedule::budget_end(const PendingChunk& task) const {
  if (limits_.chunk_timeout.count() <= 0) return std::nullopt;
  return task.chunk->cut_at + limits_.chunk_timeout;
}

Schedule::Chunks::const_iterator Schedule::find_ready(TimePoint now) const {
  if (!slot_free()) return waiting_.end();
  return std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& entry) {
    const auto end = budget_end(entry.second);
    return entry.second.due <= now && (!end || now < *end);
  });
}

bool Schedule::ready(TimePoint now) const { return find_ready(now) != waiting_.end(); }

const PendingChunk& Schedule::start(TimePoint now) {
  const auto place = flying_.insert(waiting_.extract(find_ready(now))).position;
  place->second.attempts++;
  place->second.started = now;
  return place->second;
}

Milliseconds Schedule::attempt_timeout(std::uint64_t index, TimePoint now) const {
  const auto end = budget_end(flying_.at(index));
  if (!end) return limits_.request_timeout;
  const auto left = std::chrono::ceil<Milliseconds>(*end - now);
  return std::max(std::min(left, limits_.request_timeout), Milliseconds(1));
}

std::optional<TimePoint> Schedule::next_event(TimePoint now) const {
  std::optional<TimePoint> next;
  const auto consider = [&](TimePoint time) {
    if (time > now && (!next || time < *next)) next = time;
  };
  const bool wants_due = slot_free() && !ready(now);
  for (const auto& [index, task] : waiting_) {
    if (wants_due) consider(task.due);
    if (const auto end = budget_end(task)) consider(*end);
  }
  if (const auto end = unstored_.next_event(); end && !waiting_.empty()) consider(*end);
  return next;
}

std::vector<PendingChunk> Schedule::take_expired(TimePoint now) {
  std::vector<PendingChunk> expired;
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    const auto end = budget_end(entry->second);
    if (!end || now < *end) {
      ++entry;
      continue;
    }
    PendingChunk& task = entry->second;
    task.last_failure =
        out_of_time(std::move(task.last_failure).value_or(Failure()), limits_.chunk_timeout);
    expired.push_back(std::move(task));
    entry = waiting_.erase(entry);
  }
  return expired;
}

Schedule::Verdict Schedule::judge(std::uint64_t index, Failure& failure, TimePoint now) {
  if (failure.severity != Severity::kRetry) return {};
  PendingChunk& task = flying_.at(index);
  if (failure.server_delay && *failure.server_delay > limits_.max_server_delay) {
    failure = too_long_a_delay(std::move(failure), limits_.max_server_delay);
    return {};
  }

  Verdict verdict;
  verdict.attempt = task.attempts + 1;
  const bool hurry = failure.retry_at_once && !task.hurried;
  // A delay of 0 is no wish to be asked again in a tight loop.
  if (failure.server_delay && failure.server_delay->count() > 0) {
    verdict.delay = *failure.server_delay;
  } else if (!hurry) {
    verdict.delay = backoff_.delay(task.attempts);
  }

  const auto end = budget_end(task);
  if (end && now >= *end) {
    failure = out_of_time(std::move(failure), limits_.chunk_timeout);
  } else if (limits_.retries >= 0 && task.attempts > static_cast<unsigned>(limits_.retries)) {
    failure.severity = Severity::kChunk;
  } else if (end && *end - now <= verdict.delay) {
    failure = out_of_time(std::move(failure), limits_.chunk_timeout);
  } else {
    verdict.retry = true;
    task.hurried = task.hurried || hurry;
    task.last_failure = failure;
  }
  return verdict;
}

void Schedule::put_back(std::uint64_t index, TimePoint due) {
  waiting_.insert(flying_.extract(index)).position->second.due = due;
}

PendingChunk Schedule::finish(std::uint64_t index) {
  return std::move(flying_.extract(index).mapped());
}

void Schedule::finish_unstored(std::uint64_t index, TimePoint now) {
  finish(index);
  unstored_.add(index, now);
}

std::vector<PendingChunk> Schedule::take_all() {
  flying_.merge(waiting_);
  waiting_.clear();
  std::vector<PendingChunk> all;
  all.reserve(flying_.size());
  for (auto& [index, task] : flying_) all.push_back(std::move(task));
  flying_.clear();
  return all;
}

std::optional<PendingChunk> Schedule::take_oldest_waiting() {
  if (waiting_.empty()) return std::nullopt;
  return std::move(waiting_.extract(waiting_.begin()).mapped());
}

}  // namespace transcribe
