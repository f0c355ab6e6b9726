#include "job_client.h"

#include <glib.h>

#include "redis/scripts.h"

namespace transcribe {

JobClient::JobClient(RedisClient& client, const std::string& job, const std::string& secret)
    : redis(client), id(job), token(secret), digest(client.load(kJobScript)) {
  for (const char* name :
       {"", "state", "meta", "progress", "error", "ctl", "chunks", "inflight", "cerr"}) {
    keys.push_back(key(name));
  }
}

std::string JobClient::key(const std::string& name) const {
  const std::string base = "transcribe:jobs:" + id;
  return name.empty() ? base : "{" + base + "}:" + name;
}

RedisReply JobClient::call(const std::string& op, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"EVALSHA", digest, std::to_string(keys.size())};
  words.insert(words.end(), keys.begin(), keys.end());
  words.insert(words.end(), {op, epoch, token});
  words.insert(words.end(), arguments.begin(), arguments.end());
  return redis.command(words);
}

std::string JobClient::operator()(const std::string& op,
                                  const std::vector<std::string>& arguments) {
  return call(op, arguments).str();
}

std::vector<std::string> JobClient::settings() const {
  return {owner, lease, fingerprint, max_length, ttl, retention, max_attempts, group};
}

std::string JobClient::create(const std::string& mode, const std::string& takeover,
                              const std::string& op) {
  std::vector<std::string> words = settings();
  words.insert(words.end(), {mode, takeover});
  words.insert(words.end(), meta.begin(), meta.end());
  const RedisReply reply = call(op, words);
  if (reply.items.size() == 8) epoch = reply.items[1].text;
  return reply.str();
}

std::string JobClient::restore(const std::string& state, std::uint64_t seq, std::uint64_t total) {
  std::vector<std::string> words = settings();
  words.insert(words.end(), {"1", state, std::to_string(seq), std::to_string(total)});
  words.insert(words.end(), meta.begin(), meta.end());
  return call("restore", words).str();
}

std::string JobClient::state() { return redis("GET", key("state")).str(); }

std::string JobClient::field(const std::string& name, const std::string& field) {
  return redis("HGET", key(name), field).str();
}

std::map<std::string, std::string> JobClient::all(const std::string& name) {
  const RedisReply reply = redis("HGETALL", key(name));
  std::map<std::string, std::string> result;
  for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    result[reply.items[i].text] = reply.items[i + 1].text;
  }
  return result;
}

std::vector<std::map<std::string, std::string>> JobClient::events() {
  std::vector<std::map<std::string, std::string>> result;
  const RedisReply reply = redis("XRANGE", key(""), "-", "+");
  for (const RedisReply& entry : reply.items) {
    auto& event = result.emplace_back();
    const auto& fields = entry.items[1].items;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2)
      event[fields[i].text] = fields[i + 1].text;
  }
  return result;
}

std::string record(const std::string& status, std::uint64_t index, const std::string& text) {
  return "{\"v\":1,\"index\":" + std::to_string(index) +
         ",\"start\":" + std::to_string(index * 16000) + ",\"frames\":16000,\"status\":\"" +
         status + "\",\"text\":\"" + text + "\"}";
}

}  // namespace transcribe
