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
  std::uint64_t join(TimePoint now, const RateLimit& limit) {
    auto state = state_.lock();
    const std::uint64_t member = state->next_id++;
    state->members[member] = limit;
    state->apply(now);
    return member;
  }

  void leave(std::uint64_t member) {
    auto state = state_.lock();
    state->members.erase(member);
    std::erase_if(state->line, [&](const Place& place) { return place.member == member; });
    // No time is passed in here: the next call that has one applies what this changes.
    state->stale = true;
  }

  void set_limit(std::uint64_t member, TimePoint now, const RateLimit& limit) {
    auto state = state_.lock();
    state->members[member] = limit;
    state->apply(now);
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
    if (now < reservation.due) return false;
    const auto place = state->find(reservation.ticket);
    if (place == state->line.end()) return false;
    // Who is due need not wait for somebody ahead who is late.
    if (state->bucket.peek(now) <= now) {
      state->bucket.reserve(now);
      state->line.erase(place);
      return true;
    }
    reservation.due =
        state->bucket.peek(now, static_cast<std::size_t>(place - state->line.begin()));
    return false;
  }

  void release(const Reservation& reservation) {
    auto state = state_.lock();
    const auto place = state->find(reservation.ticket);
    if (place != state->line.end()) state->line.erase(place);
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

  struct State {
    std::map<std::uint64_t, RateLimit> members;
    std::vector<Place> line;
    TokenBucket bucket{0, 1};
    std::uint64_t next_id = 1;
    double configured = 0;
    unsigned share = kFull;
    TimePoint reduced_at = TimePoint::min();
    TimePoint recovered_at{};
    bool stale = false;

    double rate() const { return configured * share / kFull; }

    std::vector<Place>::iterator find(std::uint64_t ticket) {
      return std::find_if(line.begin(), line.end(),
                          [&](const Place& place) { return place.ticket == ticket; });
    }

    void apply(TimePoint now) {
      stale = false;
      configured = 0;
      unsigned burst = 0;
      for (const auto& [member, limit] : members) {
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

  Guarded<State> state_;
};

class Member final : public RateLimiter {
 public:
  Member(std::shared_ptr<Group> group, TimePoint now, const RateLimit& limit)
      : group_(std::move(group)), id_(group_->join(now, limit)) {}
  ~Member() override { group_->leave(id_); }

  Reservation reserve(TimePoint now) override { return group_->reserve(id_, now); }
  bool confirm(Reservation& reservation, TimePoint now) override {
    return group_->confirm(reservation, now);
  }
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
                                                   const RateLimit& limit) {
  return std::make_unique<Member>(find_group(group), now, limit);
}

}  // namespace transcribe
