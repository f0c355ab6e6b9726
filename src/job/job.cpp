#include "job/job.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace transcribe {

bool is_legal(JobState from, JobState to) {
  switch (from) {
    case JobState::kQueued:
      return to == JobState::kProcessing || to == JobState::kFailed;
    case JobState::kProcessing:
      return to != JobState::kProcessing;
    case JobState::kCompleted:
    case JobState::kFailed:
      return false;
  }
  return false;
}

Job::Job(std::string id) : id_(std::move(id)) {}

bool Job::apply(const Event& event) {
  return std::visit(
      [this](const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, StateChanged>) {
          return change(value);
        } else {
          count(value);
          return true;
        }
      },
      event);
}

bool Job::change(const StateChanged& event) {
  if (!created_) {
    created_ = event.state == JobState::kQueued && event.reason == JobReason::kCreated;
    return created_;
  }
  if (event.previous && *event.previous != state_) return false;
  if (!is_legal(state_, event.state)) return false;
  if (event.state == JobState::kQueued && event.reason != JobReason::kStopped) return false;
  state_ = event.state;
  return true;
}

void Job::count(const ChunkQueued& event) {
  ++counters_.submitted;
  counters_.audio_submitted += event.chunk->duration();
  open_[event.chunk->index] = event.bytes;
}

void Job::count(const ChunkAttempt& event) {
  ++counters_.requests;
  const auto chunk = open_.find(event.chunk->index);
  if (chunk != open_.end()) counters_.bytes_sent += chunk->second;
}

void Job::count(const ChunkRetry& event) {
  ++counters_.retries;
  if (event.failure.http_status == 429) ++counters_.rate_limited;
}

void Job::count(const ChunkDone& event) {
  ++counters_.completed;
  if (event.resumed) {
    // It was never queued in this run.
    if (!open_.contains(event.chunk->index)) {
      ++counters_.submitted;
      counters_.audio_submitted += event.chunk->duration();
    }
    ++counters_.resumed;
  } else {
    counters_.total_latency += event.latency;
    counters_.max_latency = std::max(counters_.max_latency, event.latency);
  }
  settle(*event.chunk);
}

void Job::count(const ChunkFailed& event) {
  ++counters_.failed;
  if (event.resumed && !open_.contains(event.chunk->index)) {
    ++counters_.submitted;
    counters_.audio_submitted += event.chunk->duration();
  }
  settle(*event.chunk);
}

void Job::count(const ChunkSkipped& event) {
  switch (event.reason) {
    case SkipReason::kSilence:
      ++counters_.skipped_silence;
      counters_.audio_skipped += event.chunk->duration();
      break;
    case SkipReason::kQueueFull:
      ++counters_.skipped_queue_full;
      break;
    case SkipReason::kFlushed:
      ++counters_.skipped_flushed;
      break;
  }
  settle(*event.chunk);
}

void Job::settle(const ChunkInfo& chunk) {
  counters_.audio_settled += chunk.duration();
  open_.erase(chunk.index);
}

}  // namespace transcribe
