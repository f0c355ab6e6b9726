#include "dispatch/unstored_chunks.h"

#include <algorithm>

namespace transcribe {

void UnstoredChunks::add(std::uint64_t index, TimePoint now) {
  if (wait_) chunks_.emplace(index, now);
}

void UnstoredChunks::remove(const std::vector<std::uint64_t>& indices) {
  std::size_t known = 0;
  for (const std::uint64_t index : indices) known += chunks_.erase(index);
  if (known > 0 && chunks_.empty()) given_up_ = false;
}

void UnstoredChunks::keep_slots(bool keep) {
  away_ = !keep;
  if (keep) given_up_ = false;
}

std::optional<TimePoint> UnstoredChunks::next_event() const {
  if (away_ || given_up_ || chunks_.empty() || !wait_->patience) return std::nullopt;
  const auto first =
      std::min_element(chunks_.begin(), chunks_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return first->second + *wait_->patience;
}

void UnstoredChunks::look(TimePoint now) {
  if (const auto end = next_event(); end && *end <= now) give_up();
}

}  // namespace transcribe
