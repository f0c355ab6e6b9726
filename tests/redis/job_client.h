// The job script as a client of it sees it, for tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "redis_client.h"

namespace transcribe {

struct JobClient {
  JobClient(RedisClient& redis, const std::string& id, const std::string& token = "token-a");

  // The answer as text (RedisReply::str), with the given epoch.
  std::string operator()(const std::string& op, const std::vector<std::string>& arguments = {});
  RedisReply call(const std::string& op, const std::vector<std::string>& arguments = {});

  // The arguments create, reset and restore share; change members before use.
  std::vector<std::string> settings() const;
  // Takes the epoch of the answer over.
  std::string create(const std::string& mode = "auto", const std::string& takeover = "",
                     const std::string& op = "create");
  std::string restore(const std::string& state, std::uint64_t seq, std::uint64_t total);

  std::string key(const std::string& name) const;  // "" is the stream
  std::string state();
  std::string field(const std::string& key, const std::string& field);
  std::map<std::string, std::string> all(const std::string& key);
  std::vector<std::map<std::string, std::string>> events();

  // All that is stored, as text, but for the times that every write moves.
  std::string dump();
  // What the keys of a job must always say of each other; empty, or the first thing that is wrong.
  // `complete`: the stream was neither trimmed nor restored, so its fold must say the same.
  std::string problem(bool complete = true);

  RedisClient& redis;
  std::string id;
  std::string token;
  std::string epoch = "0";
  std::string digest;
  std::vector<std::string> keys;
  std::string owner = "host boot 1 1";
  std::string lease = "30000";
  std::string fingerprint = "fp";
  std::string max_length = "10000";
  std::string ttl = "600000";
  std::string retention = "60000";
  std::string max_attempts = "3";
  std::string group;
  std::vector<std::string> meta = {"model", "whisper-1"};
};

std::string record(const std::string& status, std::uint64_t index, const std::string& text = "hi",
                   std::uint64_t epoch = 0);

}  // namespace transcribe
