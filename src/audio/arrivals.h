// When the samples of a stream came: what latencies count from. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace transcribe {

class Arrivals {
 public:
  // What came within that time is told to have come with the first of it.
  static constexpr Nanoseconds kPrecision = std::chrono::milliseconds(10);

  // All samples before `end` that were not noted yet came at `when`. Neither ever goes back.
  void note(std::uint64_t end, TimePoint when);
  // Nobody will ask for samples before `position`.
  void forget_before(std::uint64_t position);
  void clear() { spans_.clear(); }

  // Of the sample before `end`, one that was noted and not forgotten.
  TimePoint of_last(std::uint64_t end) const;
  std::size_t size() const { return spans_.size(); }

 private:
  struct Span {
    std::uint64_t end = 0;
    TimePoint when;
  };
  std::deque<Span> spans_;
};

}  // namespace transcribe
