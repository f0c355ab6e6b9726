// Where the grants of a rate limit group come from that several processes share. A seam: the
// limiter on top of it is tested without a server.
//
// All functions but stop() return at once; any thread. stop() ends everything, waits included, and
// returns when the listener's last call has returned.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace transcribe {

struct SharedRate {
  std::uint64_t emission_us = 0;  // time per request, 0: no limit; the slowest of the group holds
  std::uint64_t burst = 1;
  bool operator==(const SharedRate&) const = default;
};

// A place in the group's time, taken for good: use it at `due`, or give it back.
struct SharedGrant {
  TimePoint due{};
  std::int64_t due_us = 0;      // the same on the server's clock
  std::int64_t reached_us = 0;  // what identifies it there
  std::uint64_t emission_us = 1;
};

class GrantSource {
 public:
  // Called on a thread of the source, one call at a time, with no lock of the source held.
  class Listener {
   public:
    virtual void on_granted(std::uint64_t ticket, const SharedGrant& grant) = 0;
    // Nothing was reserved; ask again then.
    virtual void on_refused(std::uint64_t ticket, TimePoint again) = 0;
    // Every second or so: a chance to bring the rate up to date.
    virtual void on_beat(TimePoint now) = 0;
    // Nobody of the group sends before `until`.
    virtual void on_held(TimePoint until) = 0;
    // Members of all groups that gave a sign of life lately, this one included.
    virtual void on_members(unsigned count, TimePoint now) = 0;
    // No answer can be had; what was asked stays unanswered.
    virtual void on_lost(TimePoint now) = 0;
    virtual void on_back(TimePoint now) = 0;

   protected:
    ~Listener() = default;
  };

  virtual ~GrantSource() = default;
  virtual void start(Listener& listener) = 0;
  virtual void stop() = 0;

  // What this member wants at most, from the next question on; at first without a limit.
  virtual void set_rate(const SharedRate& rate) = 0;
  virtual void ask(std::uint64_t ticket) = 0;
  // Forgets the question if it was not asked yet. Else its answer still comes.
  virtual void withdraw(std::uint64_t ticket) = 0;
  // Best effort: only the last reservation of the group can be given back.
  virtual void give_back(const SharedGrant& grant) = 0;
  // Holds the group. Kept until it could be told.
  virtual void hold(TimePoint until) = 0;
};

}  // namespace transcribe
