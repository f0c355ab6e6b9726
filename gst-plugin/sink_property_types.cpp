#include "sink_property_types.h"

#include <gst/gst.h>

#include "sink_settings.h"

namespace transcribe {
namespace {

template <typename Enum>
constexpr int value_of(Enum value) {
  return static_cast<int>(value);
}

GType register_enum(const char* name, const GEnumValue* values) {
  const GType type = g_enum_register_static(name, values);
  gst_type_mark_as_plugin_api(type, GstPluginAPIFlags(0));
  return type;
}

}  // namespace

GType auth_scheme_type() {
  static const GEnumValue values[] = {
      {value_of(AuthScheme::kBearer), "Header 'Authorization: Bearer KEY'", "bearer"},
      {value_of(AuthScheme::kApiKey), "Header 'api-key: KEY' (Azure)", "api-key"},
      {value_of(AuthScheme::kNone), "No key is sent", "none"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkAuthScheme", values);
  return type;
}

GType task_type() {
  static const GEnumValue values[] = {
      {value_of(Task::kTranscribe), "Text in the spoken language", "transcribe"},
      {value_of(Task::kTranslate), "Text in English", "translate"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkTask", values);
  return type;
}

GType response_format_type() {
  static const GEnumValue values[] = {
      {value_of(ResponseFormat::kAuto), "verbose-json with timestamp-granularities, else json",
       "auto"},
      {value_of(ResponseFormat::kJson), "Text only", "json"},
      {value_of(ResponseFormat::kVerboseJson), "Text, language, segments and words",
       "verbose-json"},
      {value_of(ResponseFormat::kDiarizedJson), "Text and segments with speakers", "diarized-json"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkResponseFormat", values);
  return type;
}

GType timestamp_granularities_type() {
  static const GFlagsValue values[] = {{kSegmentTimestamps, "Times of segments", "segment"},
                                       {kWordTimestamps, "Times of words", "word"},
                                       {0, nullptr, nullptr}};
  static const GType type = [] {
    const GType flags =
        g_flags_register_static("GstOpenaiTranscribeSinkTimestampGranularities", values);
    gst_type_mark_as_plugin_api(flags, GstPluginAPIFlags(0));
    return flags;
  }();
  return type;
}

GType chunking_strategy_type() {
  static const GEnumValue values[] = {
      {value_of(ChunkingStrategy::kNone), "The service takes each chunk as a whole", "none"},
      {value_of(ChunkingStrategy::kAuto), "The service cuts each chunk by voice activity", "auto"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkChunkingStrategy", values);
  return type;
}

GType context_type() {
  static const GEnumValue values[] = {
      {value_of(Context::kNone), "Nothing", "none"},
      {value_of(Context::kStatic), "The property prompt", "static"},
      {value_of(Context::kPrevious),
       "The property prompt and the end of the transcript so far, where it is there in time",
       "previous"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkContext", values);
  return type;
}

GType split_mode_type() {
  static const GEnumValue values[] = {
      {value_of(SplitMode::kPause), "In pauses of the speech", "pause"},
      {value_of(SplitMode::kFixed), "Exactly every max-chunk-duration", "fixed"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkSplit", values);
  return type;
}

GType on_error_type() {
  static const GEnumValue values[] = {
      {value_of(OnError::kContinue), "Finish the other chunks, then end with ERROR", "continue"},
      {value_of(OnError::kAbort), "End with ERROR at once", "abort"},
      {value_of(OnError::kIgnore), "Finish the other chunks, then WARNING and EOS", "ignore"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkOnError", values);
  return type;
}

GType leaky_type() {
  static const GEnumValue values[] = {
      {value_of(Leaky::kNo), "Block upstream while the queue is full", "no"},
      {value_of(Leaky::kUpstream), "Drop the newest chunk", "upstream"},
      {value_of(Leaky::kDownstream), "Drop the oldest chunk that waits", "downstream"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkLeaky", values);
  return type;
}

GType location_format_type() {
  static const GEnumValue values[] = {
      {value_of(TranscriptFormat::kAuto), "By the ending of location, else txt", "auto"},
      {value_of(TranscriptFormat::kTxt), "Plain text", "txt"},
      {value_of(TranscriptFormat::kSrt), "SubRip subtitles", "srt"},
      {value_of(TranscriptFormat::kVtt), "WebVTT subtitles", "vtt"},
      {value_of(TranscriptFormat::kJsonl), "One JSON object per chunk and line", "jsonl"},
      {value_of(TranscriptFormat::kJson), "One JSON document, written at the end", "json"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkLocationFormat", values);
  return type;
}

GType redis_policy_type() {
  static const GEnumValue values[] = {
      {value_of(RedisPolicy::kBestEffort), "Go on without Redis, with a WARNING", "best-effort"},
      {value_of(RedisPolicy::kRequired), "ERROR without Redis, EOS when all is stored", "required"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkRedisPolicy", values);
  return type;
}

GType resume_type() {
  static const GEnumValue values[] = {
      {value_of(ResumePolicy::kAuto), "Send only what is missing, refuse a job with failed chunks",
       "auto"},
      {value_of(ResumePolicy::kRetryFailed), "Also send the failed chunks again", "retry-failed"},
      {value_of(ResumePolicy::kRestart), "Start the job anew", "restart"},
      {0, nullptr, nullptr}};
  static const GType type = register_enum("GstOpenaiTranscribeSinkResume", values);
  return type;
}

}  // namespace transcribe
