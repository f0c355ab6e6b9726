// Jobs in Redis as a user sees them: what docs/redis.md says of the keys, as values.
// One thread. Every call connects where there is no connection, and is bounded by a timeout.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "job/chunk_record.h"
#include "redis/connection.h"
#include "redis/job_keys.h"

bool valid_job_id(const std::string& id);

struct JobView {
  std::string id;
  std::string state;   // empty: there is no such job
  std::string reason;  // of the state
  std::int64_t since_ms = 0;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::int64_t total = 0;
  std::int64_t done = 0;
  std::int64_t failed = 0;
  std::int64_t skipped = 0;
  std::int64_t inflight = 0;
  std::int64_t audio_ms = 0;
  std::string owner;          // empty: none
  std::int64_t lease_ms = 0;  // its end
  std::int64_t retention_ms = 0;
  std::int64_t starts = 0;
  std::string cancel;  // note of who asked for the end
  std::string error_code;
  std::string error;
  std::string source;       // as transcribe::source_text() has it; empty: not known
  std::string host;         // that created the job; empty: not known
  std::string location;     // of the transcript there; empty: none
  std::string unreadable;   // why nothing else is known
  std::int64_t now_ms = 0;  // the server's clock when it answered

  bool ended() const { return state == "COMPLETED" || state == "FAILED"; }
  bool owned() const { return !ended() && !owner.empty(); }
  bool leased() const { return owned() && lease_ms > now_ms; }
  bool owner_is_dead = false;  // as seen from this host
  bool owner_lives() const { return leased() && !owner_is_dead; }
};

// One that can't be read has the reason.
using Record = transcribe::Result<transcribe::StoredChunk>;
using Records = std::map<std::uint64_t, Record>;

class JobRedis {
 public:
  JobRedis(transcribe::Connection::Settings settings, std::string key_prefix)
      : settings_(std::move(settings)), prefix_(std::move(key_prefix)) {}

  // Replies in the order of the commands, error replies among them. Follows a cluster to the node
  // that has the job.
  transcribe::RedisResult<std::vector<transcribe::Reply>> ask(
      const std::vector<transcribe::Command>& commands);
  // The same; an error reply is an error.
  transcribe::RedisResult<std::vector<transcribe::Reply>> ask_all(
      const std::vector<transcribe::Command>& commands);

  // All jobs whose state is there, of all nodes of a cluster, without order. `foreign`: how many
  // names are no job ids.
  transcribe::RedisResult<std::vector<JobView>> view_all(std::size_t& foreign);
  // Of one node.
  transcribe::RedisResult<std::vector<JobView>> view(const std::vector<std::string>& ids);
  transcribe::RedisResult<std::map<std::string, std::string>> scan_hash(const std::string& key);
  // The records in `key` (chunks or cerr), by index.
  transcribe::RedisResult<Records> records(const std::string& key);
  // An operation of the job script that needs no owner. The words of its answer.
  transcribe::RedisResult<std::vector<std::string>> run(const std::string& id,
                                                        const std::string& op,
                                                        const std::vector<std::string>& arguments);

  // `id` must be valid_job_id().
  transcribe::JobKeys keys(const std::string& id) const { return {prefix_, id}; }
  std::string address() const { return settings_.uri.address(); }

 private:
  std::optional<transcribe::RedisError> connect();
  transcribe::RedisResult<std::vector<std::string>> list(std::size_t& foreign);
  // Host and port of each that holds a part of the cluster; empty: no cluster.
  transcribe::RedisResult<std::set<std::pair<std::string, std::uint16_t>>> nodes();

  transcribe::Connection::Settings settings_;
  std::string prefix_;
  transcribe::Cancellation never_;
  std::unique_ptr<transcribe::Connection> connection_;
};

// The texts of an array of bulk replies; nil becomes "", and so do those that are missing of
// `least`.
std::vector<std::string> texts(const transcribe::Reply& reply, std::size_t least = 0);
// 0 for what is no number, or too large for one of ours.
std::int64_t number(const std::string& text);
