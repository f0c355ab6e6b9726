#include "dispatch/rate_limiter.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "dispatch/token_bucket.h"

namespace transcribe {

namespace {

constexpr unsigned kFull = 1000;  // the rate's share, in thousandths
constexpr unsigned kLowest = kFull / 10;
constexpr unsigned kRecovery = kFull / 20;
constexpr std::chrono::seconds kRecoveryPeriod{10};

class Group {
 public:
  using Wakes = std::vector<RateLimiter::Wake>;

  std::uint64_t join(TimePoint now, const RateLimit& limit, RateLimiter::Wake wake) {
    auto state = state_.lock();
    const std::uint64_t member = state->next_id++;
    state->members[member] = {limit, std::move(wake)};
    state->apply(now);
    return member;
  }

  void leave(std::uint64_t member) {
    Wakes wakes;
    {
      auto state = state_.lock();
      state->members.erase(member);
      std::erase_if(state->line, [&](const Place& place) { return place.member == member; });
      // No time is passed in here: the next call that has one applies what this changes.
      state->stale = true;
      wakes = state->waiting(0, member);
    }
    call(wakes);
  }

  void set_limit(std::uint64_t member, TimePoint now, const RateLimit& limit) {
    Wakes wakes;
    {
      auto state = state_.lock();
      const double before = state->rate();
      state->members[member].limit = limit;
      state->apply(now);
      const double after = state->rate();
      if (before > 0 && (after <= 0 || after > before)) wakes = state->waiting(0, member);
    }
    call(wakes);
  }

  Reservation reserve(std::uint64_t member, TimePoint now) {
    auto state = state_.lock();
    state->refresh(now);
    state->line.push_back({state->next_id++, member});
    return {state->bucket.peek(now, state->line.size() - 1), state->line.back().ticket};
  }

  bool confirm(Reservation& reservation, TimePoint now) {
    auto state = state_.lock();
    state->refresh(now);
    const auto place = state->find(reservation.ticket);
    if (place == state->line.end()) return false;
    state->renew(reservation, place, now);
    if (now < reservation.due) return false;
    // Who is due need not wait for somebody ahead who is late.
    if (state->bucket.peek(now) <= now) {
      state->bucket.reserve(now);
      state->line.erase(place);
      return true;
    }
    reservation.due = state->due(place, now);
    return false;
  }

  void renew(Reservation& reservation, TimePoint now) {
    auto state = state_.lock();
    state->refresh(now);
    const auto place = state->find(reservation.ticket);
    if (place != state->line.end()) state->renew(reservation, place, now);
  }

  void release(const Reservation& reservation) {
    Wakes wakes;
    {
      auto state = state_.lock();
      const auto place = state->find(reservation.ticket);
      if (place == state->line.end()) return;
      const std::uint64_t member = place->member;
      const auto behind = static_cast<std::size_t>(place - state->line.begin());
      state->line.erase(place);
      wakes = state->waiting(behind, member);
    }
    call(wakes);
  }

  void hold(TimePoint until) { state_.lock()->bucket.hold(until); }

  void slow_down(TimePoint now, TimePoint sent_at) {
    auto state = state_.lock();
    state->refresh(now);
    if (state->configured <= 0 || sent_at <= state->reduced_at) return;
    state->share = std::max(state->share / 2, kLowest);
    state->reduced_at = now;
    state->recovered_at = now;
    state->apply(now);
  }

  double current_rate(TimePoint now) {
    auto state = state_.lock();
    state->refresh(now);
    return state->rate();
  }

 private:
  struct Place {
    std::uint64_t ticket;
    std::uint64_t member;
  };

  struct MemberState {
    RateLimit limit;
    RateLimiter::Wake wake;
  };

  struct State {
    std::map<std::uint64_t, MemberState> members;
    std::vector<Place> line;
    TokenBucket bucket{0, 1};
    std::uint64_t next_id = 1;
    double configured = 0;
    unsigned share = kFull;
    TimePoint reduced_at = TimePoint::min();
    TimePoint recovered_at{};
    bool stale = false;

    using Position = std::vector<Place>::iterator;

    double rate() const { return configured * share / kFull; }

    TimePoint due(Position place, TimePoint now) {
      return bucket.peek(now, static_cast<std::size_t>(place - line.begin()));
    }

    void renew(Reservation& reservation, Position place, TimePoint now) {
      reservation.due = std::min(reservation.due, due(place, now));
    }

    // Of the members but one that wait at `first` or behind.
    Wakes waiting(std::size_t first, std::uint64_t but) const {
      Wakes wakes;
      std::vector<std::uint64_t> seen{but};
      for (std::size_t i = first; i < line.size(); i++) {
        const std::uint64_t member = line[i].member;
        if (std::find(seen.begin(), seen.end(), member) != seen.end()) continue;
        seen.push_back(member);
        const auto found = members.find(member);
        if (found != members.end() && found->second.wake) wakes.push_back(found->second.wake);
      }
      return wakes;
    }

    Position find(std::uint64_t ticket) {
      return std::find_if(line.begin(), line.end(),
                          [&](const Place& place) { return place.ticket == ticket; });
    }

    void apply(TimePoint now) {
      stale = false;
      configured = 0;
      unsigned burst = 0;
      for (const auto& [id, member] : members) {
        const RateLimit& limit = member.limit;
        if (!(limit.requests_per_second > 0)) continue;
        configured = configured > 0 ? std::min(configured, limit.requests_per_second)
                                    : limit.requests_per_second;
        burst = burst > 0 ? std::min(burst, std::max(limit.burst, 1u)) : std::max(limit.burst, 1u);
      }
      bucket.set_rate(now, rate(), burst);
    }

    void refresh(TimePoint now) {
      if (share < kFull && now - recovered_at >= kRecoveryPeriod) {
        const auto periods = (now - recovered_at) / kRecoveryPeriod;
        recovered_at += periods * kRecoveryPeriod;
        share = periods > kFull / kRecovery
                    ? kFull
                    : std::min(kFull, share + static_cast<unsigned>(periods) * kRecovery);
        stale = true;
      }
      if (stale) apply(now);
    }
  };

  static void call(const Wakes& wakes) {
    for (const RateLimiter::Wake& wake : wakes) wake();
  }

  Guarded<State> state_;
};

class Member final : public RateLimiter {
 public:
  Member(std::shared_ptr<Group> group, TimePoint now, const RateLimit& limit, Wake wake)
      : group_(std::move(group)), id_(group_->join(now, limit, std::move(wake))) {}
  ~Member() override { group_->leave(id_); }

  Reservation reserve(TimePoint now) override { return group_->reserve(id_, now); }
  bool confirm(Reservation& reservation, TimePoint now) override {
    return group_->confirm(reservation, now);
  }
  void renew(Reservation& reservation, TimePoint now) override { group_->renew(reservation, now); }
  void release(const Reservation& reservation) override { group_->release(reservation); }
  void hold(TimePoint until) override { group_->hold(until); }
  void slow_down(TimePoint now, TimePoint sent_at) override { group_->slow_down(now, sent_at); }
  void set_limit(TimePoint now, const RateLimit& limit) override {
    group_->set_limit(id_, now, limit);
  }
  double current_rate(TimePoint now) const override { return group_->current_rate(now); }

 private:
  std::shared_ptr<Group> group_;
  std::uint64_t id_;
};

std::shared_ptr<Group> find_group(const std::string& name) {
  // Never destroyed: elements may outlive static destruction.
  static auto& registry = *new Guarded<std::map<std::string, std::weak_ptr<Group>>>;
  auto groups = registry.lock();
  std::erase_if(*groups, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Group>& known = (*groups)[name];
  std::shared_ptr<Group> group = known.lock();
  if (!group) {
    group = std::make_shared<Group>();
    known = group;
  }
  return group;
}

}  // namespace

std::unique_ptr<RateLimiter> join_rate_limit_group(const std::string& group, TimePoint now,
                                                   const RateLimit& limit, RateLimiter::Wake wake) {
  return std::make_unique<Member>(find_group(group), now, limit, std::move(wake));
}

}  // namespace transcribe
