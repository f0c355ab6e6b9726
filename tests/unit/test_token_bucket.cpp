#include <algorithm>
#include <random>
#include <vector>

#include "dispatch/token_bucket.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

TimePoint at(Nanoseconds time) { return TimePoint(1000s + time); }

// The worst window always begins and ends with a grant.
void check_windows(const std::vector<TimePoint>& grants, double rate, unsigned burst) {
  for (std::size_t i = 0; i < grants.size(); i++) {
    for (std::size_t j = i; j < grants.size(); j++) {
      const double window = std::chrono::duration<double>(grants[j] - grants[i]).count();
      if (static_cast<double>(j - i + 1) > rate * window + burst + 1e-6) {
        ck_abort_msg("%zu in %f s at rate %f, burst %u", j - i + 1, window, rate, burst);
      }
    }
  }
}

START_TEST(spaces_evenly_with_burst_one) {
  TokenBucket bucket(8, 1);
  for (int i = 0; i < 10; i++) ck_assert(bucket.reserve(at(0s)) == at(i * 125ms));
}
END_TEST

START_TEST(burst_then_rate) {
  TokenBucket bucket(2, 3);
  for (int i = 0; i < 3; i++) ck_assert(bucket.reserve(at(0s)) == at(0s));
  ck_assert(bucket.reserve(at(0s)) == at(500ms));
  ck_assert(bucket.reserve(at(0s)) == at(1s));
  // Refilled, but never above the burst.
  for (int i = 0; i < 3; i++) ck_assert(bucket.reserve(at(100s)) == at(100s));
  ck_assert(bucket.reserve(at(100s)) == at(100500ms));
}
END_TEST

START_TEST(windows_hold_at_random_times) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; round++) {
    const double rate = std::uniform_real_distribution<>(0.3, 50)(random);
    const unsigned burst = 1 + random() % 6;
    TokenBucket bucket(rate, burst);
    std::exponential_distribution<> pause(rate * (0.5 + round % 3));
    std::vector<TimePoint> grants;
    TimePoint now = at(0s);
    for (int i = 0; i < 200; i++) {
      now += std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(pause(random)));
      const TimePoint due = bucket.reserve(now);
      ck_assert(due >= now);
      ck_assert(grants.empty() || due >= grants.back());
      grants.push_back(due);
    }
    check_windows(grants, rate, burst);
  }
}
END_TEST

START_TEST(all_of_the_rate_is_used_under_demand) {
  for (const double rate : {0.5, 3.0, 8.0, 20.0, 333.0}) {
    TokenBucket bucket(rate, 1);
    TimePoint now = at(0s);
    int grants = 0;
    for (; now < at(100s); grants++) now = bucket.reserve(now);
    ck_assert_double_ge(grants, rate * 100 * 0.9999);
    ck_assert_double_le(grants, rate * 100 + 2);
  }
}
END_TEST

START_TEST(time_going_backwards_is_harmless) {
  TokenBucket bucket(10, 2);
  std::mt19937 random(3);
  std::vector<TimePoint> grants;
  for (int i = 0; i < 200; i++) grants.push_back(bucket.reserve(at(Milliseconds(random() % 5000))));
  ck_assert(std::is_sorted(grants.begin(), grants.end()));
  check_windows(grants, 10, 2);
  ck_assert(bucket.peek(at(-100s)) <= grants.back() + 100ms);
}
END_TEST

START_TEST(peek_takes_nothing_and_counts_who_is_ahead) {
  TokenBucket bucket(4, 2);
  for (int i = 0; i < 5; i++) ck_assert(bucket.peek(at(0s)) == at(0s));
  ck_assert(bucket.peek(at(0s), 1) == at(0s));
  ck_assert(bucket.peek(at(0s), 2) == at(250ms));
  ck_assert(bucket.peek(at(0s), 4) == at(750ms));
  const TimePoint third = bucket.peek(at(0s), 2);
  bucket.reserve(at(0s));
  bucket.reserve(at(0s));
  ck_assert(bucket.reserve(at(0s)) == third);
}
END_TEST

START_TEST(hold_delays_and_never_shortens) {
  TokenBucket bucket(10, 1);
  bucket.hold(at(2s));
  bucket.hold(at(1s));
  ck_assert(bucket.peek(at(0s)) == at(2s));
  ck_assert(bucket.reserve(at(0s)) == at(2s));
  ck_assert(bucket.reserve(at(0s)) == at(2100ms));
  ck_assert(bucket.reserve(at(5s)) == at(5s));
}
END_TEST

START_TEST(hold_keeps_the_bound_at_its_end) {
  TokenBucket bucket(10, 3);
  std::vector<TimePoint> grants;
  for (int i = 0; i < 5; i++) grants.push_back(bucket.reserve(at(0s)));
  bucket.hold(at(400ms));
  for (int i = 0; i < 20; i++) grants.push_back(bucket.reserve(at(100ms)));
  ck_assert(grants[5] >= at(400ms));
  check_windows(grants, 10, 3);
}
END_TEST

START_TEST(rate_zero_is_no_limit_but_holds_count) {
  TokenBucket bucket(0, 1);
  for (int i = 0; i < 100; i++) ck_assert(bucket.reserve(at(1s)) == at(1s));
  bucket.hold(at(3s));
  ck_assert(bucket.reserve(at(1s)) == at(3s));
  ck_assert(bucket.reserve(at(1s)) == at(3s));
  ck_assert(bucket.reserve(at(4s)) == at(4s));
}
END_TEST

START_TEST(lower_rate_keeps_what_is_missing) {
  TokenBucket bucket(10, 4);
  for (int i = 0; i < 4; i++) bucket.reserve(at(0s));
  bucket.set_rate(at(0s), 1, 4);
  ck_assert(bucket.reserve(at(0s)) == at(1s));
  ck_assert(bucket.reserve(at(0s)) == at(2s));
}
END_TEST

START_TEST(higher_rate_counts_at_once) {
  TokenBucket bucket(1, 1);
  bucket.reserve(at(0s));
  bucket.set_rate(at(0s), 10, 1);
  ck_assert(bucket.reserve(at(0s)) == at(100ms));
}
END_TEST

START_TEST(changing_the_rate_gives_no_tokens) {
  TokenBucket bucket(5, 2);
  bucket.reserve(at(0s));
  bucket.reserve(at(0s));
  for (int i = 0; i < 50; i++) bucket.set_rate(at(0s), i % 2 ? 5 : 4, 1 + i % 3);
  ck_assert(bucket.peek(at(0s)) >= at(190ms));
}
END_TEST

START_TEST(smaller_burst_counts_at_once) {
  TokenBucket bucket(1, 5);
  for (int i = 0; i < 3; i++) bucket.reserve(at(0s));
  bucket.set_rate(at(0s), 1, 1);
  ck_assert(bucket.reserve(at(0s)) == at(0s));
  ck_assert(bucket.reserve(at(0s)) == at(1s));
}
END_TEST

START_TEST(full_bucket_stays_full) {
  TokenBucket bucket(0, 1);
  bucket.set_rate(at(0s), 2, 4);
  for (int i = 0; i < 4; i++) ck_assert(bucket.reserve(at(0s)) == at(0s));
  ck_assert(bucket.reserve(at(0s)) == at(500ms));
}
END_TEST

START_TEST(hold_survives_a_change_of_rate) {
  TokenBucket bucket(1, 1);
  bucket.hold(at(10s));
  bucket.set_rate(at(0s), 1000, 3);
  ck_assert(bucket.reserve(at(0s)) == at(10s));
  bucket.set_rate(at(0s), 0.1, 3);
  for (int i = 0; i < 2; i++) ck_assert(bucket.reserve(at(0s)) == at(10s));
  ck_assert(bucket.reserve(at(0s)) == at(20s));
}
END_TEST

START_TEST(extreme_settings_do_not_overflow) {
  for (const double rate : {1e-12, 1e-3, 1e12}) {
    for (const unsigned burst : {0u, 1u, 4294967295u}) {
      TokenBucket bucket(rate, burst);
      TimePoint last = at(0s);
      for (int i = 0; i < 20; i++) {
        const TimePoint due = bucket.reserve(at(0s));
        ck_assert(due >= last);
        last = due;
      }
      bucket.set_rate(at(0s), 1, 1);
      ck_assert(bucket.peek(at(0s), 1000) >= at(0s));
    }
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("token_bucket");
  TCase* tests = tcase_create("token_bucket");
  tcase_add_test(tests, spaces_evenly_with_burst_one);
  tcase_add_test(tests, burst_then_rate);
  tcase_add_test(tests, windows_hold_at_random_times);
  tcase_add_test(tests, all_of_the_rate_is_used_under_demand);
  tcase_add_test(tests, time_going_backwards_is_harmless);
  tcase_add_test(tests, peek_takes_nothing_and_counts_who_is_ahead);
  tcase_add_test(tests, hold_delays_and_never_shortens);
  tcase_add_test(tests, hold_keeps_the_bound_at_its_end);
  tcase_add_test(tests, rate_zero_is_no_limit_but_holds_count);
  tcase_add_test(tests, lower_rate_keeps_what_is_missing);
  tcase_add_test(tests, higher_rate_counts_at_once);
  tcase_add_test(tests, changing_the_rate_gives_no_tokens);
  tcase_add_test(tests, smaller_burst_counts_at_once);
  tcase_add_test(tests, full_bucket_stays_full);
  tcase_add_test(tests, hold_survives_a_change_of_rate);
  tcase_add_test(tests, extreme_settings_do_not_overflow);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
