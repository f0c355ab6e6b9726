// Cuts a stream of 16 kHz mono S16 samples into pieces. Deterministic: the pieces depend on the
// samples and the settings only, never on how push() splits them.
//
// Every sample lies in exactly one core (or skipped span); cores tile the time line.
// One thread at a time. Holds at most one payload plus the frame energies of its window.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "audio/chunk.h"

namespace transcribe {

enum class SplitMode { kPause, kFixed };

class Chunker {
 public:
  struct Config {
    SplitMode split = SplitMode::kPause;
    std::uint64_t min_frames = 12 * kSampleRate;
    std::uint64_t max_frames = 28 * kSampleRate;  // of a core
    // Shortest pause to cut in. Zero: the longest pause of at least 150 ms in the window.
    std::uint64_t pause_frames = 0;
    // Cut in the first pause that is long enough (live) instead of the best one of the window.
    bool first_pause = false;
  };
  using Emit = std::function<void(AudioPiece&&)>;

  // `emit` runs inside push() and cut().
  Chunker(const Config& config, Emit emit);
  ~Chunker();
  Chunker(const Chunker&) = delete;
  Chunker& operator=(const Chunker&) = delete;

  void push(std::span<const std::int16_t> samples);
  // Emits what is buffered, whatever its length; nothing when nothing is. The next piece starts
  // afresh: no window and no context crosses a cut() for a discontinuity.
  void cut(CutReason reason);
  // Forgets what is buffered and returns its span (flush). The position goes on behind it.
  FrameSpan drop();

  // Frames received so far: the position of the next sample.
  std::uint64_t position() const;
  // Frames received and not yet emitted.
  std::uint64_t buffered() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace transcribe
