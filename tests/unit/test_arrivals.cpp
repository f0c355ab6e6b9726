#include <chrono>

#include "audio/arrivals.h"

#include "check_main.h"

using namespace transcribe;
using namespace std::chrono_literals;

namespace {

TimePoint at(Nanoseconds time) { return TimePoint(time); }

}  // namespace

START_TEST(each_sample_has_the_time_it_came) {
  Arrivals arrivals;
  arrivals.note(320, at(20ms));
  arrivals.note(640, at(40ms));
  arrivals.note(1600, at(95ms));
  ck_assert(arrivals.of_last(1) == at(20ms));
  ck_assert(arrivals.of_last(320) == at(20ms));
  ck_assert(arrivals.of_last(321) == at(40ms));
  ck_assert(arrivals.of_last(1600) == at(95ms));
}
END_TEST

// After a stall of an hour what follows did not come with what was before it.
START_TEST(times_within_the_precision_are_one) {
  Arrivals arrivals;
  for (int i = 1; i <= 100; ++i) arrivals.note(static_cast<std::uint64_t>(i), at(i * 1ms));
  ck_assert_uint_eq(arrivals.size(), 10);
  for (int i = 1; i <= 100; ++i) {
    const Nanoseconds off = at(i * 1ms) - arrivals.of_last(static_cast<std::uint64_t>(i));
    ck_assert(off >= 0ms && off < Arrivals::kPrecision);
  }
  arrivals.note(101, at(1h));
  ck_assert(arrivals.of_last(100) == at(91ms));
  ck_assert(arrivals.of_last(101) == at(1h));
}
END_TEST

START_TEST(what_brings_nothing_changes_nothing) {
  Arrivals arrivals;
  arrivals.note(100, at(1s));
  arrivals.note(100, at(2s));
  ck_assert(arrivals.of_last(100) == at(1s));
  ck_assert_uint_eq(arrivals.size(), 1);
}
END_TEST

START_TEST(what_is_forgotten_is_gone) {
  Arrivals arrivals;
  for (int i = 1; i <= 10; ++i) arrivals.note(static_cast<std::uint64_t>(i) * 100, at(i * 1s));
  arrivals.forget_before(500);
  ck_assert_uint_eq(arrivals.size(), 5);
  ck_assert(arrivals.of_last(501) == at(6s));
  arrivals.forget_before(5000);
  ck_assert(arrivals.of_last(1000) == at(10s));
  arrivals.clear();
  ck_assert_uint_eq(arrivals.size(), 0);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("arrivals");
  TCase* tcase = tcase_create("arrivals");
  tcase_add_test(tcase, each_sample_has_the_time_it_came);
  tcase_add_test(tcase, times_within_the_precision_are_one);
  tcase_add_test(tcase, what_brings_nothing_changes_nothing);
  tcase_add_test(tcase, what_is_forgotten_is_gone);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
