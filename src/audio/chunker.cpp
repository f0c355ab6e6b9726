#include "audio/chunker.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "audio/cut_search.h"
#include "audio/speech_detector.h"

namespace transcribe {
namespace {

constexpr std::uint64_t kShortestPause = kSampleRate * 15 / 100;
// Less speech than this, in frames of the detector, waits that long for more.
constexpr std::uint64_t kIsland = 50;
constexpr std::uint64_t kIslandWait = 2 * kSampleRate;
constexpr std::uint64_t kTail = SpeechDetector::kHangOver * kSpeechFrame + Chunker::kPadding;
// What an onset needs of the samples before it.
constexpr std::uint64_t kRing = Chunker::kPadding + SpeechDetector::kOnset * kSpeechFrame;

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

// The whole frames between the shortest core and now, the first of them by its number in the job.
struct Window {
  std::uint64_t first = 0;
  std::span<const SpeechFrame> frames;
  std::uint64_t centre(FrameRun run) const {
    return (2 * first + run.begin + run.end) * kSpeechFrame / 2;
  }
};

constexpr std::size_t whole_frames(std::uint64_t samples) {
  return SpeechDetector::next_frame(samples);
}

}  // namespace

struct Chunker::State {
  // A forced cut that waits for its context, or for a breath to become a pause.
  struct Overlap {
    std::uint64_t cut = 0;
    std::uint64_t until = 0;
    std::optional<std::uint64_t> breath;  // number of a frame that was the last one
  };

  State(const Config& settings, Emit consumer);

  void push_fixed(std::span<const std::int16_t> more);
  void push_pause(std::span<const std::int16_t> more);
  void note_frame();
  void act_on_frame();
  void cut_first_pause();
  void cut_best();
  void end_overlap();
  bool silence_is_long() const;
  void close_for_silence();
  void begin_skipping();
  void begin_core();
  void emit_until(std::uint64_t end, CutReason reason, std::uint64_t context = 0);
  void emit_skipped(std::uint64_t end);
  void restart(std::uint64_t position);

  std::uint64_t position() const { return origin + samples.size(); }
  bool at_maximum() const {
    return !skipping && !overlap && position() == core_begin + config.max_frames;
  }
  // Nothing of the core must be sent.
  bool is_silent() const {
    if (!config.skip_silence || detector.knows_nothing() || !detector.settled()) return false;
    // Less than a frame is as the frame before it.
    const std::uint64_t last_frame_end = position() / kSpeechFrame * kSpeechFrame;
    const bool voiced =
        last_frame_end > core_begin ? voiced_frames > 0 : voiced_end == last_frame_end;
    return !voiced && shared_until <= core_begin;
  }
  void append(std::span<const std::int16_t> more);
  void forget_before(std::uint64_t position);
  void count_voiced();
  Window window() const;
  // At the maximum, in frames of the detector.
  std::size_t shortest_pause() const {
    return whole_frames(config.first_pause ? kShortestPause : config.pause_frames);
  }
  SpeechMask mask_of(FrameSpan span) const;

  Config config;
  Emit emit;
  std::vector<std::int16_t> samples;  // of the payload that is growing, or the ring
  std::uint64_t origin = 0;           // position of samples[0]
  std::uint64_t core_begin = 0;       // of the core, or of the span that is skipped
  std::uint64_t shared_until = 0;     // end of the last payload
  bool skipping = false;
  std::optional<Overlap> overlap;

  SpeechDetector detector;
  unsigned revision = 0;            // of the detector's marks, when voiced_frames was counted
  std::uint64_t voiced_frames = 0;  // in the core
  std::uint64_t voiced_end = 0;     // of the last voiced frame
};

Chunker::State::State(const Config& settings, Emit consumer)
    : config(settings), emit(std::move(consumer)), detector(settings.speech_threshold) {
  config.max_frames = std::max<std::uint64_t>(config.max_frames, 1);
  config.min_frames = std::min(config.min_frames, config.max_frames);
  // So that no sample lies in three payloads.
  config.overlap_frames = std::min(config.overlap_frames, config.min_frames);
  if (config.pause_frames == 0) config.pause_frames = kShortestPause;
  if (config.split == SplitMode::kFixed) {
    config.overlap_frames = 0;
    config.skip_silence = false;
  }
  // A core begins with as much as that.
  if (config.max_frames < kRing) config.skip_silence = false;
  restart(0);
}

void Chunker::State::restart(std::uint64_t position) {
  samples.clear();
  origin = core_begin = shared_until = voiced_end = position;
  voiced_frames = 0;
  skipping = false;
  overlap.reset();
  detector.restart(position);
  revision = detector.revision();
}

void Chunker::State::append(std::span<const std::int16_t> more) {
  const std::uint64_t longest = config.max_frames + config.overlap_frames;
  if (!skipping && samples.capacity() < longest) samples.reserve(longest);
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
    // needless remainder at its end. A live stream waits for nothing.
    if (at_maximum()) cut_best();
    const std::uint64_t to_frame_end = kSpeechFrame - position() % kSpeechFrame;
    std::uint64_t next = std::min<std::uint64_t>(more.size(), to_frame_end);
    if (overlap) {
      next = std::min(next, overlap->until - position());
    } else if (!skipping) {
      next = std::min(next, core_begin + config.max_frames - position());
    }
    const auto part = more.first(next);
    append(part);
    more = more.subspan(next);

    detector.push(part);
    const bool whole_frame = next == to_frame_end && !detector.frames().empty();
    if (whole_frame) note_frame();
    if (overlap && position() == overlap->until) end_overlap();
    if (whole_frame && !overlap) act_on_frame();
    if (config.first_pause && at_maximum()) cut_best();
  }
}

void Chunker::State::note_frame() {
  if (revision != detector.revision()) {
    count_voiced();
  } else if (detector.frames().back().voiced) {
    ++voiced_frames;
    voiced_end = position();
  }
}

void Chunker::State::count_voiced() {
  revision = detector.revision();
  voiced_frames = 0;
  std::uint64_t number = detector.first_frame();
  for (const SpeechFrame& frame : detector.frames()) {
    ++number;
    if (!frame.voiced || number * kSpeechFrame <= core_begin) continue;
    ++voiced_frames;
    voiced_end = std::max(voiced_end, number * kSpeechFrame);
  }
}

void Chunker::State::act_on_frame() {
  if (skipping) {
    if (detector.frames().back().voiced) {
      begin_core();
    } else if (samples.size() > 2 * kRing) {
      forget_before(position() - kRing);
    }
  } else if (config.skip_silence && silence_is_long()) {
    close_for_silence();
  } else if (config.first_pause) {
    cut_first_pause();
  }
}

Window Chunker::State::window() const {
  const auto frames = detector.frames();
  const std::uint64_t first =
      std::max(SpeechDetector::next_frame(core_begin + config.min_frames), detector.first_frame());
  const std::size_t before = std::min<std::uint64_t>(first - detector.first_frame(), frames.size());
  return {first, frames.subspan(before)};
}

void Chunker::State::cut_first_pause() {
  const Window searched = window();
  const FrameRun pause = last_pause(searched.frames);
  if (pause.length() < whole_frames(config.pause_frames)) return;
  emit_until(searched.centre(pause), CutReason::kPause);
}

void Chunker::State::cut_best() {
  if (is_silent() && position() - voiced_end > config.silence_frames) {
    begin_skipping();
    return;
  }
  const Window searched = window();
  if (const auto pause = longest_pause(searched.frames, shortest_pause())) {
    emit_until(searched.centre(*pause), CutReason::kPause);
    return;
  }
  const std::size_t length = std::min(whole_frames(kShortestPause), searched.frames.size());
  const std::uint64_t cut =
      length == 0 ? position() : searched.centre(quietest(searched.frames, length));
  overlap = Overlap{cut, std::max(cut + config.overlap_frames / 2, position()), std::nullopt};
  if (const FrameRun breath = last_pause(searched.frames); breath.length() > 0) {
    overlap->breath = searched.first + breath.begin;
    const std::uint64_t missing = (shortest_pause() - breath.length() + 1) * kSpeechFrame;
    overlap->until =
        std::max(overlap->until, position() + std::min(missing, config.overlap_frames / 2));
  }
  if (overlap->until == position()) end_overlap();
}

void Chunker::State::end_overlap() {
  const Overlap ended = *std::exchange(overlap, std::nullopt);
  const Window searched = window();
  if (ended.breath) {
    const FrameRun pause = pause_around(searched.frames, *ended.breath - searched.first);
    if (pause.length() >= shortest_pause()) {
      emit_until(std::min(searched.centre(pause), core_begin + config.max_frames),
                 CutReason::kPause);
      return;
    }
  }
  emit_until(ended.cut, CutReason::kForced, config.overlap_frames / 2);
}

bool Chunker::State::silence_is_long() const {
  const std::uint64_t quiet = position() - voiced_end;
  if (quiet <= config.silence_frames) return false;
  // Speech may be all that was heard, and then nothing stands out.
  if (voiced_frames == 0 && !detector.settled()) return false;
  return is_silent() || quiet >= (voiced_frames < kIsland ? kIslandWait : kTail);
}

void Chunker::State::close_for_silence() {
  const std::uint64_t begin = core_begin / kSpeechFrame;
  const std::uint64_t end = detector.end_of_speech(begin);
  if (end > begin || shared_until > core_begin) {
    emit_until(std::min(std::max(end * kSpeechFrame + kTail, shared_until), position()),
               CutReason::kSilence);
  }
  begin_skipping();
}

void Chunker::State::begin_skipping() {
  skipping = true;
  if (samples.size() > kRing) forget_before(position() - kRing);
}

void Chunker::State::begin_core() {
  const auto frames = detector.frames();
  const auto ring = frames.last(std::min<std::size_t>(frames.size(), SpeechDetector::kOnset));
  const auto voiced =
      std::find_if(ring.begin(), ring.end(), [](const SpeechFrame& frame) { return frame.voiced; });
  const std::uint64_t onset =
      position() - static_cast<std::uint64_t>(ring.end() - voiced) * kSpeechFrame;
  const std::uint64_t begin = std::max(core_begin, onset - std::min(onset, kPadding));
  skipping = false;
  emit_skipped(begin);
}

void Chunker::State::emit_skipped(std::uint64_t end) {
  AudioPiece piece;
  piece.core = piece.payload = {core_begin, end};
  piece.reason = CutReason::kSilence;
  piece.skipped = true;
  core_begin = shared_until = end;
  forget_before(end);
  count_voiced();
  if (piece.core.frames() > 0) emit(std::move(piece));
}

void Chunker::State::forget_before(std::uint64_t position) {
  if (position <= origin) return;
  samples.erase(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(position - origin));
  origin = position;
  detector.forget_before(origin / kSpeechFrame);
}

void Chunker::State::emit_until(std::uint64_t end, CutReason reason, std::uint64_t context) {
  AudioPiece piece;
  piece.core = {core_begin, end};
  piece.payload = {origin, std::min(end + context, position())};
  piece.reason = reason;
  if (config.split == SplitMode::kPause) piece.mask = mask_of(piece.payload);

  const std::uint64_t next =
      context == 0 ? end : std::max({end - std::min(end, context), core_begin, shared_until});
  std::vector<std::int16_t> rest(samples.begin() + static_cast<std::ptrdiff_t>(next - origin),
                                 samples.end());
  std::vector<std::int16_t> payload = std::exchange(samples, std::move(rest));
  if (piece.payload.frames() < kMinPayloadFrames)
    piece.padding = kMinPayloadFrames - piece.payload.frames();
  payload.resize(piece.payload.frames());
  payload.resize(payload.size() + piece.padding);
  piece.pcm = to_bytes(std::move(payload));

  core_begin = end;
  origin = next;
  shared_until = piece.payload.end;
  detector.forget_before(origin / kSpeechFrame);
  count_voiced();
  emit(std::move(piece));
}

SpeechMask Chunker::State::mask_of(FrameSpan span) const {
  const auto frames = detector.frames();
  SpeechMask mask;
  bool speech = false;
  std::uint32_t run = 0;
  const std::uint64_t end = SpeechDetector::next_frame(span.end);
  for (std::uint64_t number = span.begin / kSpeechFrame; number < end; ++number) {
    bool now = true;
    if (!detector.knows_nothing() && !frames.empty()) {
      // What is not a whole frame is as its neighbour.
      const std::uint64_t first = detector.first_frame();
      const std::uint64_t nearest = std::clamp(number, first, first + frames.size() - 1);
      now = frames[nearest - first].speech;
    }
    if (now != speech) {
      mask.push_back(run);
      speech = now;
      run = 0;
    }
    ++run;
  }
  mask.push_back(run);
  return mask;
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
  State& s = *state_;
  const std::uint64_t end = s.position();
  if (s.overlap) s.end_overlap();
  if (s.skipping || s.is_silent()) {
    s.emit_skipped(end);
  } else if (end > s.core_begin) {
    s.emit_until(end, reason);
  }
  s.restart(end);
}

FrameSpan Chunker::drop(std::uint64_t missing) {
  const FrameSpan dropped{state_->core_begin, state_->position() + missing};
  state_->restart(dropped.end);
  return dropped;
}

std::uint64_t Chunker::position() const { return state_->position(); }

std::uint64_t Chunker::unsettled() const { return state_->position() - state_->core_begin; }

std::optional<std::uint64_t> Chunker::waiting() const {
  if (state_->skipping || unsettled() == 0) return std::nullopt;
  return state_->core_begin;
}

}  // namespace transcribe
