#include "job/chunk_record.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/json_text.h"
#include "job/record_fields.h"

namespace transcribe {
namespace {

// Far beyond every stream, and small enough that no time computed from them overflows.
constexpr gint64 kMaxFrames = gint64{1} << 46;
constexpr gint64 kMaxTime = gint64{1} << 61;

constexpr std::array kCutReasons{
    CutReason::kFixed,         CutReason::kPause,     CutReason::kForced,  CutReason::kSilence,
    CutReason::kDiscontinuity, CutReason::kRequested, CutReason::kStalled, CutReason::kEndOfStream};
constexpr std::array kSkipReasons{SkipReason::kSilence, SkipReason::kQueueFull,
                                  SkipReason::kFlushed};

struct SeverityName {
  Severity value;
  const char* name;
};
constexpr std::array kSeverities{SeverityName{Severity::kRetry, "retry"},
                                 SeverityName{Severity::kChunk, "chunk"},
                                 SeverityName{Severity::kJob, "job"}};
struct CauseName {
  Cause value;
  const char* name;
};
constexpr std::array kCauses{
    CauseName{Cause::kNotAuthorized, "not-authorized"},
    CauseName{Cause::kNotFound, "not-found"},
    CauseName{Cause::kBusy, "busy"},
    CauseName{Cause::kConnect, "connect"},
    CauseName{Cause::kWrite, "write"},
    CauseName{Cause::kRead, "read"},
    CauseName{Cause::kSettings, "settings"},
    CauseName{Cause::kTimeBudget, "time-budget"},
    CauseName{Cause::kRejectedAlike, "rejected-alike"},
    CauseName{Cause::kStore, "store"},
    CauseName{Cause::kCancelled, "cancelled"},
};

template <typename Table, typename Value>
const char* name_in(const Table& table, Value value) {
  for (const auto& entry : table) {
    if (entry.value == value) return entry.name;
  }
  return "";
}

template <typename Table, typename Value>
void read_name(RecordFields& fields, const char* member, const Table& table, Value& value) {
  const std::string name = fields.text(member);
  for (const auto& entry : table) {
    if (name == entry.name) {
      value = entry.value;
      return;
    }
  }
  fields.refuse(member);
}

template <typename Values, typename Value>
void read_reason(RecordFields& fields, const char* member, const Values& values, Value& value) {
  const std::string name = fields.text(member);
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](auto candidate) { return to_string(candidate) == name; });
  if (found == values.end()) {
    fields.refuse(member);
  } else {
    value = *found;
  }
}

void write_chunk(JsonText& json, const ChunkInfo& chunk) {
  json.number("v", std::uint64_t{kRecordVersion});
  json.number("index", chunk.index);
  json.number("start", chunk.core.begin);
  json.number("frames", chunk.core.frames());
  if (chunk.payload != chunk.core) {
    json.number("payload_start", chunk.payload.begin);
    json.number("payload_frames", chunk.payload.frames());
  }
  json.time("pts_ns", chunk.time.timestamp);
  json.time_if_any("stream_ns", chunk.time.stream_time);
  json.time_if_any("running_ns", chunk.time.running_time);
  if (chunk.time.stream_rate != 1) json.number_if_any("stream_rate", chunk.time.stream_rate);
  json.text("reason", std::string(to_string(chunk.reason)));
  if (!chunk.mask.empty()) {
    json.begin_array("mask");
    for (const std::uint32_t run : chunk.mask) json.element(run);
    json.end_array();
  }
}

// What is written can be read back, whatever the service said.
Nanoseconds bounded(Nanoseconds time) {
  return std::clamp(time, Nanoseconds(-kMaxTime), Nanoseconds(kMaxTime));
}

void write_times(JsonText& json, Nanoseconds start, Nanoseconds end, const std::string& text) {
  json.time("start_ns", bounded(start));
  json.time("end_ns", bounded(end));
  json.text("text", text);
}

void write_outcome(JsonText& json, const ChunkDone& done) {
  static const Transcription kNothing;
  const Transcription& transcription = done.transcription ? *done.transcription : kNothing;
  json.text("status", "done");
  json.text("text", transcription.text);
  json.text_if_any("language", transcription.language);
  json.number_if_any("confidence", transcription.confidence);
  if (!transcription.segments.empty()) {
    json.begin_array("segments");
    for (const Segment& segment : transcription.segments) {
      json.begin_object();
      write_times(json, segment.start, segment.end, segment.text);
      json.text_if_any("speaker", segment.speaker);
      json.number_if_any("confidence", segment.confidence);
      json.number_if_any("avg_logprob", segment.avg_logprob);
      json.number_if_any("no_speech_prob", segment.no_speech_prob);
      json.number_if_any("compression_ratio", segment.compression_ratio);
      json.end_object();
    }
    json.end_array();
  }
  if (!transcription.words.empty()) {
    json.begin_array("words");
    for (const Word& word : transcription.words) {
      json.begin_object();
      write_times(json, word.start, word.end, word.text);
      json.number_if_any("confidence", word.confidence);
      json.end_object();
    }
    json.end_array();
  }
  json.number("attempts", std::uint64_t{done.attempts});
  json.number_if_any("latency_ms", static_cast<double>(done.latency.count()) / 1e6);
  json.text_if_any("request_id", transcription.request_id);
  json.flag_if_set("resumed", done.resumed);
  if (!done.suspect.empty()) {
    json.begin_array("suspect");
    for (const Suspicion why : done.suspect) json.element(std::string(to_string(why)));
    json.end_array();
  }
  json.flag_if_set("dropped", done.dropped);
}

void write_outcome(JsonText& json, const ChunkFailed& failed) {
  const Failure& failure = failed.failure;
  json.text("status", "failed");
  json.begin_object("error");
  json.text("severity", name_in(kSeverities, failure.severity));
  json.text("cause", name_in(kCauses, failure.cause));
  json.text_if_any("reason", failure.reason);
  json.text_if_any("message", failure.message);
  if (failure.http_status != 0) json.number("http_status", std::uint64_t{failure.http_status});
  json.text_if_any("type", failure.error_type);
  json.text_if_any("code", failure.error_code);
  json.text_if_any("param", failure.error_param);
  json.text_if_any("server_message", failure.error_message);
  if (failure.server_delay) json.time("server_delay_ns", bounded(*failure.server_delay));
  json.flag_if_set("hold_group", failure.hold_group);
  json.flag_if_set("slow_down", failure.slow_down);
  json.flag_if_set("retry_at_once", failure.retry_at_once);
  json.flag_if_set("maybe_processed", failure.maybe_processed);
  json.end_object();
  json.number("attempts", std::uint64_t{failed.attempts});
  json.text_if_any("request_id", failure.request_id);
}

void write_outcome(JsonText& json, const ChunkSkipped& skipped) {
  json.text("status", "skipped");
  json.text("skip_reason", std::string(to_string(skipped.reason)));
}

std::uint64_t count(RecordFields& fields, const char* name, gint64 max) {
  return static_cast<std::uint64_t>(fields.integer(name, 0, max));
}

Nanoseconds time(RecordFields& fields, const char* name) {
  return Nanoseconds(fields.integer(name, -kMaxTime, kMaxTime));
}

std::optional<Nanoseconds> optional_time(RecordFields& fields, const char* name) {
  if (!fields.has(name)) return std::nullopt;
  return time(fields, name);
}

FrameSpan span(RecordFields& fields, const char* start, const char* frames) {
  const std::uint64_t begin = count(fields, start, kMaxFrames / 2);
  return {begin, begin + count(fields, frames, kMaxFrames / 2)};
}

ChunkPtr read_chunk(RecordFields& fields) {
  auto chunk = std::make_shared<ChunkInfo>();
  chunk->index = count(fields, "index", G_MAXINT64);
  chunk->core = span(fields, "start", "frames");
  chunk->payload = chunk->core;
  if (fields.has("payload_start")) {
    chunk->payload = span(fields, "payload_start", "payload_frames");
    if (chunk->payload.begin > chunk->core.begin || chunk->payload.end < chunk->core.end) {
      fields.refuse("payload_start");
    }
  }
  chunk->time.timestamp = time(fields, "pts_ns");
  chunk->time.stream_time = optional_time(fields, "stream_ns");
  chunk->time.running_time = optional_time(fields, "running_ns");
  chunk->time.stream_rate = fields.optional_number("stream_rate").value_or(1);
  read_reason(fields, "reason", kCutReasons, chunk->reason);
  chunk->mask = fields.run_lengths("mask");
  return chunk;
}

ChunkDone read_done(RecordFields& fields, ChunkPtr chunk) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = fields.text("text");
  transcription->language = fields.optional_text("language");
  transcription->confidence = fields.optional_number("confidence");
  transcription->request_id = fields.optional_text("request_id");
  fields.each("segments", [&](RecordFields& part) {
    Segment segment;
    segment.start = time(part, "start_ns");
    segment.end = time(part, "end_ns");
    segment.text = part.text("text");
    segment.speaker = part.optional_text("speaker");
    segment.confidence = part.optional_number("confidence");
    segment.avg_logprob = part.optional_number("avg_logprob");
    segment.no_speech_prob = part.optional_number("no_speech_prob");
    segment.compression_ratio = part.optional_number("compression_ratio");
    transcription->segments.push_back(std::move(segment));
  });
  fields.each("words", [&](RecordFields& part) {
    Word word;
    word.start = time(part, "start_ns");
    word.end = time(part, "end_ns");
    word.text = part.text("text");
    word.confidence = part.optional_number("confidence");
    transcription->words.push_back(std::move(word));
  });

  ChunkDone done;
  done.chunk = std::move(chunk);
  done.transcription = std::move(transcription);
  done.attempts = static_cast<unsigned>(fields.integer("attempts", 0, G_MAXUINT));
  const double latency = fields.optional_number("latency_ms").value_or(0) * 1e6;
  if (std::abs(latency) > static_cast<double>(kMaxTime)) {
    fields.refuse("latency_ms");
  } else {
    done.latency = Nanoseconds(std::llround(latency));
  }
  done.resumed = fields.flag("resumed");
  // Names of later versions are left out.
  for (const std::string& name : fields.texts("suspect")) {
    for (const Suspicion why : kSuspicions) {
      if (to_string(why) == name) done.suspect.push_back(why);
    }
  }
  done.dropped = fields.flag("dropped");
  return done;
}

ChunkFailed read_failed(RecordFields& fields, ChunkPtr chunk) {
  ChunkFailed failed;
  failed.chunk = std::move(chunk);
  failed.attempts = static_cast<unsigned>(fields.integer("attempts", 0, G_MAXUINT));
  failed.failure.request_id = fields.optional_text("request_id");
  fields.inside("error", [&](RecordFields& error) {
    Failure& failure = failed.failure;
    read_name(error, "severity", kSeverities, failure.severity);
    read_name(error, "cause", kCauses, failure.cause);
    failure.reason = error.optional_text("reason");
    failure.message = error.optional_text("message");
    if (error.has("http_status")) {
      failure.http_status = static_cast<unsigned>(error.integer("http_status", 0, 999));
    }
    failure.error_type = error.optional_text("type");
    failure.error_code = error.optional_text("code");
    failure.error_param = error.optional_text("param");
    failure.error_message = error.optional_text("server_message");
    failure.server_delay = optional_time(error, "server_delay_ns");
    failure.hold_group = error.flag("hold_group");
    failure.slow_down = error.flag("slow_down");
    failure.retry_at_once = error.flag("retry_at_once");
    failure.maybe_processed = error.flag("maybe_processed");
  });
  return failed;
}

}  // namespace

std::string to_record(const Outcome& outcome, const std::string& sha256, std::uint64_t epoch) {
  JsonText json;
  write_chunk(json, chunk_of(outcome));
  json.text_if_any("sha256", sha256);
  std::visit([&](const auto& event) { write_outcome(json, event); }, outcome);
  if (epoch != 0) json.number("epoch", epoch);
  return json.take();
}

Result<StoredChunk> from_record(const std::string& record) {
  return RecordFields::read(record, [](RecordFields& fields) {
    StoredChunk stored;
    fields.integer("v", kRecordVersion, kRecordVersion);
    ChunkPtr chunk = read_chunk(fields);
    stored.sha256 = fields.optional_text("sha256");
    const std::string status = fields.text("status");
    if (status == "done") {
      stored.outcome = read_done(fields, std::move(chunk));
    } else if (status == "failed") {
      stored.outcome = read_failed(fields, std::move(chunk));
    } else if (status == "skipped") {
      ChunkSkipped skipped;
      skipped.chunk = std::move(chunk);
      read_reason(fields, "skip_reason", kSkipReasons, skipped.reason);
      stored.outcome = std::move(skipped);
    } else {
      fields.refuse("status");
    }
    return stored;
  });
}

}  // namespace transcribe
