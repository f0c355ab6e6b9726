// Tells the job's events to everybody who follows it: the stores, the transcript file and the
// observer (the bus), results in index order.
//
// Event thread only.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine_observer.h"
#include "job/earlier_run.h"
#include "job/memory_job_store.h"
#include "job/persistent_store.h"
#include "transcript/carried_context.h"
#include "transcript/joiner.h"
#include "transcript/writer.h"

namespace transcribe {

// What a store told between two events.
struct StoreNote {
  enum class Kind { kError, kRecovered, kOff };
  Kind kind = Kind::kError;
  std::string message;
};

class Mirrors {
 public:
  // What is passed by reference outlives this object. Without a `store` the job does not survive
  // the process; `context`, if any, follows the transcript. `drop_suspect`: results that are
  // suspect give no text.
  Mirrors(EngineObserver& observer, std::unique_ptr<PersistentStore> store, const Clock& clock,
          CarriedContext* context = nullptr, bool drop_suspect = false);

  bool has_store() const { return persistent_ != nullptr; }
  // Creates the job in the store or takes it over; `earlier` gets what need not be sent again.
  // After a refusal nothing is stored: the job is not ours.
  Result<OpenedJob, StoreRefusal> open_store(const JobIdentity& identity, ResumePolicy policy,
                                             EarlierRun& earlier);
  // Ends open_store(). Any thread.
  void cancel_open();
  // Lets open_store() wait for no other owner any more. Any thread.
  void stop_waiting();
  // Opens the transcript file; after open_store(), which tells whether there may be an old one.
  WriteStatus open_file(const std::string& location, TranscriptFormat format,
                        const std::string& job_id);

  // Before they are told: what was recorded in between is waited for once. Results of earlier runs
  // get their text here. False: the store is behind.
  bool store(std::span<Event> events);
  // `counters` as of the event.
  void tell(const Event& event, const Counters& counters);
  void tell_store(const StoreNote& note);
  // The end, once, after all events. `end` as far as the engine knows it: state, reason, counters
  // and failures. `unsettled` chunks, by index, become holes in the file.
  // Returns it with what became of file and store; close() with that is the last word.
  JobEnd tell_end(JobEnd end, const std::vector<ChunkInfo>& unsettled);
  void close(const JobEnd& end);

  // Longest time from when the last sample of a chunk came until its result was told. Any thread.
  Nanoseconds max_delay() const { return Nanoseconds(max_delay_.load()); }

 private:
  void recover(Event& event);
  void judge(Event& event) const;
  void release(const Released& released, const Counters& counters);
  void release_rest(const std::vector<ChunkInfo>& unsettled, const Counters& counters);
  void finish_file(JobEnd& end, bool whole);
  void note_file(const WriteStatus& status);
  void note_store(const Status& status);

  EngineObserver& observer_;
  const std::unique_ptr<PersistentStore> persistent_;
  const Clock& clock_;
  CarriedContext* const context_;
  std::atomic<Nanoseconds::rep> max_delay_{0};
  const bool drop_suspect_;
  bool stored_ = false;  // it has the job
  bool resumed_ = false;
  bool store_failing_ = false;
  bool store_off_ = false;
  bool outage_told_ = false;
  std::optional<Event> last_;             // change of state: stored and told with the end
  MemoryJobStore recovered_;              // results of earlier runs
  std::optional<WriteError> unreadable_;  // the first of them that could not be read back
  MemoryJobStore store_;                  // for a writer that reads it
  Joiner joiner_;
  std::unique_ptr<TranscriptWriter> writer_;
  bool file_failing_ = false;
  std::string text_;
  bool text_truncated_ = false;
};

}  // namespace transcribe
