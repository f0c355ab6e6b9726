#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "dispatch/rate_limiter.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;
using LimiterPtr = std::unique_ptr<RateLimiter>;

TimePoint at(Nanoseconds time) { return TimePoint(1000s + time); }

// A member that always wants to send, as a busy dispatcher does.
struct Sender {
  LimiterPtr limiter;
  Reservation reservation;
  std::vector<TimePoint> sent;

  Sender(const std::string& group, const RateLimit& limit)
      : limiter(join_rate_limit_group(group, at(0s), limit)) {}
};

// Lets the senders run until `end`; each wakes up to `lateness` after its due time.
std::vector<TimePoint> run(std::vector<Sender*> senders, TimePoint from, TimePoint end,
                           Nanoseconds lateness = 0ns, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<TimePoint> all;
  std::multimap<TimePoint, Sender*> queue;
  const auto wait = [&](Sender* sender) {
    const auto late =
        Nanoseconds(std::uniform_int_distribution<std::int64_t>(0, lateness.count())(random));
    queue.emplace(sender->reservation.due + late, sender);
  };
  for (Sender* sender : senders) {
    sender->reservation = sender->limiter->reserve(from);
    wait(sender);
  }
  while (queue.begin()->first < end) {
    const auto [now, sender] = *queue.begin();
    queue.erase(queue.begin());
    if (sender->limiter->confirm(sender->reservation, now)) {
      sender->sent.push_back(now);
      all.push_back(now);
      sender->reservation = sender->limiter->reserve(now);
    }
    wait(sender);
  }
  for (Sender* sender : senders) sender->limiter->release(sender->reservation);
  return all;
}

void check_windows(const std::vector<TimePoint>& sent, double rate, unsigned burst) {
  for (std::size_t i = 0; i < sent.size(); i++) {
    for (std::size_t j = i; j < sent.size(); j++) {
      const double window = std::chrono::duration<double>(sent[j] - sent[i]).count();
      if (static_cast<double>(j - i + 1) > rate * window + burst + 1e-6) {
        ck_abort_msg("%zu in %f s at rate %f, burst %u", j - i + 1, window, rate, burst);
      }
    }
  }
}

START_TEST(two_members_share_one_rate_fairly) {
  Sender one("share", {20, 1}), two("share", {20, 1});
  const auto sent = run({&one, &two}, at(0s), at(30s));
  check_windows(sent, 20, 1);
  ck_assert_uint_ge(sent.size(), 599);
  ck_assert_int_le(std::abs(static_cast<int>(one.sent.size() - two.sent.size())), 1);
}
END_TEST

START_TEST(late_senders_never_crowd) {
  Sender one("late", {20, 1}), two("late", {20, 1}), three("late", {20, 1});
  const auto sent = run({&one, &two, &three}, at(0s), at(20s), 2ms, 5);
  check_windows(sent, 20, 1);
  ck_assert_uint_ge(sent.size(), 380);
  const auto [least, most] = std::minmax({one.sent.size(), two.sent.size(), three.sent.size()});
  ck_assert_uint_le(most - least, 3);
}
END_TEST

START_TEST(a_burst_makes_up_for_lateness) {
  Sender one("burst", {50, 4}), two("burst", {50, 4});
  const auto sent = run({&one, &two}, at(0s), at(10s), 10ms, 9);
  check_windows(sent, 50, 4);
  ck_assert_uint_ge(sent.size(), 495);
}
END_TEST

START_TEST(lowest_rate_and_burst_of_those_with_a_limit) {
  auto one = join_rate_limit_group("lowest", at(0s), {0, 1});
  ck_assert_double_eq(one->current_rate(at(0s)), 0);
  auto two = join_rate_limit_group("lowest", at(0s), {10, 3});
  auto three = join_rate_limit_group("lowest", at(0s), {4, 5});
  ck_assert_double_eq(one->current_rate(at(0s)), 4);
  int at_once = 0;
  for (Reservation place; (place = one->reserve(at(0s))).due == at(0s); at_once++) {
    ck_assert(one->confirm(place, at(0s)));
  }
  ck_assert_int_eq(at_once, 3);
  three.reset();
  ck_assert_double_eq(one->current_rate(at(0s)), 10);
  two->set_limit(at(0s), {0, 1});
  ck_assert_double_eq(two->current_rate(at(0s)), 0);
}
END_TEST

START_TEST(groups_are_apart_and_go_with_their_last_member) {
  auto one = join_rate_limit_group("a", at(0s), {1, 1});
  auto other = join_rate_limit_group("b", at(0s), {1, 1});
  one->hold(at(10s));
  ck_assert(other->reserve(at(0s)).due == at(0s));
  one.reset();
  auto again = join_rate_limit_group("a", at(0s), {1, 1});
  ck_assert(again->reserve(at(0s)).due == at(0s));
}
END_TEST

START_TEST(joining_gives_no_tokens) {
  auto one = join_rate_limit_group("join", at(0s), {1, 1});
  Reservation place = one->reserve(at(0s));
  ck_assert(one->confirm(place, at(0s)));
  std::vector<LimiterPtr> others;
  for (int i = 0; i < 5; i++) others.push_back(join_rate_limit_group("join", at(0s), {1, 1}));
  ck_assert(others.back()->reserve(at(0s)).due == at(1s));
}
END_TEST

START_TEST(hold_stops_every_member_and_reaches_reservations) {
  Sender one("hold", {10, 1}), two("hold", {10, 1});
  Reservation first = one.limiter->reserve(at(0s));
  ck_assert(one.limiter->confirm(first, at(0s)));
  first = one.limiter->reserve(at(0s));
  Reservation second = two.limiter->reserve(at(0s));
  ck_assert(first.due == at(100ms));
  ck_assert(second.due == at(200ms));
  two.limiter->hold(at(2s));
  two.limiter->hold(at(1s));
  ck_assert(!one.limiter->confirm(first, at(100ms)));
  ck_assert(first.due == at(2s));
  ck_assert(!two.limiter->confirm(second, at(200ms)));
  ck_assert(second.due == at(2100ms));
  ck_assert(one.limiter->confirm(first, at(2s)));
  ck_assert(two.limiter->confirm(second, at(2100ms)));
}
END_TEST

START_TEST(hold_counts_without_a_limit) {
  auto one = join_rate_limit_group("free", at(0s), {0, 1});
  Reservation place = one->reserve(at(0s));
  ck_assert(place.due == at(0s));
  one->hold(at(3s));
  ck_assert(!one->confirm(place, at(0s)));
  ck_assert(place.due == at(3s));
  ck_assert(one->confirm(place, at(3s)));
  one->slow_down(at(4s), at(3s));
  ck_assert_double_eq(one->current_rate(at(4s)), 0);
}
END_TEST

START_TEST(confirm_before_the_due_time_is_refused) {
  auto one = join_rate_limit_group("early", at(0s), {1, 1});
  Reservation place = one->reserve(at(0s));
  ck_assert(one->confirm(place, at(0s)));
  place = one->reserve(at(0s));
  ck_assert(!one->confirm(place, at(999ms)));
  ck_assert(place.due == at(1s));
  ck_assert(one->confirm(place, at(1s)));
  // A token is given once.
  ck_assert(!one->confirm(place, at(9s)));
}
END_TEST

START_TEST(release_gives_the_turn_back) {
  auto one = join_rate_limit_group("release", at(0s), {1, 1});
  auto two = join_rate_limit_group("release", at(0s), {1, 1});
  const Reservation unused = one->reserve(at(0s));
  ck_assert(two->reserve(at(0s)).due == at(1s));
  one->release(unused);
  one->release(unused);
  two.reset();
  ck_assert(one->reserve(at(0s)).due == at(0s));
}
END_TEST

START_TEST(lower_limit_reaches_reservations) {
  auto one = join_rate_limit_group("lower", at(0s), {10, 1});
  Reservation place = one->reserve(at(0s));
  ck_assert(one->confirm(place, at(0s)));
  place = one->reserve(at(0s));
  ck_assert(place.due == at(100ms));
  auto two = join_rate_limit_group("lower", at(0s), {1, 1});
  ck_assert(!one->confirm(place, at(100ms)));
  ck_assert(place.due == at(1s));
}
END_TEST

START_TEST(slow_down_halves_once_per_round_trip) {
  auto one = join_rate_limit_group("slow", at(0s), {8, 1});
  one->slow_down(at(2s), at(1s));
  ck_assert_double_eq(one->current_rate(at(2s)), 4);
  // Answers to what was sent before the server could see the lower rate.
  one->slow_down(at(2s), at(1500ms));
  one->slow_down(at(3s), at(2s));
  ck_assert_double_eq(one->current_rate(at(3s)), 4);
  one->slow_down(at(3s), at(2001ms));
  ck_assert_double_eq(one->current_rate(at(3s)), 2);
}
END_TEST

START_TEST(slow_down_has_a_floor_and_recovers) {
  auto one = join_rate_limit_group("floor", at(0s), {10, 1});
  for (int i = 1; i <= 9; i++) one->slow_down(at(i * 1s), at(i * 1s - 1ms));
  ck_assert_double_eq_tol(one->current_rate(at(9s)), 1, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(18s)), 1, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(19s)), 1.5, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(39s)), 2.5, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(9s + 170s)), 9.5, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(9s + 180s)), 10, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(9000s)), 10, 1e-9);
  one->slow_down(at(9001s), at(9000s));
  ck_assert_double_eq_tol(one->current_rate(at(9001s)), 5, 1e-9);
  ck_assert_double_eq_tol(one->current_rate(at(900000s)), 10, 1e-9);
}
END_TEST

START_TEST(slowed_rate_is_what_is_sent) {
  Sender one("sent", {10, 1});
  one.limiter->slow_down(at(1s), at(0s));
  const auto sent = run({&one}, at(1s), at(11s));
  check_windows(sent, 5, 1);
  ck_assert_uint_ge(sent.size(), 50);
}
END_TEST

START_TEST(slow_down_stays_when_the_limit_changes) {
  auto one = join_rate_limit_group("stays", at(0s), {10, 1});
  one->slow_down(at(1s), at(0s));
  one->set_limit(at(2s), {4, 1});
  ck_assert_double_eq_tol(one->current_rate(at(2s)), 2, 1e-9);
}
END_TEST

START_TEST(leaving_frees_the_line) {
  auto one = join_rate_limit_group("leave", at(0s), {1, 1});
  auto two = join_rate_limit_group("leave", at(0s), {1, 1});
  for (int i = 0; i < 10; i++) two->reserve(at(0s));
  two.reset();
  ck_assert(one->reserve(at(0s)).due == at(0s));
}
END_TEST

// A member that counts how often it is woken.
struct Waiter {
  int wakes = 0;
  LimiterPtr limiter;
  Reservation place;

  Waiter(const std::string& group, const RateLimit& limit)
      : limiter(join_rate_limit_group(group, at(0s), limit, [this] { wakes++; })) {}
  void reserve(TimePoint now) { place = limiter->reserve(now); }
};

START_TEST(a_slow_member_that_leaves_lets_those_who_wait_go) {
  Waiter one("left", {10, 1}), idle("left", {10, 1});
  auto slow = std::make_unique<Waiter>("left", RateLimit{0.1, 1});
  one.reserve(at(0s));
  ck_assert(one.limiter->confirm(one.place, at(0s)));
  one.reserve(at(0s));
  ck_assert(one.place.due == at(10s));
  slow.reset();
  ck_assert_int_eq(one.wakes, 1);
  ck_assert_int_eq(idle.wakes, 0);
  ck_assert(!one.limiter->confirm(one.place, at(50ms)));
  ck_assert(one.place.due > at(50ms) && one.place.due <= at(150ms));
  ck_assert(one.limiter->confirm(one.place, one.place.due));
}
END_TEST

START_TEST(a_member_that_waits_in_line_and_leaves_lets_the_others_move_up) {
  Waiter one("moves", {1, 1});
  auto ahead = std::make_unique<Waiter>("moves", RateLimit{1, 1});
  one.reserve(at(0s));
  ck_assert(one.limiter->confirm(one.place, at(0s)));
  ahead->reserve(at(0s));
  one.reserve(at(0s));
  ck_assert(one.place.due == at(2s));
  ahead.reset();
  ck_assert_int_eq(one.wakes, 1);
  ck_assert(!one.limiter->confirm(one.place, at(100ms)));
  ck_assert(one.place.due == at(1s));
}
END_TEST

START_TEST(a_higher_rate_wakes_the_others) {
  Waiter one("raise", {10, 1}), other("raise", {0.1, 1});
  one.reserve(at(0s));
  ck_assert(one.limiter->confirm(one.place, at(0s)));
  one.reserve(at(0s));
  other.limiter->set_limit(at(1s), {0.05, 1});
  ck_assert_int_eq(one.wakes, 0);
  other.limiter->set_limit(at(1s), {5, 1});
  ck_assert_int_eq(one.wakes, 1);
  one.limiter->renew(one.place, at(1s));
  ck_assert(one.place.due <= at(1200ms));
  other.limiter->set_limit(at(1s), {0, 1});
  ck_assert_int_eq(one.wakes, 2);
}
END_TEST

START_TEST(a_turn_given_back_wakes_those_behind) {
  Waiter one("behind", {1, 1}), two("behind", {1, 1}), three("behind", {1, 1});
  one.reserve(at(0s));
  two.reserve(at(0s));
  three.reserve(at(0s));
  two.limiter->release(two.place);
  two.limiter->release(two.place);
  ck_assert_int_eq(one.wakes, 0);
  ck_assert_int_eq(two.wakes, 0);
  ck_assert_int_eq(three.wakes, 1);
  three.limiter->renew(three.place, at(0s));
  ck_assert(three.place.due == at(1s));
}
END_TEST

// Who looks early must not take the turn of the one ahead.
START_TEST(renewing_never_jumps_the_line) {
  Waiter one("line", {1, 1}), two("line", {1, 1});
  one.reserve(at(0s));
  two.reserve(at(0s));
  ck_assert(!two.limiter->confirm(two.place, at(0s)));
  ck_assert(two.place.due == at(1s));
  ck_assert(one.limiter->confirm(one.place, at(0s)));
  // Nor does it make anybody wait longer than was said.
  ck_assert(!two.limiter->confirm(two.place, at(999ms)));
  ck_assert(two.place.due == at(1s));
  ck_assert(two.limiter->confirm(two.place, at(1s)));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("rate_limiter");
  TCase* tests = tcase_create("rate_limiter");
  tcase_add_test(tests, two_members_share_one_rate_fairly);
  tcase_add_test(tests, late_senders_never_crowd);
  tcase_add_test(tests, a_burst_makes_up_for_lateness);
  tcase_add_test(tests, lowest_rate_and_burst_of_those_with_a_limit);
  tcase_add_test(tests, groups_are_apart_and_go_with_their_last_member);
  tcase_add_test(tests, joining_gives_no_tokens);
  tcase_add_test(tests, hold_stops_every_member_and_reaches_reservations);
  tcase_add_test(tests, hold_counts_without_a_limit);
  tcase_add_test(tests, confirm_before_the_due_time_is_refused);
  tcase_add_test(tests, release_gives_the_turn_back);
  tcase_add_test(tests, lower_limit_reaches_reservations);
  tcase_add_test(tests, slow_down_halves_once_per_round_trip);
  tcase_add_test(tests, slow_down_has_a_floor_and_recovers);
  tcase_add_test(tests, slowed_rate_is_what_is_sent);
  tcase_add_test(tests, slow_down_stays_when_the_limit_changes);
  tcase_add_test(tests, leaving_frees_the_line);
  tcase_add_test(tests, a_slow_member_that_leaves_lets_those_who_wait_go);
  tcase_add_test(tests, a_member_that_waits_in_line_and_leaves_lets_the_others_move_up);
  tcase_add_test(tests, a_higher_rate_wakes_the_others);
  tcase_add_test(tests, a_turn_given_back_wakes_those_behind);
  tcase_add_test(tests, renewing_never_jumps_the_line);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
