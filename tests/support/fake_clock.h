// A clock that moves when the test says so. Any thread.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace transcribe {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(Nanoseconds(now_.load())); }
  WallTime wall_now() const override {
    return WallTime(std::chrono::duration_cast<WallTime::duration>(
        std::chrono::seconds(1700000000) + Nanoseconds(now_.load())));
  }
  void advance(Nanoseconds by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{1000000000};
};

}  // namespace transcribe
