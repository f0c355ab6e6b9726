#include "audio/chunker.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "audio/energy_meter.h"

namespace transcribe {
namespace {

constexpr std::uint64_t kShortestPause = kSampleRate * 15 / 100;

BytesPtr to_bytes(std::vector<std::int16_t> samples) {
  if constexpr (std::endian::native == std::endian::big) {
    for (std::int16_t& sample : samples) sample = GINT16_TO_LE(sample);
  }
  // A short piece of a long window would otherwise hold the whole window's memory until it is sent.
  if (samples.capacity() > 2 * samples.size()) samples.shrink_to_fit();
  auto* owned = new std::vector<std::int16_t>(std::move(samples));
  return BytesPtr(g_bytes_new_with_free_func(
      owned->data(), owned->size() * kBytesPerFrame,
      [](gpointer data) noexcept { delete static_cast<std::vector<std::int16_t>*>(data); }, owned));
}

// A run of frames, numbered within the window.
struct Run {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t length() const { return end - begin; }
};

// The whole frames between the shortest core and now, the first of them by its number in the job.
struct Window {
  std::uint64_t first = 0;
  std::span<const EnergyFrame> frames;
  std::uint64_t centre(Run run) const {
    return (2 * first + run.begin + run.end) * kEnergyFrame / 2;
  }
};

std::optional<Run> longest_pause(std::span<const EnergyFrame> frames, std::size_t shortest) {
  std::optional<Run> best;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].loud) {
      begin = i + 1;
      continue;
    }
    const Run run{begin, i + 1};
    if (run.length() >= shortest && (!best || run.length() >= best->length())) best = run;
  }
  return best;
}

// `length` is at most the number of frames.
Run quietest(std::span<const EnergyFrame> frames, std::size_t length) {
  const auto add = [](std::uint64_t sum, const EnergyFrame& frame) { return sum + frame.power; };
  const auto head = frames.first(length);
  std::uint64_t power = std::accumulate(head.begin(), head.end(), std::uint64_t{0}, add);
  std::uint64_t least = power;
  std::size_t begin = 0;
  for (std::size_t end = length; end < frames.size(); ++end) {
    power = power + frames[end].power - frames[end - length].power;
    if (power > least) continue;
    least = power;
    begin = end + 1 - length;
  }
  return {begin, begin + length};
}

constexpr std::size_t whole_frames(std::uint64_t samples) {
  return EnergyMeter::next_frame(samples);
}

}  // namespace

struct Chunker::State {
  State(const Config& settings, Emit consumer);

  void push_fixed(std::span<const std::int16_t> samples);
  void push_pause(std::span<const std::int16_t> samples);
  void cut_first_pause();
  void cut_best();
  void emit_until(std::uint64_t end, CutReason reason);

  std::uint64_t position() const { return begin + samples.size(); }
  void append(std::span<const std::int16_t> more);
  Window window() const;

  Config config;
  Emit emit;
  std::vector<std::int16_t> samples;  // of the core that is growing
  std::uint64_t begin = 0;            // position of samples[0]

  EnergyMeter meter;
};

Chunker::State::State(const Config& settings, Emit consumer)
    : config(settings), emit(std::move(consumer)) {
  config.max_frames = std::max<std::uint64_t>(config.max_frames, 1);
  if (config.pause_frames == 0) config.pause_frames = kShortestPause;
}

void Chunker::State::append(std::span<const std::int16_t> more) {
  if (samples.capacity() == 0) samples.reserve(config.max_frames);
  samples.insert(samples.end(), more.begin(), more.end());
}

void Chunker::State::push_fixed(std::span<const std::int16_t> more) {
  while (!more.empty()) {
    const auto part =
        more.first(std::min<std::uint64_t>(more.size(), config.max_frames - samples.size()));
    append(part);
    more = more.subspan(part.size());
    if (samples.size() == config.max_frames) emit_until(position(), CutReason::kFixed);
  }
}

void Chunker::State::push_pause(std::span<const std::int16_t> more) {
  while (!more.empty()) {
    // Only now is it sure that the stream goes on: cutting at the maximum itself would leave a
    // needless remainder at its end.
    if (samples.size() == config.max_frames) cut_best();
    const std::uint64_t to_frame_end = kEnergyFrame - position() % kEnergyFrame;
    const auto part = more.first(
        std::min<std::uint64_t>({more.size(), config.max_frames - samples.size(), to_frame_end}));
    append(part);
    more = more.subspan(part.size());

    meter.push(part);
    if (config.first_pause && part.size() == to_frame_end) cut_first_pause();
  }
}

Window Chunker::State::window() const {
  const auto frames = meter.frames();
  const std::uint64_t first =
      std::max(EnergyMeter::next_frame(begin + config.min_frames), meter.first_frame());
  const std::size_t skipped = std::min<std::uint64_t>(first - meter.first_frame(), frames.size());
  return {first, frames.subspan(skipped)};
}

void Chunker::State::cut_first_pause() {
  const Window searched = window();
  const auto last_loud = std::find_if(searched.frames.rbegin(), searched.frames.rend(),
                                      [](const EnergyFrame& frame) { return frame.loud; });
  const auto begins = static_cast<std::size_t>(searched.frames.rend() - last_loud);
  const Run pause{begins, searched.frames.size()};
  if (pause.length() < whole_frames(config.pause_frames)) return;
  emit_until(searched.centre(pause), CutReason::kPause);
}

void Chunker::State::cut_best() {
  const Window searched = window();
  const std::uint64_t shortest = config.first_pause ? kShortestPause : config.pause_frames;
  if (const auto pause = longest_pause(searched.frames, whole_frames(shortest))) {
    emit_until(searched.centre(*pause), CutReason::kPause);
    return;
  }
  const std::size_t length = std::min(whole_frames(kShortestPause), searched.frames.size());
  const std::uint64_t end =
      length == 0 ? position() : searched.centre(quietest(searched.frames, length));
  emit_until(end, CutReason::kForced);
}

void Chunker::State::emit_until(std::uint64_t end, CutReason reason) {
  const std::uint64_t length = end - begin;
  std::vector<std::int16_t> rest;
  if (length < samples.size()) {
    rest.reserve(config.max_frames);
    rest.assign(samples.begin() + static_cast<std::ptrdiff_t>(length), samples.end());
    samples.resize(length);
  }
  std::vector<std::int16_t> payload = std::exchange(samples, std::move(rest));

  AudioPiece piece;
  piece.core = {begin, end};
  piece.payload = piece.core;
  piece.reason = reason;
  if (length < kMinPayloadFrames) {
    piece.padding = kMinPayloadFrames - length;
    payload.resize(kMinPayloadFrames);
  }
  piece.pcm = to_bytes(std::move(payload));

  begin = end;
  meter.forget_before(end / kEnergyFrame);
  emit(std::move(piece));
}

Chunker::Chunker(const Config& config, Emit emit)
    : state_(std::make_unique<State>(config, std::move(emit))) {}

Chunker::~Chunker() = default;

void Chunker::push(std::span<const std::int16_t> samples) {
  if (state_->config.split == SplitMode::kFixed) {
    state_->push_fixed(samples);
  } else {
    state_->push_pause(samples);
  }
}

void Chunker::cut(CutReason reason) {
  if (!state_->samples.empty()) state_->emit_until(state_->position(), reason);
  state_->meter.restart(state_->position());
}

FrameSpan Chunker::drop(std::uint64_t missing) {
  const FrameSpan dropped{state_->begin, state_->position() + missing};
  state_->samples.clear();
  state_->begin = dropped.end;
  state_->meter.restart(state_->position());
  return dropped;
}

std::uint64_t Chunker::position() const { return state_->position(); }

std::uint64_t Chunker::buffered() const { return state_->samples.size(); }

}  // namespace transcribe
