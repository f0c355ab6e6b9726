// Pieces of a chunker as plain values, audio to feed it with, and what must be true of its pieces
// whatever the audio is. For tests with Check: include it after everything else.
#pragma once

#include <glib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "audio/chunker.h"

#include "check_main.h"

namespace transcribe::testing {

using Samples = std::vector<std::int16_t>;
using Random = std::mt19937;

inline constexpr std::uint64_t kSecond = kSampleRate;
inline constexpr std::uint64_t kMillisecond = kSampleRate / 1000;
inline constexpr std::uint64_t kMaskFrame = kSampleRate / 100;

struct Piece {
  FrameSpan core;
  FrameSpan payload;
  std::uint64_t padding = 0;
  CutReason reason = CutReason::kEndOfStream;
  bool skipped = false;
  Samples pcm;
  SpeechMask mask;
  std::uint64_t emitted_at = 0;  // how much had been pushed
  bool operator==(const Piece& other) const {
    // When a piece comes within a push depends on how long that is.
    return core == other.core && payload == other.payload && padding == other.padding &&
           reason == other.reason && skipped == other.skipped && pcm == other.pcm &&
           mask == other.mask;
  }
};

class Recorder {
 public:
  explicit Recorder(const Chunker::Config& config)
      : chunker_(config, [this](AudioPiece&& piece) { record(std::move(piece)); }) {}

  Chunker& operator*() { return chunker_; }
  Chunker* operator->() { return &chunker_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void record(AudioPiece&& piece) {
    Samples pcm;
    if (piece.pcm) {
      gsize bytes = 0;
      const void* data = g_bytes_get_data(piece.pcm.get(), &bytes);
      ck_assert_uint_eq(bytes % kBytesPerFrame, 0);
      pcm.resize(bytes / kBytesPerFrame);
      std::memcpy(pcm.data(), data, bytes);
      for (auto& sample : pcm) sample = GINT16_FROM_LE(sample);
    }
    pieces_.push_back({piece.core, piece.payload, piece.padding, piece.reason, piece.skipped,
                       std::move(pcm), std::move(piece.mask), chunker_.position()});
  }

  std::vector<Piece> pieces_;
  Chunker chunker_;
};

inline Chunker::Config fixed(std::uint64_t max_frames) {
  return {.split = SplitMode::kFixed, .max_frames = max_frames};
}

inline Chunker::Config pause(std::uint64_t min_frames, std::uint64_t max_frames) {
  return {.split = SplitMode::kPause, .min_frames = min_frames, .max_frames = max_frames};
}

inline Chunker::Config live(std::uint64_t min_frames, std::uint64_t max_frames,
                            std::uint64_t pause_frames) {
  return {.split = SplitMode::kPause,
          .min_frames = min_frames,
          .max_frames = max_frames,
          .pause_frames = pause_frames,
          .first_pause = true};
}

inline Chunker::Config with_overlap(Chunker::Config config, std::uint64_t overlap_frames) {
  config.overlap_frames = overlap_frames;
  return config;
}

inline Chunker::Config skipping(Chunker::Config config,
                                std::uint64_t silence_frames = kSampleRate) {
  config.skip_silence = true;
  config.silence_frames = silence_frames;
  return config;
}

// `amplitude` in LSB; noise, so that every 10 ms frame is about as loud as the next.
inline void add_noise(Samples& samples, std::uint64_t frames, int amplitude, Random& random) {
  std::uniform_int_distribution<int> level(-amplitude, amplitude);
  for (std::uint64_t i = 0; i < frames; ++i)
    samples.push_back(static_cast<std::int16_t>(level(random)));
}

inline constexpr int kLoud = 8000;
inline constexpr int kQuiet = 60;

// Loud and quiet runs by turns, beginning with a loud one; lengths in milliseconds.
inline Samples talk(std::initializer_list<std::uint64_t> lengths, int quiet = kQuiet) {
  Random random(7);
  Samples samples;
  bool loud = true;
  for (const std::uint64_t length : lengths) {
    add_noise(samples, length * kMillisecond, loud ? kLoud : quiet, random);
    loud = !loud;
  }
  return samples;
}

// Syllables, pauses, digital silence and steady noise of random lengths.
inline Samples random_audio(std::uint64_t frames, Random& random, bool long_pauses = false) {
  constexpr int kLevels[] = {0, 0, 20, kQuiet, 300, 2000, kLoud, 30000};
  Samples samples;
  while (samples.size() < frames) {
    const int amplitude = kLevels[random() % std::size(kLevels)];
    std::uint64_t length = 1 + random() % (kSecond / (random() % 4 ? 4 : 1));
    if (long_pauses && random() % 6 == 0) length *= 8;
    add_noise(samples, std::min<std::uint64_t>(length, frames - samples.size()), amplitude, random);
  }
  return samples;
}

using Partition = std::function<std::size_t()>;

inline void push_all(Chunker& chunker, std::span<const std::int16_t> samples,
                     const Partition& next) {
  while (!samples.empty()) {
    const std::size_t size = std::min(next(), samples.size());
    chunker.push(samples.first(size));
    samples = samples.subspan(size);
  }
}

inline std::vector<Piece> chunked(const Chunker::Config& config,
                                  std::span<const std::int16_t> samples) {
  Recorder recorder(config);
  recorder->push(samples);
  recorder->cut(CutReason::kEndOfStream);
  return recorder.pieces();
}

inline bool is_cut_for_length(CutReason reason) {
  return reason == CutReason::kFixed || reason == CutReason::kPause || reason == CutReason::kForced;
}

inline void assert_mask(const Piece& piece) {
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < piece.mask.size(); ++i) {
    if (i > 0) ck_assert_uint_gt(piece.mask[i], 0);
    frames += piece.mask[i];
  }
  const std::uint64_t end = (piece.payload.end + kMaskFrame - 1) / kMaskFrame;
  ck_assert_uint_eq(frames, end - piece.payload.begin / kMaskFrame);
}

// One piece alone: its lengths, and that it brings exactly the samples of its payload.
inline void assert_piece(const Chunker::Config& config, const Samples& input, const Piece& piece) {
  ck_assert_uint_gt(piece.core.end, piece.core.begin);
  if (piece.skipped) {
    ck_assert(config.skip_silence);
    ck_assert(piece.payload == piece.core);
    ck_assert(piece.reason == CutReason::kSilence);
    ck_assert(piece.pcm.empty() && piece.mask.empty());
    ck_assert_uint_eq(piece.padding, 0);
    return;
  }
  const std::uint64_t overlap =
      std::min({config.overlap_frames, config.min_frames, config.max_frames});
  ck_assert_uint_le(piece.payload.begin, piece.core.begin);
  ck_assert_uint_ge(piece.payload.end, piece.core.end);
  ck_assert_uint_le(piece.core.begin - piece.payload.begin, overlap / 2);
  ck_assert_uint_le(piece.payload.end - piece.core.end, overlap / 2);
  ck_assert_uint_le(piece.core.frames(), config.max_frames);
  if (piece.reason == CutReason::kFixed) ck_assert_uint_eq(piece.core.frames(), config.max_frames);
  if (is_cut_for_length(piece.reason))
    ck_assert_uint_ge(piece.core.frames(), std::min(config.min_frames, config.max_frames));
  if (piece.reason == CutReason::kSilence) ck_assert(config.skip_silence);

  ck_assert_uint_eq(piece.pcm.size(), piece.payload.frames() + piece.padding);
  ck_assert_uint_ge(piece.pcm.size(), kMinPayloadFrames);
  if (piece.padding > 0) ck_assert_uint_eq(piece.pcm.size(), kMinPayloadFrames);
  const auto tail = piece.pcm.end() - static_cast<std::ptrdiff_t>(piece.padding);
  ck_assert(std::all_of(tail, piece.pcm.end(), [](std::int16_t s) { return s == 0; }));
  ck_assert(std::equal(piece.pcm.begin(), tail,
                       input.begin() + static_cast<std::ptrdiff_t>(piece.payload.begin),
                       input.begin() + static_cast<std::ptrdiff_t>(piece.payload.end)));
  if (config.split == SplitMode::kPause) assert_mask(piece);
  if (config.split == SplitMode::kFixed) ck_assert(piece.mask.empty());
}

// `stops`: where cut() was called, in rising order, the end of the input included.
inline void assert_invariants(const Chunker::Config& config, const Samples& input,
                              const std::vector<Piece>& pieces,
                              const std::vector<std::size_t>& stops) {
  const std::uint64_t half =
      config.split == SplitMode::kFixed
          ? 0
          : std::min({config.overlap_frames, config.min_frames, config.max_frames}) / 2;
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    assert_piece(config, input, piece);
    ck_assert_uint_eq(piece.core.begin, position);
    position = piece.core.end;
    // No sample waits longer: what a live stream relies on.
    if (!piece.skipped)
      ck_assert_uint_le(piece.emitted_at - piece.core.begin, config.max_frames + half);
    // No piece goes across a stop.
    const std::uint64_t stop = *std::upper_bound(stops.begin(), stops.end(), piece.core.begin);
    ck_assert_uint_le(piece.payload.end, stop);

    // Overlap on both sides of a forced cut, nowhere else, and as much as there is.
    const bool forced = !piece.skipped && piece.reason == CutReason::kForced;
    const std::uint64_t behind = forced ? std::min(half, stop - piece.core.end) : 0;
    ck_assert_uint_eq(piece.payload.end, piece.core.end + behind);
    if (forced && piece.core.end < stop) {
      ck_assert_uint_lt(i + 1, pieces.size());
      ck_assert_uint_le(pieces[i + 1].payload.begin, piece.core.end);
      ck_assert_uint_eq(pieces[i + 1].payload.begin,
                        pieces[i + 1].skipped ? piece.core.end : piece.core.end - half);
      if (pieces[i + 1].skipped) ck_assert_uint_eq(behind, 0);
    } else if (i + 1 < pieces.size()) {
      ck_assert_uint_eq(pieces[i + 1].payload.begin, piece.core.end);
    }
    // So no sample is in three.
    if (i >= 2) ck_assert_uint_ge(piece.payload.begin, pieces[i - 2].payload.end);
  }
  ck_assert_uint_eq(position, input.size());
}

inline void assert_invariants(const Chunker::Config& config, const Samples& input,
                              const std::vector<Piece>& pieces) {
  assert_invariants(config, input, pieces, {input.size()});
}

}  // namespace transcribe::testing
