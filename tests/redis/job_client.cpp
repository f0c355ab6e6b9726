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

std::string JobClient::dump() {
  std::string text = state() + "\n";
  for (const char* name : {"meta", "progress", "error", "ctl", "chunks", "inflight", "cerr"}) {
    for (const auto& [field, value] : all(name)) {
      if (field == "updated_ms" || field == "lease") continue;
      text += std::string(name) + " " + field + "=" + value + "\n";
    }
  }
  return text + redis("XRANGE", key(""), "-", "+").str();
}

namespace {

// What a subscriber knows who read the stream from its beginning.
struct Fold {
  std::string state;
  std::map<std::string, std::string> chunks;
  std::map<std::string, std::uint64_t> owners;  // of the last event of each chunk
  std::uint64_t seq = 0;
  std::uint64_t epoch = 0;
  std::string problem;

  void add(std::map<std::string, std::string> event) {
    const std::uint64_t number = std::stoull(event["seq"]);
    if (seq != 0 && number != seq + 1) problem = "seq " + event["seq"];
    seq = number;
    if (std::stoull(event["epoch"]) < epoch) problem = "epoch went back at " + event["seq"];
    epoch = std::stoull(event["epoch"]);
    const std::string& kind = event["event"];
    const std::string& reason = event["reason"];
    if (reason == "restart") chunks.clear();
    if (reason == "retry-failed") {
      std::erase_if(chunks, [](const auto& chunk) { return chunk.second == "failed"; });
    }
    if (kind == "state" || kind == "restored") {
      if (event["prev"] != state && kind == "state") problem = "prev at " + event["seq"];
      state = event["state"];
    } else if (kind == "chunk") {
      std::string& status = chunks[event["idx"]];
      std::uint64_t& settled_by = owners[event["idx"]];
      if (status == "done" || (status == event["status"] && settled_by == epoch)) {
        problem = "second end of chunk " + event["idx"];
      }
      status = event["status"];
      settled_by = epoch;
      if (status == "retry") chunks.erase(event["idx"]);
    }
  }
};

}  // namespace

std::string JobClient::problem(bool complete) {
  std::size_t existing = 0;
  for (const std::string& name : keys) {
    const std::int64_t left = redis("PTTL", name).number;
    if (left == -2) continue;
    existing++;
    const std::int64_t limit =
        state() == "COMPLETED" || state() == "FAILED" ? std::stoll(retention) : std::stoll(ttl);
    if (left <= 0 || left > limit) return name + " has a TTL of " + std::to_string(left);
  }
  if (existing == 0) return "";

  auto progress = all("progress");
  std::size_t skipped = 0;
  const auto chunks = all("chunks");
  for (const auto& chunk : chunks) {
    skipped += chunk.second.find("\"status\":\"skipped\"") != std::string::npos ? 1 : 0;
  }
  const auto is = [&](const char* name, std::size_t value) {
    return progress[name] == std::to_string(value);
  };
  if (!is("done", chunks.size() - skipped)) return "done is " + progress["done"];
  if (!is("skipped", skipped)) return "skipped is " + progress["skipped"];
  if (!is("failed", all("cerr").size())) return "failed is " + progress["failed"];
  if (!is("inflight", all("inflight").size())) return "inflight is " + progress["inflight"];
  if (std::stoull(progress["total"]) < chunks.size() + all("cerr").size()) return "total too low";
  if (field("meta", "state") != state()) return "meta and state differ";
  const bool terminal = state() == "COMPLETED" || state() == "FAILED";
  if (terminal && !all("inflight").empty()) return "in flight after the end";

  Fold fold;
  for (auto& event : events()) {
    fold.add(event);
    if (complete && !fold.problem.empty()) return fold.problem;
  }
  if (fold.seq != std::stoull(field("ctl", "seq"))) return "last seq";
  if (fold.epoch > std::stoull(field("ctl", "epoch"))) return "last epoch";
  if (!fold.state.empty() && fold.state != state()) return "the stream ends in " + fold.state;
  if (!complete) return "";
  std::map<std::string, std::string> stored;
  for (const auto& [index, record] : chunks)
    stored[index] = record.find("\"status\":\"skipped\"") == std::string::npos ? "done" : "skipped";
  for (const auto& [index, record] : all("cerr")) stored[index] = "failed";
  std::erase_if(fold.chunks, [](const auto& chunk) { return chunk.second == "queued"; });
  for (const auto& [index, status] : stored) {
    const auto told = fold.chunks.find(index);
    if (told == fold.chunks.end()) return "no event of chunk " + index;
    if (told->second != status) return "chunk " + index + " is " + told->second + " in the stream";
  }
  if (fold.chunks.size() != stored.size()) return "the stream has chunks that are not stored";
  return "";
}

std::string record(const std::string& status, std::uint64_t index, const std::string& text,
                   std::uint64_t epoch) {
  return "{\"v\":1,\"index\":" + std::to_string(index) +
         ",\"start\":" + std::to_string(index * 16000) + ",\"frames\":16000,\"status\":\"" +
         status + "\",\"text\":\"" + text + "\"" +
         (epoch == 0 ? "" : ",\"epoch\":" + std::to_string(epoch)) + "}";
}

}  // namespace transcribe
