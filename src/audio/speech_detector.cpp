#include "audio/speech_detector.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace transcribe {
namespace {

// In 0.01 dB of full scale, a square wave of the greatest amplitude. Digital silence has no
// background that could tell speech from dither.
constexpr int kInaudible = -7000;
// Between these spreads of the level a stretch is neither nothing but background nor speech that
// stands out from it. Only when it lasts: the spread passes through them when speech is over.
constexpr int kOnlyNoise = 800;
constexpr int kStandsOut = 1600;
constexpr int kCloseFor = 10;  // judgements of the spread
// In a background that varies less than the threshold allows for, what is so far above the
// variation is not of it. In a quiet room nobody speaks as softly as that.
constexpr int kMargin = 120;
constexpr int kQuietRoom = -5000;
constexpr int kMostLowered = 600;
// A lone beat of music is neither that far above the threshold nor that long: so many frames of
// kOnset. A steady background has no beats.
constexpr int kStrong = 400;
constexpr int kDense = 16;
constexpr int kDenseWhenSteady = 5;
constexpr std::uint64_t kOnsetMask = (std::uint64_t{1} << SpeechDetector::kOnset) - 1;
// Bits behind the point of a power.
constexpr int kPowerFraction = 8;

// Logarithm to the base 2 with 16 bits behind the point; `value` above zero.
constexpr std::int64_t binary_logarithm(std::uint64_t value) {
  const int whole = 63 - std::countl_zero(value);
  std::uint64_t mantissa = (value << (63 - whole)) >> 32;
  std::int64_t result = whole;
  for (int bit = 0; bit < 16; ++bit) {
    mantissa = mantissa * mantissa >> 31;
    const std::uint64_t carry = mantissa >> 32;
    mantissa >>= carry;
    result = result * 2 + static_cast<std::int64_t>(carry);
  }
  return result;
}

// In 0.01 dB of full scale.
constexpr int level_of(std::uint64_t power) {
  constexpr std::int64_t kFullScale = std::int64_t{30 + kPowerFraction} << 16;
  // 0.01 dB per octave of power, with two more digits.
  constexpr std::int64_t kOctave = 30103;
  if (power == 0) return 2 * kInaudible;
  return static_cast<int>((binary_logarithm(power) - kFullScale) * kOctave / (100 << 16));
}
static_assert(level_of(std::uint64_t{1} << (30 + kPowerFraction)) == 0);
static_assert(level_of(std::uint64_t{1} << (20 + kPowerFraction)) == -3010);

}  // namespace

SpeechDetector::SpeechDetector(double threshold)
    : threshold_(static_cast<int>(std::lround(threshold * 100))) {
  restart(0);
}

void SpeechDetector::restart(std::uint64_t position) {
  frames_.clear();
  first_frame_ = next_frame(position);
  ++revision_;
  skip_ = first_frame_ * kSpeechFrame - position;
  filled_ = 0;
  sum_ = 0;
  plain_sum_ = 0;
  plain_squares_ = 0;
  heard_ = 0;
  audible_ = false;
  steadiest_.fill(kStandsOut);
  threshold_now_ = threshold_;
  too_close_ = false;
  close_for_ = 0;
  raised_ = 0;
  since_voiced_ = kHangOver;
  recent_.fill(0);
  minima_.clear();
  histogram_.fill(0);
  fresh_ = true;
}

void SpeechDetector::push(std::span<const std::int16_t> samples) {
  if (samples.empty()) return;
  if (fresh_) {
    band_.restart(samples.front());
    fresh_ = false;
  }
  const std::uint64_t skipped = std::min<std::uint64_t>(skip_, samples.size());
  for (const std::int16_t sample : samples.first(skipped)) band_.next(sample);
  skip_ -= skipped;
  samples = samples.subspan(skipped);

  while (!samples.empty()) {
    const auto part =
        samples.first(std::min<std::uint64_t>(kSpeechFrame - filled_, samples.size()));
    constexpr int kDropped = BandPass::kFraction - kPowerFraction / 2;
    // A copy stays in registers.
    BandPass band = band_;
    std::uint64_t sum = 0;
    for (const std::int16_t sample : part) {
      const std::int64_t filtered = band.next(sample) >> kDropped;
      sum += static_cast<std::uint64_t>(filtered * filtered);
    }
    band_ = band;
    sum_ += sum;
    for (const std::int16_t sample : part) {
      plain_sum_ += sample;
      plain_squares_ += std::int64_t{sample} * sample;
    }
    filled_ += part.size();
    samples = samples.subspan(part.size());
    if (filled_ == kSpeechFrame) finish_frame();
  }
}

void SpeechDetector::forget_before(std::uint64_t frame) {
  if (frame <= first_frame_) return;
  const std::uint64_t gone = std::min<std::uint64_t>(frame - first_frame_, frames_.size());
  frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(gone));
  first_frame_ += gone;
}

void SpeechDetector::finish_frame() {
  constexpr auto kCount = static_cast<std::int64_t>(kSpeechFrame);
  const auto variance = static_cast<std::uint64_t>(
      ((kCount * plain_squares_ - plain_sum_ * plain_sum_) << kPowerFraction) / (kCount * kCount));
  // What the whole band does not have is the filter's echo of the frame before.
  const std::uint64_t power = std::min(sum_ / kSpeechFrame, variance);
  filled_ = 0;
  sum_ = 0;
  plain_sum_ = 0;
  plain_squares_ = 0;

  recent_[heard_ % recent_.size()] = power;
  ++heard_;
  std::uint64_t recent = 0;
  for (const std::uint64_t part : recent_) recent += part;
  const int level = level_of(recent / std::min<std::uint64_t>(heard_, recent_.size()));
  audible_ = audible_ || level > kInaudible;

  const int old_floor = minima_.empty() ? level : minima_.front().level;
  const int floor = floor_with(level);
  count_level(level);
  if (heard_ % 10 == 0) judge_spread();

  SpeechFrame frame;
  frame.power =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(power >> kPowerFraction, UINT32_MAX));
  frame.own_level = static_cast<std::int16_t>(level_of(power));
  frame.level = static_cast<std::int16_t>(level);
  judge(frame, floor);
  raised_ = (raised_ << 1 | (frame.raised ? 1 : 0)) & kOnsetMask;
  frame.voiced = frame.voiced || (frame.raised && std::popcount(raised_) >= dense());
  const bool onset = frame.voiced && since_voiced_ > 0;
  since_voiced_ = frame.voiced ? 0 : since_voiced_ + 1;
  frame.speech = since_voiced_ <= kHangOver;
  frames_.push_back(frame);
  if (onset) mark_onset();

  // A stream that opens with speech has nothing to stand out from until its first dip.
  if (heard_ == kFirstJudgement || (heard_ <= kFloorFrames && floor < old_floor))
    judge_again(floor);
}

int SpeechDetector::floor_with(int level) {
  while (!minima_.empty() && minima_.back().level >= level) minima_.pop_back();
  minima_.push_back({heard_, level});
  if (minima_.front().frame + kFloorFrames <= heard_) minima_.pop_front();
  return minima_.front().level;
}

void SpeechDetector::count_level(int level) {
  const auto bin = static_cast<std::uint8_t>(std::clamp((level - kInaudible) / kBin, 0, kBins - 1));
  std::uint8_t& place = bins_[heard_ % kSpreadFrames];
  if (heard_ > kSpreadFrames) --histogram_[place];
  place = bin;
  ++histogram_[bin];
}

void SpeechDetector::judge_spread() {
  const std::uint64_t outside = std::min(heard_, kSpreadFrames) * 5 / 100;
  int low = 0;
  for (std::uint64_t below = histogram_[0]; below <= outside;) below += histogram_[++low];
  int high = kBins - 1;
  for (std::uint64_t above = histogram_[high]; above <= outside;) above += histogram_[--high];
  const int spread = (high - low) * kBin;
  if (heard_ >= kFloorFrames) {
    int& least = steadiest_[heard_ / kSpreadFrames % steadiest_.size()];
    least = heard_ % kSpreadFrames == 0 ? spread : std::min(least, spread);
    const int variation = *std::min_element(steadiest_.begin(), steadiest_.end());
    threshold_now_ = threshold_;
    if (minima_.front().level > kQuietRoom)
      threshold_now_ = std::clamp(variation + kMargin, threshold_ - kMostLowered, threshold_);
  }
  close_for_ = spread >= kOnlyNoise && spread < kStandsOut ? close_for_ + 1 : 0;
  too_close_ = close_for_ >= kCloseFor;
}

int SpeechDetector::dense() const {
  return threshold_now_ < threshold_ ? kDenseWhenSteady : kDense;
}

bool SpeechDetector::is_raised(int level, int floor) const {
  return level > std::max(floor + threshold_now_, kInaudible);
}

void SpeechDetector::judge(SpeechFrame& frame, int floor) const {
  frame.floor = static_cast<std::int16_t>(floor);
  frame.loud = frame.loud || frame.own_level > std::max(floor + threshold_, kInaudible);
  frame.raised = frame.raised || is_raised(frame.level, floor);
  frame.open = frame.open || (too_close_ && frame.level > kInaudible);
  frame.voiced = frame.voiced || frame.open || is_raised(frame.level, floor + kStrong);
}

// What was raised just before is the beginning of it.
void SpeechDetector::mark_onset() {
  const std::size_t begin = frames_.size() - std::min<std::size_t>(frames_.size(), kOnset);
  bool changed = false;
  std::uint64_t since_voiced = kHangOver;
  for (std::size_t i = begin; i < frames_.size(); ++i) {
    SpeechFrame& frame = frames_[i];
    changed = changed || (frame.raised && !frame.voiced);
    frame.voiced = frame.voiced || frame.raised;
    since_voiced = frame.voiced ? 0 : since_voiced + 1;
    frame.speech = frame.speech || since_voiced <= kHangOver;
  }
  if (changed) ++revision_;
}

void SpeechDetector::judge_again(int floor) {
  ++revision_;
  std::uint64_t since_voiced = kHangOver;
  for (SpeechFrame& frame : frames_) {
    judge(frame, floor);
    since_voiced = frame.voiced ? 0 : since_voiced + 1;
    frame.speech = frame.speech || since_voiced <= kHangOver;
  }
  since_voiced_ = std::min(since_voiced_, since_voiced);
}

std::uint64_t SpeechDetector::end_of_speech(std::uint64_t begin) const {
  int lowest = INT16_MAX;
  std::uint64_t raised = 0;  // of the frames behind, the nearest in the lowest bit
  for (std::size_t i = frames_.size(); i > 0; --i) {
    const SpeechFrame& frame = frames_[i - 1];
    const std::uint64_t number = first_frame_ + i;
    if (number <= begin) break;
    lowest = std::min<int>(lowest, frame.level);
    const int floor = std::max<int>(frame.floor, lowest);
    raised = (raised << 1 | (frame.raised && is_raised(frame.level, floor) ? 1 : 0)) & kOnsetMask;
    if (!frame.voiced) continue;
    if (frame.open) return number;
    if (std::popcount(raised) >= dense() ||
        ((raised & 1) && is_raised(frame.level, floor + kStrong)))
      return number + static_cast<std::uint64_t>(63 - std::countl_zero(raised));
  }
  return begin;
}

}  // namespace transcribe
