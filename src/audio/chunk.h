// What the chunker cuts and the service transcribes. Positions are 16 kHz mono frames counted
// from the job's first sample (64 bit: streams of days); times are media time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/glib_ptr.h"

namespace transcribe {

inline constexpr std::uint64_t kSampleRate = 16000;
inline constexpr std::uint64_t kBytesPerFrame = 2;
// Services refuse audio shorter than 0.1 s; a shorter tail is padded with silence to this.
inline constexpr std::uint64_t kMinPayloadFrames = kSampleRate / 10;

constexpr Nanoseconds frames_to_time(std::uint64_t frames) {
  return Nanoseconds(static_cast<std::int64_t>(frames / kSampleRate * 1000000000ull +
                                               frames % kSampleRate * 1000000000ull / kSampleRate));
}
constexpr std::uint64_t time_to_frames(Nanoseconds time) {
  const auto ns = static_cast<std::uint64_t>(time.count());
  return ns / 1000000000ull * kSampleRate + ns % 1000000000ull * kSampleRate / 1000000000ull;
}

struct FrameSpan {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t frames() const { return end - begin; }
  bool operator==(const FrameSpan&) const = default;
};

enum class CutReason {
  kFixed,          // split=fixed: max-chunk-duration reached
  kPause,          // a pause in the speech
  kForced,         // no pause found before the maximum
  kSilence,        // long silence follows
  kDiscontinuity,  // hole, overlap, DISCONT, new segment or new caps
  kRequested,      // split-now
  kStalled,        // live: nothing came for too long
  kEndOfStream,
};
std::string_view to_string(CutReason reason);

// Speech and non-speech runs of the payload in 10 ms frames, beginning with non-speech.
using SpeechMask = std::vector<std::uint32_t>;

// One piece of audio as the chunker emits it. `pcm` is S16LE mono of `payload`, plus `padding`
// frames of silence when the payload is shorter than kMinPayloadFrames.
struct AudioPiece {
  FrameSpan core;     // cores (and skipped spans) tile the time line
  FrameSpan payload;  // core plus overlap context, if any
  std::uint64_t padding = 0;
  CutReason reason = CutReason::kEndOfStream;
  bool skipped = false;  // silence that is reported but not sent; `pcm` is empty
  BytesPtr pcm;
  SpeechMask mask;
};

// Where a piece lies in media time. Absent stream or running time: outside the segment.
struct MediaTime {
  Nanoseconds timestamp{0};
  std::optional<Nanoseconds> stream_time;
  std::optional<Nanoseconds> running_time;
  // Of stream time; other than 1 where the audio was sped up before it came. Negative: backwards.
  double stream_rate = 1;
};

// A piece with its place in the job: what every event about a chunk refers to.
struct ChunkInfo {
  std::uint64_t index = 0;
  FrameSpan core;
  FrameSpan payload;
  MediaTime time;  // of the core's first frame
  CutReason reason = CutReason::kEndOfStream;
  SpeechMask mask;
  std::string sha256;  // pcm_digest(); empty when nothing was cut

  Nanoseconds duration() const { return frames_to_time(core.frames()); }
  // Media time of the payload's first frame; earlier than `time.timestamp` where context precedes.
  Nanoseconds payload_timestamp() const {
    return time.timestamp - frames_to_time(core.begin - payload.begin);
  }
};

// Hex SHA-256.
std::string pcm_digest(GBytes* pcm);

// A chunk that waits to be sent. `pcm` stays untouched until the chunk is settled.
struct Chunk {
  ChunkInfo info;
  BytesPtr pcm;
  TimePoint cut_at;    // its time begins to run
  TimePoint heard_at;  // when the last sample of its payload came
  // In force when the chunk was cut: all its attempts are the same request.
  std::string prompt;
};

}  // namespace transcribe
