// Asks Redis for the grants of one rate limit group: a connection and a thread of its own, because
// the keys of a group lie in another cluster slot than those of a job.
//
// The thread answers several questions with one exchange, looks for holds every second, keeps this
// member known in `<prefix>:workers` and counts the others there. It connects anew as
// ReconnectPolicy says, follows MOVED, and tells an outage once in the log.
#pragma once

#include <condition_variable>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/log.h"
#include "redis/grant_source.h"
#include "redis/node_link.h"
#include "redis/reconnect.h"
#include "redis/shared_limiter.h"

namespace transcribe {

// The part of a key that names the group: itself, or its hash where it has bytes that a key should
// not have.
std::string rate_limit_key_name(const std::string& group);

class LimitLink final : public GrantSource {
 public:
  LimitLink(const SharedLimiterSettings& settings, const std::string& group, const Clock& clock,
            const Log& log);
  ~LimitLink() override;

  void start(Listener& listener) override;
  void stop() override;
  void set_rate(const SharedRate& rate) override;
  void ask(std::uint64_t ticket) override;
  void withdraw(std::uint64_t ticket) override;
  void give_back(const SharedGrant& grant) override;
  void hold(TimePoint until) override;

 private:
  struct State {
    SharedRate rate;
    std::set<std::uint64_t> asked;
    std::vector<SharedGrant> returned;
    std::optional<TimePoint> hold;
    bool quit = false;
  };
  // What one exchange carries.
  struct Batch {
    SharedRate rate;
    std::vector<SharedGrant> returned;
    std::optional<TimePoint> hold;
    bool beat = false;
    std::vector<std::uint64_t> asked;
  };
  using Failure = std::optional<RedisError>;

  // All below: the link's thread.
  void run();
  Failure connect();
  Failure serve();
  Failure beat();
  Failure carry_out(const Batch& batch);
  Failure take_answer(const Batch& batch, std::size_t position, const Reply& reply);
  Connection::Replies ask_workers(const std::vector<Command>& commands);
  Failure count_members();
  void handle(const RedisError& error);
  void recovered();
  ScriptClient::Call call(const char* op, const SharedRate& rate, std::int64_t last) const;

  const std::string workers_key_;
  const std::string member_;
  const std::vector<std::string> keys_;
  const Clock& clock_;
  const Log& log_;
  Cancellation cancellation_;

  Guarded<State> state_;
  std::condition_variable changed_;

  Listener* listener_ = nullptr;
  NodeLink node_;                                   // that has the group's slot
  std::unique_ptr<Connection> workers_connection_;  // to the node that has the workers, if another
  ReconnectPolicy policy_;
  TimePoint beat_at_{};
  TimePoint count_at_{};
  TimePoint server_seen_{};
  std::int64_t server_us_ = 0;  // the server's clock at server_seen_
  bool was_connected_ = false;
  bool lost_ = false;
  bool warned_ = false;
  bool warned_members_ = false;

  std::thread thread_;
};

}  // namespace transcribe
