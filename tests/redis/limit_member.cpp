// One process of a rate-limit-group that always wants to send. It says what happens, a line each:
//   M n       members were counted        X / B   Redis is lost / back
//   G µs      sent with a grant due then  L µs    sent without one, due then (wall clock)
//   H µs      a hold was asked for        W / I   a warning / info was logged
// "hold MS" on stdin holds the group; the end of stdin ends it. No server is needed to start.
//
// usage: limit-member PORT NAME RATE BURST
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "redis/limit_link.h"

namespace transcribe {
namespace {

void say(const char* what, std::int64_t value = 0) {
  std::printf("%s %lld\n", what, static_cast<long long>(value));
  std::fflush(stdout);
}

std::int64_t in_us(auto duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

class Teller final : public Log {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel level, const std::string& text) const override {
    if (level == LogLevel::kWarning) say("W");
    if (level == LogLevel::kInfo) say("I");
    std::fprintf(stderr, "%s\n", text.c_str());
  }
};

// Between the limiter and Redis: remembers which grants came.
class Spy final : public GrantSource, private GrantSource::Listener {
 public:
  explicit Spy(std::unique_ptr<GrantSource> source) : source_(std::move(source)) {}

  void start(GrantSource::Listener& listener) override {
    listener_ = &listener;
    source_->start(*this);
  }
  void stop() override { source_->stop(); }
  void set_rate(const SharedRate& rate) override { source_->set_rate(rate); }
  void ask(std::uint64_t ticket) override { source_->ask(ticket); }
  void withdraw(std::uint64_t ticket) override { source_->withdraw(ticket); }
  void give_back(const SharedGrant& grant) override { source_->give_back(grant); }
  void hold(TimePoint until) override { source_->hold(until); }

  // 0: it had none.
  std::int64_t take(std::uint64_t ticket) {
    auto grants = grants_.lock();
    const auto grant = grants->extract(ticket);
    return grant ? grant.mapped() : 0;
  }

 private:
  void on_granted(std::uint64_t ticket, const SharedGrant& grant) override {
    grants_.lock()->insert_or_assign(ticket, grant.due_us);
    listener_->on_granted(ticket, grant);
  }
  void on_refused(std::uint64_t ticket, TimePoint again) override {
    listener_->on_refused(ticket, again);
  }
  void on_beat(TimePoint now) override { listener_->on_beat(now); }
  void on_held(TimePoint until) override { listener_->on_held(until); }
  void on_members(unsigned count, TimePoint now) override {
    say("M", count);
    listener_->on_members(count, now);
  }
  void on_lost(TimePoint now) override {
    say("X");
    listener_->on_lost(now);
  }
  void on_back(TimePoint now) override {
    say("B");
    listener_->on_back(now);
  }

  std::unique_ptr<GrantSource> source_;
  GrantSource::Listener* listener_ = nullptr;
  Guarded<std::map<std::uint64_t, std::int64_t>> grants_;
};

struct Bell {
  bool rung = false;
  bool ended = false;
};

int run(char** arguments) {
  SystemClock clock;
  Teller log;
  Guarded<Bell> bell;
  std::condition_variable changed;
  const auto ring = [&] {
    auto access = bell.lock();
    access->rung = true;
    changed.notify_all();
  };

  SharedLimiterSettings settings;
  settings.uri.host = "127.0.0.1";
  settings.uri.port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  settings.worker = arguments[2];
  const RateLimit limit{std::atof(arguments[3]), static_cast<unsigned>(std::atoi(arguments[4]))};
  auto spy = std::make_unique<Spy>(std::make_unique<LimitLink>(settings, "crowd", clock, log));
  Spy& grants = *spy;
  SharedLimiter limiter(join_rate_limit_group("crowd", clock.now(), limit, ring), std::move(spy),
                        clock.now(), limit, ring, std::random_device()());

  std::thread reader([&] {
    std::string word;
    int ms = 0;
    while (std::cin >> word >> ms) {
      limiter.hold(clock.now() + Milliseconds(ms));
      say("H", in_us(clock.wall_now().time_since_epoch()));
    }
    auto access = bell.lock();
    access->ended = true;
    changed.notify_all();
  });

  Reservation place = limiter.reserve(clock.now());
  for (;;) {
    if (limiter.confirm(place, clock.now())) {
      const std::int64_t grant = grants.take(place.ticket);
      const auto ago = in_us(clock.now() - place.due);
      say(grant != 0 ? "G" : "L",
          grant != 0 ? grant : in_us(clock.wall_now().time_since_epoch()) - ago);
      place = limiter.reserve(clock.now());
      continue;
    }
    auto access = bell.lock();
    const Nanoseconds left = std::min<Nanoseconds>(place.due - clock.now(), std::chrono::hours(1));
    access.wait_until(changed, clock.now() + left, [&] { return access->rung || access->ended; });
    access->rung = false;
    if (access->ended) break;
  }
  reader.join();
  return 0;
}

}  // namespace
}  // namespace transcribe

int main(int count, char** arguments) {
  if (count != 5) return 2;
  return transcribe::run(arguments);
}
