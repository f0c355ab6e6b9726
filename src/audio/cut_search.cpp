#include "audio/cut_search.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace transcribe {

std::optional<FrameRun> longest_pause(std::span<const SpeechFrame> frames, std::size_t shortest) {
  std::optional<FrameRun> best;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].loud) {
      begin = i + 1;
      continue;
    }
    const FrameRun run{begin, i + 1};
    if (run.length() >= shortest && (!best || run.length() >= best->length())) best = run;
  }
  return best;
}

FrameRun pause_around(std::span<const SpeechFrame> frames, std::size_t inside) {
  FrameRun run{inside, inside};
  if (frames[inside].loud) return run;
  while (run.begin > 0 && !frames[run.begin - 1].loud) --run.begin;
  while (run.end < frames.size() && !frames[run.end].loud) ++run.end;
  return run;
}

FrameRun last_pause(std::span<const SpeechFrame> frames) {
  const auto last_loud = std::find_if(frames.rbegin(), frames.rend(),
                                      [](const SpeechFrame& frame) { return frame.loud; });
  return {static_cast<std::size_t>(frames.rend() - last_loud), frames.size()};
}

FrameRun quietest(std::span<const SpeechFrame> frames, std::size_t length) {
  std::vector<std::uint64_t> sums(frames.size() - length + 1);
  std::uint64_t sum = 0;
  for (std::size_t end = 0; end < frames.size(); ++end) {
    sum += frames[end].power;
    if (end >= length) sum -= frames[end - length].power;
    if (end + 1 >= length) sums[end + 1 - length] = sum;
  }
  std::size_t first = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] <= sums[first]) first = i;
  }
  const std::uint64_t near = 2 * sums[first];
  std::size_t last = first;
  while (last + 1 < sums.size() && sums[last + 1] <= near) ++last;
  while (first > 0 && sums[first - 1] <= near) --first;
  return {first, last + length};
}

}  // namespace transcribe
