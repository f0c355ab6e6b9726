#include "job/earlier_run.h"

#include <memory>
#include <utility>

namespace transcribe {

namespace {

Outcome again(const EarlierRun::Settled& settled) {
  auto chunk = std::make_shared<ChunkInfo>(settled.chunk);
  if (settled.skipped) return ChunkSkipped{std::move(chunk), *settled.skipped, true};
  return ChunkDone{std::move(chunk), nullptr, 0, Nanoseconds(0), true};
}

Event as_event(const Outcome& outcome) {
  return std::visit([](const auto& event) { return Event(event); }, outcome);
}

ChunkSkipped lost(std::uint64_t index, std::uint64_t frame, const MediaTime& time) {
  auto chunk = std::make_shared<ChunkInfo>();
  chunk->index = index;
  chunk->core = chunk->payload = {frame, frame};
  chunk->time = time;
  chunk->reason = CutReason::kDiscontinuity;
  return {std::move(chunk), SkipReason::kFlushed};
}

}  // namespace

void EarlierRun::add(Settled settled) {
  const std::uint64_t index = settled.chunk.index;
  settled_.insert_or_assign(index, std::move(settled));
}

EarlierRun::Match EarlierRun::compare(const ChunkInfo& chunk, std::optional<SkipReason>& same) {
  const auto found = settled_.find(chunk.index);
  if (found == settled_.end()) return Match::kUnknown;
  const Settled settled = std::move(found->second);
  settled_.erase(found);
  // A span that was flushed was never hashed.
  const bool equal = settled.chunk.core == chunk.core &&
                     (settled.chunk.sha256 == chunk.sha256 || settled.chunk.sha256.empty());
  if (!equal) return Match::kDifferent;
  same = settled.skipped;
  return Match::kSame;
}

std::optional<ChunkInfo> EarlierRun::missing() const {
  if (settled_.empty()) return std::nullopt;
  return settled_.begin()->second.chunk;
}

std::vector<Event> EarlierRun::take_all(const std::vector<Outcome>& others,
                                        std::uint64_t next_index) {
  std::map<std::uint64_t, Outcome> all;
  for (const auto& [index, settled] : settled_) all.emplace(index, again(settled));
  settled_.clear();
  for (const Outcome& other : others) {
    const auto [place, added] = all.emplace(chunk_of(other).index, other);
    if (!added) continue;
    if (auto* failed = std::get_if<ChunkFailed>(&place->second)) failed->resumed = true;
    if (auto* skipped = std::get_if<ChunkSkipped>(&place->second)) skipped->resumed = true;
  }

  std::vector<Event> events;
  std::uint64_t next = 0;
  std::uint64_t end = 0;
  MediaTime time;
  for (const auto& [index, outcome] : all) {
    const ChunkInfo& chunk = chunk_of(outcome);
    time = chunk.time;
    for (; next < index; next++) events.emplace_back(lost(next, end, time));
    events.push_back(as_event(outcome));
    end = chunk.core.end;
    next = index + 1;
  }
  for (; next < next_index; next++) events.emplace_back(lost(next, end, time));
  return events;
}

}  // namespace transcribe
