#include "audio/energy_meter.h"

#include <algorithm>
#include <numeric>

namespace transcribe {
namespace {

constexpr std::uint64_t kSmoothedFrames = 5;
constexpr std::uint64_t kFloorFrames = 300;
// -70 dBFS, where 0 dBFS is the mean square of a full-scale square wave. Digital silence has no
// floor that could tell speech from dither.
constexpr std::uint64_t kAudiblePower = 107;
// 8 dB as a power ratio.
constexpr std::uint64_t kLoudNumerator = 631;
constexpr std::uint64_t kLoudDenominator = 100;

bool is_loud(std::uint64_t power, std::uint64_t floor) {
  return power > kAudiblePower && power * kLoudDenominator > floor * kLoudNumerator;
}

}  // namespace

void EnergyMeter::restart(std::uint64_t position) {
  *this = EnergyMeter();
  first_frame_ = next_frame(position);
  skip_ = first_frame_ * kEnergyFrame - position;
}

void EnergyMeter::push(std::span<const std::int16_t> samples) {
  // A frame of a few samples has hardly any variance and would pass for the noise floor.
  const std::uint64_t skipped = std::min<std::uint64_t>(skip_, samples.size());
  skip_ -= skipped;
  samples = samples.subspan(skipped);

  while (!samples.empty()) {
    const auto part =
        samples.first(std::min<std::uint64_t>(kEnergyFrame - filled_, samples.size()));
    for (const std::int16_t sample : part) {
      sum_ += sample;
      sum_of_squares_ += std::int64_t{sample} * sample;
    }
    filled_ += part.size();
    samples = samples.subspan(part.size());
    if (filled_ == kEnergyFrame) finish_frame();
  }
}

void EnergyMeter::forget_before(std::uint64_t frame) {
  if (frame <= first_frame_) return;
  const std::uint64_t gone = std::min<std::uint64_t>(frame - first_frame_, frames_.size());
  frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(gone));
  first_frame_ += gone;
}

void EnergyMeter::finish_frame() {
  constexpr auto kCount = static_cast<std::int64_t>(kEnergyFrame);
  const auto power =
      static_cast<std::uint32_t>((kCount * sum_of_squares_ - sum_ * sum_) / (kCount * kCount));
  filled_ = 0;
  sum_ = 0;
  sum_of_squares_ = 0;

  recent_.push_back(power);
  if (recent_.size() > kSmoothedFrames) recent_.pop_front();
  const std::uint64_t smoothed =
      std::accumulate(recent_.begin(), recent_.end(), std::uint64_t{0}) / recent_.size();
  const std::uint64_t old_floor = minima_.empty() ? smoothed : minima_.front().power;
  const std::uint64_t floor = floor_with({heard_, smoothed});
  frames_.push_back({power, is_loud(power, floor)});
  ++heard_;

  // A stream that opens with speech has nothing to stand out from until its first dip.
  if (heard_ <= kFloorFrames && floor < old_floor) {
    for (EnergyFrame& frame : frames_) frame.loud = is_loud(frame.power, floor);
  }
}

std::uint64_t EnergyMeter::floor_with(Level level) {
  while (!minima_.empty() && minima_.back().power >= level.power) minima_.pop_back();
  minima_.push_back(level);
  if (minima_.front().frame + kFloorFrames <= level.frame) minima_.pop_front();
  return minima_.front().power;
}

}  // namespace transcribe
