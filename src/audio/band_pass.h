// 200 to 3400 Hz at 16 kHz: a high-pass and a low-pass biquad (Butterworth, bilinear transform).
//
// In fixed point, so that every machine computes the same. The numerators of both are applied
// first: (1 - z^-1)^2 (1 + z^-1)^2 = 1 - 2 z^-2 + z^-4, exactly zero for a constant.
#pragma once

#include <cstdint>

namespace transcribe {

class BandPass {
 public:
  // Bits behind the point of what next() returns.
  static constexpr int kFraction = 12;

  // As if `sample` had been there forever: an offset is no onset.
  void restart(std::int16_t sample) {
    *this = BandPass();
    x1_ = x2_ = x3_ = x4_ = sample;
  }

  // Below 2^29: four times full scale is more than the filter can reach.
  std::int64_t next(std::int16_t sample) {
    const std::int64_t zeros = std::int64_t{sample} - 2 * x2_ + x4_;
    x4_ = x3_;
    x3_ = x2_;
    x2_ = x1_;
    x1_ = sample;
    const std::int64_t high =
        (zeros * kGain >> (kPoint - kFraction)) + scaled(kHigh1 * h1_ + kHigh2 * h2_);
    h2_ = h1_;
    h1_ = high;
    const std::int64_t low = high + scaled(kLow1 * l1_ + kLow2 * l2_);
    l2_ = l1_;
    l1_ = low;
    return low;
  }

 private:
  static constexpr int kPoint = 28;
  static constexpr std::int64_t kGain = 57672911;
  static constexpr std::int64_t kHigh1 = 507083456;
  static constexpr std::int64_t kHigh2 = -240216003;
  static constexpr std::int64_t kLow1 = 74266592;
  static constexpr std::int64_t kLow2 = -49697193;

  static std::int64_t scaled(std::int64_t product) {
    return (product + (std::int64_t{1} << (kPoint - 1))) >> kPoint;
  }

  std::int64_t x1_ = 0, x2_ = 0, x3_ = 0, x4_ = 0;
  std::int64_t h1_ = 0, h2_ = 0;
  std::int64_t l1_ = 0, l2_ = 0;
};

}  // namespace transcribe
