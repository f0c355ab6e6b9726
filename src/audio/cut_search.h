// The best place to cut among a window of frames. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "audio/speech_detector.h"

namespace transcribe {

// Frames of a window, by their number in it.
struct FrameRun {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t length() const { return end - begin; }
};

// Of at least `shortest` frames that are not loud; of equal ones the last.
std::optional<FrameRun> longest_pause(std::span<const SpeechFrame> frames, std::size_t shortest);
// The one that holds frame `inside`; empty when that is loud.
FrameRun pause_around(std::span<const SpeechFrame> frames, std::size_t inside);
// The one at the end; empty when the last frame is loud.
FrameRun last_pause(std::span<const SpeechFrame> frames);
// Where `length` frames are the quietest, widened to all neighbours within 3 dB of it; of equal
// ones the last. `length`: at least 1, at most the number of frames.
FrameRun quietest(std::span<const SpeechFrame> frames, std::size_t length);

}  // namespace transcribe
