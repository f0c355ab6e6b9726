// One run's claim on a job in Redis, with all that is needed to make it and to keep it: used by
// one thread at a time, first by the one that opens the job, then by the one that mirrors it.
#pragma once

#include "redis/job_hints.h"
#include "redis/job_link.h"
#include "redis/job_outbox.h"
#include "redis/job_reaper.h"
#include "redis/job_request.h"
#include "redis/late_join.h"

namespace transcribe {

struct JobSession {
  // `clock` and `log` outlive the session.
  JobSession(const RedisJobSettings& settings, const JobIdentity& identity, ResumePolicy policy,
             const Clock& clock, const Log& log);

  // Asks for the job once. After OK, RESUMED and DUP it is ours; a dead owner on this host is no
  // obstacle.
  RedisResult<JobAnswer> create(const Cancellation& cancellation);
  bool owned() const { return ownership.epoch != 0; }
  // Reads what the job has into the outbox, and its meta. Can be repeated. `late`: the run has
  // begun; what it has settled is in the outbox already.
  RedisResult<Success> load(const Cancellation& cancellation, LateJoin* late = nullptr);
  // What the server's meta must have again when it was lost: what the job was created with, and
  // this run's source.
  std::map<std::string, std::string> known_meta() const;
  RedisResult<JobAnswer> beat(const Cancellation& cancellation);
  // One short try to give back what is ours, or may be: create() was not answered. For a run that
  // goes no further; closes the connection.
  void let_go();

  const Clock& clock;
  const Log& log;
  const JobRequest request;
  JobLink link;
  JobHints hints;
  JobReaper reaper;
  JobOutbox outbox;
  Ownership ownership;
  std::map<std::string, std::string> meta;  // the job was created with
  std::uint64_t total = 0;                  // chunks that were cut before this run
  std::string unreadable;                   // for a person: a record that load() could not read
  TimePoint beat_at{};                      // the next one is due

 private:
  using Visit = std::function<void(const std::string& field, const std::string& value)>;
  RedisResult<Success> scan(const std::string& key, const Cancellation& cancellation,
                            const Visit& visit);
  void take_record(const std::string& key, const std::string& field, const std::string& record,
                   LateJoin* late);

  bool asked_ = false;  // create() was sent and not answered
};

}  // namespace transcribe
