#include "job/earlier_run.h"

#include <memory>
#include <utility>

namespace transcribe {

namespace {

void append(std::vector<Event>& events, const EarlierRun::Settled& settled) {
  auto chunk = std::make_shared<ChunkInfo>(settled.chunk);
  if (settled.skipped) {
    events.emplace_back(ChunkSkipped{std::move(chunk), *settled.skipped});
  } else {
    events.emplace_back(ChunkDone{std::move(chunk), nullptr, 0, Nanoseconds(0), true});
  }
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

std::vector<Event> EarlierRun::take_all() {
  std::vector<Event> events;
  FrameSpan hole;
  std::uint64_t next = 0;
  for (const auto& [index, settled] : settled_) {
    for (; next < index; next++) {
      auto lost = std::make_shared<ChunkInfo>();
      lost->index = next;
      lost->core = lost->payload = hole;
      lost->time = settled.chunk.time;
      lost->reason = CutReason::kDiscontinuity;
      events.emplace_back(ChunkSkipped{std::move(lost), SkipReason::kFlushed});
    }
    append(events, settled);
    hole = {settled.chunk.core.end, settled.chunk.core.end};
    next = index + 1;
  }
  settled_.clear();
  return events;
}

}  // namespace transcribe
