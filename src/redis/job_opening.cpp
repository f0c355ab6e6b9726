#include "redis/job_opening.h"

#include <algorithm>
#include <random>

#include "redis/job_owner.h"

namespace transcribe {
namespace {

// The owner may give the job back before its lease ends.
constexpr Milliseconds kLockPoll{500};

JobOpening::Outcome refuse(StoreRefusal refusal) {
  return {JobOpening::End::kRefused, {}, std::move(refusal)};
}

JobOpening::Outcome cancelled() {
  return refuse({StoreRefusal::Kind::kUnavailable, "The start of the job was cancelled"});
}

}  // namespace

void JobOpening::cancel() {
  cancellation_.cancel();
  auto wishes = wishes_.lock();
  wishes->cancelled = true;
  changed_.notify_all();
}

void JobOpening::stop_waiting() {
  auto wishes = wishes_.lock();
  wishes->impatient = true;
  changed_.notify_all();
}

bool JobOpening::wait_until(TimePoint time) {
  auto wishes = wishes_.lock();
  return !wishes.wait_until(changed_, time, [&] { return wishes->cancelled; });
}

bool JobOpening::wait_patiently_until(TimePoint time) {
  auto wishes = wishes_.lock();
  return !wishes.wait_until(changed_, time, [&] { return wishes->cancelled || wishes->impatient; });
}

RedisResult<Success> JobOpening::connect(JobSession& session) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline_ - session.clock.now());
  session.link.set_timeout(std::max(left, Milliseconds(1)));
  if (session.link.is_open()) return Success{};
  return session.link.open(cancellation_);
}

std::optional<JobOpening::Outcome> JobOpening::wait_for_owner(
    JobSession& session, const LeaseSeen& lease,
    const std::function<void(const std::string&)>& waiting) {
  const std::string& job_id = session.request.identity.job_id;
  if (seen_ && is_renewed(*seen_, lease)) return refuse(busy(job_id, lease));
  if (!seen_) {
    waiting("Job \"" + job_id + "\" is claimed by " + describe_owner(lease.owner) +
            "; waiting up to " + std::to_string((lease.left.count() + 999) / 1000) +
            " s for a sign of life or the end of the claim");
  }
  seen_ = lease;
  if (wait_patiently_until(session.clock.now() + std::min(lease.left + Milliseconds(1), kLockPoll)))
    return std::nullopt;
  if (wishes_.lock()->cancelled) return cancelled();
  return refuse({StoreRefusal::Kind::kBusy,
                 "Job \"" + job_id + "\" is claimed by " + describe_owner(lease.owner) +
                     " for another " + std::to_string((lease.left.count() + 999) / 1000) +
                     " s, longer than this run waits; raise eos-timeout, start again later, or "
                     "use another job-id"});
}

JobOpening::Outcome JobOpening::run(JobSession& session, Milliseconds patience,
                                    const std::function<void(const std::string&)>& waiting) {
  ReconnectPolicy policy(std::random_device{}());
  deadline_ = session.clock.now() + patience;
  End end = End::kOwned;
  bool ours = false;
  for (;;) {
    RedisError error;
    auto connected = connect(session);
    if (connected && !ours) {
      const auto answer = session.create(cancellation_);
      if (answer && answer->word == JobAnswer::Word::kLocked) {
        if (auto over = wait_for_owner(session, read_lease(*answer), waiting))
          return std::move(*over);
        deadline_ = session.clock.now() + patience;
        continue;
      }
      if (answer) {
        if (auto refusal = refusal_of(*answer, session.request.identity.job_id))
          return refuse(std::move(*refusal));
        ours = true;
        if (answer->word == JobAnswer::Word::kCompleted) end = End::kReplay;
        // What was read is ours to settle or to give back: no longer to be cancelled half-way.
        deadline_ = session.clock.now() + std::max(patience, Milliseconds(5000));
      } else {
        error = answer.error();
      }
    } else if (!connected) {
      error = connected.error();
    }
    if (ours && connected) {
      connected = connect(session);
      const auto loaded = session.load(cancellation_);
      if (loaded && session.unreadable.empty()) return {end, {}, {}};
      if (loaded) return refuse({StoreRefusal::Kind::kSettings, session.unreadable});
      error = loaded.error();
    }
    if (error.fault == RedisFault::kCancelled) return ours ? Outcome{end, error, {}} : cancelled();
    const auto delay = policy.failed(error.fault);
    if (!delay) return {End::kHopeless, std::move(error), {}};
    const TimePoint again = session.clock.now() + *delay;
    if (again >= deadline_) return {End::kOutage, std::move(error), {}};
    if (!wait_until(again)) return ours ? Outcome{end, error, {}} : cancelled();
  }
}

}  // namespace transcribe
