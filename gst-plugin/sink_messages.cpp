#include "sink_messages.h"

#include <algorithm>

#include "sink_structures.h"

namespace transcribe {

namespace {

constexpr const char* kProgressCode = "transcribe";

guint64 nanoseconds(Nanoseconds time) {
  return static_cast<guint64>(std::max<std::int64_t>(0, time.count()));
}

void post_resource_message(GstElement* element, GstMessageType type, GstResourceError code,
                           const std::string& text, const std::string& debug,
                           GstStructure* details) {
  // Takes ownership of the strings and the details.
  gst_element_message_full_with_details(
      element, type, GST_RESOURCE_ERROR, code, g_strdup(text.c_str()),
      debug.empty() ? nullptr : g_strdup(debug.c_str()), __FILE__, GST_FUNCTION, __LINE__, details);
}

GstStructure* details_of(const Failure& failure, unsigned attempts) {
  return gst_structure_new("details", "http-status-code", G_TYPE_UINT, failure.http_status,
                           "error-type", G_TYPE_STRING, failure.error_type.c_str(), "error-code",
                           G_TYPE_STRING, failure.error_code.c_str(), "request-id", G_TYPE_STRING,
                           failure.request_id.c_str(), "attempts", G_TYPE_UINT, attempts, "reason",
                           G_TYPE_STRING, failure.reason.c_str(), nullptr);
}

// Of a job whose chunks are all settled.
GstStructure* details_of(const char* reason) {
  Failure failure;
  failure.reason = reason;
  return details_of(failure, 0);
}

std::string debug_text(const Failure& failure) {
  std::string text = "reason " + failure.reason;
  if (failure.http_status != 0) text += ", HTTP status " + std::to_string(failure.http_status);
  if (!failure.error_code.empty()) text += ", code " + failure.error_code;
  if (!failure.error_message.empty()) text += ": " + failure.error_message;
  return text;
}

// "2 of 9 chunks could not be transcribed (index 3, 7); the first: …"
std::string failures(const JobEnd& end) {
  if (!end.first_failed) return "";
  return std::to_string(end.counters.failed) + " of " + std::to_string(end.counters.submitted) +
         " chunks could not be transcribed (index " + end.failed_chunks +
         "); the first: " + end.first_failed->failure.message;
}

}  // namespace

GstResourceError resource_error(Cause cause) {
  switch (cause) {
    case Cause::kNotAuthorized:
      return GST_RESOURCE_ERROR_NOT_AUTHORIZED;
    case Cause::kNotFound:
      return GST_RESOURCE_ERROR_NOT_FOUND;
    case Cause::kBusy:
      return GST_RESOURCE_ERROR_BUSY;
    case Cause::kConnect:
      return GST_RESOURCE_ERROR_OPEN_WRITE;
    case Cause::kRead:
      return GST_RESOURCE_ERROR_READ;
    case Cause::kSettings:
      return GST_RESOURCE_ERROR_SETTINGS;
    case Cause::kCancelled:
      return GST_RESOURCE_ERROR_FAILED;
    case Cause::kWrite:
    case Cause::kTimeBudget:
    case Cause::kRejectedAlike:
    case Cause::kStore:
      break;
  }
  return GST_RESOURCE_ERROR_WRITE;
}

void add_counters(GstStructure* structure, const Counters& counters) {
  const guint64 timed = counters.completed - counters.resumed;
  gst_structure_set(
      structure, "chunks-submitted", G_TYPE_UINT64, counters.submitted, "chunks-completed",
      G_TYPE_UINT64, counters.completed, "chunks-failed", G_TYPE_UINT64, counters.failed,
      "chunks-skipped", G_TYPE_UINT64, counters.skipped(), "chunks-skipped-silence", G_TYPE_UINT64,
      counters.skipped_silence, "chunks-skipped-queue-full", G_TYPE_UINT64,
      counters.skipped_queue_full, "chunks-skipped-flushed", G_TYPE_UINT64,
      counters.skipped_flushed, "chunks-resumed", G_TYPE_UINT64, counters.resumed, "requests",
      G_TYPE_UINT64, counters.requests, "retries", G_TYPE_UINT64, counters.retries, "rate-limited",
      G_TYPE_UINT64, counters.rate_limited, "bytes-sent", G_TYPE_UINT64, counters.bytes_sent,
      "audio-duration", G_TYPE_UINT64, nanoseconds(counters.audio_submitted), "audio-settled",
      G_TYPE_UINT64, nanoseconds(counters.audio_settled), "audio-skipped", G_TYPE_UINT64,
      nanoseconds(counters.audio_skipped), "average-latency", G_TYPE_UINT64,
      timed == 0 ? G_GUINT64_CONSTANT(0) : nanoseconds(counters.total_latency) / timed,
      "max-latency", G_TYPE_UINT64, nanoseconds(counters.max_latency), nullptr);
}

void post_failure(GstElement* element, GstMessageType type, const Failure& failure,
                  const std::string& text, const ChunkInfo* chunk, unsigned attempts) {
  GstStructure* details = details_of(failure, attempts);
  if (chunk != nullptr)
    gst_structure_set(details, "chunk-index", G_TYPE_UINT64, chunk->index, nullptr);
  post_resource_message(element, type, resource_error(failure.cause), text, debug_text(failure),
                        details);
}

void SinkMessages::reset(const std::string& job_id) {
  job_id_ = job_id;
  progress_open_ = false;
  warned_dropped_ = false;
  ignored_ = false;
  duration_ = GST_CLOCK_TIME_NONE;
  flow_ = GST_FLOW_OK;
}

void SinkMessages::post(GstStructure* structure) {
  if (!post_messages_) {
    gst_structure_free(structure);
    return;
  }
  gst_element_post_message(element_, gst_message_new_element(GST_OBJECT(element_), structure));
}

void SinkMessages::post_progress(GstProgressType type, const char* text, int percent,
                                 const Counters& counters) {
  GstMessage* message = gst_message_new_progress(GST_OBJECT(element_), type, kProgressCode, text);
  GstStructure* structure = gst_message_writable_structure(message);
  if (percent >= 0) {
    gst_structure_set(structure, "percent", G_TYPE_INT, percent, nullptr);
  } else if (type == GST_PROGRESS_TYPE_START || type == GST_PROGRESS_TYPE_CONTINUE) {
    // GStreamer's own is 0.
    gst_structure_remove_field(structure, "percent");
  }
  gst_structure_set(structure, "completed", G_TYPE_UINT64, counters.completed, "submitted",
                    G_TYPE_UINT64, counters.submitted, "failed", G_TYPE_UINT64, counters.failed,
                    nullptr);
  gst_element_post_message(element_, message);
}

void SinkMessages::end_progress(GstProgressType type, const char* text, const Counters& counters) {
  if (!progress_open_) return;
  progress_open_ = false;
  post_progress(type, text, -1, counters);
}

void SinkMessages::post_job(JobState state, std::optional<JobState> previous, JobReason reason,
                            const Counters& counters) {
  GstStructure* structure = gst_structure_new(
      "openaitranscribe/job", "job-id", G_TYPE_STRING, job_id_.c_str(), "state", G_TYPE_STRING,
      to_string(state).data(), "reason", G_TYPE_STRING, to_string(reason).data(), nullptr);
  if (previous)
    gst_structure_set(structure, "previous-state", G_TYPE_STRING, to_string(*previous).data(),
                      nullptr);
  add_counters(structure, counters);
  post(structure);
}

int SinkMessages::percent(const Counters& counters) const {
  const GstClockTime duration = duration_;
  if (!GST_CLOCK_TIME_IS_VALID(duration) || duration == 0) return -1;
  const guint64 settled = nanoseconds(counters.audio_settled);
  return static_cast<int>(std::min<guint64>(99, gst_util_uint64_scale(settled, 100, duration)));
}

void SinkMessages::on_state(const StateChanged& change, const Counters& counters) noexcept {
  post_job(change.state, change.previous, change.reason, counters);
  if (change.state != JobState::kProcessing) return;
  progress_open_ = true;
  post_progress(GST_PROGRESS_TYPE_START, "Transcribing", percent(counters), counters);
}

void SinkMessages::on_queued(const ChunkQueued& event, const Counters&) noexcept {
  post(queued_structure(job_id_, event));
}

void SinkMessages::on_retry(const ChunkRetry& event) noexcept {
  post(retry_structure(job_id_, event));
}

void SinkMessages::on_released(const Released& released, const Counters& counters) noexcept {
  const auto* skipped = released.outcome ? std::get_if<ChunkSkipped>(&*released.outcome) : nullptr;
  if (skipped != nullptr && skipped->reason == SkipReason::kQueueFull && !skipped->resumed &&
      !warned_dropped_) {
    warned_dropped_ = true;
    post_resource_message(
        element_, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_BUSY,
        "The service is slower than the stream: chunks are dropped as leaky asks "
        "for; raise max-parallel, requests-per-second or max-queued-chunks",
        "",
        gst_structure_new("details", "chunk-index", G_TYPE_UINT64, skipped->chunk->index, nullptr));
  }
  // What was said before a hole comes before it.
  const auto* done = released.outcome ? std::get_if<ChunkDone>(&*released.outcome) : nullptr;
  const bool hole = done == nullptr || done->dropped;
  if (hole && released.text) post(text_structure(job_id_, *released.text));
  if (released.outcome) post(outcome_structure(job_id_, *released.outcome));
  if (!hole && released.text) post(text_structure(job_id_, *released.text));
  if (!progress_open_ || !released.outcome) return;
  const std::string text =
      std::to_string(counters.completed) + " of " + std::to_string(counters.submitted) +
      " chunks transcribed" +
      (counters.failed == 0 ? "" : ", " + std::to_string(counters.failed) + " failed");
  post_progress(GST_PROGRESS_TYPE_CONTINUE, text.c_str(), percent(counters), counters);
}

void SinkMessages::on_file_error(const WriteError& error) noexcept {
  post_resource_message(
      element_, GST_MESSAGE_WARNING,
      error.no_space ? GST_RESOURCE_ERROR_NO_SPACE_LEFT : GST_RESOURCE_ERROR_WRITE,
      error.message + " (it is tried again with every chunk)", "", nullptr);
}

void SinkMessages::on_file_recovered() noexcept {
  post_info("The transcript file is complete again");
}

void SinkMessages::on_store_error(const std::string& message) noexcept {
  post_resource_message(element_, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_WRITE, message, "",
                        nullptr);
}

void SinkMessages::on_store_off(const std::string& message) noexcept {
  post_resource_message(element_, GST_MESSAGE_WARNING, GST_RESOURCE_ERROR_SETTINGS, message, "",
                        nullptr);
}

void SinkMessages::on_store_waiting(const std::string& message) noexcept {
  post_info(message.c_str());
}

void SinkMessages::on_store_recovered() noexcept { post_info("The job is stored again"); }

void SinkMessages::post_info(const char* text) {
  gst_element_message_full(element_, GST_MESSAGE_INFO, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE,
                           g_strdup(text), nullptr, __FILE__, GST_FUNCTION, __LINE__);
}

void SinkMessages::on_complete(const JobEnd& end) noexcept {
  // Once: on-error may change until the end is stored.
  ignored_ = end.state == JobState::kFailed && end.reason == JobReason::kChunksFailed &&
             on_error_ == OnError::kIgnore;
  post_job(end.state, JobState::kProcessing, end.reason, end.counters);
  if (end.reason == JobReason::kCancelled) {
    end_progress(GST_PROGRESS_TYPE_CANCELED, "Transcription cancelled", end.counters);
  } else if ((end.state == JobState::kFailed && !ignored_) || end.incomplete_file) {
    end_progress(GST_PROGRESS_TYPE_ERROR, "Transcription failed", end.counters);
  } else {
    end_progress(GST_PROGRESS_TYPE_COMPLETE, "Transcription complete", end.counters);
  }
  if (ignored_) {
    post_failure(element_, GST_MESSAGE_WARNING, end.first_failed->failure, failures(end),
                 end.first_failed->chunk.get(), end.first_failed->attempts);
  }

  GstStructure* complete = gst_structure_new(
      "openaitranscribe/complete", "job-id", G_TYPE_STRING, job_id_.c_str(), "state", G_TYPE_STRING,
      to_string(end.state).data(), "reason", G_TYPE_STRING, to_string(end.reason).data(), nullptr);
  add_counters(complete, end.counters);
  if (end.text_truncated) {
    gst_structure_set(complete, "text-truncated", G_TYPE_BOOLEAN, TRUE, nullptr);
  } else {
    gst_structure_set(complete, "text", G_TYPE_STRING, end.text.c_str(), nullptr);
  }
  post(complete);
}

void SinkMessages::on_end(const JobEnd& end) noexcept {
  end_progress(GST_PROGRESS_TYPE_ERROR, "Transcription failed", end.counters);
  const std::string file = end.incomplete_file ? " " + end.incomplete_file->message : "";
  if (end.fatal) {
    post_failure(element_, GST_MESSAGE_ERROR, end.fatal->failure, end.fatal->failure.message + file,
                 end.fatal->chunk.get(), end.fatal->attempts);
  } else if (end.state == JobState::kFailed && !ignored_ && end.first_failed) {
    post_failure(element_, GST_MESSAGE_ERROR, end.first_failed->failure, failures(end) + file,
                 end.first_failed->chunk.get(), end.first_failed->attempts);
  } else if (end.incomplete_file) {
    post_resource_message(
        element_, GST_MESSAGE_ERROR,
        end.incomplete_file->no_space ? GST_RESOURCE_ERROR_NO_SPACE_LEFT : GST_RESOURCE_ERROR_WRITE,
        end.incomplete_file->message, "the transcript file is incomplete",
        details_of("file-incomplete"));
  } else if (end.must_be_stored && !end.unstored.empty()) {
    post_resource_message(element_, GST_MESSAGE_ERROR, GST_RESOURCE_ERROR_WRITE, end.unstored,
                          "redis-policy=required", details_of("store"));
  } else {
    return;
  }
  // Only now: a flow error that comes before its message is reported by the source instead.
  flow_ = GST_FLOW_ERROR;
}

void SinkMessages::on_stopped(const Counters& counters) noexcept {
  if (!progress_open_) return;
  post_job(JobState::kQueued, JobState::kProcessing, JobReason::kStopped, counters);
  end_progress(GST_PROGRESS_TYPE_CANCELED, "Transcription stopped", counters);
}

}  // namespace transcribe
