// Chunks that are done and whose results are not stored yet: each keeps its slot, so that a crash
// never costs more requests than there are slots. A store that is away gives the slots free.
// Pure bookkeeping, time passed in. Not thread-safe: the dispatcher guards it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace transcribe {

// Absent: there is no store, and nothing waits for it.
struct StoreWait {
  // A store that takes longer is treated as if it were away. Absent: it tells when it is.
  std::optional<Milliseconds> patience;
};

class UnstoredChunks {
 public:
  explicit UnstoredChunks(const std::optional<StoreWait>& wait) : wait_(wait) {}

  void add(std::uint64_t index, TimePoint now);
  // Unknown ones are ignored.
  void remove(const std::vector<std::uint64_t>& indices);
  // False: the store is away, and no slot is kept. True: it is back.
  void keep_slots(bool keep);
  // No slot is kept until the last of those that are not stored now or later is stored.
  void give_up() { given_up_ = true; }
  // Gives up when one was kept for too long.
  void look(TimePoint now);

  std::size_t slots() const { return away_ || given_up_ ? 0 : chunks_.size(); }
  // When look() first changes something. Absent: never.
  std::optional<TimePoint> next_event() const;

 private:
  const std::optional<StoreWait> wait_;
  std::map<std::uint64_t, TimePoint> chunks_;  // index → since when
  bool away_ = false;                          // until the store says that it is back
  bool given_up_ = false;                      // until everything is stored
};

}  // namespace transcribe
