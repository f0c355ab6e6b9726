#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <thread>

#include "base/guarded.h"
#include "dispatch/worker_pool.h"

#include "check_main.h"

namespace transcribe {
namespace {

// Runs wait here until the test lets them go.
struct Gate {
  struct State {
    unsigned entered = 0;
    unsigned inside = 0;
    unsigned most = 0;
    unsigned left = 0;
    unsigned passes = 0;
  };
  Guarded<State> state;
  std::condition_variable changed;

  void pass() {
    auto access = state.lock();
    access->entered++;
    access->inside++;
    access->most = std::max(access->most, access->inside);
    changed.notify_all();
    access.wait(changed, [&] { return access->passes > 0; });
    access->passes--;
    access->inside--;
    access->left++;
    changed.notify_all();
  }
  void open(unsigned passes) {
    auto access = state.lock();
    access->passes += passes;
    changed.notify_all();
  }
  void wait_entered(unsigned count) {
    auto access = state.lock();
    access.wait(changed, [&] { return access->entered >= count; });
  }
  void wait_left(unsigned count) {
    auto access = state.lock();
    access.wait(changed, [&] { return access->left >= count; });
  }
};

START_TEST(every_ticket_runs_once) {
  std::atomic<unsigned> runs{0};
  Gate gate;
  gate.open(500);
  WorkerPool pool(8, [&] {
    runs++;
    gate.pass();
  });
  for (int i = 0; i < 500; i++) pool.submit();
  gate.wait_left(500);
  ck_assert_uint_eq(runs, 500);
}
END_TEST

START_TEST(reaches_and_keeps_the_maximum) {
  Gate gate;
  WorkerPool pool(3, [&] { gate.pass(); });
  for (int i = 0; i < 10; i++) pool.submit();
  gate.wait_entered(3);
  for (unsigned i = 1; i <= 10; i++) {
    gate.open(1);
    gate.wait_left(i);
  }
  ck_assert_uint_eq(gate.state.lock()->most, 3);
}
END_TEST

START_TEST(grows_while_tickets_wait) {
  Gate gate;
  WorkerPool pool(1, [&] { gate.pass(); });
  for (int i = 0; i < 6; i++) pool.submit();
  gate.wait_entered(1);
  pool.set_max_threads(4);
  gate.wait_entered(4);
  ck_assert_uint_eq(gate.state.lock()->most, 4);
  gate.open(6);
  gate.wait_left(6);
}
END_TEST

START_TEST(destructor_waits_for_runs_and_drops_the_rest) {
  Gate gate;
  std::atomic<bool> ended{false};
  auto pool = std::make_unique<WorkerPool>(2, [&] {
    gate.pass();
    ended = true;
  });
  for (int i = 0; i < 50; i++) pool->submit();
  gate.wait_entered(2);
  // Time for a destructor that doesn't wait to return.
  std::thread opener([&] {
    for (int i = 0; i < 20000; i++) std::this_thread::yield();
    gate.open(50);
  });
  pool.reset();
  ck_assert(ended);
  const auto state = *gate.state.lock();
  ck_assert_uint_eq(state.inside, 0);
  ck_assert_uint_ge(state.left, 2);
  opener.join();
}
END_TEST

START_TEST(a_run_may_submit) {
  Gate gate;
  std::atomic<unsigned> left{100};
  gate.open(100);
  WorkerPool* self = nullptr;
  WorkerPool pool(2, [&] {
    if (--left > 0) self->submit();
    gate.pass();
  });
  self = &pool;
  pool.submit();
  gate.wait_left(100);
}
END_TEST

START_TEST(many_pools_one_after_the_other) {
  for (int i = 0; i < 200; i++) {
    unsigned runs = 0;
    Guarded<unsigned*> count(&runs);
    WorkerPool pool(4, [&] { ++**count.lock(); });
    for (int n = 0; n < i % 7; n++) pool.submit();
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("worker_pool");
  TCase* tests = tcase_create("worker_pool");
  tcase_add_test(tests, every_ticket_runs_once);
  tcase_add_test(tests, reaches_and_keeps_the_maximum);
  tcase_add_test(tests, grows_while_tickets_wait);
  tcase_add_test(tests, destructor_waits_for_runs_and_drops_the_rest);
  tcase_add_test(tests, a_run_may_submit);
  tcase_add_test(tests, many_pools_one_after_the_other);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
