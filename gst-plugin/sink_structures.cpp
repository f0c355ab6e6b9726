#include "sink_structures.h"

#include <algorithm>

namespace transcribe {

namespace {

GstClockTime clock_time(Nanoseconds time) {
  return static_cast<GstClockTime>(std::max<std::int64_t>(0, time.count()));
}

GstClockTime clock_time(const std::optional<Nanoseconds>& time) {
  return time ? clock_time(*time) : GST_CLOCK_TIME_NONE;
}

GstStructure* chunk_structure(const char* name, const std::string& job_id, const ChunkInfo& chunk) {
  GstStructure* structure = gst_structure_new(
      name, "job-id", G_TYPE_STRING, job_id.c_str(), "chunk-index", G_TYPE_UINT64, chunk.index,
      "timestamp", GST_TYPE_CLOCK_TIME, clock_time(chunk.time.timestamp), "stream-time",
      GST_TYPE_CLOCK_TIME, clock_time(chunk.time.stream_time), "running-time", GST_TYPE_CLOCK_TIME,
      clock_time(chunk.time.running_time), "duration", GST_TYPE_CLOCK_TIME,
      clock_time(chunk.duration()), nullptr);
  if (chunk.payload != chunk.core) {
    gst_structure_set(structure, "payload-timestamp", GST_TYPE_CLOCK_TIME,
                      clock_time(chunk.payload_timestamp()), "payload-duration",
                      GST_TYPE_CLOCK_TIME, clock_time(frames_to_time(chunk.payload.frames())),
                      nullptr);
  }
  return structure;
}

void append(GValue* array, GstStructure* structure) {
  GValue value = G_VALUE_INIT;
  g_value_init(&value, GST_TYPE_STRUCTURE);
  g_value_take_boxed(&value, structure);
  gst_value_array_append_and_take_value(array, &value);
}

GstStructure* timed(const char* name, Nanoseconds begin, Nanoseconds end, const std::string& text) {
  return gst_structure_new(name, "timestamp", GST_TYPE_CLOCK_TIME, clock_time(begin), "duration",
                           GST_TYPE_CLOCK_TIME, clock_time(end - begin), "text", G_TYPE_STRING,
                           text.c_str(), nullptr);
}

void set_words(GstStructure* structure, const std::vector<Word>& words, Nanoseconds offset) {
  GValue array = G_VALUE_INIT;
  gst_value_array_init(&array, static_cast<guint>(words.size()));
  for (const Word& word : words) {
    GstStructure* entry = timed("word", offset + word.start, offset + word.end, word.text);
    if (word.confidence)
      gst_structure_set(entry, "confidence", G_TYPE_DOUBLE, *word.confidence, nullptr);
    append(&array, entry);
  }
  gst_structure_take_value(structure, "words", &array);
}

void set_segments(GstStructure* structure, const std::vector<Segment>& segments,
                  Nanoseconds offset) {
  GValue array = G_VALUE_INIT;
  gst_value_array_init(&array, static_cast<guint>(segments.size()));
  for (const Segment& segment : segments) {
    GstStructure* entry =
        timed("segment", offset + segment.start, offset + segment.end, segment.text);
    if (!segment.speaker.empty())
      gst_structure_set(entry, "speaker", G_TYPE_STRING, segment.speaker.c_str(), nullptr);
    if (segment.confidence)
      gst_structure_set(entry, "confidence", G_TYPE_DOUBLE, *segment.confidence, nullptr);
    append(&array, entry);
  }
  gst_structure_take_value(structure, "segments", &array);
}

void set_seam(GstStructure* structure, const Seam& seam) {
  GstStructure* entry = gst_structure_new(
      "seam", "kind", G_TYPE_STRING, to_string(seam.kind).data(), "timestamp", GST_TYPE_CLOCK_TIME,
      clock_time(seam.begin), "duration", GST_TYPE_CLOCK_TIME, clock_time(seam.end - seam.begin),
      "dropped-left", G_TYPE_STRING, seam.dropped_left.c_str(), "dropped-right", G_TYPE_STRING,
      seam.dropped_right.c_str(), nullptr);
  gst_structure_set(structure, "seam", GST_TYPE_STRUCTURE, entry, nullptr);
  gst_structure_free(entry);
}

void set_suspect(GstStructure* structure, const std::vector<Suspicion>& suspect) {
  GValue array = G_VALUE_INIT;
  gst_value_array_init(&array, static_cast<guint>(suspect.size()));
  for (const Suspicion why : suspect) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_STRING);
    g_value_set_static_string(&value, to_string(why).data());
    gst_value_array_append_and_take_value(&array, &value);
  }
  gst_structure_take_value(structure, "suspect", &array);
}

GstStructure* result_structure(const std::string& job_id, const ChunkDone& done) {
  const Transcription& transcription = *done.transcription;
  const Nanoseconds offset = done.chunk->payload_timestamp();
  GstStructure* structure = chunk_structure("openaitranscribe/result", job_id, *done.chunk);
  gst_structure_set(structure, "text", G_TYPE_STRING, transcription.text.c_str(), "attempts",
                    G_TYPE_UINT, done.attempts, "latency", GST_TYPE_CLOCK_TIME,
                    clock_time(done.latency), "resumed", G_TYPE_BOOLEAN, done.resumed, "request-id",
                    G_TYPE_STRING, transcription.request_id.c_str(), nullptr);
  if (!transcription.language.empty())
    gst_structure_set(structure, "language-code", G_TYPE_STRING, transcription.language.c_str(),
                      nullptr);
  if (transcription.confidence)
    gst_structure_set(structure, "confidence", G_TYPE_DOUBLE, *transcription.confidence, nullptr);
  if (!transcription.raw.empty())
    gst_structure_set(structure, "raw", G_TYPE_STRING, transcription.raw.c_str(), nullptr);
  if (!done.suspect.empty()) {
    set_suspect(structure, done.suspect);
    gst_structure_set(structure, "dropped", G_TYPE_BOOLEAN, done.dropped, nullptr);
  }
  if (!transcription.segments.empty()) set_segments(structure, transcription.segments, offset);
  if (!transcription.words.empty()) set_words(structure, transcription.words, offset);
  return structure;
}

GstStructure* failed_structure(const std::string& job_id, const ChunkFailed& failed) {
  const Failure& failure = failed.failure;
  GstStructure* structure = chunk_structure("openaitranscribe/chunk-failed", job_id, *failed.chunk);
  gst_structure_set(
      structure, "http-status-code", G_TYPE_UINT, failure.http_status, "error-type", G_TYPE_STRING,
      failure.error_type.c_str(), "error-code", G_TYPE_STRING, failure.error_code.c_str(),
      "error-message", G_TYPE_STRING,
      failure.error_message.empty() ? failure.message.c_str() : failure.error_message.c_str(),
      "attempts", G_TYPE_UINT, failed.attempts, "reason", G_TYPE_STRING, failure.reason.c_str(),
      "request-id", G_TYPE_STRING, failure.request_id.c_str(), nullptr);
  return structure;
}

GstStructure* skipped_structure(const std::string& job_id, const ChunkSkipped& skipped) {
  GstStructure* structure =
      chunk_structure("openaitranscribe/chunk-skipped", job_id, *skipped.chunk);
  gst_structure_set(structure, "reason", G_TYPE_STRING, to_string(skipped.reason).data(), nullptr);
  return structure;
}

}  // namespace

GstStructure* queued_structure(const std::string& job_id, const ChunkQueued& event) {
  GstStructure* structure = chunk_structure("openaitranscribe/chunk-queued", job_id, *event.chunk);
  gst_structure_set(structure, "bytes", G_TYPE_UINT64, event.bytes, nullptr);
  return structure;
}

GstStructure* retry_structure(const std::string& job_id, const ChunkRetry& event) {
  GstStructure* structure = chunk_structure("openaitranscribe/chunk-retry", job_id, *event.chunk);
  gst_structure_set(structure, "attempt", G_TYPE_UINT, event.attempt, "delay", GST_TYPE_CLOCK_TIME,
                    clock_time(event.delay), "http-status-code", G_TYPE_UINT,
                    event.failure.http_status, "reason", G_TYPE_STRING,
                    event.failure.reason.c_str(), nullptr);
  return structure;
}

GstStructure* outcome_structure(const std::string& job_id, const Outcome& outcome) {
  if (const auto* done = std::get_if<ChunkDone>(&outcome)) return result_structure(job_id, *done);
  if (const auto* failed = std::get_if<ChunkFailed>(&outcome))
    return failed_structure(job_id, *failed);
  return skipped_structure(job_id, std::get<ChunkSkipped>(outcome));
}

GstStructure* text_structure(const std::string& job_id, const TextPiece& piece) {
  GstStructure* structure = chunk_structure("openaitranscribe/text", job_id, *piece.chunk);
  gst_structure_set(structure, "timestamp", GST_TYPE_CLOCK_TIME, clock_time(piece.time.timestamp),
                    "stream-time", GST_TYPE_CLOCK_TIME, clock_time(piece.time.stream_time),
                    "running-time", GST_TYPE_CLOCK_TIME, clock_time(piece.time.running_time),
                    "duration", GST_TYPE_CLOCK_TIME, clock_time(piece.duration), "text",
                    G_TYPE_STRING, piece.text.c_str(), nullptr);
  if (!piece.words.empty()) set_words(structure, piece.words, Nanoseconds(0));
  if (piece.seam) set_seam(structure, *piece.seam);
  return structure;
}

}  // namespace transcribe
