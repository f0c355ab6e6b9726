// Cuts a stream of 16 kHz mono S16 samples into pieces. Deterministic: the pieces depend on the
// samples and the settings only, never on how push() splits them.
//
// Every sample lies in exactly one core or skipped span; together they tile the time line. A piece
// that was cut where there is no pause brings half of the overlap from beyond that cut, and so does
// the next one; nothing else is sent twice.
// One thread at a time. Holds at most one payload, the marks of its frames and, while it skips, the
// padding.
//
// A pause is a run of frames that do not stand out from the background (speech_detector.h), counted
// from the last loud frame. Where max_frames holds several, the longest wins, of equal ones the
// last; where it holds none, the quietest 150 ms are cut (CutReason::kForced). A stream of at most
// max_frames is not cut for its length: it ends as one piece.
//
// With skip_silence a core ends at kPadding behind its last speech when more than silence_frames
// without speech follow (2 s if it has hardly any speech), and the next begins at kPadding before
// the next voiced frame. What lies between is one skipped piece, emitted when speech comes back, or
// at the next cut(). So is what has no speech at all when it is cut, but for audible sound of which
// less than 3 s were heard: whether there is speech in it can't be known.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "audio/chunk.h"

namespace transcribe {

enum class SplitMode { kPause, kFixed };

class Chunker {
 public:
  static constexpr std::uint64_t kPadding = kSampleRate * 3 / 10;

  struct Config {
    SplitMode split = SplitMode::kPause;
    std::uint64_t min_frames = 12 * kSampleRate;  // of a core; at most max_frames counts
    std::uint64_t max_frames = 28 * kSampleRate;  // of a core; above zero
    // Shortest pause to cut in. Zero: 150 ms.
    std::uint64_t pause_frames = 0;
    // Cut as soon as a pause is long enough (live) instead of in the best one of the window. If
    // none was until max_frames, the longest of at least 150 ms serves.
    bool first_pause = false;
    // What two pieces share at a forced cut, half of it on each side; at most min_frames counts.
    std::uint64_t overlap_frames = 0;
    bool skip_silence = false;                   // not with max_frames below 0.8 s, nor with kFixed
    std::uint64_t silence_frames = kSampleRate;  // longest span without speech within a piece
    double speech_threshold = 8;                 // dB
  };
  using Emit = std::function<void(AudioPiece&&)>;

  // `emit` runs inside push() and cut(); it may call the const members only. With first_pause a
  // sample is emitted before max_frames and half the overlap have followed it, unless it is
  // skipped.
  Chunker(const Config& config, Emit emit);
  ~Chunker();
  Chunker(const Chunker&) = delete;
  Chunker& operator=(const Chunker&) = delete;

  void push(std::span<const std::int16_t> samples);
  // Emits what is buffered, whatever its length; nothing when nothing is. The next piece starts
  // afresh: neither its window nor its noise floor looks back over the cut.
  void cut(CutReason reason);
  // Forgets what was received and not emitted, and `missing` frames that were not even pushed, and
  // returns their span (flush). The position goes on behind it, the next piece starts afresh.
  FrameSpan drop(std::uint64_t missing = 0);

  // Frames received so far: the position of the next sample.
  std::uint64_t position() const;
  // Frames received that lie in no piece yet.
  std::uint64_t unsettled() const;
  // Position of the first frame that is to be emitted and was not. Absent: none is, or what is
  // there is being skipped.
  std::optional<std::uint64_t> waiting() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace transcribe
