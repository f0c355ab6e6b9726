// The streaming side of the sink: buffers, events and caps in, pieces with their media time out.
//
// Clips to the segment, aligns (GstAudioStreamAlign), keeps the time line over gaps, normalises,
// and feeds the chunker. A stretch of samples without a hole is a run; a run ends at DISCONT, at a
// jump above the tolerance, at a new segment or new caps, in a long gap and at EOS, and no chunk
// crosses its end. The owner serialises the calls.
#pragma once

#include <gst/audio/audio.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "audio/arrivals.h"
#include "audio/chunker.h"
#include "audio_normalizer.h"

namespace transcribe {

class SinkStream {
 public:
  // With the time when the last sample of the payload came.
  using Submit = std::function<void(AudioPiece&&, const MediaTime&, TimePoint heard_at)>;

  // `submit` runs inside the calls below. `max_silence`: longest gap that is filled with silence.
  SinkStream(Submit submit, GstClockTime max_silence);
  ~SinkStream();

  // Before the first buffer of a job: sizes depend on whether upstream is live.
  void open(const Chunker::Config& config);
  bool is_open() const { return chunker_ != nullptr; }

  Status set_caps(const GstAudioInfo& info);
  bool has_caps() const { return normalizer_.configured(); }
  // A segment that differs in more than its position ends the run.
  void set_segment(const GstSegment& segment);

  // Take a buffer or a gap in; step() then works it off in slices of at most a second, so that the
  // owner can wait for room in between. step() returns true while there is more. `came`: when it
  // did; never goes back.
  void begin(GstBuffer* buffer, TimePoint came);
  void gap(GstClockTime timestamp, GstClockTime duration, TimePoint came);
  Result<bool> step();

  // split-now: what is buffered becomes a chunk, the run goes on.
  void cut();
  // When what is buffered is to be cut if nothing comes until then: the longest core and half of
  // the overlap after its first sample came, or kLull after the last one did: a source that is a
  // little late cuts no word in two. Absent: nothing waits, or split=fixed.
  std::optional<TimePoint> due() const;
  static constexpr Nanoseconds kLull = std::chrono::milliseconds(500);
  // Cuts what is due by now; the run goes on. Returns what due() is then.
  std::optional<TimePoint> look(TimePoint now);
  // EOS: drains everything.
  void finish();

  // After a flush: forgets what is buffered. What was received of it and never cut, if anything.
  struct Dropped {
    FrameSpan span;
    MediaTime time;
  };
  std::optional<Dropped> flush();

 private:
  struct AlignFree {
    void operator()(GstAudioStreamAlign* align) const { gst_audio_stream_align_free(align); }
  };
  struct BufferUnref {
    void operator()(GstBuffer* buffer) const { gst_buffer_unref(buffer); }
  };
  // Media time of the first sample after a hole, and how far the input has come since.
  struct Run {
    std::uint64_t position = 0;  // chunker position at its beginning
    GstClockTime timestamp = 0;
    std::uint64_t frames_in = 0;
  };

  // Those of the buffer's frames that lie in the segment.
  FrameSpan clip(GstClockTime timestamp, std::uint64_t frames) const;
  void forget_pending();
  GstClockTime expected_timestamp() const;
  void begin_run(GstClockTime timestamp);
  void end_run(CutReason reason);
  void feed();
  void emit(AudioPiece&& piece);
  MediaTime media_time(std::uint64_t position) const;

  const Submit submit_;
  const GstClockTime max_silence_;
  std::unique_ptr<Chunker> chunker_;
  AudioNormalizer normalizer_;
  std::unique_ptr<GstAudioStreamAlign, AlignFree> align_;
  GstAudioInfo info_;
  GstSegment segment_;
  std::optional<Run> run_;
  GstClockTime next_timestamp_ = 0;  // between runs: of a buffer that has no timestamp
  std::uint64_t slice_frames_ = 0;
  std::uint64_t longest_held_ = 0;  // by the chunker, of what it does not skip
  std::optional<Nanoseconds> longest_wait_;

  std::unique_ptr<GstBuffer, BufferUnref> pending_;
  std::uint64_t pending_offset_ = 0;
  std::uint64_t pending_end_ = 0;
  std::uint64_t pending_silence_ = 0;  // of a gap

  std::vector<std::int16_t> samples_;
  TimePoint came_{};  // what is worked off
  Arrivals arrivals_;
};

}  // namespace transcribe
