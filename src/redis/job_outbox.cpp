#include "redis/job_outbox.h"

#include <algorithm>

#include "job/chunk_record.h"

namespace transcribe {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kBatchBytes = 1024 * 1024;
constexpr std::size_t kPagePairs = 200;  // the script's limit
constexpr Milliseconds kProgressInterval{500};
// Advisory events beyond this are not worth their memory while a server is away.
constexpr std::size_t kMaxRetries = 1000;

}  // namespace

void JobOutbox::count(const Settled& settled, bool add) {
  std::uint64_t& counter = settled.kind == JobOperation::Kind::kDone   ? stored_.done
                           : settled.kind == JobOperation::Kind::kFail ? stored_.failed
                                                                       : stored_.skipped;
  counter += add ? 1 : static_cast<std::uint64_t>(-1);
}

void JobOutbox::cut(std::uint64_t index) { total_ = std::max(total_, index + 1); }

void JobOutbox::know(std::uint64_t index, JobOperation::Kind kind, std::string_view record) {
  Settled& settled = settled_[index];
  if (settled.stored) count(settled, false);
  settled = {kind, spool_.append(record), true};
  count(settled, true);
}

void JobOutbox::join(std::uint64_t index, JobOperation::Kind kind, std::string_view record) {
  const auto settled = settled_.find(index);
  const bool ours = settled != settled_.end() && !settled->second.stored;
  if (kind == JobOperation::Kind::kDone || !ours) know(index, kind, record);
}

bool JobOutbox::knows(std::uint64_t index) const {
  const auto settled = settled_.find(index);
  return settled != settled_.end() && settled->second.stored;
}

bool JobOutbox::knows_done(std::uint64_t index) const {
  return knows(index) && settled_.at(index).kind == JobOperation::Kind::kDone;
}

Status JobOutbox::for_each_known(const std::function<bool(const std::string&)>& visit) const {
  std::string record;
  for (const auto& [index, settled] : settled_) {
    if (const Status read = spool_.read(settled.record, record); !read) return read;
    if (!visit(record)) break;
  }
  return Success{};
}

void JobOutbox::push(JobOperation operation) {
  queue_.push_back(std::move(operation));
  queued_++;
}

void JobOutbox::add(const Event& event, std::uint64_t epoch) {
  if (ends_) return;
  if (const auto* change = std::get_if<StateChanged>(&event)) {
    const bool created = !change->previous && change->reason == JobReason::kCreated;
    if (created || change->reason == JobReason::kTakenOver) return;
    JobOperation move = move_operation(*change);
    if (!change->source.empty()) source_ = change->source;
    ends_ = move.last();
    // The counters in the last event are final.
    if (ends_ && total_ > 0) push(progress_operation(total_, 0));
    if (ends_) progress_due_.reset();
    push(std::move(move));
  } else if (const auto* queued = std::get_if<ChunkQueued>(&event)) {
    cut(queued->chunk->index);
    if (!progress_due_) progress_due_ = progress_at_ + kProgressInterval;
  } else if (const auto* attempt = std::get_if<ChunkAttempt>(&event)) {
    in_flight_[attempt->chunk->index] = {attempt->attempt, false};
    reopen(attempt->chunk->index);
    push(begin_operation(attempt->chunk->index, attempt->attempt));
  } else if (const auto* retry = std::get_if<ChunkRetry>(&event)) {
    in_flight_[retry->chunk->index] = {retry->attempt, true};
    if (queue_.size() < kMaxRetries) push(retry_operation(*retry));
  } else if (const auto* done = std::get_if<ChunkDone>(&event)) {
    add_outcome(*done, epoch);
  } else if (const auto* failed = std::get_if<ChunkFailed>(&event)) {
    add_outcome(*failed, epoch);
  } else if (const auto* skipped = std::get_if<ChunkSkipped>(&event)) {
    add_outcome(*skipped, epoch);
  }
}

void JobOutbox::add_outcome(const Outcome& outcome, std::uint64_t epoch) {
  const ChunkInfo& chunk = chunk_of(outcome);
  cut(chunk.index);
  in_flight_.erase(chunk.index);
  if (knows_done(chunk.index) || (is_resumed(outcome) && knows(chunk.index))) {
    newly_stored_.push_back(chunk.index);
    return;
  }
  const auto position = spool_.append(to_record(outcome, chunk.sha256, epoch));
  JobOperation operation = settle_operation(outcome, position);
  Settled& settled = settled_[chunk.index];
  if (settled.stored) count(settled, false);
  settled = {operation.kind, position, false};
  push(std::move(operation));
}

// An earlier run's failed or dropped chunk that is sent again.
void JobOutbox::reopen(std::uint64_t index) {
  const auto settled = settled_.find(index);
  if (settled == settled_.end() || !settled->second.stored || knows_done(index)) return;
  count(settled->second, false);
  settled_.erase(settled);
}

void JobOutbox::release() {
  StateChanged change{JobState::kQueued, std::nullopt, JobReason::kStopped};
  add(change, 0);
}

Result<std::vector<JobCall>> JobOutbox::next(TimePoint now) {
  if (progress_due_ && *progress_due_ <= now && !ends_) {
    progress_due_.reset();
    progress_at_ = now;
    if (total_ != told_total_) push(progress_operation(total_, ++told_));
    told_total_ = total_;
  }
  std::vector<JobCall> calls;
  std::size_t bytes = 0;
  for (const JobOperation& operation : queue_) {
    if (calls.size() == kBatch || bytes > kBatchBytes) break;
    if (operation.last() && !calls.empty()) break;
    JobCall call{to_string(operation.kind)};
    if (operation.settles()) {
      std::string record;
      if (const Status read = spool_.read(operation.record, record); !read) return read.error();
      bytes += record.size();
      call.arguments = {std::to_string(operation.index), std::move(record)};
    }
    call.arguments.insert(call.arguments.end(), operation.arguments.begin(),
                          operation.arguments.end());
    calls.push_back(std::move(call));
  }
  return calls;
}

void JobOutbox::settle(const std::vector<bool>& carried_out) {
  std::deque<JobOperation> left;
  for (std::size_t i = 0; i < carried_out.size(); i++) {
    JobOperation operation = std::move(queue_.front());
    queue_.pop_front();
    if (carried_out[i]) {
      acknowledge(operation);
    } else {
      left.push_back(std::move(operation));
    }
  }
  while (!left.empty()) {
    queue_.push_front(std::move(left.back()));
    left.pop_back();
  }
}

void JobOutbox::acknowledge(const JobOperation& operation) {
  if (operation.kind == JobOperation::Kind::kMove) state_ = operation.state;
  if (!operation.settles()) return;
  newly_stored_.push_back(operation.index);
  Settled& settled = settled_[operation.index];
  if (settled.stored || settled.record.offset != operation.record.offset) return;
  settled.stored = true;
  count(settled, true);
}

bool JobOutbox::ends_in(const std::string& state) const {
  return !queue_.empty() && queue_.back().last() && to_string(queue_.back().state) == state;
}

void JobOutbox::drop_advisory() {
  const auto dropped =
      std::erase_if(queue_, [](const JobOperation& operation) { return operation.advisory(); });
  queued_ -= dropped;
  told_total_ = 0;
  if (!ends_ && !progress_due_) progress_due_ = progress_at_ + kProgressInterval;
}

std::string JobOutbox::missing() const {
  std::size_t chunks = 0;
  std::string state;
  for (const JobOperation& operation : queue_) {
    if (operation.settles()) chunks++;
    if (operation.kind == JobOperation::Kind::kMove) state = operation.arguments[0];
  }
  std::string text;
  if (chunks > 0) text = chunks == 1 ? "one chunk" : std::to_string(chunks) + " chunks";
  if (!state.empty()) text += (text.empty() ? "the state " : " and the state ") + state;
  return text;
}

Result<JobCall> JobOutbox::page(std::uint64_t& from) const {
  JobCall call{"put"};
  std::size_t bytes = 0;
  auto settled = settled_.lower_bound(from);
  for (; settled != settled_.end(); ++settled) {
    if (call.arguments.size() == 2 * kPagePairs || bytes > kBatchBytes) break;
    if (!settled->second.stored) continue;
    std::string record;
    if (const Status read = spool_.read(settled->second.record, record); !read) return read.error();
    bytes += record.size();
    call.arguments.push_back(std::to_string(settled->first));
    call.arguments.push_back(std::move(record));
  }
  from = settled == settled_.end() ? UINT64_MAX : settled->first;
  return call;
}

void JobOutbox::start_again() {
  const StateChanged start{JobState::kProcessing, std::nullopt, JobReason::kStart, nullptr,
                           source_};
  state_ = JobState::kQueued;
  queue_.push_front(move_operation(start));
  queued_++;
}

void JobOutbox::tell_again() {
  if (ends_) return;
  std::deque<JobOperation> marks;
  for (const auto& [index, chunk] : in_flight_) {
    const unsigned attempt = chunk.waiting && chunk.attempt > 1 ? chunk.attempt - 1 : chunk.attempt;
    marks.push_back(begin_operation(index, attempt));
  }
  marks.push_back(progress_operation(total_, ++told_));
  told_total_ = total_;
  queued_ += marks.size();
  // First: what has happened since then follows it.
  queue_.insert(queue_.begin(), marks.begin(), marks.end());
}

}  // namespace transcribe
