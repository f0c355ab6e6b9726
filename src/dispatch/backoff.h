// Delay before attempt n + 1: exponential with full jitter below a growing ceiling
// (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015, "full jitter", with a floor of
// half the ceiling so that a retry is never immediate). One thread at a time; seedable.
#pragma once

#include <cstdint>
#include <random>

#include "base/clock.h"

namespace transcribe {

class Backoff {
 public:
  Backoff(Milliseconds initial, Milliseconds maximum, std::uint64_t seed);
  void configure(Milliseconds initial, Milliseconds maximum);

  // `failures` >= 1: attempts that failed so far. Between half and all of
  // min(initial * 2^(failures - 1), maximum).
  Nanoseconds delay(unsigned failures);

 private:
  Nanoseconds initial_;
  Nanoseconds maximum_;
  std::mt19937_64 random_;
};

}  // namespace transcribe
