#include "audio/arrivals.h"

#include <algorithm>

namespace transcribe {

void Arrivals::note(std::uint64_t end, TimePoint when) {
  if (!spans_.empty() && end <= spans_.back().end) return;
  if (!spans_.empty() && when - spans_.back().when < kPrecision) {
    spans_.back().end = end;
  } else {
    spans_.push_back({end, when});
  }
}

void Arrivals::forget_before(std::uint64_t position) {
  while (spans_.size() > 1 && spans_.front().end <= position) spans_.pop_front();
}

TimePoint Arrivals::of_last(std::uint64_t end) const {
  if (spans_.empty()) return {};
  const auto span = std::lower_bound(
      spans_.begin(), spans_.end(), end,
      [](const Span& earlier, std::uint64_t position) { return earlier.end < position; });
  return span == spans_.end() ? spans_.back().when : span->when;
}

}  // namespace transcribe
