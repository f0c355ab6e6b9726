// Token bucket as a virtual schedule (GCRA, ITU-T I.371): tokens come at `rate`, up to `burst`
// are kept. The state is one point in time; `now` is a parameter, time going backwards is
// harmless. In any window w at most rate * w + burst grants fall due. Not thread-safe.
#pragma once

#include "base/clock.h"

namespace transcribe {

class TokenBucket {
 public:
  // `rate` in tokens per second, > 0; `burst` >= 1.
  TokenBucket(double rate, unsigned burst);

  // Takes a token and returns when it falls due: `now` or later.
  TimePoint reserve(TimePoint now);
  // When reserve() would fall due, without taking a token.
  TimePoint peek(TimePoint now) const;
  // No token that is taken from now on falls due before `until`.
  void hold(TimePoint now, TimePoint until);
  // Keeps what has been reserved.
  void set_rate(TimePoint now, double rate, unsigned burst);

 private:
  Nanoseconds interval_{0};
  Nanoseconds tolerance_{0};  // (burst - 1) intervals
  TimePoint theoretical_{};   // theoretical arrival time of the next token
};

}  // namespace transcribe
