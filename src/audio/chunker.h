// Cuts a stream of 16 kHz mono S16 samples into pieces. Deterministic: the pieces depend on the
// samples and the settings only, never on how push() splits them.
//
// Every sample lies in exactly one core (or skipped span); cores tile the time line.
// One thread at a time. Holds at most one payload plus the frame energies of its window.
//
// A pause is a run of frames that do not stand out from the background (energy_meter.h), counted
// from the last loud frame. Where max_frames holds several, the longest wins, of equal ones the
// last; where it holds none, the quietest 150 ms are cut (CutReason::kForced). A stream of at most
// max_frames is not cut for its length: it ends as one piece.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "audio/chunk.h"

namespace transcribe {

enum class SplitMode { kPause, kFixed };

class Chunker {
 public:
  struct Config {
    SplitMode split = SplitMode::kPause;
    std::uint64_t min_frames = 12 * kSampleRate;  // of a core; at most max_frames counts
    std::uint64_t max_frames = 28 * kSampleRate;  // of a core; above zero
    // Shortest pause to cut in. Zero: 150 ms.
    std::uint64_t pause_frames = 0;
    // Cut as soon as a pause is long enough (live) instead of in the best one of the window. If
    // none was until max_frames, the longest of at least 150 ms serves.
    bool first_pause = false;
  };
  using Emit = std::function<void(AudioPiece&&)>;

  // `emit` runs inside push() and cut(); it may call the const members only.
  Chunker(const Config& config, Emit emit);
  ~Chunker();
  Chunker(const Chunker&) = delete;
  Chunker& operator=(const Chunker&) = delete;

  void push(std::span<const std::int16_t> samples);
  // Emits what is buffered, whatever its length; nothing when nothing is. The next piece starts
  // afresh: neither its window nor its noise floor looks back over the cut.
  void cut(CutReason reason);
  // Forgets what is buffered, and `missing` frames that were not even pushed, and returns their
  // span (flush). The position goes on behind it, the next piece starts afresh.
  FrameSpan drop(std::uint64_t missing = 0);

  // Frames received so far: the position of the next sample.
  std::uint64_t position() const;
  // Frames received and not yet emitted.
  std::uint64_t buffered() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace transcribe
