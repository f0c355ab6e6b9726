#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "redis/limit_link.h"
#include "redis/shared_limiter.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;
using LimiterPtr = std::unique_ptr<RateLimiter>;

TimePoint at(Nanoseconds time) { return TimePoint(1000s + time); }

// What the limiter asked of Redis; the test answers.
struct Remote {
  GrantSource::Listener* listener = nullptr;
  bool stopped = false;
  SharedRate rate;
  std::set<std::uint64_t> asked;
  std::vector<SharedGrant> returned;
  std::vector<TimePoint> holds;
  std::int64_t grants = 0;

  std::uint64_t only() {
    ck_assert_uint_eq(asked.size(), 1);
    return *asked.begin();
  }
  // Answers the only question.
  void grant(TimePoint due) { grant(only(), due); }
  void grant(std::uint64_t ticket, TimePoint due) {
    asked.erase(ticket);
    SharedGrant grant;
    grant.due = due;
    grant.reached_us = ++grants;
    listener->on_granted(ticket, grant);
  }
  void refuse(TimePoint again) {
    const std::uint64_t ticket = only();
    asked.clear();
    listener->on_refused(ticket, again);
  }
  void lose(TimePoint now) {
    asked.clear();
    listener->on_lost(now);
  }
};

class FakeSource final : public GrantSource {
 public:
  explicit FakeSource(Remote& remote) : remote_(remote) {}
  void start(Listener& listener) override { remote_.listener = &listener; }
  void stop() override { remote_.stopped = true; }
  void set_rate(const SharedRate& rate) override { remote_.rate = rate; }
  void ask(std::uint64_t ticket) override { remote_.asked.insert(ticket); }
  void withdraw(std::uint64_t ticket) override { remote_.asked.erase(ticket); }
  void give_back(const SharedGrant& grant) override { remote_.returned.push_back(grant); }
  void hold(TimePoint until) override { remote_.holds.push_back(until); }

 private:
  Remote& remote_;
};

std::string new_group() {
  static int groups = 0;
  return "shared-" + std::to_string(groups++);
}

struct Fixture {
  std::string group;
  Remote remote;
  int wakes = 0;
  LimiterPtr limiter;
  Reservation place;

  explicit Fixture(const RateLimit& limit = {10, 1}, const std::string& name = new_group())
      : group(name),
        limiter(std::make_unique<SharedLimiter>(
            join_rate_limit_group(group, at(0s), limit, [this] { wakes++; }),
            std::make_unique<FakeSource>(remote), at(0s), limit, [this] { wakes++; }, 7)) {}

  bool reserve_and_ask(TimePoint now) {
    place = limiter->reserve(now);
    return place.due == TimePoint::max();
  }
  bool confirm(TimePoint now) { return limiter->confirm(place, now); }
  // One request with a grant for now.
  void send(TimePoint now) {
    ck_assert(reserve_and_ask(now));
    remote.grant(now);
    ck_assert(confirm(now));
  }
  // Sends as often as it may in [from, to), without any answer from Redis.
  std::vector<TimePoint> run_alone(TimePoint from, TimePoint to) {
    std::vector<TimePoint> sent;
    place = limiter->reserve(from);
    while (place.due < to) {
      const TimePoint now = std::max(from, place.due);
      if (!confirm(now)) continue;
      sent.push_back(now);
      place = limiter->reserve(now);
    }
    limiter->release(place);
    return sent;
  }
};

START_TEST(a_request_needs_a_grant_and_its_time) {
  Fixture f;
  ck_assert(f.reserve_and_ask(at(0s)));
  ck_assert_uint_eq(f.remote.rate.emission_us, 100000);
  ck_assert_uint_eq(f.remote.rate.burst, 1);
  // No answer yet: however late it is, and asked once.
  ck_assert(!f.confirm(at(5s)));
  ck_assert(f.place.due == TimePoint::max());
  ck_assert_uint_eq(f.remote.asked.size(), 1);
  f.remote.grant(at(7s));
  ck_assert_int_eq(f.wakes, 1);
  ck_assert(!f.confirm(at(6s)));
  ck_assert(f.place.due == at(7s));
  ck_assert(f.confirm(at(7s)));
  // Once.
  ck_assert(!f.confirm(at(7s)));
  ck_assert(f.remote.asked.empty());
  ck_assert(f.remote.returned.empty());
}
END_TEST

// An empty or lying Redis.
START_TEST(one_process_never_exceeds_the_rate) {
  Fixture f({10, 2});
  f.send(at(0s));
  f.send(at(0s));
  ck_assert(f.reserve_and_ask(at(0s)));
  f.remote.grant(at(0s));
  ck_assert(!f.confirm(at(0s)));
  ck_assert(f.place.due == at(100ms));
  ck_assert(f.confirm(at(100ms)));
}
END_TEST

START_TEST(members_of_one_process_share_its_rate) {
  Fixture one, two({10, 1}, one.group);
  ck_assert(one.reserve_and_ask(at(0s)));
  ck_assert(two.reserve_and_ask(at(0s)));
  one.remote.grant(at(0s));
  two.remote.grant(at(0s));
  ck_assert(one.confirm(at(0s)));
  ck_assert(!two.confirm(at(0s)));
  ck_assert(two.place.due == at(100ms));
  ck_assert(two.confirm(at(100ms)));
}
END_TEST

START_TEST(a_hold_of_this_process_has_the_last_word) {
  Fixture f;
  auto other = join_rate_limit_group(f.group, at(0s), {10, 1});
  ck_assert(f.reserve_and_ask(at(0s)));
  f.remote.grant(at(1s));
  other->hold(at(2500ms));
  ck_assert(!f.confirm(at(1s)));
  ck_assert(f.place.due == at(2500ms));
  ck_assert(f.confirm(at(2500ms)));
}
END_TEST

START_TEST(asks_shortly_before_its_turn_only) {
  Fixture f({0.1, 1});
  f.send(at(0s));
  ck_assert(!f.reserve_and_ask(at(0s)));
  ck_assert(f.place.due == at(9s));
  ck_assert(!f.confirm(at(9s - 1ns)));
  ck_assert(f.remote.asked.empty());
  ck_assert(!f.confirm(at(9s)));
  f.remote.grant(at(9500ms));
  ck_assert(!f.confirm(at(9500ms)));
  ck_assert(f.place.due == at(10s));
  ck_assert(f.confirm(at(10s)));
}
END_TEST

START_TEST(a_refused_question_is_asked_again) {
  Fixture f;
  ck_assert(f.reserve_and_ask(at(0s)));
  f.remote.refuse(at(60s));
  ck_assert_int_eq(f.wakes, 1);
  ck_assert(!f.confirm(at(1s)));
  ck_assert(f.place.due == at(60s));
  ck_assert(!f.confirm(at(60s)));
  f.remote.grant(at(61s));
  ck_assert(f.confirm(at(61s)));
}
END_TEST

START_TEST(what_is_not_used_is_given_back) {
  Fixture f;
  // Asked: its answer may be on its way.
  ck_assert(f.reserve_and_ask(at(0s)));
  const std::uint64_t ticket = f.remote.only();
  f.limiter->release(f.place);
  ck_assert(f.remote.asked.empty());
  f.remote.grant(ticket, at(1s));
  ck_assert_uint_eq(f.remote.returned.size(), 1);
  ck_assert_int_eq(f.wakes, 0);
  // Granted.
  ck_assert(f.reserve_and_ask(at(0s)));
  f.remote.grant(at(1s));
  f.limiter->release(f.place);
  f.limiter->release(f.place);
  ck_assert_uint_eq(f.remote.returned.size(), 2);
  ck_assert_int_eq(f.remote.returned[1].reached_us, 2);
  ck_assert(!f.confirm(at(1s)));
  // Of no use to anybody any more, and never used.
  ck_assert(f.reserve_and_ask(at(10s)));
  f.remote.grant(at(10s));
  ck_assert(!f.confirm(at(12s + 1ns)));
  ck_assert_uint_eq(f.remote.returned.size(), 3);
  f.remote.grant(at(13s));
  ck_assert(f.confirm(at(13s)));
}
END_TEST

START_TEST(a_hold_goes_out_and_comes_in) {
  Fixture f;
  f.limiter->hold(at(5s));
  ck_assert_uint_eq(f.remote.holds.size(), 1);
  ck_assert(f.remote.holds[0] == at(5s));
  ck_assert(!f.reserve_and_ask(at(0s)));
  ck_assert(f.place.due == at(4s));
  f.limiter->release(f.place);

  // Somebody else's stops the grant that is here already.
  Fixture other;
  ck_assert(other.reserve_and_ask(at(0s)));
  other.remote.grant(at(1s));
  other.remote.listener->on_held(at(20s));
  ck_assert(!other.confirm(at(1s)));
  ck_assert(other.place.due == at(19s));
  ck_assert_uint_eq(other.remote.returned.size(), 1);
  ck_assert(!other.confirm(at(19s)));
  other.remote.grant(at(20s));
  ck_assert(!other.confirm(at(20s - 1ns)));
  ck_assert(other.confirm(at(20s)));

  // Not even shortly before its end, or all would go at once then; nor one that was asked for
  // before and comes after.
  ck_assert(other.reserve_and_ask(at(21s)));
  other.remote.grant(at(22s));
  other.limiter->hold(at(22500ms));
  ck_assert(!other.confirm(at(22s)));
  ck_assert_uint_eq(other.remote.returned.size(), 2);
  ck_assert(other.place.due == TimePoint::max());
  other.remote.grant(at(22200ms));
  ck_assert(!other.confirm(at(22200ms)));
  ck_assert_uint_eq(other.remote.returned.size(), 3);
  other.remote.grant(at(22499ms));
  ck_assert(!other.confirm(at(22499ms)));
  ck_assert(other.confirm(at(22500ms)));
}
END_TEST

START_TEST(without_a_limit_nothing_is_asked_and_holds_count) {
  Fixture f({0, 1});
  ck_assert_uint_eq(f.remote.rate.emission_us, 0);
  ck_assert(!f.reserve_and_ask(at(0s)));
  ck_assert(f.confirm(at(0s)));
  f.remote.listener->on_held(at(3s));
  ck_assert(!f.reserve_and_ask(at(1s)));
  ck_assert(!f.confirm(at(1s)));
  ck_assert(f.place.due == at(3s));
  f.remote.listener->on_members(4, at(1s));
  f.remote.listener->on_lost(at(1s));
  ck_assert(f.confirm(at(3s)));
  f.limiter->hold(at(9s));
  ck_assert_uint_eq(f.remote.holds.size(), 1);
  ck_assert(f.remote.asked.empty());
  ck_assert_double_eq(f.limiter->current_rate(at(3s)), 0);
}
END_TEST

START_TEST(slow_down_and_new_limits_reach_redis) {
  Fixture f({10, 3});
  ck_assert_uint_eq(f.remote.rate.burst, 3);
  f.limiter->slow_down(at(1s), at(0s));
  ck_assert_uint_eq(f.remote.rate.emission_us, 200000);
  f.limiter->set_limit(at(2s), {4, 2});
  ck_assert(f.remote.rate == (SharedRate{500000, 2}));
  // It comes back by itself, whether or not there is anything to send.
  f.remote.listener->on_beat(at(11s));
  ck_assert(f.remote.rate == (SharedRate{454546, 2}));
  ck_assert(f.reserve_and_ask(at(2000s)));
  ck_assert(f.remote.rate == (SharedRate{250000, 2}));
  // Never above what was asked for.
  f.limiter->set_limit(at(2000s), {3, 1});
  ck_assert_uint_eq(f.remote.rate.emission_us, 333334);
  f.limiter->set_limit(at(2000s), {1e-9, 1});
  ck_assert_uint_eq(f.remote.rate.emission_us, 3600000000);
  f.limiter->set_limit(at(2000s), {1e9, 4000000000});
  ck_assert(f.remote.rate == (SharedRate{1, 1000000}));
  f.limiter->set_limit(at(2000s), {0, 1});
  ck_assert_uint_eq(f.remote.rate.emission_us, 0);
}
END_TEST

START_TEST(without_redis_each_keeps_to_its_share) {
  Fixture f({10, 2});
  f.remote.listener->on_members(4, at(0s));
  f.send(at(0s));
  ck_assert(f.reserve_and_ask(at(1s)));
  const int wakes = f.wakes;
  f.remote.lose(at(1s));
  ck_assert_int_eq(f.wakes, wakes + 1);
  ck_assert_double_eq(f.limiter->current_rate(at(1s)), 2.5);
  // The lost answer counts as none, and the share begins one turn later.
  ck_assert(!f.confirm(at(1s)));
  ck_assert(f.place.due >= at(1400ms) && f.place.due <= at(1800ms));
  const TimePoint first = f.place.due;
  f.limiter->release(f.place);
  const auto sent = f.run_alone(at(1s), at(101s));
  ck_assert(sent.front() == first);
  for (std::size_t i = 1; i < sent.size(); i++) ck_assert(sent[i] - sent[i - 1] == 400ms);
  ck_assert_uint_ge(sent.size(), 248);
  ck_assert(f.remote.asked.empty());
}
END_TEST

START_TEST(a_share_keeps_a_part_of_the_burst) {
  Fixture f({10, 8});
  f.remote.listener->on_members(4, at(0s));
  f.remote.lose(at(0s));
  const auto sent = f.run_alone(at(10s), at(20s));
  ck_assert(sent[1] == at(10s));
  ck_assert(sent[2] == at(10400ms));
  ck_assert_uint_eq(sent.size(), 26);
}
END_TEST

START_TEST(alone_it_has_the_whole_rate) {
  Fixture f;
  f.remote.lose(at(0s));
  const auto sent = f.run_alone(at(0s), at(10s));
  ck_assert(sent.front() >= at(100ms) && sent.front() <= at(200ms));
  ck_assert_uint_ge(sent.size(), 98);
}
END_TEST

START_TEST(a_grant_from_before_the_outage_is_good) {
  Fixture f;
  f.remote.listener->on_members(20, at(0s));
  ck_assert(f.reserve_and_ask(at(0s)));
  f.remote.grant(at(300ms));
  f.remote.lose(at(100ms));
  ck_assert(!f.confirm(at(200ms)));
  ck_assert(f.confirm(at(300ms)));
}
END_TEST

START_TEST(a_hold_counts_without_redis) {
  Fixture f;
  f.remote.lose(at(0s));
  f.limiter->hold(at(50s));
  const auto sent = f.run_alone(at(1s), at(51s));
  ck_assert(sent.front() == at(50s));
}
END_TEST

// The others may not be back yet.
START_TEST(the_share_stays_for_a_while_after_the_return) {
  Fixture f({10, 1});
  f.remote.listener->on_members(5, at(0s));
  f.remote.lose(at(0s));
  f.run_alone(at(0s), at(20s));
  const int wakes = f.wakes;
  f.remote.listener->on_back(at(20s));
  ck_assert_int_eq(f.wakes, wakes + 1);
  std::vector<TimePoint> sent;
  TimePoint now = at(20s);
  f.place = f.limiter->reserve(now);
  while (now < at(32s)) {
    // Redis grants at once.
    if (!f.remote.asked.empty()) f.remote.grant(now);
    if (f.confirm(now)) {
      sent.push_back(now);
      f.place = f.limiter->reserve(now);
    }
    now = std::max(now, f.remote.asked.empty() ? f.place.due : now);
  }
  const auto in = [&](TimePoint from, TimePoint to) {
    return std::count_if(sent.begin(), sent.end(),
                         [&](TimePoint time) { return time >= from && time < to; });
  };
  ck_assert_int_ge(in(at(20s), at(30s)), 19);
  ck_assert_int_le(in(at(20s), at(30s)), 21);
  ck_assert_int_ge(in(at(30s), at(32s)), 19);
  // The share, not the rate of the group, was lower.
  ck_assert_uint_eq(f.remote.rate.emission_us, 100000);
}
END_TEST

START_TEST(questions_go_out_again_after_the_return) {
  Fixture f;
  ck_assert(f.reserve_and_ask(at(0s)));
  const std::uint64_t ticket = f.remote.only();
  f.remote.lose(at(0s));
  f.remote.listener->on_back(at(50ms));
  // The answer to a question that was given up.
  f.remote.grant(ticket, at(50ms));
  ck_assert_uint_eq(f.remote.returned.size(), 1);
  ck_assert(!f.confirm(at(50ms)));
  ck_assert(f.place.due == TimePoint::max());
  f.remote.grant(at(60ms));
  ck_assert(f.confirm(at(60ms)));
}
END_TEST

START_TEST(an_emptied_server_forgets_no_members) {
  Fixture f;
  f.remote.listener->on_members(8, at(0s));
  f.remote.listener->on_members(1, at(29s));
  f.remote.lose(at(29s));
  ck_assert_double_eq(f.limiter->current_rate(at(29s)), 1.25);
  // Those who are really gone are, in the end.
  f.remote.listener->on_back(at(29s));
  f.remote.listener->on_members(2, at(31s));
  f.remote.lose(at(31s));
  ck_assert_double_eq(f.limiter->current_rate(at(31s)), 5);
  f.remote.listener->on_members(16, at(32s));
  ck_assert_double_eq(f.limiter->current_rate(at(32s)), 0.625);
  f.remote.listener->on_members(0, at(900s));
  ck_assert_double_eq(f.limiter->current_rate(at(900s)), 10);
}
END_TEST

START_TEST(a_member_that_leaves_wakes_the_one_that_waits) {
  Fixture f({10, 1});
  auto slow = join_rate_limit_group(f.group, at(0s), {0.1, 1});
  f.send(at(0s));
  ck_assert_uint_eq(f.remote.rate.emission_us, 10000000);
  ck_assert(!f.reserve_and_ask(at(0s)));
  ck_assert(f.place.due == at(9s));
  const int wakes = f.wakes;
  slow.reset();
  ck_assert_int_eq(f.wakes, wakes + 1);
  ck_assert(!f.confirm(at(10ms)));
  ck_assert(f.place.due == TimePoint::max());
  ck_assert_uint_eq(f.remote.rate.emission_us, 100000);
}
END_TEST

START_TEST(the_end_stops_the_source_first) {
  Fixture f;
  ck_assert(f.reserve_and_ask(at(0s)));
  f.limiter.reset();
  ck_assert(f.remote.stopped);
}
END_TEST

// Answers, outages and the dispatcher's calls cross each other.
START_TEST(many_threads) {
  struct Source final : GrantSource {
    void start(Listener& listener) override {
      thread = std::thread([this, &listener] {
        for (int i = 0; !*quit.lock(); i++) {
          std::set<std::uint64_t> now_asked;
          std::swap(now_asked, *asked.lock());
          for (const std::uint64_t ticket : now_asked) {
            if (i % 3 == 0) {
              listener.on_refused(ticket, at(0s));
            } else {
              listener.on_granted(ticket, {at(0s), 0, 0, 1});
            }
          }
          if (i % 50 == 0) listener.on_lost(at(0s));
          if (i % 50 == 25) listener.on_back(at(0s));
          listener.on_members(static_cast<unsigned>(i % 5), at(0s));
          listener.on_held(at(0s));
          listener.on_beat(at(0s));
        }
      });
    }
    void stop() override {
      *quit.lock() = true;
      if (thread.joinable()) thread.join();
    }
    void set_rate(const SharedRate&) override {}
    void ask(std::uint64_t ticket) override { asked.lock()->insert(ticket); }
    void withdraw(std::uint64_t ticket) override { asked.lock()->erase(ticket); }
    void give_back(const SharedGrant&) override {}
    void hold(TimePoint) override {}

    Guarded<bool> quit{false};
    Guarded<std::set<std::uint64_t>> asked;
    std::thread thread;
  };
  const RateLimit limit{1000, 1};
  const std::string group = new_group();
  std::vector<LimiterPtr> limiters;
  for (int i = 0; i < 2; i++) {
    limiters.push_back(std::make_unique<SharedLimiter>(join_rate_limit_group(group, at(0s), limit),
                                                       std::make_unique<Source>(), at(0s), limit,
                                                       nullptr, 1));
  }
  std::vector<std::thread> threads;
  for (const LimiterPtr& limiter : limiters) {
    threads.emplace_back([&] {
      int sent = 0;
      for (int i = 0; sent < 30; i++) {
        Reservation place = limiter->reserve(at(i * 1ms));
        for (int tries = 0; tries < 50; tries++) {
          if (!limiter->confirm(place, at(i * 1ms))) continue;
          sent++;
          break;
        }
        limiter->release(place);
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < 200; i++) {
        limiter->hold(at(0s));
        limiter->slow_down(at(i * 1s), at(i * 1s));
        limiter->set_limit(at(i * 1s), {1000, 1});
        limiter->current_rate(at(i * 1s));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}
END_TEST

START_TEST(names_of_groups_become_parts_of_keys) {
  assert_text(rate_limit_key_name("a.b_c:d-9"), "a.b_c:d-9");
  for (const std::string& odd :
       {std::string("a}b"), std::string("{a"), std::string(), std::string("a b"),
        std::string("\0", 1), std::string("\xff"), std::string(129, 'a')}) {
    const std::string name = rate_limit_key_name(odd);
    ck_assert_uint_eq(name.size(), 64);
    ck_assert_uint_eq(name.find_first_not_of("0123456789abcdef"), std::string::npos);
  }
  ck_assert(rate_limit_key_name("a}") != rate_limit_key_name("a{"));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("shared_limiter");
  TCase* tests = tcase_create("shared_limiter");
  for (const TTest* test : {a_request_needs_a_grant_and_its_time,
                            one_process_never_exceeds_the_rate,
                            members_of_one_process_share_its_rate,
                            a_hold_of_this_process_has_the_last_word,
                            asks_shortly_before_its_turn_only,
                            a_refused_question_is_asked_again,
                            what_is_not_used_is_given_back,
                            a_hold_goes_out_and_comes_in,
                            without_a_limit_nothing_is_asked_and_holds_count,
                            slow_down_and_new_limits_reach_redis,
                            without_redis_each_keeps_to_its_share,
                            a_share_keeps_a_part_of_the_burst,
                            alone_it_has_the_whole_rate,
                            a_grant_from_before_the_outage_is_good,
                            a_hold_counts_without_redis,
                            the_share_stays_for_a_while_after_the_return,
                            questions_go_out_again_after_the_return,
                            an_emptied_server_forgets_no_members,
                            a_member_that_leaves_wakes_the_one_that_waits,
                            the_end_stops_the_source_first,
                            many_threads,
                            names_of_groups_become_parts_of_keys}) {
    tcase_add_test(tests, test);
  }
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
