// One request rate for all elements of a rate-limit group in this process, one hold after a
// server's 429, and a lower rate after `slow_down`. Never sleeps: it returns due times.
//
// Any thread. Groups live in the process-wide registry as long as somebody is a member.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"

namespace transcribe {

struct RateLimit {
  double requests_per_second = 8.0;  // 0: no limit of ours
  unsigned burst = 1;
  bool operator==(const RateLimit&) const = default;
};

// A place in the group's line. `due` is when its turn comes as things stand, TimePoint::max() while
// that is not known; the token itself is taken by confirm(), so that a request that starts late
// never crowds the one behind it.
struct Reservation {
  TimePoint due{};
  std::uint64_t ticket = 0;
};

// Membership in a group; leaves it when destroyed, reservations included. The lowest rate and
// burst of the members that have a limit win. First come, first served: a member that holds one
// reservation at a time gets its fair share.
class RateLimiter {
 public:
  // A turn may have come closer than was said (a member left, the rate rose, an answer is there):
  // call confirm() for what is reserved. Called on any thread with no lock held, never within a
  // call of the same member that reserves or confirms; perhaps once more after the limiter is
  // gone, so it owns what it touches.
  using Wake = std::function<void()>;

  virtual ~RateLimiter() = default;
  virtual Reservation reserve(TimePoint now) = 0;
  // Call when `now` has reached the due time, and after a wake. True: send now. False: not yet (a
  // hold, a lower rate or a late request came in between); the place in the line is kept, wait for
  // the due time, which may be a new one.
  virtual bool confirm(Reservation& reservation, TimePoint now) = 0;
  // Brings the due time up to date where it has come closer; takes nothing.
  virtual void renew(Reservation& reservation, TimePoint now) = 0;
  // Leaves the line without a token.
  virtual void release(const Reservation& reservation) = 0;
  // No request of the group before `until` (a server's Retry-After). Never shortens a hold.
  virtual void hold(TimePoint until) = 0;
  // The server asked to slow down: halves the group's rate, not below a tenth; it comes back by
  // 5 % of the configured rate every 10 s. Answers to requests that were sent (`sent_at`) no later
  // than the last reduction are ignored: they tell nothing new. Without a limit (0) there is no
  // rate to lower.
  virtual void slow_down(TimePoint now, TimePoint sent_at) = 0;
  virtual void set_limit(TimePoint now, const RateLimit& limit) = 0;
  // The rate in force; 0: none.
  virtual double current_rate(TimePoint now) const = 0;
};

// Joins `group` in the process-wide registry.
std::unique_ptr<RateLimiter> join_rate_limit_group(const std::string& group, TimePoint now,
                                                   const RateLimit& limit,
                                                   RateLimiter::Wake wake = nullptr);

}  // namespace transcribe
