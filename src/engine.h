// The only door to the engine: audio pieces in, ordered events out.
//
// Threads: create() and stop() on the application's thread; submit() and the waits on the streaming
// thread; interrupt(), flush(), cancel(), stats(), update(), call_at(): any, the observer's calls
// included.
// The observer is called on the engine's event thread, one call at a time, with no lock held.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "audio/chunk.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "dispatch/dispatcher.h"
#include "engine_observer.h"
#include "http/client.h"
#include "job/job.h"
#include "job/persistent_store.h"
#include "openai/request.h"
#include "redis/job_store.h"
#include "transcript/writer.h"

namespace transcribe {

enum class OnError { kContinue, kAbort, kIgnore };
enum class Leaky { kNo, kUpstream, kDownstream };

// What may change while the job runs.
struct LiveSettings {
  DispatchLimits limits;
  RateLimit rate;
  OnError on_error = OnError::kContinue;
  unsigned max_queued_chunks = 16;
  Leaky leaky = Leaky::kNo;
  std::string prompt;
};

struct EngineConfig {
  ServiceSettings service;
  RequestSettings request;
  std::string proxy;
  std::string tls_ca_file;
  std::string user_agent;
  LiveSettings live;
  std::string rate_limit_group;
  std::string location;  // empty: no transcript file
  TranscriptFormat location_format = TranscriptFormat::kAuto;
  bool drop_suspect = false;
  std::string job_id;
  // Neither of the two: the job does not survive the process.
  std::optional<RedisJobSettings> redis;
  std::string journal_directory;
  ResumePolicy resume = ResumePolicy::kAuto;
  // Everything that decides where chunks are cut, as text: a job is resumed with the same only.
  std::string cut_settings;
  std::map<std::string, std::string> meta;  // stored with the job, beside what the engine knows
};

struct EngineStats {
  JobState state = JobState::kQueued;
  Counters counters;
  Dispatcher::Load load;
  Nanoseconds max_delay{0};  // last sample of a chunk came to its result, told in order
};

class Engine {
 public:
  enum class Wait {
    kDone,         // what was waited for is there
    kInterrupted,  // interrupt(true)
    kEnded,        // the job has ended early or was cancelled
    kTimeout,
  };

  // Settings have passed validate(). Opens the transcript file and reports QUEUED. A job that is
  // stored is opened on the event thread, together with its file; nothing is sent before that, and
  // a refusal ends the job with an error.
  static Result<std::unique_ptr<Engine>> create(EngineConfig config, EngineObserver& observer,
                                                const Clock& clock, const Log& log);
  // As stop(). After stop() on any thread.
  ~Engine();
  // cancel(), then waits for the observer's last call: none comes afterwards. Never from a call of
  // the observer.
  void stop();

  // Until the job's store is open, where there is one. As wait_for_room().
  Wait wait_open();
  bool is_open() const;
  // What the job was created with by an earlier run; empty when it is new, or not open yet.
  std::map<std::string, std::string> stored_meta() const;
  // QUEUED → PROCESSING; further calls do nothing. A live source can't be heard again: a resumed
  // job goes on behind its last index. `source`: URI of what is transcribed, stored without its
  // secrets; empty: not known.
  void start(bool live_source = false, const std::string& source = {});

  // True while the queue has room for another chunk (max_queued_chunks), or `leaky` makes it.
  // Blocks; ends on interrupt(), cancel() and the job's early end.
  Wait wait_for_room();
  bool has_room() const;
  // The next piece, with its place in media time. `heard_at`: when the last sample of its payload
  // came; absent: now. Never blocks.
  void submit(AudioPiece&& piece, const MediaTime& time,
              std::optional<TimePoint> heard_at = std::nullopt);
  // A span that was received and dropped by a flush.
  void skip_flushed(const FrameSpan& span, const MediaTime& time);

  // Calls `call` once, at that time or soon after, on the event thread with no lock held; another
  // call_at() before that takes its place. Not when the job has ended, or ends before.
  void call_at(TimePoint time, std::function<void()> call);

  // No more pieces: when all is settled the job ends.
  void finish();
  // Blocks until on_end() has returned. `deadline` (absent: none) bounds the drain, not the end.
  Wait wait_finished(std::optional<TimePoint> deadline);
  // What is unsettled fails with reason `eos-timeout`; then the job ends. One that still waits for
  // another owner is refused instead.
  void expire();

  // Ends (true) or allows (false) the waits above; nothing is lost.
  void interrupt(bool interrupted);
  // Cancels what is unsettled; it is reported as skipped, reason flushed. Returns at once.
  void flush();
  // Leaves the job where it is (PROCESSING → QUEUED `stopped`). Ends all waits and all I/O at once.
  void cancel();

  void update(const LiveSettings& settings);
  EngineStats stats() const;
  // The job ends, has ended or was cancelled: nothing more is taken.
  bool ended() const;
  const std::string& job_id() const;

 private:
  struct Private;
  explicit Engine(std::unique_ptr<Private> d);
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
