#include "redis/reconnect.h"

#include <algorithm>
#include <limits>

namespace transcribe {
namespace {

using namespace std::chrono_literals;

struct Range {
  Nanoseconds floor;
  Nanoseconds first;  // ceiling of the first delay
  Nanoseconds last;   // of all delays
  bool first_is_free = false;
};

std::optional<Range> range_of(RedisFault fault) {
  switch (fault) {
    case RedisFault::kLost:
    case RedisFault::kReadOnly:
    case RedisFault::kMaxClients:
    case RedisFault::kUnsettled:
      return Range{0ms, 100ms, 5s};
    case RedisFault::kMoved:
    case RedisFault::kNoScript:
      return Range{0ms, 100ms, 5s, true};
    case RedisFault::kLoading:
      return Range{200ms, 400ms, 1s};
    case RedisFault::kFull:
    case RedisFault::kDisk:
    case RedisFault::kBusy:
      return Range{1s, 2s, 5s};
    case RedisFault::kCancelled:
    case RedisFault::kRefused:
    case RedisFault::kOther:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Nanoseconds> ReconnectPolicy::failed(RedisFault fault) {
  const auto range = range_of(fault);
  if (!range) return std::nullopt;
  const unsigned before = failures_;
  if (failures_ < std::numeric_limits<unsigned>::max()) failures_++;
  if (before == 0 && range->first_is_free) return Nanoseconds(0);
  Nanoseconds ceiling = range->first;
  for (unsigned i = 0; i < before && ceiling < range->last; i++)
    ceiling = std::min(ceiling * 2, range->last);
  std::uniform_int_distribution<std::int64_t> pick(range->floor.count(), ceiling.count());
  return Nanoseconds(pick(random_));
}

}  // namespace transcribe
