// What applications see of a job: element messages, PROGRESS, and the job's ERROR or WARNING.
//
// The engine calls on its event thread; the setters and flow() are for any thread. The element
// outlives this object.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <string>

#include "engine.h"

namespace transcribe {

class SinkMessages final : public EngineObserver {
 public:
  explicit SinkMessages(GstElement* element) : element_(element) {}

  // For the next job.
  void reset(const std::string& job_id);
  void set_post_messages(bool post) { post_messages_ = post; }
  void set_on_error(OnError on_error) { on_error_ = on_error; }
  // Duration of the media, for PROGRESS percentages; GST_CLOCK_TIME_NONE while unknown.
  void set_duration(GstClockTime duration) { duration_ = duration; }

  // GST_FLOW_ERROR once the job's ERROR was posted.
  GstFlowReturn flow() const { return flow_; }

  void on_state(const StateChanged& change, const Counters& counters) noexcept override;
  void on_queued(const ChunkQueued& event, const Counters& counters) noexcept override;
  void on_retry(const ChunkRetry& event) noexcept override;
  void on_released(const Released& released, const Counters& counters) noexcept override;
  void on_file_error(const WriteError& error) noexcept override;
  void on_file_recovered() noexcept override;
  void on_store_error(const std::string& message) noexcept override;
  void on_store_recovered() noexcept override;
  void on_store_off(const std::string& message) noexcept override;
  void on_store_waiting(const std::string& message) noexcept override;
  void on_complete(const JobEnd& end) noexcept override;
  void on_end(const JobEnd& end) noexcept override;
  void on_stopped(const Counters& counters) noexcept override;

 private:
  void post(GstStructure* structure);
  void post_info(const char* text);
  void post_progress(GstProgressType type, const char* text, int percent, const Counters& counters);
  // Where it is open.
  void end_progress(GstProgressType type, const char* text, const Counters& counters);
  void post_job(JobState state, std::optional<JobState> previous, JobReason reason,
                const Counters& counters);
  int percent(const Counters& counters) const;

  GstElement* const element_;
  std::string job_id_;  // event thread; set before the engine starts
  bool progress_open_ = false;
  bool warned_dropped_ = false;
  bool ignored_ = false;  // chunks failed, and on-error says that this is fine
  std::atomic<bool> post_messages_{true};
  std::atomic<OnError> on_error_{OnError::kContinue};
  std::atomic<GstClockTime> duration_{GST_CLOCK_TIME_NONE};
  std::atomic<GstFlowReturn> flow_{GST_FLOW_OK};
};

// The counters under the names that messages and `stats` share; all guint64.
void add_counters(GstStructure* structure, const Counters& counters);

// Posts an ERROR or WARNING of the RESOURCE domain with the failure's details.
void post_failure(GstElement* element, GstMessageType type, const Failure& failure,
                  const std::string& text, const ChunkInfo* chunk, unsigned attempts);
GstResourceError resource_error(Cause cause);

}  // namespace transcribe
