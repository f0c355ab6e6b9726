#include "dispatch/token_bucket.h"

#include <algorithm>
#include <cmath>

namespace transcribe {

namespace {

// Keeps sums of time points far from overflow whatever the settings are.
constexpr double kLongest = 1e16;

Nanoseconds interval_of(double rate) {
  if (!(rate > 0)) return Nanoseconds(0);
  // Rounded up: rounding down would be a rate above the one asked for.
  return Nanoseconds(static_cast<std::int64_t>(std::min(std::ceil(1e9 / rate), kLongest)));
}

Nanoseconds times(Nanoseconds interval, double count) {
  return Nanoseconds(static_cast<std::int64_t>(
      std::clamp(static_cast<double>(interval.count()) * count, -kLongest, kLongest)));
}

}  // namespace

TokenBucket::TokenBucket(double rate, unsigned burst)
    : interval_(interval_of(rate)), tolerance_(times(interval_, std::max(burst, 1u) - 1.0)) {}

TimePoint TokenBucket::arrival(TimePoint now) const { return std::max({theoretical_, now, held_}); }

TimePoint TokenBucket::reserve(TimePoint now) {
  const TimePoint due = peek(now);
  theoretical_ = arrival(now) + interval_;
  return due;
}

TimePoint TokenBucket::peek(TimePoint now, std::size_t ahead) const {
  const TimePoint theoretical = arrival(now) + times(interval_, static_cast<double>(ahead));
  return std::max({now, held_, theoretical - tolerance_});
}

void TokenBucket::hold(TimePoint until) { held_ = std::max(held_, until); }

void TokenBucket::set_rate(TimePoint now, double rate, unsigned burst) {
  const Nanoseconds interval = interval_of(rate);
  const Nanoseconds tolerance = times(interval, std::max(burst, 1u) - 1.0);
  if (interval == interval_ && tolerance == tolerance_) return;
  // A token that falls due after a hold is missing from then on.
  const TimePoint base = std::max(now, held_);
  if (interval_.count() > 0 && theoretical_ > base) {
    const double step = static_cast<double>(interval_.count());
    const double missing = static_cast<double>((theoretical_ - base).count()) / step;
    const double room = static_cast<double>(tolerance_.count()) / step + 1;
    const double free = std::min(room - missing, static_cast<double>(std::max(burst, 1u)));
    theoretical_ = base + times(interval, std::max(burst, 1u) - free);
  } else {
    theoretical_ = std::min(theoretical_, base);
  }
  interval_ = interval;
  tolerance_ = tolerance;
}

}  // namespace transcribe
