// The thread that keeps a job's keys equal to its events, whatever happens to the server.
//
// It owns the session from start() on. Phases, after each connection:
//   create   the job is not ours yet (Redis was away when the run began)
//   read     it was there: is it of this source?
//   sync     what does the server know of us?
//   restore  nothing, or too little: the job is made anew with our epoch
//   put      the chunks that it had acknowledged and may have lost
//   ready    operations in their order, signs of life, the reaper
#pragma once

#include <condition_variable>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "redis/job_session.h"
#include "redis/reconnect.h"

namespace transcribe {

class JobMirror {
 public:
  // Both outlive the mirror.
  JobMirror(JobSession& session, StoreObserver& observer);
  // Ends the thread at once.
  ~JobMirror();

  // `outage`: why the job could not be created yet, or not be read; the observer is told.
  void start(const std::optional<RedisError>& outage);
  // Any thread; never blocks.
  void record(const Event& event);
  // Waits until all is stored; gives the job back where no event has ended it.
  Status finish(Milliseconds timeout);

 private:
  enum class Phase { kCreate, kRead, kSync, kRestore, kPut, kReady };
  enum class End { kNone, kStored, kOff, kTakenOver };
  struct State {
    std::vector<Event> inbox;
    bool finishing = false;
    bool quit = false;
    End end = End::kNone;
    std::string why;      // of the end, or of the outage
    std::string missing;  // what is not stored
  };

  void run();
  // Takes what was recorded, waits while there is nothing to do. False: the end of the thread.
  bool collect();
  TimePoint wake_time() const;
  void step();
  bool connect();
  bool advance();
  bool create();
  bool read();
  // False: the job is of another source, and given back.
  bool is_same_source();
  bool sync();
  bool restore();
  bool loses_too_often();
  bool put();
  bool beat();
  bool look();
  void send();
  void tell_stored();

  // Judges what every operation may be answered; true when it is in effect.
  bool judge(const JobAnswer& answer);
  void judge_foreign_end(const std::string& state);
  bool fail(const RedisError& error);
  void succeed();
  void finish_stored();
  void turn_off(const std::string& message);
  void end(End how, const std::string& why);
  std::string at_server() const;

  JobSession& session_;
  StoreObserver& observer_;
  Cancellation cancellation_;
  std::thread thread_;
  Guarded<State> state_;
  std::condition_variable changed_;

  // The thread's own.
  Phase phase_ = Phase::kSync;
  End end_ = End::kNone;
  bool released_ = false;
  ReconnectPolicy policy_;
  TimePoint step_at_{};  // the current one began
  TimePoint blip_at_{};  // the last loss that was not told
  TimePoint retry_at_{};
  TimePoint lost_at_{};      // the server had last lost a part of the job
  unsigned losses_ = 0;      // one soon after the other
  bool paused_ = false;      // for the last of them
  bool outage_ = false;      // the observer was told
  bool tell_again_ = false;  // what was dropped in an outage
  bool put_all_ = false;     // the server may have lost chunks
  std::uint64_t put_from_ = 0;
  std::optional<std::uint64_t> catch_up_;  // operations; then the outage is over
  std::optional<LeaseSeen> lease_seen_;
  std::optional<LateJoin> late_;  // from a start without Redis on, until the job turns out new
  std::string run_id_;
  bool cancel_told_ = false;
};

}  // namespace transcribe
