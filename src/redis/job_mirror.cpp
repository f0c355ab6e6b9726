#include "redis/job_mirror.h"

#include <algorithm>
#include <random>
#include <utility>

#include "redis/job_owner.h"

namespace transcribe {
namespace {

constexpr Milliseconds kLockPoll{1000};
// A cluster that sends us on and on is not well.
constexpr unsigned kFreeFailures = 3;
// A connection that is lost at once (nothing had to be waited for), after a while in which it was
// well, is first opened again before the user hears of it: servers and what lies between close
// connections for their own reasons.
constexpr Milliseconds kQuick{1000};
constexpr Milliseconds kAWhile{3000};
// A server that is emptied, or loses a key, is mended at once. One that evicts again and again is
// not well, and would get all chunks all the time.
constexpr unsigned kFreeLosses = 3;
constexpr Milliseconds kSoon{10000};

}  // namespace

JobMirror::JobMirror(JobSession& session, StoreObserver& observer)
    : session_(session), observer_(observer), policy_(std::random_device{}()) {}

JobMirror::~JobMirror() {
  {
    auto s = state_.lock();
    s->quit = true;
    changed_.notify_all();
  }
  cancellation_.cancel();
  if (thread_.joinable()) thread_.join();
}

void JobMirror::start(const std::optional<RedisError>& outage) {
  phase_ = !session_.owned()         ? Phase::kCreate
           : outage                  ? Phase::kRead
           : session_.link.is_open() ? Phase::kReady
                                     : Phase::kSync;
  if (phase_ == Phase::kCreate || phase_ == Phase::kRead) late_.emplace();
  run_id_ = session_.link.run_id();
  if (outage) fail(*outage);
  thread_ = std::thread([this] { run(); });
}

void JobMirror::record(const Event& event) {
  auto s = state_.lock();
  if (s->end != End::kNone) return;
  s->inbox.push_back(event);
  changed_.notify_all();
}

Status JobMirror::finish(Milliseconds timeout) {
  const TimePoint deadline = session_.clock.now() + timeout;
  auto s = state_.lock();
  s->finishing = true;
  changed_.notify_all();
  s.wait_until(changed_, deadline, [&] { return s->end != End::kNone; });
  if (s->end == End::kStored) return Success{};
  if (s->end != End::kNone) return Error{s->why};
  return Error{"The last state of the job is not stored in " + at_server() + ": " +
               (s->missing.empty() ? "the state" : s->missing) + " could not be written within " +
               std::to_string(timeout.count()) + " ms" +
               (s->why.empty() ? "" : " (" + s->why + ")") +
               "; check the server, or raise redis-flush-timeout"};
}

void JobMirror::run() {
  while (collect()) step();
}

TimePoint JobMirror::wake_time() const {
  if (end_ != End::kNone) return TimePoint::max();
  const TimePoint now = session_.clock.now();
  if (retry_at_ > now) return retry_at_;
  if (phase_ != Phase::kReady || !session_.link.is_open()) return now;
  TimePoint wake = std::min(session_.beat_at, session_.reaper.due());
  const JobOutbox& outbox = session_.outbox;
  if (const auto due = outbox.due()) wake = std::min(wake, *due);
  return outbox.waits() ? now : wake;
}

bool JobMirror::collect() {
  std::vector<Event> events;
  bool release = false;
  const TimePoint wake = wake_time();
  {
    auto s = state_.lock();
    if (s->finishing) s->missing = session_.outbox.missing();
    const auto ready = [&] { return s->quit || !s->inbox.empty() || (s->finishing && !released_); };
    if (wake == TimePoint::max()) {
      s.wait(changed_, ready);
    } else if (wake > session_.clock.now()) {
      s.wait_until(changed_, wake, ready);
    }
    if (s->quit) return false;
    events.swap(s->inbox);
    release = s->finishing && !released_;
  }
  released_ = released_ || release;
  if (end_ != End::kNone) return true;
  for (const Event& event : events) {
    if (late_) late_->add(event);
    session_.outbox.add(event, session_.ownership.epoch);
  }
  if (release) session_.outbox.release();
  tell_stored();
  if (tell_again_) session_.outbox.drop_advisory();
  return true;
}

void JobMirror::step() {
  step_at_ = session_.clock.now();
  if (end_ != End::kNone || retry_at_ > step_at_) return;
  if (!session_.link.is_open() && !connect()) return;
  while (phase_ != Phase::kReady) {
    if (!advance()) return;
  }
  if (late_ && !is_same_source()) return;
  const TimePoint now = session_.clock.now();
  // Behind a sign of life, which shows that the server takes them.
  const bool looks = session_.reaper.due() <= now;
  if ((looks || session_.beat_at <= now) && !beat()) return;
  if (tell_again_) {
    session_.outbox.tell_again();
    tell_again_ = false;
  }
  if (looks && !look()) return;
  send();
}

bool JobMirror::connect() {
  const auto open = session_.link.open(cancellation_);
  if (!open) return fail(open.error());
  // It came back without a file, or with an old one; or it is another server.
  if (session_.link.run_id() != run_id_ || run_id_.empty()) {
    put_all_ = true;
    losses_ = 0;
  }
  run_id_ = session_.link.run_id();
  session_.log.print(LogLevel::kInfo, "connected to %s", at_server().c_str());
  return true;
}

bool JobMirror::advance() {
  switch (phase_) {
    case Phase::kCreate:
      return create();
    case Phase::kRead:
      return read();
    case Phase::kSync:
      return sync();
    case Phase::kRestore:
      return restore();
    case Phase::kPut:
      return put();
    case Phase::kReady:
      break;
  }
  return true;
}

bool JobMirror::create() {
  const auto answer = session_.create(cancellation_);
  if (!answer) return fail(answer.error());
  const std::string& job_id = session_.request.identity.job_id;
  if (answer->word == JobAnswer::Word::kLocked) {
    const LeaseSeen lease = read_lease(*answer);
    if (lease_seen_ && is_renewed(*lease_seen_, lease)) {
      turn_off(busy(job_id, lease).message);
      return false;
    }
    lease_seen_ = lease;
    retry_at_ = session_.clock.now() + std::min(lease.left + Milliseconds(1), kLockPoll);
    return false;
  }
  const auto refusal = refusal_of(*answer, job_id);
  if (refusal) turn_off(refusal->message);
  if (answer->word == JobAnswer::Word::kCompleted)
    turn_off("Job \"" + job_id + "\" in Redis is complete; use another job-id or resume=restart");
  if (end_ != End::kNone) return false;
  phase_ = session_.ownership.resumed ? Phase::kRead : Phase::kReady;
  if (phase_ == Phase::kReady) late_.reset();
  return true;
}

bool JobMirror::read() {
  const auto loaded = session_.load(cancellation_, &*late_);
  if (!loaded) return fail(loaded.error());
  if (!session_.unreadable.empty()) {
    session_.let_go();
    turn_off(session_.unreadable);
    return false;
  }
  phase_ = Phase::kSync;
  return true;
}

bool JobMirror::is_same_source() {
  const auto problem = late_->problem();
  if (!problem) return true;
  session_.let_go();
  turn_off("Job \"" + session_.request.identity.job_id + "\" in Redis is of another source: " +
           *problem + "; use the same source, another job-id, or resume=restart");
  return false;
}

bool JobMirror::sync() {
  const auto answer =
      session_.link.call({"sync", {std::to_string(session_.ownership.seq)}}, cancellation_);
  if (!answer) return fail(answer.error());
  if (!judge(*answer)) return end_ == End::kNone;
  const JobTally& ours = session_.outbox.stored();
  if (answer->number(3) < ours.done || answer->number(4) < ours.failed ||
      answer->number(5) < ours.skipped) {
    put_all_ = true;
  }
  if (answer->text(2) == "QUEUED" && session_.outbox.state() == JobState::kProcessing)
    session_.outbox.start_again();
  put_from_ = 0;
  phase_ = put_all_ ? Phase::kPut : Phase::kReady;
  return true;
}

bool JobMirror::loses_too_often() {
  if (std::exchange(paused_, false)) return false;
  const TimePoint now = session_.clock.now();
  losses_ = now - lost_at_ < kSoon ? losses_ + 1 : 1;
  lost_at_ = now;
  paused_ = losses_ > kFreeLosses;
  return paused_;
}

bool JobMirror::restore() {
  if (loses_too_often()) {
    return fail({RedisFault::kFull,
                 "it loses keys of the job again and again; if it evicts them (maxmemory), give it "
                 "more memory, or set maxmemory-policy noeviction"});
  }
  const JobOutbox& outbox = session_.outbox;
  const auto answer =
      session_.link.call(session_.request.restore(session_.ownership, outbox.state(),
                                                  outbox.total(), session_.known_meta()),
                         cancellation_);
  if (!answer) return fail(answer.error());
  if (answer->word != JobAnswer::Word::kOk && answer->word != JobAnswer::Word::kDup &&
      answer->word != JobAnswer::Word::kFenced && answer->word != JobAnswer::Word::kTerminal &&
      answer->word != JobAnswer::Word::kReleased) {
    turn_off("The job can't be restored in " + at_server() + ": the script answered " +
             answer->str());
    return false;
  }
  if (!judge(*answer)) return false;
  session_.log.print(LogLevel::kInfo, "restored the job in %s", at_server().c_str());
  put_all_ = tell_again_ = true;
  put_from_ = 0;
  session_.beat_at = session_.clock.now();
  phase_ = Phase::kPut;
  return true;
}

bool JobMirror::put() {
  while (put_from_ != UINT64_MAX) {
    std::uint64_t next = put_from_;
    const auto call = session_.outbox.page(next);
    if (!call) {
      turn_off(call.error().message);
      return false;
    }
    if (!call->arguments.empty()) {
      const auto answer = session_.link.call(*call, cancellation_);
      if (!answer) return fail(answer.error());
      if (!judge(*answer)) return end_ == End::kNone;
    }
    put_from_ = next;
    if (session_.beat_at <= session_.clock.now() && !beat()) return false;
  }
  put_all_ = false;
  put_from_ = 0;
  phase_ = Phase::kReady;
  return true;
}

bool JobMirror::beat() {
  const auto answer = session_.beat(cancellation_);
  if (!answer) return fail(answer.error());
  if (!judge(*answer)) return false;
  session_.reaper.resume(session_.clock.now());
  return true;
}

bool JobMirror::look() {
  const auto looked = session_.reaper.look(session_.link, session_.clock.now(), cancellation_);
  return looked || fail(looked.error());
}

void JobMirror::send() {
  const auto calls = session_.outbox.next(session_.clock.now());
  if (!calls) return turn_off(calls.error().message);
  if (calls->empty()) return succeed();
  const JobLink::Answers result = session_.link.run(*calls, cancellation_);
  std::vector<bool> carried_out;
  std::optional<RedisError> error = result.lost;
  bool last = false;
  for (const auto& answer : result.answers) {
    const bool taken = answer && end_ == End::kNone && judge(*answer);
    if (!answer && !error) error = answer.error();
    last = last || (taken && session_.outbox.at(carried_out.size()).last());
    carried_out.push_back(taken);
  }
  const bool any = std::find(carried_out.begin(), carried_out.end(), true) != carried_out.end();
  session_.outbox.settle(carried_out);
  tell_stored();
  if (end_ != End::kNone) return;
  if (any) succeed();
  if (last) {
    finish_stored();
  } else if (error) {
    fail(*error);
  }
}

void JobMirror::tell_stored() {
  const auto indices = session_.outbox.take_stored();
  if (!indices.empty()) observer_.on_stored(indices);
}

bool JobMirror::judge(const JobAnswer& answer) {
  const std::string& job_id = session_.request.identity.job_id;
  switch (answer.word) {
    case JobAnswer::Word::kOk:
    case JobAnswer::Word::kDup:
    case JobAnswer::Word::kAlready:
      session_.ownership.seq = std::max(session_.ownership.seq, answer.number(0));
      if (!answer.text(1).empty() && !cancel_told_) {
        cancel_told_ = true;
        observer_.on_cancel_requested(answer.text(1));
      }
      return true;
    case JobAnswer::Word::kNoJob:
    case JobAnswer::Word::kStale:
    case JobAnswer::Word::kPartial:
      session_.log.print(LogLevel::kInfo, "%s has lost a part of the job: %s", at_server().c_str(),
                         answer.str().c_str());
      phase_ = Phase::kRestore;
      return false;
    case JobAnswer::Word::kFenced: {
      const std::string message =
          answer.text(1).empty()
              ? "Job \"" + job_id +
                    "\" was given up as dead, because this process renewed its "
                    "claim too late (redis-lease); start it again with the same job-id to go on"
              : "Job \"" + job_id + "\" was taken over by " + describe_owner(answer.text(1)) +
                    "; this run ends, and changes nothing of it any more";
      end_ = End::kTakenOver;
      observer_.on_taken_over(message);
      end(End::kTakenOver, message);
      return false;
    }
    case JobAnswer::Word::kTerminal:
      judge_foreign_end(answer.text(0));
      return false;
    case JobAnswer::Word::kReleased:
      finish_stored();
      return false;
    case JobAnswer::Word::kIllegal:
      turn_off("The end of job \"" + job_id + "\" can't be stored in " + at_server() +
               ", which has it as " + answer.text(0) +
               (answer.number(1) > 0 ? " with " + answer.text(1) + " failed chunks" : "") +
               "; start it anew with resume=restart");
      return false;
    default:
      turn_off("The job can't be stored in " + at_server() + ": the script answered " +
               answer.str());
      return false;
  }
}

// With our epoch and token: it was us, and the answer was lost; or somebody wrote by hand.
void JobMirror::judge_foreign_end(const std::string& state) {
  if (session_.outbox.ends_in(state)) return finish_stored();
  turn_off("Job \"" + session_.request.identity.job_id + "\" was ended as " + state + " in " +
           at_server() + " by somebody else");
}

bool JobMirror::fail(const RedisError& error) {
  if (error.fault == RedisFault::kCancelled) return false;
  const TimePoint now = session_.clock.now();
  const bool blip = error.fault == RedisFault::kLost && phase_ == Phase::kReady &&
                    policy_.failures() == 0 && now - step_at_ < kQuick && now - blip_at_ > kAWhile;
  if (blip) blip_at_ = now;
  const auto delay = policy_.failed(error.fault);
  if (!delay) {
    turn_off("The job can't be stored in " + at_server() + ": " + error.message);
    return false;
  }
  session_.log.print(LogLevel::kInfo, "%s: %s (%s)", at_server().c_str(), error.message.c_str(),
                     to_string(error.fault));
  retry_at_ = now + *delay;
  session_.beat_at = now;
  session_.reaper.interrupt();
  catch_up_.reset();
  tell_again_ = true;
  if (!session_.link.is_open() && phase_ != Phase::kRead)
    phase_ = session_.owned() ? Phase::kSync : Phase::kCreate;
  session_.outbox.drop_advisory();
  {
    auto s = state_.lock();
    s->why = error.message;
    s->missing = session_.outbox.missing();
  }
  const bool free = error.fault == RedisFault::kMoved || error.fault == RedisFault::kNoScript;
  if (outage_ || blip || (free && policy_.failures() < kFreeFailures)) return false;
  outage_ = true;
  observer_.on_store_error("The job can't be stored in " + at_server() +
                           " at present: " + error.message +
                           "; everything is kept and stored when the server is well again");
  return false;
}

void JobMirror::succeed() {
  // Well for a moment only: the pauses go on growing.
  if (losses_ > kFreeLosses && session_.clock.now() - lost_at_ < kSoon) return;
  policy_.succeeded();
  if (!outage_ || phase_ != Phase::kReady || tell_again_) return;
  if (!catch_up_) catch_up_ = session_.outbox.queued();
  if (session_.outbox.carried_out() < *catch_up_) return;
  outage_ = false;
  {
    auto s = state_.lock();
    s->why.clear();
  }
  observer_.on_store_recovered();
}

void JobMirror::finish_stored() {
  // Hints only: what is lost here the reaper finds.
  static_cast<void>(session_.hints.leave(session_.link, cancellation_));
  if (outage_) {
    outage_ = false;
    observer_.on_store_recovered();
  }
  end(End::kStored, "");
}

void JobMirror::turn_off(const std::string& message) {
  const std::string text = message + ". Nothing of it is stored in Redis any more in this run";
  end_ = End::kOff;
  observer_.on_store_off(text);
  end(End::kOff, text);
}

void JobMirror::end(End how, const std::string& why) {
  end_ = how;
  session_.link.close();
  auto s = state_.lock();
  s->end = how;
  s->why = why;
  s->inbox.clear();
  changed_.notify_all();
}

std::string JobMirror::at_server() const { return "Redis at " + session_.link.address(); }

}  // namespace transcribe
