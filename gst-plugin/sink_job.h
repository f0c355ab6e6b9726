// One job of the element at a time: engine, stream and messages, and how the streaming thread
// waits on them without ever blocking a state change.
//
// Threads: open(), close(), cancel(): application.
// render(), drain(), gap(), set_caps(), set_segment(): streaming. The rest: any.
// Lock order: stream_ or updates_ -> engine_, the engine's; settings_ is never held over a call.
#pragma once

#include <gst/base/gstbasesink.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/guarded.h"
#include "engine.h"
#include "sink_messages.h"
#include "sink_settings.h"
#include "sink_stream.h"

namespace transcribe {

class SinkJob {
 public:
  // `sink` outlives this object.
  SinkJob(GstBaseSink* sink, GstDebugCategory* category);
  ~SinkJob();

  bool set_property(guint id, const GValue* value);
  bool get_property(guint id, GValue* value);
  GstStructure* stats();

  // NULL→READY: checks the settings; posts an ERROR when something is wrong.
  bool prepare();
  // READY→PAUSED: a new job. Posts an ERROR when it can't be created.
  bool open();
  // PAUSED→READY: ends every wait and request at once; close() then tidies up, after the pad was
  // deactivated.
  void cancel();
  void close();

  bool set_caps(GstCaps* caps);
  bool set_segment(const GstSegment& segment);
  GstFlowReturn render(GstBuffer* buffer);
  GstFlowReturn gap(GstClockTime timestamp, GstClockTime duration);
  // EOS: cuts the tail and holds on until the job has ended.
  GstFlowReturn drain();

  void interrupt(bool interrupted);
  void flush_start();
  void flush_stop();
  void split_now();

 private:
  class DebugLog;
  using EnginePtr = std::shared_ptr<Engine>;

  EnginePtr engine();
  // False: an ERROR was posted.
  bool check_journal(const SinkSettings& settings);
  // A job with the settings of the start.
  bool create_job();
  // Gives what may change while playing, as it is now, to whom it concerns.
  void update();
  // An engine that takes data, the first time started; null: the flow return is in `flow`.
  EnginePtr acquire(GstFlowReturn& flow);
  // After an interrupt: until PLAYING (OK), a flush or READY.
  GstFlowReturn wait_for_playing();
  GstFlowReturn wait_for_room(Engine& engine);
  // What the stream has taken in, slice by slice, as there is room.
  GstFlowReturn work_off(Engine& engine);
  GstFlowReturn wait_for(Engine& engine, Engine::Wait (Engine::*wait)());
  GstFlowReturn wait_for_end(Engine& engine, std::optional<TimePoint> deadline);
  bool query_live();
  // URI of what is transcribed, as upstream says; empty: none.
  std::string query_source();
  void query_duration();
  GstFlowReturn take(GstBuffer* buffer, TimePoint came);
  GstFlowReturn take_gap(GstClockTime timestamp, GstClockTime duration, TimePoint came);
  // A live source may stall: what it has brought is sent in time all the same.
  void watch();
  void look();
  void submit(AudioPiece&& piece, const MediaTime& time, TimePoint heard_at);

  GstBaseSink* const sink_;
  const SystemClock clock_;
  const std::unique_ptr<DebugLog> log_;
  SinkMessages messages_;
  Guarded<SinkSettings> settings_;  // as the properties read
  // As they were at READY→PAUSED: all that does not take effect while playing comes from here.
  // Written by open() before there is data, read by the streaming thread.
  SinkSettings started_;
  Guarded<EnginePtr> engine_;
  // Shared with split-now, which may come from any thread.
  Guarded<std::unique_ptr<SinkStream>> stream_;
  Guarded<EngineStats> last_stats_;
  // One update() at a time: the last one to run has read the latest settings.
  struct Turn {};
  Guarded<Turn> updates_;

  std::atomic<bool> interrupted_{false};
  std::atomic<bool> live_{false};
  // Data has come that the stream does not have yet, or not all of it.
  std::atomic<bool> taking_{false};
  std::atomic<bool> watched_{false};  // the engine calls look()
  std::atomic<bool> duration_stale_{true};
  // The job's requests have no prompt, and nobody was warned of that yet.
  std::atomic<bool> no_prompt_{false};
  bool fresh_id_ = false;      // the automatic id was not used yet
  bool stream_ready_ = false;  // streaming thread: the job was started and the stream opened
  bool warned_blocked_ = false;
};

}  // namespace transcribe
