#include <algorithm>
#include <limits>

#include "dispatch/backoff.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

START_TEST(between_half_and_all_of_a_doubling_ceiling) {
  Backoff backoff(500ms, 30s, 1);
  for (unsigned failures = 1; failures < 40; failures++) {
    Nanoseconds ceiling = 30s;
    if (failures <= 6) ceiling = 500ms * (1 << (failures - 1));
    for (int i = 0; i < 100; i++) {
      const Nanoseconds delay = backoff.delay(failures);
      ck_assert(delay >= ceiling / 2);
      ck_assert(delay <= ceiling);
    }
  }
}
END_TEST

START_TEST(jitter_uses_the_whole_range) {
  Backoff backoff(1000ms, 30s, 1);
  Nanoseconds lowest = 1h, highest = 0s;
  for (int i = 0; i < 1000; i++) {
    const Nanoseconds delay = backoff.delay(1);
    lowest = std::min(lowest, delay);
    highest = std::max(highest, delay);
  }
  ck_assert(lowest < 510ms);
  ck_assert(highest > 990ms);
}
END_TEST

START_TEST(a_seed_gives_the_same_delays) {
  Backoff one(500ms, 30s, 42), two(500ms, 30s, 42), other(500ms, 30s, 43);
  bool differs = false;
  for (unsigned i = 1; i < 20; i++) {
    const Nanoseconds delay = one.delay(i);
    ck_assert(delay == two.delay(i));
    differs = differs || delay != other.delay(i);
  }
  ck_assert(differs);
}
END_TEST

START_TEST(initial_above_maximum_is_cut) {
  Backoff backoff(60s, 1s, 1);
  ck_assert(backoff.delay(1) <= 1s);
  ck_assert(backoff.delay(9) <= 1s);
}
END_TEST

START_TEST(no_delay_stays_no_delay) {
  Backoff backoff(0ms, 30s, 1);
  ck_assert(backoff.delay(1) == 0s);
  ck_assert(backoff.delay(50) == 0s);
  Backoff none(500ms, 0ms, 1);
  ck_assert(none.delay(3) == 0s);
}
END_TEST

START_TEST(largest_settings_do_not_overflow) {
  const Milliseconds longest(std::numeric_limits<unsigned>::max());
  Backoff backoff(longest, longest, 1);
  ck_assert(backoff.delay(1000) >= longest / 2);
  backoff.configure(1ms, longest);
  ck_assert(backoff.delay(std::numeric_limits<unsigned>::max()) <= longest);
  ck_assert(backoff.delay(32) >= longest / 4);
}
END_TEST

START_TEST(configure_counts_from_the_next_delay) {
  Backoff backoff(500ms, 30s, 1);
  backoff.configure(10s, 20s);
  ck_assert(backoff.delay(1) >= 5s);
  ck_assert(backoff.delay(2) >= 10s);
  ck_assert(backoff.delay(3) <= 20s);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("backoff");
  TCase* tests = tcase_create("backoff");
  tcase_add_test(tests, between_half_and_all_of_a_doubling_ceiling);
  tcase_add_test(tests, jitter_uses_the_whole_range);
  tcase_add_test(tests, a_seed_gives_the_same_delays);
  tcase_add_test(tests, initial_above_maximum_is_cut);
  tcase_add_test(tests, no_delay_stays_no_delay);
  tcase_add_test(tests, largest_settings_do_not_overflow);
  tcase_add_test(tests, configure_counts_from_the_next_delay);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
