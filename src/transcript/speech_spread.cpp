#include "transcript/speech_spread.h"

#include <algorithm>
#include <cmath>

namespace transcribe {
namespace {

constexpr std::uint64_t kGrid = kSampleRate / 100;
constexpr double kSilenceWeight = 0.02;

// Calls `visit` with the length in frames of each run of the mask within the payload, and whether
// it is speech. What the mask does not reach is speech.
template <typename Visit>
void for_each_run(const ChunkInfo& chunk, Visit visit) {
  std::uint64_t at = chunk.payload.begin;
  std::uint64_t end = at / kGrid * kGrid;
  bool speech = false;
  for (const std::uint32_t run : chunk.mask) {
    end += run * kGrid;
    const std::uint64_t until = std::clamp(end, at, chunk.payload.end);
    if (until > at) visit(until - at, speech);
    at = until;
    speech = !speech;
  }
  if (at < chunk.payload.end) visit(chunk.payload.end - at, true);
}

}  // namespace

SpeechSpread::SpeechSpread(const ChunkInfo& chunk)
    : length_(frames_to_time(chunk.payload.frames())) {
  std::uint64_t frames = 0;
  double weight = 0;
  const auto time = [&] { return static_cast<double>(frames_to_time(frames).count()); };
  for_each_run(chunk, [&](std::uint64_t run, bool speech) {
    knots_.push_back({time(), weight, speech});
    frames += run;
    weight += static_cast<double>(run) * (speech ? 1 : kSilenceWeight);
  });
  knots_.push_back({time(), weight, false});
}

double SpeechSpread::weight_at(double time) const {
  const auto after = std::upper_bound(knots_.begin(), knots_.end(), time,
                                      [](double t, const Knot& knot) { return t < knot.time; });
  if (after == knots_.end()) return knots_.back().weight;
  if (after == knots_.begin()) return 0;
  const auto before = after - 1;
  return before->weight +
         (after->weight - before->weight) * (time - before->time) / (after->time - before->time);
}

// The run in which the weight is reached; never the last knot, which ends all.
SpeechSpread::Knots::const_iterator SpeechSpread::run_at(double weight) const {
  const auto after = std::upper_bound(knots_.begin(), knots_.end(), weight,
                                      [](double w, const Knot& knot) { return w < knot.weight; });
  return std::clamp(after, knots_.begin() + 1, knots_.end() - 1) - 1;
}

SpeechSpread::Span SpeechSpread::between(Nanoseconds begin, Nanoseconds end, double first,
                                         double last) const {
  begin = std::clamp(begin, Nanoseconds(0), length_);
  end = std::clamp(end, begin, length_);
  if (knots_.size() < 2) return {begin, end};
  const double from = weight_at(static_cast<double>(begin.count()));
  const double to = weight_at(static_cast<double>(end.count()));
  const auto weight = [&](double share) {
    return from + (to - from) * std::clamp(share, 0.0, 1.0);
  };
  const auto time = [&](double reached, Knots::const_iterator run) {
    const double share = (reached - run->weight) / ((run + 1)->weight - run->weight);
    return run->time + ((run + 1)->time - run->time) * std::clamp(share, 0.0, 1.0);
  };

  auto first_run = run_at(weight(first));
  auto last_run = run_at(weight(last));
  double start = time(weight(first), first_run);
  double stop = time(weight(last), last_run);
  // Out of the pauses around it, unless there is nothing else.
  const double speech_from = first_run->speech ? start : (first_run + 1)->time;
  const double speech_to = last_run->speech ? stop : last_run->time;
  if (speech_from < speech_to) {
    start = speech_from;
    stop = speech_to;
  }
  const Nanoseconds started = std::clamp(Nanoseconds(std::llround(start)), begin, end);
  return {started, std::clamp(Nanoseconds(std::llround(stop)), started, end)};
}

std::optional<Nanoseconds> speech_in(const ChunkInfo& chunk) {
  if (chunk.mask.empty()) return std::nullopt;
  std::uint64_t frames = 0;
  for_each_run(chunk, [&](std::uint64_t run, bool speech) { frames += speech ? run : 0; });
  return frames_to_time(frames);
}

}  // namespace transcribe
