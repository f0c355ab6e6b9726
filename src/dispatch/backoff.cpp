#include "dispatch/backoff.h"

#include <algorithm>

namespace transcribe {

Backoff::Backoff(Milliseconds initial, Milliseconds maximum, std::uint64_t seed) : random_(seed) {
  configure(initial, maximum);
}

void Backoff::configure(Milliseconds initial, Milliseconds maximum) {
  maximum_ = std::max(maximum, Milliseconds(0));
  initial_ = std::clamp<Nanoseconds>(initial, Nanoseconds(0), maximum_);
}

Nanoseconds Backoff::delay(unsigned failures) {
  Nanoseconds ceiling = initial_;
  for (unsigned i = 1; i < failures && ceiling.count() > 0 && ceiling < maximum_; i++) {
    ceiling = ceiling > maximum_ / 2 ? maximum_ : ceiling * 2;
  }
  std::uniform_int_distribution<std::int64_t> pick(ceiling.count() / 2, ceiling.count());
  return Nanoseconds(pick(random_));
}

}  // namespace transcribe
