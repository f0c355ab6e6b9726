#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check_text.h"
#include "redis/scripts.h"
#include "shared_server.h"

#include "check_main.h"

namespace transcribe {
namespace {

constexpr std::int64_t kHour = 3600000000;
const std::string kTat = "{transcribe:rl:test}:tat";
const std::string kPace = "{transcribe:rl:test}:pace";
const std::string kHold = "{transcribe:rl:test}:hold";

struct Grant {
  bool granted = false;
  std::int64_t wait = 0;
  std::int64_t left = 0;
  std::int64_t tat = 0;
  std::int64_t now = 0;
  std::int64_t emission = 0;
  std::int64_t hold = 0;
  std::int64_t due() const { return now + wait; }
};

struct Limiter {
  explicit Limiter(std::int64_t emission_us, std::int64_t burst_size = 1)
      : redis(shared_server->port()),
        digest(redis.load(kLimitScript)),
        emission(emission_us),
        burst(burst_size) {}

  RedisReply call(const std::string& op, const std::string& last, const std::string& cost = "1") {
    return redis("EVALSHA", digest, "3", kTat, kPace, kHold, op, std::to_string(emission),
                 std::to_string(burst), cost, last);
  }
  Grant operator()(const std::string& op, std::int64_t last = kHour, int cost = 1) {
    const RedisReply reply = call(op, std::to_string(last), std::to_string(cost));
    ck_assert_msg(reply.items.size() == 7, "%s", reply.str().c_str());
    return {reply.items[0].number == 1, reply.items[1].number, reply.items[2].number,
            reply.items[3].number,      reply.items[4].number, reply.items[5].number,
            reply.items[6].number};
  }

  RedisClient redis;
  std::string digest;
  std::int64_t emission;
  std::int64_t burst;
};

// The worst window begins and ends with a grant. One µs for each rounding.
void check_windows(std::vector<std::int64_t> dues, std::int64_t emission, std::int64_t burst) {
  std::sort(dues.begin(), dues.end());
  for (std::size_t i = 0; i < dues.size(); i++) {
    for (std::size_t j = i; j < dues.size(); j++) {
      const auto count = static_cast<std::int64_t>(j - i + 1);
      if (count > (dues[j] - dues[i] + 1) / emission + burst) {
        ck_abort_msg("%ld in %ld us", static_cast<long>(count),
                     static_cast<long>(dues[j] - dues[i]));
      }
    }
  }
}

START_TEST(grants_a_burst_then_the_rate) {
  Limiter limiter(1000000, 3);
  const Grant first = limiter("take");
  ck_assert(first.granted);
  ck_assert_int_eq(first.wait, 0);
  ck_assert_int_eq(first.left, 2);
  ck_assert_int_eq(first.tat, first.now + 1000000);
  ck_same(limiter.redis("GET", kTat).text, std::to_string(first.tat));
  ck_assert_int_eq(limiter("take").wait, 0);
  ck_assert_int_eq(limiter("take").wait, 0);
  for (int i = 1; i <= 5; i++) {
    ck_assert_int_eq(limiter("take").due(), first.now + i * 1000000);
  }
}
END_TEST

START_TEST(a_cost_takes_several_places) {
  Limiter limiter(1000000, 4);
  const Grant first = limiter("take", kHour, 3);
  ck_assert_int_eq(first.wait, 0);
  ck_assert_int_eq(first.left, 1);
  ck_assert_int_eq(limiter("take", kHour, 3).due(), first.now + 2000000);
}
END_TEST

START_TEST(a_refusal_and_a_look_write_nothing) {
  Limiter limiter(10000000);
  ck_assert(limiter("peek").granted);
  ck_assert(!limiter("take", 0, 2).granted);
  ck_same(limiter.redis("DBSIZE").text, "0");
  const Grant first = limiter("take", 0);
  ck_assert(first.granted);
  const Grant second = limiter("take", 5000000);
  ck_assert(!second.granted);
  ck_assert_int_gt(second.wait, 5000000);
  ck_assert_int_eq(limiter("peek").tat, first.tat);
  ck_same(limiter.redis("GET", kTat).text, std::to_string(first.tat));
}
END_TEST

START_TEST(nothing_is_reserved_beyond_an_hour) {
  Limiter limiter(kHour / 3 * 2);
  ck_assert(limiter("take", 10 * kHour).granted);
  ck_assert(limiter("take", 10 * kHour).granted);
  const Grant third = limiter("take", 10 * kHour);
  ck_assert(!third.granted);
  ck_assert_int_gt(third.wait, kHour);
}
END_TEST

START_TEST(every_key_expires) {
  Limiter limiter(50000, 2);
  for (int i = 0; i < 20; i++) {
    const Grant grant = limiter("take");
    const std::int64_t left = limiter.redis("PTTL", kTat).number;
    ck_assert_int_gt(left, 0);
    ck_assert_int_le(left, (grant.tat - grant.now) / 1000 + 1001);
    ck_assert_int_gt(limiter.redis("PTTL", kPace).number, 0);
  }
  limiter("penalize", 5000000);
  const std::int64_t left = limiter.redis("PTTL", kHold).number;
  ck_assert_int_gt(left, 4000);
  ck_assert_int_le(left, 6000);
  limiter.redis("FLUSHALL");
  limiter("beat", 0);
  ck_assert_int_gt(limiter.redis("PTTL", kTat).number, 0);
  ck_assert_int_gt(limiter.redis("PTTL", kPace).number, 0);
}
END_TEST

START_TEST(a_penalty_holds_everybody) {
  Limiter limiter(1000, 5);
  Limiter other(1000, 5);
  const Grant held = limiter("penalize", 2000000);
  const Grant next = other("take");
  ck_assert_int_ge(next.due(), held.now + 2000000);
  ck_assert_int_lt(next.due(), held.now + 2001000);
  // And no burst after it; a shorter one changes nothing.
  const Grant shorter = other("penalize", 1000);
  ck_assert_int_eq(shorter.now + shorter.hold, held.now + 2000000);
  ck_assert_int_eq(other("take").due(), next.due() + 1000);
  ck_assert_int_eq(limiter("penalize", 10 * kHour).wait, kHour);
  ck_assert_int_le(limiter("peek").tat, limiter("peek").now + kHour + 5000);
}
END_TEST

// Who holds may have no limit of its own.
START_TEST(a_penalty_knows_no_burst_and_shows_in_every_answer) {
  Limiter unlimited(1);
  Limiter limiter(100000, 10);
  const Grant before = limiter("take");
  ck_assert_int_eq(before.hold, 0);
  const Grant held = unlimited("penalize", 3000000);
  ck_assert_int_eq(held.hold, 3000000);
  for (const char* op : {"peek", "beat", "take", "take"}) {
    const Grant grant = limiter(op);
    ck_assert_int_eq(grant.now + grant.hold, held.now + 3000000);
    if (grant.wait > 0) ck_assert_int_ge(grant.due(), held.now + 3000000);
  }
  ck_assert_int_eq(limiter("peek").due(), held.now + 3200000);
  // A reservation given back during the hold leaves the hold.
  const Grant last = limiter("take");
  ck_assert(limiter("release", last.tat).granted);
  ck_assert_int_eq(limiter("take").due(), last.due());
}
END_TEST

START_TEST(only_the_last_reservation_is_given_back) {
  Limiter limiter(1000000);
  limiter("take");
  const Grant second = limiter("take");
  const Grant third = limiter("take");
  ck_assert(!limiter("release", second.tat).granted);
  ck_assert(limiter("release", third.tat).granted);
  ck_assert(!limiter("release", third.tat).granted);
  ck_assert_int_eq(limiter("take").due(), third.due());
}
END_TEST

START_TEST(the_lowest_rate_of_the_group_holds) {
  Limiter fast(1000, 10);
  Limiter slow(500000, 2);
  ck_assert_int_eq(fast("take").emission, 1000);
  ck_assert_int_eq(slow("take").emission, 500000);
  ck_assert_int_eq(fast("take").emission, 500000);
  const Grant first = fast("take");  // half a second ahead
  ck_assert_int_eq(fast("take").due(), first.due() + 500000);
  ck_assert_int_eq(fast("peek").emission, 500000);
  // Gone when the slow one has not asked for some time.
  ck_assert_int_le(fast.redis("PTTL", kPace).number, 10000);
  fast.redis("DEL", kPace);
  ck_assert_int_eq(fast("take").emission, 1000);
  // Whoever sets it keeps it alive, the others do not.
  slow("beat", 0);
  fast.redis("PEXPIRE", kPace, "5000");
  fast("beat", 0);
  fast("take");
  ck_assert_int_le(fast.redis("PTTL", kPace).number, 5000);
  slow("beat", 0);
  ck_assert_int_gt(fast.redis("PTTL", kPace).number, 5000);
  // The lowest burst too, of those that are equally slow.
  Limiter narrow(500000, 1);
  narrow("beat", 0);
  ck_same(fast.redis("GET", kPace).text, "500000 1");
  slow("beat", 0);
  ck_same(fast.redis("GET", kPace).text, "500000 1");
}
END_TEST

START_TEST(recovers_from_a_foreign_value) {
  Limiter limiter(10000, 3);
  const std::int64_t now = limiter("peek").now;
  const std::vector<std::string> values = {std::to_string(now + 10 * kHour),
                                           "9007199254740991",
                                           "99999999999999999999",
                                           "",
                                           "x",
                                           "-5",
                                           "nan",
                                           "inf",
                                           "1e300",
                                           "0",
                                           std::to_string(now - kHour)};
  for (const std::string& value : values) {
    limiter.redis("SET", kTat, value);
    const Grant grant = limiter("take");
    ck_assert(grant.granted);
    ck_assert_int_le(grant.wait, 10000);
    ck_assert_int_gt(limiter.redis("PTTL", kTat).number, 0);
  }
  for (const std::string& value : values) {
    limiter.redis("DEL", kTat);
    limiter.redis("SET", kHold, value);
    const Grant grant = limiter("take");
    ck_assert_int_eq(grant.wait, 0);
    ck_assert_int_eq(grant.hold, 0);
  }
  limiter.redis("SET", kPace, "x y z");
  ck_assert_int_eq(limiter("take").emission, 10000);
  limiter.redis("DEL", kTat);
  limiter.redis("SADD", kTat, "x");
  ck_assert(limiter.call("take", "0").is_error());
}
END_TEST

START_TEST(refuses_bad_arguments) {
  Limiter limiter(1000);
  for (const char* bad : {"", "x", "-1", "1.5", "1e3", "nan", "99999999999999999"}) {
    ck_assert(limiter.call("take", bad).is_error());
    ck_assert(limiter.call("take", "0", bad).is_error());
  }
  ck_assert(limiter.call("take", "0", "0").is_error());
  ck_assert(limiter.call("grab", "0").is_error());
  limiter.emission = 0;
  ck_assert(limiter.call("take", "0").is_error());
  ck_same(limiter.redis("DBSIZE").text, "0");
}
END_TEST

// `clients` connections at once; each takes until `go_on` of its grant says no.
template <typename GoOn>
std::vector<std::int64_t> run_clients(int clients, std::int64_t emission, std::int64_t burst,
                                      GoOn go_on) {
  std::mutex mutex;
  std::vector<std::int64_t> dues;
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; i++) {
    threads.emplace_back([&, i] {
      Limiter limiter(emission, burst);
      Grant grant;
      do {
        grant = limiter("take");
        const std::lock_guard lock(mutex);
        dues.push_back(grant.due());
      } while (go_on(i, limiter, grant));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::sort(dues.begin(), dues.end());
  return dues;
}

struct Crowd {
  int clients;
  std::int64_t emission;
  std::int64_t burst;
};
constexpr Crowd kCrowds[] = {{1, 200000, 1}, {8, 200000, 1}, {8, 200000, 10}, {32, 100000, 5}};

// All of them ahead of the clock, so that no pause of this machine can leave a place unused.
START_TEST(many_clients_use_every_place_once) {
  const Crowd& crowd = kCrowds[_i];
  std::vector<int> taken(static_cast<std::size_t>(crowd.clients));
  const auto dues = run_clients(crowd.clients, crowd.emission, crowd.burst,
                                [&](int client, Limiter&, const Grant&) {
                                  return ++taken[static_cast<std::size_t>(client)] < 100;
                                });
  ck_assert_uint_eq(dues.size(), static_cast<std::size_t>(crowd.clients) * 100);
  check_windows(dues, crowd.emission, crowd.burst);
  const double used = static_cast<double>(dues.size()) * static_cast<double>(crowd.emission) /
                      static_cast<double>(dues.back() - dues.front() + crowd.emission);
  ck_assert_msg(used >= 0.95, "used %f", used);
}
END_TEST

// As real clients do: reserve, wait for the place, go.
START_TEST(clients_that_wait_keep_the_rate) {
  const auto dues = run_clients(8, 5000, 4, [](int, Limiter&, const Grant& grant) {
    static const std::int64_t end = grant.now + 500000;
    std::this_thread::sleep_for(std::chrono::microseconds(grant.wait));
    return grant.due() < end;
  });
  check_windows(dues, 5000, 4);
}
END_TEST

START_TEST(an_emptied_server_costs_one_more_burst) {
  constexpr int kClients = 4;
  constexpr std::int64_t kBurst = 3;
  std::atomic<bool> flushed = false;
  const auto dues =
      run_clients(kClients, 5000, kBurst, [&](int, Limiter& limiter, const Grant& grant) {
        static const std::int64_t start = grant.now;
        if (grant.now > start + 250000 && !flushed.exchange(true)) limiter.redis("FLUSHDB");
        std::this_thread::sleep_for(std::chrono::microseconds(grant.wait));
        return !flushed || grant.due() < start + 500000;
      });
  // What was reserved before comes on top: at most one place per client.
  check_windows(dues, 5000, 2 * kBurst + kClients);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("limit_script");
  TCase* tcase = tcase_create("limit_script");
  tcase_set_timeout(tcase, 60);
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, grants_a_burst_then_the_rate);
  tcase_add_test(tcase, a_cost_takes_several_places);
  tcase_add_test(tcase, a_refusal_and_a_look_write_nothing);
  tcase_add_test(tcase, nothing_is_reserved_beyond_an_hour);
  tcase_add_test(tcase, every_key_expires);
  tcase_add_test(tcase, a_penalty_holds_everybody);
  tcase_add_test(tcase, a_penalty_knows_no_burst_and_shows_in_every_answer);
  tcase_add_test(tcase, only_the_last_reservation_is_given_back);
  tcase_add_test(tcase, the_lowest_rate_of_the_group_holds);
  tcase_add_test(tcase, recovers_from_a_foreign_value);
  tcase_add_test(tcase, refuses_bad_arguments);
  tcase_add_loop_test(tcase, many_clients_use_every_place_once, 0, 4);
  tcase_add_test(tcase, clients_that_wait_keep_the_rate);
  tcase_add_test(tcase, an_emptied_server_costs_one_more_burst);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
