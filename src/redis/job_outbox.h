// What a run has still to tell the job's keys, and what it must be able to tell again: the fold of
// the job's events on their way to Redis. A few bytes per chunk; the records lie in a spool. Pure,
// but for the spool; one thread.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "redis/job_answers.h"
#include "redis/job_operations.h"
#include "redis/job_request.h"

namespace transcribe {

class JobOutbox {
 public:
  explicit JobOutbox(std::size_t spill_bytes = 1024 * 1024) : spool_(spill_bytes) {}

  // A record that the server has from earlier runs. The last one of an index counts.
  void know(std::uint64_t index, JobOperation::Kind kind, std::string_view record);
  // The same, found when the run had begun: what is done there stays, else this run's own counts.
  void join(std::uint64_t index, JobOperation::Kind kind, std::string_view record);
  bool knows_done(std::uint64_t index) const;
  // Whatever became of the chunk.
  bool knows(std::uint64_t index) const;
  // Calls `visit` with each record that the server has, by index, until it returns false.
  Status for_each_known(const std::function<bool(const std::string&)>& visit) const;

  // `epoch` of the owner; 0 while there is none yet.
  void add(const Event& event, std::uint64_t epoch);
  // Gives the job back, where nothing else ends it.
  void release();

  // The first operations of the queue that may travel together; the end of the job travels alone.
  // Empty when nothing is due. They stay until settle() takes them away.
  Result<std::vector<JobCall>> next(TimePoint now);
  const JobOperation& at(std::size_t i) const { return queue_[i]; }
  // Removes those of the first operations that are `carried_out`.
  void settle(const std::vector<bool>& carried_out);
  // Chunks that were found to be stored since the last call.
  std::vector<std::uint64_t> take_stored() { return std::exchange(newly_stored_, {}); }
  // When next() may have more than now, if nothing is added.
  std::optional<TimePoint> due() const { return progress_due_; }
  bool waits() const { return !queue_.empty(); }
  // The queue ends with a move to this state.
  bool ends_in(const std::string& state) const;
  // Operations queued and carried out so far.
  std::uint64_t queued() const { return queued_; }
  std::uint64_t carried_out() const { return queued_ - queue_.size(); }
  // Operations that only tell how things go are of no use after an outage.
  void drop_advisory();
  // For a person: what is not stored; empty when all is.
  std::string missing() const;

  // Healing. What the server has acknowledged it must have.
  const JobTally& stored() const { return stored_; }
  JobState state() const { return state_; }  // the last acknowledged one
  std::uint64_t total() const { return total_; }
  const std::string& source() const { return source_; }  // of this run; empty: not known
  // Arguments of put for stored chunks from `from` on, at most a page; moves `from` behind it.
  // Empty when there are no more.
  Result<JobCall> page(std::uint64_t& from) const;
  // The server has an older state.
  void start_again();
  // After chunks were put quietly: what is in flight, and the counters for subscribers.
  void tell_again();

 private:
  struct Settled {
    JobOperation::Kind kind = JobOperation::Kind::kDone;
    RecordSpool::Position record;
    bool stored = false;
  };
  struct InFlight {
    unsigned attempt = 0;
    bool waiting = false;
  };

  void push(JobOperation operation);
  void add_outcome(const Outcome& outcome, std::uint64_t epoch);
  void count(const Settled& settled, bool add);
  void acknowledge(const JobOperation& operation);
  void cut(std::uint64_t index);
  void reopen(std::uint64_t index);

  RecordSpool spool_;
  std::deque<JobOperation> queue_;
  std::uint64_t queued_ = 0;
  std::map<std::uint64_t, Settled> settled_;
  std::map<std::uint64_t, InFlight> in_flight_;
  JobTally stored_;
  std::vector<std::uint64_t> newly_stored_;
  JobState state_ = JobState::kQueued;
  bool ends_ = false;  // the last operation is queued
  std::string source_;
  std::uint64_t total_ = 0;
  std::uint64_t told_total_ = 0;
  std::uint64_t told_ = 0;  // progress events
  std::optional<TimePoint> progress_due_;
  TimePoint progress_at_{};
};

}  // namespace transcribe
