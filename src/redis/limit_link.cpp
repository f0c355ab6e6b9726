#include "redis/limit_link.h"

#include <algorithm>
#include <utility>

#include "base/glib_ptr.h"
#include "redis/scripts.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;
using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr Milliseconds kConnectTimeout{3000};
constexpr Milliseconds kTimeout{2000};
constexpr Nanoseconds kBeat = 1s;
constexpr Nanoseconds kCount = 2s;
constexpr Nanoseconds kHopeless = 30s;  // between attempts that need somebody to act first
constexpr std::int64_t kHour = 3600000000;
constexpr std::int64_t kAliveMs = 30000;
constexpr std::int64_t kForgottenMs = 600000;

constexpr std::size_t kAnswers = 7;

RedisError strange(const char* what) {
  return {RedisFault::kOther, std::string("Redis gave an answer that is not one: ") + what};
}

Connection::Settings connection_settings(const SharedLimiterSettings& settings) {
  Connection::Settings result;
  result.uri = settings.uri;
  result.tls_ca_file = settings.tls_ca_file;
  result.client_name = "openaitranscribe-limiter";
  result.timeout = kConnectTimeout;
  return result;
}

std::vector<std::string> limit_keys(const std::string& prefix, const std::string& group) {
  const std::string name = "{" + prefix + ":rl:" + rate_limit_key_name(group) + "}";
  return {name + ":tat", name + ":pace", name + ":hold"};
}

}  // namespace

std::string rate_limit_key_name(const std::string& group) {
  const bool plain =
      !group.empty() && group.size() <= 128 && std::all_of(group.begin(), group.end(), [](char c) {
        return g_ascii_isalnum(c) || c == '.' || c == '_' || c == ':' || c == '-';
      });
  if (plain) return group;
  const CharPtr digest(g_compute_checksum_for_data(
      G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(group.data()), group.size()));
  return digest.get();
}

LimitLink::LimitLink(const SharedLimiterSettings& settings, const std::string& group,
                     const Clock& clock, const Log& log)
    : workers_key_(settings.key_prefix + ":workers"),
      member_(settings.worker),
      keys_(limit_keys(settings.key_prefix, group)),
      clock_(clock),
      log_(log),
      node_(connection_settings(settings), kTimeout, std::string(kLimitScript)),
      policy_((std::uint64_t{g_random_int()} << 32) | g_random_int()) {}

LimitLink::~LimitLink() { stop(); }

void LimitLink::start(Listener& listener) {
  listener_ = &listener;
  thread_ = std::thread([this] { run(); });
}

void LimitLink::stop() {
  {
    auto state = state_.lock();
    state->quit = true;
    changed_.notify_all();
  }
  cancellation_.cancel();
  if (thread_.joinable()) thread_.join();
}

void LimitLink::set_rate(const SharedRate& rate) { state_.lock()->rate = rate; }

void LimitLink::ask(std::uint64_t ticket) {
  auto state = state_.lock();
  state->asked.insert(ticket);
  changed_.notify_all();
}

void LimitLink::withdraw(std::uint64_t ticket) { state_.lock()->asked.erase(ticket); }

void LimitLink::give_back(const SharedGrant& grant) {
  auto state = state_.lock();
  state->returned.push_back(grant);
  changed_.notify_all();
}

void LimitLink::hold(TimePoint until) {
  auto state = state_.lock();
  state->hold = std::max(state->hold.value_or(until), until);
  changed_.notify_all();
}

void LimitLink::run() {
  for (;;) {
    const Failure failure = node_.is_open() ? serve() : connect();
    if (state_.lock()->quit) return;
    if (failure) handle(*failure);
  }
}

LimitLink::Failure LimitLink::connect() {
  workers_connection_.reset();
  if (const auto connected = node_.connect(cancellation_); !connected) return connected.error();
  if (const auto loaded = node_.load_script(cancellation_); !loaded) {
    node_.close();
    return loaded.error();
  }
  return beat();
}

// A beat writes where a grant would, so it shows whether grants can be had.
LimitLink::Failure LimitLink::beat() {
  listener_->on_beat(clock_.now());
  Batch batch;
  batch.rate = state_.lock()->rate;
  batch.beat = true;
  if (Failure failure = carry_out(batch)) return failure;
  if (clock_.now() >= count_at_) {
    if (Failure failure = count_members()) return failure;
  }
  recovered();
  return std::nullopt;
}

LimitLink::Failure LimitLink::serve() {
  Batch batch;
  {
    auto state = state_.lock();
    const auto due = [&] {
      return state->quit || !state->asked.empty() || !state->returned.empty() || state->hold;
    };
    if (!lost_) {
      const Nanoseconds left = std::max(Nanoseconds(0), beat_at_ - clock_.now());
      state.wait_until(changed_, std::chrono::steady_clock::now() + left, due);
    }
    if (state->quit) return std::nullopt;
    if (!lost_) {
      batch.rate = state->rate;
      batch.hold = state->hold;
      std::swap(batch.returned, state->returned);
      batch.asked.assign(state->asked.begin(), state->asked.end());
    }
  }
  if (lost_ || clock_.now() >= beat_at_) {
    if (Failure failure = beat()) return failure;
  }
  return carry_out(batch);
}

ScriptClient::Call LimitLink::call(const char* op, const SharedRate& rate,
                                   std::int64_t last) const {
  return {keys_,
          {op, std::to_string(std::max<std::uint64_t>(rate.emission_us, 1)),
           std::to_string(rate.burst), "1", std::to_string(last)}};
}

LimitLink::Failure LimitLink::carry_out(const Batch& batch) {
  std::vector<ScriptClient::Call> calls;
  for (const SharedGrant& grant : batch.returned)
    calls.push_back(call("release", {grant.emission_us, 1}, grant.reached_us));
  if (batch.hold) {
    const auto delay = duration_cast<microseconds>(*batch.hold - clock_.now());
    calls.push_back(
        call("penalize", batch.rate, std::clamp<std::int64_t>(delay.count(), 0, kHour)));
  }
  // Without a limit there is no pace to keep, and nothing to write.
  if (batch.beat)
    calls.push_back(call(batch.rate.emission_us > 0 ? "beat" : "peek", batch.rate, 0));
  for (std::size_t i = 0; i < batch.asked.size(); i++)
    calls.push_back(call("take", batch.rate, kHour));
  if (calls.empty()) return std::nullopt;

  const auto answer = node_.run(calls, cancellation_);
  for (std::size_t i = 0; i < answer.replies.size(); i++) {
    if (Failure failure = take_answer(batch, i, answer.replies[i])) return failure;
  }
  return answer.error;
}

// The replies come in the order of carry_out().
LimitLink::Failure LimitLink::take_answer(const Batch& batch, std::size_t position,
                                          const Reply& reply) {
  if (reply.is_error()) return classify_error_reply(reply.text);
  if (reply.type != Reply::Type::kArray || reply.elements.size() != kAnswers)
    return strange("the limit script answers seven numbers");
  const TimePoint now = clock_.now();
  const auto number = [&](std::size_t i) {
    return std::clamp<std::int64_t>(reply.elements[i].integer, 0, std::int64_t{1} << 53);
  };
  const auto after = [&](std::int64_t us) { return now + microseconds(std::min(us, kHour)); };
  server_us_ = number(4);
  server_seen_ = now;
  if (number(6) > 0) listener_->on_held(after(number(6)));

  const std::size_t begin_of_hold = batch.returned.size();
  const std::size_t begin_of_asked = begin_of_hold + (batch.hold ? 1 : 0) + (batch.beat ? 1 : 0);
  if (batch.hold && position == begin_of_hold) {
    auto state = state_.lock();
    if (state->hold == batch.hold) state->hold.reset();
  } else if (batch.beat && position + 1 == begin_of_asked) {
    beat_at_ = now + kBeat;
  } else if (position >= begin_of_asked) {
    const std::uint64_t ticket = batch.asked[position - begin_of_asked];
    state_.lock()->asked.erase(ticket);
    const std::int64_t wait = number(1);
    if (number(0) == 1) {
      SharedGrant grant;
      grant.due = after(wait);
      grant.due_us = server_us_ + wait;
      grant.reached_us = number(3);
      grant.emission_us = static_cast<std::uint64_t>(std::max<std::int64_t>(number(5), 1));
      listener_->on_granted(ticket, grant);
    } else {
      listener_->on_refused(ticket,
                            after(std::clamp<std::int64_t>(wait - kHour, 1000000, 60000000)));
    }
  }
  return std::nullopt;
}

Connection::Replies LimitLink::ask_workers(const std::vector<Command>& commands) {
  if (workers_connection_) return workers_connection_->exchange(commands, kTimeout, cancellation_);
  return node_.exchange(commands, cancellation_);
}

LimitLink::Failure LimitLink::count_members() {
  const TimePoint now = clock_.now();
  const std::int64_t now_ms =
      (server_us_ + duration_cast<microseconds>(now - server_seen_).count()) / 1000;
  const std::string& key = workers_key_;
  const std::vector<Command> commands = {
      {"ZADD", key, std::to_string(now_ms), member_},
      {"PEXPIRE", key, std::to_string(kForgottenMs)},
      {"ZCOUNT", key, std::to_string(now_ms - kAliveMs), "+inf"},
      {"ZRANGEBYSCORE", key, "-inf", std::to_string(now_ms - kForgottenMs), "LIMIT", "0", "100"}};
  Nanoseconds pause = kCount;
  for (int hops = 0; hops < 2; hops++) {
    auto answer = ask_workers(commands);
    if (answer.error) {
      // Without the other node the members last seen have to do.
      if (!workers_connection_) return answer.error;
      workers_connection_.reset();
      pause = kHopeless;
      break;
    }
    const auto failed = std::find_if(answer.replies.begin(), answer.replies.end(),
                                     [](const Reply& reply) { return reply.is_error(); });
    if (failed == answer.replies.end()) {
      count_at_ = now + kCount;
      const std::int64_t count = answer.replies[2].integer;
      listener_->on_members(static_cast<unsigned>(std::clamp<std::int64_t>(count, 1, 1000000)),
                            clock_.now());
      Command forget = {"ZREM", key};
      for (const Reply& old : answer.replies[3].elements) forget.push_back(old.text);
      if (forget.size() > 2) static_cast<void>(ask_workers({forget}));
      return std::nullopt;
    }
    const RedisError error = classify_error_reply(failed->text);
    if (error.fault != RedisFault::kMoved) {
      const bool stays = error.fault == RedisFault::kRefused || error.fault == RedisFault::kOther;
      if (!stays && !workers_connection_) return error;
      if (stays && !std::exchange(warned_members_, true)) {
        log_.print(
            LogLevel::kWarning,
            "Redis at %s: the members of the rate-limit-group can't be counted (%s); if it is "
            "lost, each of them goes on with the full rate",
            node_.address().c_str(), error.message.c_str());
      }
      break;
    }
    workers_connection_.reset();
    auto other = Connection::open(node_.moved_to(error), cancellation_);
    if (!other) {
      pause = kHopeless;
      break;
    }
    workers_connection_ = std::move(*other);
  }
  count_at_ = clock_.now() + pause;
  return std::nullopt;
}

void LimitLink::recovered() {
  policy_.succeeded();
  was_connected_ = true;
  if (!std::exchange(lost_, false)) return;
  if (std::exchange(warned_, false)) {
    log_.print(LogLevel::kInfo, "Redis at %s is back: the request rate is shared again",
               node_.address().c_str());
  }
  listener_->on_back(clock_.now());
}

void LimitLink::handle(const RedisError& error) {
  node_.note(error);
  const auto delay = policy_.failed(error.fault).value_or(kHopeless);
  // One hop to another node is no outage: the questions are asked again there.
  if (error.fault == RedisFault::kMoved && policy_.failures() == 1) return;

  if (!std::exchange(lost_, true)) {
    {
      auto state = state_.lock();
      state->asked.clear();
      state->returned.clear();
    }
    listener_->on_lost(clock_.now());
  }
  // A connection that only has to be opened anew is not worth a word.
  const bool passing =
      was_connected_ && error.fault == RedisFault::kLost && policy_.failures() <= 1;
  if (!passing && !std::exchange(warned_, true)) {
    log_.print(LogLevel::kWarning,
               "Redis at %s (%s): %s. Until it is back, this process keeps to its share of the "
               "request rate",
               node_.address().c_str(), to_string(error.fault), error.message.c_str());
  }
  auto state = state_.lock();
  state.wait_until(changed_, std::chrono::steady_clock::now() + delay, [&] { return state->quit; });
}

}  // namespace transcribe
