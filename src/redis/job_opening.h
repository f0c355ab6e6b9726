// Makes a job in Redis ours, or finds out why it can't be: the waits and refusals of a start.
// One thread; cancel() and stop_waiting() from any.
#pragma once

#include <condition_variable>
#include <functional>
#include <optional>
#include <string>

#include "base/guarded.h"
#include "redis/job_session.h"
#include "redis/reconnect.h"

namespace transcribe {

class JobOpening {
 public:
  enum class End {
    kOwned,     // the session owns the job and has read it
    kReplay,    // the job is complete and read
    kOutage,    // the server can't be had now: `error`
    kHopeless,  // nor later, until somebody acts: `error`
    kRefused,   // `refusal`
  };
  struct Outcome {
    End end = End::kOwned;
    RedisError error{};
    StoreRefusal refusal{};
  };

  // Server and answers have `patience` in all, waits for another owner not counted. What is not
  // kOwned may hold a claim: JobSession::let_go().
  Outcome run(JobSession& session, Milliseconds patience,
              const std::function<void(const std::string&)>& waiting);
  // Ends run(), now or later, with kRefused.
  void cancel();
  // run() waits for no other owner any more, now or later: where it would, it ends with kRefused.
  void stop_waiting();

 private:
  struct Wishes {
    bool cancelled = false;
    bool impatient = false;
  };
  RedisResult<Success> connect(JobSession& session);
  std::optional<Outcome> wait_for_owner(JobSession& session, const LeaseSeen& lease,
                                        const std::function<void(const std::string&)>& waiting);
  // False: cancelled.
  bool wait_until(TimePoint time);
  // False: cancelled, or not to wait for an owner any more.
  bool wait_patiently_until(TimePoint time);

  Cancellation cancellation_;
  Guarded<Wishes> wishes_;
  std::condition_variable changed_;
  TimePoint deadline_{};
  std::optional<LeaseSeen> seen_;
};

}  // namespace transcribe
