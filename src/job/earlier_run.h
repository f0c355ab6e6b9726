// What earlier runs of a job have settled, and how this run's chunks compare with it: a job goes on
// with the same source only. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audio/chunk.h"
#include "job/event.h"

namespace transcribe {

class EarlierRun {
 public:
  struct Settled {
    ChunkInfo chunk;                    // as stored, with the digest of its samples
    std::optional<SkipReason> skipped;  // absent: done
  };

  void add(Settled settled);
  bool empty() const { return settled_.empty(); }
  bool contains(std::uint64_t index) const { return settled_.contains(index); }

  enum class Match { kUnknown, kSame, kDifferent };
  // `same` is what became of the chunk. Each index is compared once.
  Match compare(const ChunkInfo& chunk, std::optional<SkipReason>& same);
  // This run has dropped its chunk of that index.
  void forget(std::uint64_t index) { settled_.erase(index); }
  // The first chunk that this run has not brought; none when it has brought them all.
  std::optional<ChunkInfo> missing() const;

  // Of a live source, which can't be heard again: everything in index order, with an event of this
  // run for each. `others` were settled too, but not as done. Indices before `next_index` that were
  // not settled are gone for good: skipped, flushed.
  std::vector<Event> take_all(const std::vector<Outcome>& others, std::uint64_t next_index);

 private:
  std::map<std::uint64_t, Settled> settled_;
};

}  // namespace transcribe
