// The way to the server that has a job's keys: connects, sees that it is fit (durability, rights),
// and calls the job script. Can be opened again after a loss.
//
// One thread at a time.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "redis/job_answers.h"
#include "redis/job_keys.h"
#include "redis/job_request.h"
#include "redis/node_link.h"
#include "redis/server_facts.h"

namespace transcribe {

class JobLink {
 public:
  struct Config {
    Connection::Settings connection;  // its timeout bounds connecting, and each answer
    JobKeys keys;
    SharedKeys shared;
    std::string token;
  };

  // `log` outlives the link; what the user should know about the server is logged there once.
  JobLink(Config config, const Log& log);

  // Until it has succeeded, and after an error that loses the connection, nothing can be called.
  // Nothing is written.
  RedisResult<Success> open(const Cancellation& cancellation);
  bool is_open() const { return node_.is_open(); }
  void close() { node_.close(); }
  // Bound of each answer from now on; at first that of the configuration.
  void set_timeout(Milliseconds timeout) { node_.set_timeout(timeout); }
  // Another one: the server was started anew, or is another server.
  const std::string& run_id() const { return run_id_; }
  // Host and port in redis-uri, for messages.
  std::string address() const { return node_.address(); }

  // Fences what is called from now on.
  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }

  struct Answers {
    // As many as were answered; an error reply is an error in its place.
    std::vector<RedisResult<JobAnswer>> answers;
    // What ended the connection, in the middle or with one of the answers.
    std::optional<RedisError> lost;
  };
  Answers run(const std::vector<JobCall>& calls, const Cancellation& cancellation);
  RedisResult<JobAnswer> call(const JobCall& call, const Cancellation& cancellation);
  // The script on other jobs. Those on another node answer MOVED, which loses nothing here.
  Answers run_for(const std::vector<std::pair<JobKeys, JobCall>>& calls,
                  const Cancellation& cancellation);
  // Plain commands. Error replies come as they are.
  RedisResult<std::vector<Reply>> commands(const std::vector<Command>& commands,
                                           const Cancellation& cancellation);
  // Milliseconds since 1970 on the server's clock.
  RedisResult<std::uint64_t> time(const Cancellation& cancellation);

  const JobKeys& keys() const { return config_.keys; }
  const std::string& token() const { return config_.token; }
  const SharedKeys& shared() const { return config_.shared; }

 private:
  ScriptClient::Call to_script(const JobCall& call) const;
  RedisResult<Success> prepare(const Cancellation& cancellation);
  void warn(const std::string& info);

  const Config config_;
  const Log& log_;
  NodeLink node_;
  std::uint64_t epoch_ = 0;
  std::string run_id_;
  std::set<std::string> warned_;
};

}  // namespace transcribe
