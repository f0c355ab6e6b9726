#include "redis/late_join.h"

#include <algorithm>

namespace transcribe {

void LateJoin::add(const Event& event) {
  if (const auto* change = std::get_if<StateChanged>(&event)) {
    whole_ = whole_ || change->reason == JobReason::kEndOfStream ||
             change->reason == JobReason::kChunksFailed;
  } else if (const auto* queued = std::get_if<ChunkQueued>(&event)) {
    see(*queued->chunk, false);
  } else if (const auto* done = std::get_if<ChunkDone>(&event)) {
    see(*done->chunk, false);
  } else if (const auto* skipped = std::get_if<ChunkSkipped>(&event)) {
    see(*skipped->chunk, true);
  }
}

void LateJoin::see(const ChunkInfo& chunk, bool dropped) {
  run_[chunk.index] = {chunk.core, chunk.sha256, dropped};
  compare(chunk.index);
}

void LateJoin::begin() {
  job_.clear();
  differs_.reset();
}

void LateJoin::expect(const StoredChunk& stored) {
  const ChunkInfo& chunk = chunk_of(stored.outcome);
  job_[chunk.index] = {chunk.core, stored.sha256, false};
  compare(chunk.index);
}

void LateJoin::compare(std::uint64_t index) {
  const auto ours = run_.find(index);
  const auto theirs = job_.find(index);
  if (ours == run_.end() || theirs == job_.end() || ours->second.dropped) return;
  const Print& a = ours->second;
  const Print& b = theirs->second;
  const bool same =
      a.core == b.core && (a.sha256 == b.sha256 || a.sha256.empty() || b.sha256.empty());
  if (!same) differs_ = std::min(index, differs_.value_or(index));
}

std::optional<std::string> LateJoin::problem() const {
  if (differs_)
    return "chunk " + std::to_string(*differs_) +
           " differs from the one that an earlier run has transcribed";
  if (!whole_) return std::nullopt;
  for (const auto& [index, print] : job_) {
    if (!run_.contains(index))
      return "the source ends before chunk " + std::to_string(index) +
             ", which an earlier run has transcribed";
  }
  return std::nullopt;
}

}  // namespace transcribe
