// When to try again after an error of Redis. Pure; one thread at a time; seedable.
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "base/clock.h"
#include "redis/fault.h"

namespace transcribe {

class ReconnectPolicy {
 public:
  explicit ReconnectPolicy(std::uint64_t seed) : random_(seed) {}

  // The delay before the next attempt, after one more failure; none when trying again is of no
  // use (kRefused, kCancelled, kOther). Full jitter below a ceiling that doubles with each
  // failure, so that a thousand clients don't come back at the same moment.
  //   lost, read-only, max-clients, unsettled   0 to 100 ms, doubling up to 5 s
  //   loading                                   200 ms to 1 s
  //   full, disk, busy                          1 s to 5 s
  //   moved, no-script                          none the first time, then as lost
  std::optional<Nanoseconds> failed(RedisFault fault);
  // A command was carried out.
  void succeeded() { failures_ = 0; }
  unsigned failures() const { return failures_; }

 private:
  std::mt19937_64 random_;
  unsigned failures_ = 0;
};

}  // namespace transcribe
