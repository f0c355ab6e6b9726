// How loud the audio is in frames of 10 ms, and which of them stand out from the background.
// Integer arithmetic throughout: the same samples give the same frames on every machine.
// One thread at a time. Constant work per sample; keeps the frames until they are forgotten.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "audio/chunk.h"

namespace transcribe {

inline constexpr std::uint64_t kEnergyFrame = kSampleRate / 100;

struct EnergyFrame {
  std::uint32_t power = 0;  // variance of the samples: a DC offset is not loudness
  bool loud = false;        // 8 dB above the quietest 50 ms of the last 3 s, and above -70 dBFS
};

class EnergyMeter {
 public:
  // Number of the first frame that begins at or after `position`.
  static constexpr std::uint64_t next_frame(std::uint64_t position) {
    return (position + kEnergyFrame - 1) / kEnergyFrame;
  }

  // Forgets everything heard; the next sample lies at `position` of the job. Frames lie on the
  // job's sample grid, so the first one is next_frame(position).
  void restart(std::uint64_t position);
  void push(std::span<const std::int16_t> samples);
  // Until 3 s have been heard, what follows can still turn a frame that is kept into a loud one.
  std::span<const EnergyFrame> frames() const { return frames_; }
  // Number of frames()[0].
  std::uint64_t first_frame() const { return first_frame_; }
  void forget_before(std::uint64_t frame);

 private:
  struct Level {
    std::uint64_t frame = 0;
    std::uint64_t power = 0;
  };

  void finish_frame();
  std::uint64_t floor_with(Level level);

  std::vector<EnergyFrame> frames_;
  std::uint64_t first_frame_ = 0;

  std::uint64_t skip_ = 0;  // samples before the first frame boundary
  std::uint64_t filled_ = 0;
  std::int64_t sum_ = 0;
  std::int64_t sum_of_squares_ = 0;

  std::uint64_t heard_ = 0;           // frames since restart()
  std::deque<std::uint32_t> recent_;  // powers that the smoothed level averages
  std::deque<Level> minima_;          // rising levels; the front is the floor
};

}  // namespace transcribe
