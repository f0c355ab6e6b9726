// One request rate for all processes of a rate-limit-group.
//
// On top of the group in this process, which always holds with the full rate, each request needs
// a grant from Redis (scripts/limit.lua): a place in the group's time, taken when there is a chunk
// and a free slot. A grant counts from the moment it is here; an answer that got lost is a place
// that nobody uses. Nobody waits for an answer: a due time that is not known yet is
// TimePoint::max(), and then the wake comes.
//
// Without Redis every member keeps to its share, the rate divided by the members last seen; it
// begins one turn later, so that what others were granted is over by then. After the return
// the shares stay for 10 s, until the others are back too. Without a limit of its own
// (requests-per-second 0) a member asks for no grants and only shares holds.
//
// A hold (a server's Retry-After) goes to Redis too and stops the others within about a second,
// grants that they have included.
#pragma once

#include <map>
#include <random>

#include "base/guarded.h"
#include "base/log.h"
#include "dispatch/rate_limiter.h"
#include "dispatch/token_bucket.h"
#include "redis/grant_source.h"
#include "redis/uri.h"

namespace transcribe {

struct SharedLimiterSettings {
  RedisUri uri;
  std::string tls_ca_file;
  std::string key_prefix = "transcribe";
  // Names this member in `<prefix>:workers`, as the store of the same job does: worker_name().
  std::string worker;
};

// Joins `group` of this process, and of all others that use the same server and prefix. Returns
// at once, without a connection. `clock` and `log` outlive the limiter; its end returns at once,
// whatever it waits for.
std::unique_ptr<RateLimiter> join_shared_rate_limit_group(const SharedLimiterSettings& settings,
                                                          const std::string& group, TimePoint now,
                                                          const RateLimit& limit,
                                                          RateLimiter::Wake wake,
                                                          const Clock& clock, const Log& log);

class SharedLimiter final : public RateLimiter, private GrantSource::Listener {
 public:
  // `local`: the group of this process; joined with the same `wake`. `seed`: of the moment at
  // which a share begins.
  SharedLimiter(std::unique_ptr<RateLimiter> local, std::unique_ptr<GrantSource> source,
                TimePoint now, const RateLimit& limit, Wake wake, std::uint64_t seed);
  ~SharedLimiter() override;

  Reservation reserve(TimePoint now) override;
  bool confirm(Reservation& reservation, TimePoint now) override;
  void renew(Reservation& reservation, TimePoint now) override;
  void release(const Reservation& reservation) override;
  void hold(TimePoint until) override;
  void slow_down(TimePoint now, TimePoint sent_at) override;
  void set_limit(TimePoint now, const RateLimit& limit) override;
  double current_rate(TimePoint now) const override;

 private:
  struct Place {
    enum class Phase { kIdle, kAsked, kGranted };
    Reservation local;
    Phase phase = Phase::kIdle;
    SharedGrant grant;
    TimePoint again = TimePoint::min();  // refused until then
  };
  struct State {
    std::map<std::uint64_t, Place> places;
    unsigned burst = 1;
    SharedRate told;
    unsigned members = 1;
    TimePoint members_seen{};  // when there were that many
    TimePoint held_until = TimePoint::min();
    bool lost = false;
    TimePoint alone_from{};                   // while lost: no request before it
    TimePoint settled_at = TimePoint::min();  // the share holds until then
    TokenBucket share{0, 1};
    std::mt19937_64 random;
  };

  void on_granted(std::uint64_t ticket, const SharedGrant& grant) override;
  void on_refused(std::uint64_t ticket, TimePoint again) override;
  void on_beat(TimePoint now) override;
  void on_held(TimePoint until) override;
  void on_members(unsigned count, TimePoint now) override;
  void on_lost(TimePoint now) override;
  void on_back(TimePoint now) override;

  TimePoint due(State& state, Place& place, TimePoint now);
  void tell_rate(State& state, TimePoint now);
  void wake() const;

  const std::unique_ptr<RateLimiter> local_;
  const Wake wake_;
  mutable Guarded<State> state_;  // its lock is held over calls of both others, never over a wake
  const std::unique_ptr<GrantSource> source_;
};

}  // namespace transcribe
