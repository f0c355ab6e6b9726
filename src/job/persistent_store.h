// A store in which a job survives the process: journal (a file) or Redis. It gets the same events
// as every other mirror and can hand a later run what is settled.
//
// Event thread only, one call at a time; open() first.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "job/chunk_record.h"
#include "job/event.h"

namespace transcribe {

// What a job is created with, and compared with when it is resumed.
struct JobIdentity {
  std::string job_id;
  // Settings that shape the answers and the cuts: a job goes on with the same ones only.
  std::string fingerprint;
  // For people and for later runs, e.g. model, language, automatic chunk sizes.
  std::map<std::string, std::string> meta;
};

// The property `resume`.
enum class ResumePolicy {
  kAuto,         // replay what is complete, go on with what was interrupted
  kRetryFailed,  // also send failed chunks again
  kRestart,      // forget what is there
};

struct OpenedJob {
  bool resumed = false;                     // there was such a job
  JobState state = JobState::kQueued;       // it was in
  std::map<std::string, std::string> meta;  // it was created with
  // What a live source, which can't be heard again, goes on behind: chunks that were failed,
  // dropped or silence (with kRetryFailed: no failed ones), one per index in any order, and the
  // first index that no chunk has had.
  std::vector<Outcome> others{};
  std::uint64_t next_index = 0;
};

// Why a job can't be opened.
struct StoreRefusal {
  enum class Kind {
    kSettings,     // another fingerprint, failed chunks, a name that can't be used
    kBusy,         // another owner lives
    kUnavailable,  // the store can't be reached or written
  };
  Kind kind = Kind::kUnavailable;
  std::string message;  // names the property and the remedy
};

// What a store tells by itself. Any thread, with no lock of the store's held; none comes after the
// store's destruction.
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  // The outcomes of these chunks are stored for good. Any of them may be told again.
  virtual void on_stored(const std::vector<std::uint64_t>& indices) noexcept = 0;
  // The store is behind, it holds on to everything and goes on trying. Once per outage.
  virtual void on_store_error(const std::string& message) noexcept = 0;
  // It has caught up again.
  virtual void on_store_recovered() noexcept = 0;
  // Nothing is stored any more in this run. Not an outage: somebody must act. Once.
  virtual void on_store_off(const std::string& message) noexcept = 0;
  // Another owner has the job: the run must end at once. Once.
  virtual void on_taken_over(const std::string& message) noexcept = 0;
  // A user wants the job to end. Once.
  virtual void on_cancel_requested(const std::string& note) noexcept = 0;
};

class PersistentStore {
 public:
  virtual ~PersistentStore() = default;

  // Before open(), where another store decides: takes what excludes other owners and changes
  // nothing. finish() lets go of it, too.
  virtual std::optional<StoreRefusal> claim(const JobIdentity&) { return std::nullopt; }
  // Creates the job or takes it over. `found` is called for every chunk that need not be sent
  // again (done; of a COMPLETED job also skipped ones, but for silence), in the order in which
  // they were stored; `waiting` with a sentence for the user before a wait for another owner.
  // After a refusal the job is let go of, and nothing may be recorded.
  virtual Result<OpenedJob, StoreRefusal> open(
      const JobIdentity& identity, ResumePolicy policy,
      const std::function<void(StoredChunk&&)>& found,
      const std::function<void(const std::string&)>& waiting) = 0;
  // Ends an open(), now or later, with kUnavailable. Any thread.
  virtual void cancel_open() {}
  // An open(), now or later, is refused with kBusy where it would go on waiting for another owner.
  // Any thread.
  virtual void stop_waiting() {}
  // Every event in order; several at once cost one wait for the disk. An error means that the
  // store is behind; it catches up with a later call.
  virtual Status record(std::span<const Event> events) = 0;
  Status record(const Event& event) { return record(std::span(&event, 1)); }
  // The run's last call. Everything is stored, and the job let go of, when this returns without an
  // error.
  virtual Status finish() = 0;
};

}  // namespace transcribe
