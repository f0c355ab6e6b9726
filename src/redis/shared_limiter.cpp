#include "redis/shared_limiter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/glib_ptr.h"
#include "redis/limit_link.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

// How long before its turn in this process a request asks for a grant: a place that is taken too
// early is kept from others, one that is taken late costs the time of an answer.
constexpr Nanoseconds kAskAhead = 1s;
// A grant that could not be used for that long is not used any more: it would crowd others.
constexpr Nanoseconds kStale = 2s;
// A grant before the end of a hold is not used either, but for the latency of what told of both.
constexpr Nanoseconds kLatency = 100ms;
constexpr Nanoseconds kSettling = 10s;   // longer than anybody takes to come back
constexpr Nanoseconds kMemory = 30s;     // of a count of members that was higher
constexpr double kLongestTurn = 3600e6;  // µs; what the script takes

SharedRate shared_rate(double rate, unsigned burst) {
  if (!(rate > 0)) return {0, 1};
  // Rounded up: rounding down would be a rate above the one asked for.
  const double emission = std::clamp(std::ceil(1e6 / rate - 1e-6), 1.0, kLongestTurn);
  return {static_cast<std::uint64_t>(emission), std::clamp(burst, 1u, 1000000u)};
}

}  // namespace

SharedLimiter::SharedLimiter(std::unique_ptr<RateLimiter> local,
                             std::unique_ptr<GrantSource> source, TimePoint now,
                             const RateLimit& limit, Wake wake, std::uint64_t seed)
    : local_(std::move(local)), wake_(std::move(wake)), source_(std::move(source)) {
  {
    auto state = state_.lock();
    state->burst = limit.burst;
    state->random.seed(seed);
    tell_rate(*state, now);
  }
  source_->start(*this);
}

SharedLimiter::~SharedLimiter() { source_->stop(); }

void SharedLimiter::wake() const {
  if (wake_) wake_();
}

void SharedLimiter::tell_rate(State& state, TimePoint now) {
  const SharedRate rate = shared_rate(local_->current_rate(now), state.burst);
  if (rate == state.told) return;
  state.told = rate;
  source_->set_rate(rate);
}

// Asks when it is time to.
TimePoint SharedLimiter::due(State& state, Place& place, TimePoint now) {
  using Phase = Place::Phase;
  const double rate = local_->current_rate(now);
  if (!(rate > 0)) return place.local.due;

  TimePoint turn = std::max(place.local.due, state.held_until);
  if (state.lost || now < state.settled_at) {
    state.share.set_rate(now, rate / state.members, state.burst / state.members);
    const TimePoint share = state.share.peek(now);
    turn = std::max(turn, state.lost ? share : std::min(share, state.settled_at));
  }
  if (place.phase == Phase::kGranted) {
    const TimePoint granted = place.grant.due;
    if (std::max(turn, now) - granted <= kStale && granted + kLatency >= state.held_until)
      return std::max(turn, granted);
    source_->give_back(place.grant);
    place.phase = Phase::kIdle;
  }
  if (state.lost) return std::max(turn, state.alone_from);
  if (place.phase == Phase::kAsked) return TimePoint::max();
  const TimePoint ask_at = std::max(turn - kAskAhead, place.again);
  if (ask_at > now) return ask_at;
  tell_rate(state, now);
  place.phase = Phase::kAsked;
  source_->ask(place.local.ticket);
  return TimePoint::max();
}

Reservation SharedLimiter::reserve(TimePoint now) {
  auto state = state_.lock();
  const Reservation local = local_->reserve(now);
  Place& place = state->places[local.ticket];
  place.local = local;
  return {due(*state, place, now), local.ticket};
}

void SharedLimiter::renew(Reservation& reservation, TimePoint now) {
  auto state = state_.lock();
  const auto found = state->places.find(reservation.ticket);
  if (found == state->places.end()) return;
  local_->renew(found->second.local, now);
  reservation.due = due(*state, found->second, now);
}

bool SharedLimiter::confirm(Reservation& reservation, TimePoint now) {
  auto state = state_.lock();
  const auto found = state->places.find(reservation.ticket);
  if (found == state->places.end()) return false;
  Place& place = found->second;
  local_->renew(place.local, now);
  reservation.due = due(*state, place, now);
  if (reservation.due > now) return false;
  // The last word: a hold or a late request of this process may have come in between.
  if (!local_->confirm(place.local, now)) {
    reservation.due = due(*state, place, now);
    return false;
  }
  if (state->lost || now < state->settled_at) state->share.reserve(now);
  state->places.erase(found);
  return true;
}

void SharedLimiter::release(const Reservation& reservation) {
  Place place;
  {
    auto state = state_.lock();
    const auto found = state->places.find(reservation.ticket);
    if (found == state->places.end()) return;
    place = found->second;
    state->places.erase(found);
    if (place.phase == Place::Phase::kGranted) source_->give_back(place.grant);
    if (place.phase == Place::Phase::kAsked) source_->withdraw(reservation.ticket);
  }
  local_->release(place.local);
}

void SharedLimiter::hold(TimePoint until) {
  on_held(until);
  source_->hold(until);
}

void SharedLimiter::slow_down(TimePoint now, TimePoint sent_at) {
  local_->slow_down(now, sent_at);
  auto state = state_.lock();
  tell_rate(*state, now);
}

void SharedLimiter::set_limit(TimePoint now, const RateLimit& limit) {
  local_->set_limit(now, limit);
  auto state = state_.lock();
  state->burst = limit.burst;
  tell_rate(*state, now);
}

double SharedLimiter::current_rate(TimePoint now) const {
  auto state = state_.lock();
  const double rate = local_->current_rate(now);
  return state->lost || now < state->settled_at ? rate / state->members : rate;
}

void SharedLimiter::on_granted(std::uint64_t ticket, const SharedGrant& grant) {
  {
    auto state = state_.lock();
    const auto found = state->places.find(ticket);
    if (found == state->places.end() || found->second.phase != Place::Phase::kAsked) {
      source_->give_back(grant);
      return;
    }
    found->second.phase = Place::Phase::kGranted;
    found->second.grant = grant;
  }
  wake();
}

void SharedLimiter::on_refused(std::uint64_t ticket, TimePoint again) {
  {
    auto state = state_.lock();
    const auto found = state->places.find(ticket);
    if (found == state->places.end() || found->second.phase != Place::Phase::kAsked) return;
    found->second.phase = Place::Phase::kIdle;
    found->second.again = again;
  }
  wake();
}

// A rate that was slowed down comes back by itself, and the others wait for it.
void SharedLimiter::on_beat(TimePoint now) {
  auto state = state_.lock();
  tell_rate(*state, now);
}

void SharedLimiter::on_held(TimePoint until) {
  auto state = state_.lock();
  state->held_until = std::max(state->held_until, until);
  local_->hold(until);
}

// A server that was emptied knows fewer members than there are.
void SharedLimiter::on_members(unsigned count, TimePoint now) {
  auto state = state_.lock();
  if (count < state->members && now - state->members_seen < kMemory) return;
  state->members = std::max(count, 1u);
  state->members_seen = now;
}

void SharedLimiter::on_lost(TimePoint now) {
  {
    auto state = state_.lock();
    state->lost = true;
    for (auto& [ticket, place] : state->places) {
      if (place.phase == Place::Phase::kAsked) place.phase = Place::Phase::kIdle;
    }
    // Not all members in the same moment.
    const auto turn = static_cast<double>(state->told.emission_us) * state->members;
    const double wait = std::uniform_real_distribution(1.0, 2.0)(state->random) * turn;
    state->alone_from =
        now + std::chrono::microseconds(static_cast<std::int64_t>(std::min(wait, kLongestTurn)));
  }
  wake();
}

void SharedLimiter::on_back(TimePoint now) {
  {
    auto state = state_.lock();
    state->lost = false;
    if (state->members > 1) state->settled_at = now + kSettling;
  }
  wake();
}

std::unique_ptr<RateLimiter> join_shared_rate_limit_group(const SharedLimiterSettings& settings,
                                                          const std::string& group, TimePoint now,
                                                          const RateLimit& limit,
                                                          RateLimiter::Wake wake,
                                                          const Clock& clock, const Log& log) {
  auto link = std::make_unique<LimitLink>(settings, group, clock, log);
  auto local = join_rate_limit_group(group, now, limit, wake);
  const std::uint64_t seed = (std::uint64_t{g_random_int()} << 32) | g_random_int();
  return std::make_unique<SharedLimiter>(std::move(local), std::move(link), now, limit,
                                         std::move(wake), seed);
}

}  // namespace transcribe
