// Token bucket as a virtual schedule (GCRA, ITU-T I.371): tokens come at `rate`, up to `burst`
// are kept. The state is one point in time; `now` is a parameter, time going backwards is
// harmless. In any window w at most rate * w + burst grants fall due. Not thread-safe.
#pragma once

#include "base/clock.h"

namespace transcribe {

class TokenBucket {
 public:
  // Full. `rate` in tokens per second, 0: no limit, only holds count; `burst` 0 counts as 1.
  TokenBucket(double rate, unsigned burst);

  // Takes a token and returns when it falls due: `now` or later.
  TimePoint reserve(TimePoint now);
  // When reserve() would fall due after `ahead` other reservations, without taking a token.
  TimePoint peek(TimePoint now, std::size_t ahead = 0) const;
  // No token that is taken from now on falls due before `until`. Never shortens a hold.
  void hold(TimePoint until);
  // Keeps what has been reserved: the tokens that are missing stay missing, a full bucket is full.
  void set_rate(TimePoint now, double rate, unsigned burst);

 private:
  TimePoint arrival(TimePoint now) const;

  Nanoseconds interval_{0};
  Nanoseconds tolerance_{0};  // (burst - 1) intervals
  TimePoint theoretical_{};   // theoretical arrival time of the next token
  TimePoint held_{};
};

}  // namespace transcribe
