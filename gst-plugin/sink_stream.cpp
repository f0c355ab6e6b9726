#include "sink_stream.h"

#include <algorithm>
#include <utility>

namespace transcribe {

namespace {

// Jitter below this is smoothed; more is a hole or an overlap.
constexpr GstClockTime kAlignmentThreshold = 20 * GST_MSECOND;

}  // namespace

SinkStream::SinkStream(Submit submit, GstClockTime max_silence)
    : submit_(std::move(submit)), max_silence_(max_silence) {
  gst_audio_info_init(&info_);
  gst_segment_init(&segment_, GST_FORMAT_TIME);
}

SinkStream::~SinkStream() = default;

void SinkStream::open(const Chunker::Config& config) {
  chunker_ =
      std::make_unique<Chunker>(config, [this](AudioPiece&& piece) { emit(std::move(piece)); });
  slice_frames_ = std::min<std::uint64_t>(config.max_frames, kSampleRate);
  longest_held_ = config.max_frames + config.overlap_frames;
  longest_wait_.reset();
  if (config.split == SplitMode::kPause)
    longest_wait_ =
        frames_to_time(config.max_frames + std::min(config.overlap_frames, config.min_frames) / 2);
}

Status SinkStream::set_caps(const GstAudioInfo& info) {
  if (run_) end_run(CutReason::kDiscontinuity);
  if (Status status = normalizer_.configure(info); !status) return status;
  info_ = info;
  align_.reset(gst_audio_stream_align_new(GST_AUDIO_INFO_RATE(&info), kAlignmentThreshold, 0));
  return Success{};
}

void SinkStream::set_segment(const GstSegment& segment) {
  GstSegment next = segment;
  // Bytes or frames (an appsrc that was not told otherwise) say nothing about time: the time line
  // starts at 0.
  if (next.format != GST_FORMAT_TIME) gst_segment_init(&next, GST_FORMAT_TIME);
  GstSegment same_but_position = next;
  same_but_position.position = segment_.position;
  if (!gst_segment_is_equal(&same_but_position, &segment_)) {
    if (run_) end_run(CutReason::kDiscontinuity);
    if (align_) gst_audio_stream_align_mark_discont(align_.get());
    next_timestamp_ = next.start;
  }
  segment_ = next;
}

void SinkStream::begin(GstBuffer* buffer, TimePoint came) {
  forget_pending();
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(buffer);
  const std::uint64_t frames =
      meta != nullptr ? meta->samples : gst_buffer_get_size(buffer) / GST_AUDIO_INFO_BPF(&info_);
  GstClockTime timestamp = GST_BUFFER_PTS(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(timestamp))
    timestamp = run_ ? expected_timestamp() : next_timestamp_;
  const FrameSpan kept = clip(timestamp, frames);
  if (kept.frames() == 0) return;
  if (kept.begin > 0) timestamp = segment_.start;
  pending_.reset(gst_buffer_ref(buffer));
  pending_offset_ = kept.begin;
  pending_end_ = kept.end;

  const bool flagged = GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) ||
                       GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_RESYNC);
  GstClockTime aligned = timestamp;
  const bool discont =
      gst_audio_stream_align_process(align_.get(), flagged || !run_, timestamp,
                                     static_cast<guint>(kept.frames()), &aligned, nullptr, nullptr);
  if (discont || !run_) {
    if (run_) end_run(CutReason::kDiscontinuity);
    begin_run(aligned);
  }
  came_ = came;
}

// To the nearest frame (gst_audio_buffer_clip() rounds down): times are rounded to nanoseconds, and
// which frame is the first must not depend on where its buffer begins.
FrameSpan SinkStream::clip(GstClockTime timestamp, std::uint64_t frames) const {
  const auto frames_until = [&](GstClockTime time) {
    if (time <= timestamp) return std::uint64_t{0};
    return std::min<std::uint64_t>(
        frames,
        gst_util_uint64_scale_round(time - timestamp, GST_AUDIO_INFO_RATE(&info_), GST_SECOND));
  };
  const std::uint64_t begin = frames_until(segment_.start);
  // An end that is not known is the greatest time.
  return {begin, std::max(begin, frames_until(segment_.stop))};
}

Result<bool> SinkStream::step() {
  const std::uint64_t left = pending_ ? pending_end_ - pending_offset_ : pending_silence_;
  if (left == 0) return false;
  const std::uint64_t rate = GST_AUDIO_INFO_RATE(&info_);
  const std::uint64_t slice = std::max<std::uint64_t>(1, slice_frames_ * rate / kSampleRate);
  const std::uint64_t frames = std::min(slice, left);
  if (!pending_ || GST_BUFFER_FLAG_IS_SET(pending_.get(), GST_BUFFER_FLAG_GAP)) {
    normalizer_.push_silence(frames, samples_);
  } else if (Status status = normalizer_.push(pending_.get(), samples_, pending_offset_, frames);
             !status) {
    forget_pending();
    return status.error();
  }
  if (pending_) {
    pending_offset_ += frames;
  } else {
    pending_silence_ -= frames;
  }
  run_->frames_in += frames;
  feed();
  if (frames < left) return true;
  forget_pending();
  return false;
}

void SinkStream::forget_pending() {
  pending_.reset();
  pending_silence_ = 0;
}

void SinkStream::gap(GstClockTime timestamp, GstClockTime duration, TimePoint came) {
  if (!GST_CLOCK_TIME_IS_VALID(timestamp) || !GST_CLOCK_TIME_IS_VALID(duration)) return;
  // As of a buffer only what lies in the segment counts.
  if (timestamp >= segment_.stop) return;
  const GstClockTime end = timestamp + std::min(duration, segment_.stop - timestamp);
  if (!run_) {
    next_timestamp_ = std::max(next_timestamp_, end);
    return;
  }
  const GstClockTime expected = expected_timestamp();
  if (end <= expected) return;
  if (end - expected > max_silence_) {
    end_run(CutReason::kSilence);
    next_timestamp_ = end;
    return;
  }
  const std::uint64_t frames =
      gst_util_uint64_scale_round(end - expected, GST_AUDIO_INFO_RATE(&info_), GST_SECOND);
  gst_audio_stream_align_process(align_.get(), FALSE, expected, static_cast<guint>(frames), nullptr,
                                 nullptr, nullptr);
  pending_silence_ = frames;
  came_ = came;
}

void SinkStream::cut() {
  if (run_) chunker_->cut(CutReason::kRequested);
}

std::optional<TimePoint> SinkStream::due() const {
  if (!run_ || !longest_wait_) return std::nullopt;
  const auto first = chunker_->waiting();
  if (!first) return std::nullopt;
  return std::max(arrivals_.of_last(*first + 1) + *longest_wait_, came_ + kLull);
}

std::optional<TimePoint> SinkStream::look(TimePoint now) {
  const auto end = due();
  if (!end || now < *end) return end;
  chunker_->cut(CutReason::kStalled);
  return due();
}

void SinkStream::finish() {
  if (run_) end_run(CutReason::kEndOfStream);
}

std::optional<SinkStream::Dropped> SinkStream::flush() {
  std::optional<Dropped> dropped;
  if (run_) {
    // With what the normaliser holds, and what is left of a buffer or gap.
    run_->frames_in += pending_ ? pending_end_ - pending_offset_ : pending_silence_;
    const std::uint64_t end =
        run_->position +
        gst_util_uint64_scale_round(run_->frames_in, kSampleRate, GST_AUDIO_INFO_RATE(&info_));
    const std::uint64_t missing = end - std::min(end, chunker_->position());
    const FrameSpan span = chunker_->drop(missing);
    if (span.frames() > 0) dropped = Dropped{span, media_time(span.begin)};
  }
  forget_pending();
  normalizer_.reset();
  samples_.clear();
  arrivals_.clear();
  run_.reset();
  next_timestamp_ = segment_.start;
  if (align_) gst_audio_stream_align_mark_discont(align_.get());
  return dropped;
}

GstClockTime SinkStream::expected_timestamp() const {
  return run_->timestamp +
         gst_util_uint64_scale_round(run_->frames_in, GST_SECOND, GST_AUDIO_INFO_RATE(&info_));
}

void SinkStream::begin_run(GstClockTime timestamp) {
  run_ = Run{chunker_->position(), timestamp, 0};
}

void SinkStream::end_run(CutReason reason) {
  normalizer_.flush(samples_);
  feed();
  chunker_->cut(reason);
  next_timestamp_ = expected_timestamp();
  run_.reset();
}

void SinkStream::feed() {
  const std::uint64_t end = chunker_->position() + samples_.size();
  arrivals_.note(end, came_);
  chunker_->push(samples_);
  samples_.clear();
  arrivals_.forget_before(end - std::min(end, longest_held_));
}

void SinkStream::emit(AudioPiece&& piece) {
  const MediaTime time = media_time(piece.core.begin);
  const TimePoint heard_at = arrivals_.of_last(piece.payload.end);
  submit_(std::move(piece), time, heard_at);
}

MediaTime SinkStream::media_time(std::uint64_t position) const {
  MediaTime time;
  const Nanoseconds offset = frames_to_time(position - run_->position);
  time.timestamp = Nanoseconds(static_cast<std::int64_t>(run_->timestamp)) + offset;
  const auto timestamp = static_cast<GstClockTime>(time.timestamp.count());
  // Rounding and smoothing may put the first sample a little before the segment.
  const bool inside =
      timestamp + kAlignmentThreshold >= segment_.start &&
      (segment_.stop == GST_CLOCK_TIME_NONE || timestamp <= segment_.stop + kAlignmentThreshold);
  guint64 stream = 0;
  const gint sign = gst_segment_to_stream_time_full(&segment_, GST_FORMAT_TIME, timestamp, &stream);
  const GstClockTime running = gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, timestamp);
  if (inside && sign != 0) {
    time.stream_time = Nanoseconds(sign > 0 ? static_cast<std::int64_t>(stream) : 0);
    time.stream_rate = segment_.applied_rate;
  }
  if (GST_CLOCK_TIME_IS_VALID(running))
    time.running_time = Nanoseconds(static_cast<std::int64_t>(running));
  return time;
}

}  // namespace transcribe
