#include "job_redis.h"

#include <glib.h>

#include <algorithm>

#include "redis/job_owner.h"
#include "redis/script_client.h"
#include "redis/scripts.h"
#include "redis/server_facts.h"

using transcribe::Command;
using transcribe::RedisError;
using transcribe::RedisFault;
using transcribe::RedisResult;
using transcribe::Reply;

namespace {

constexpr transcribe::Milliseconds kTimeout{10000};
constexpr int kMaxMoves = 5;
constexpr std::size_t kJobsAtOnce = 50;
constexpr char kPage[] = "500";
constexpr std::size_t kCommandsPerJob = 5;
constexpr std::int64_t kLargest = 1000000000000000;

bool is_id_character(char c) {
  return g_ascii_isalnum(c) || c == '.' || c == '_' || c == ':' || c == '-';
}

// What a pattern of SCAN would take for something else.
std::string escape_glob(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (std::string("*?[]\\").find(c) != std::string::npos) result += '\\';
    result += c;
  }
  return result;
}

std::optional<RedisError> first_error(const std::vector<Reply>& replies) {
  for (const Reply& reply : replies)
    if (reply.is_error()) return transcribe::classify_error_reply(reply.text);
  return std::nullopt;
}

void append_questions(std::vector<Command>& commands, const transcribe::JobKeys& keys) {
  commands.push_back({"GET", keys.state});
  commands.push_back(
      {"HMGET", keys.meta, "reason", "since_ms", "created_ms", "source", "host", "location"});
  commands.push_back({"HMGET", keys.progress, "total", "done", "failed", "skipped", "inflight",
                      "audio_ms", "updated_ms"});
  commands.push_back(
      {"HMGET", keys.control, "owner", "lease", "retention", "attempt", "cancel", "token"});
  commands.push_back({"HMGET", keys.error, "code", "message"});
}

JobView read_answers(const std::string& id, const std::vector<Reply>& replies) {
  JobView view;
  view.id = id;
  if (const auto error = first_error(replies)) {
    view.unreadable = error->message;
    return view;
  }
  view.state = replies[0].text;
  auto words = texts(replies[1], 6);
  view.reason = words[0];
  view.since_ms = number(words[1]);
  view.created_ms = number(words[2]);
  view.source = words[3];
  view.host = words[4];
  view.location = words[5];
  words = texts(replies[2], 7);
  view.total = number(words[0]);
  view.done = number(words[1]);
  view.failed = number(words[2]);
  view.skipped = number(words[3]);
  view.inflight = number(words[4]);
  view.audio_ms = number(words[5]);
  view.updated_ms = number(words[6]);
  words = texts(replies[3], 6);
  view.owner = words[5].empty() ? "" : words[0];
  const auto owner = transcribe::JobOwner::parse(view.owner);
  view.owner_is_dead = owner && owner->is_dead();
  view.lease_ms = number(words[1]);
  view.retention_ms = number(words[2]);
  view.starts = number(words[3]);
  view.cancel = words[4];
  words = texts(replies[4], 2);
  view.error_code = words[0];
  view.error = words[1];
  return view;
}

}  // namespace

bool valid_job_id(const std::string& id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), is_id_character);
}

std::vector<std::string> texts(const Reply& reply, std::size_t least) {
  std::vector<std::string> result;
  for (const Reply& element : reply.elements) {
    result.push_back(element.type == Reply::Type::kInteger ? std::to_string(element.integer)
                                                           : element.text);
  }
  if (result.size() < least) result.resize(least);
  return result;
}

std::int64_t number(const std::string& text) {
  const std::int64_t value = g_ascii_strtoll(text.c_str(), nullptr, 10);
  return value > -kLargest && value < kLargest ? value : 0;
}

std::optional<RedisError> JobRedis::connect() {
  if (connection_ && connection_->alive()) return std::nullopt;
  auto opened = transcribe::Connection::open(settings_, never_);
  if (!opened) return std::move(opened.error());
  connection_ = std::move(*opened);
  return std::nullopt;
}

RedisResult<std::vector<Reply>> JobRedis::ask(const std::vector<Command>& commands) {
  for (int moves = 0;; moves++) {
    if (auto error = connect()) return std::move(*error);
    auto answer = connection_->exchange(commands, kTimeout, never_);
    if (!answer.ok()) return std::move(*answer.error);
    const auto error = first_error(answer.replies);
    if (!error) return std::move(answer.replies);
    if (error->fault == RedisFault::kMoved && moves < kMaxMoves) {
      if (!error->host.empty()) settings_.uri.host = error->host;
      settings_.uri.port = error->port;
      connection_.reset();
      continue;
    }
    if (!transcribe::keeps_connection(error->fault)) {
      connection_.reset();
      return *error;
    }
    return std::move(answer.replies);
  }
}

RedisResult<std::vector<Reply>> JobRedis::ask_all(const std::vector<Command>& commands) {
  auto replies = ask(commands);
  if (!replies) return replies;
  if (auto error = first_error(*replies)) return std::move(*error);
  return replies;
}

RedisResult<std::set<std::pair<std::string, std::uint16_t>>> JobRedis::nodes() {
  std::set<std::pair<std::string, std::uint16_t>> nodes;
  // Without the right to ask, it is taken for a single server.
  const auto info = ask({{"INFO"}});
  if (!info) return info.error();
  if (!transcribe::parse_info(info->front().text).cluster) return nodes;
  const auto slots = ask_all({{"CLUSTER", "SLOTS"}});
  if (!slots) return slots.error();
  for (const Reply& range : slots->front().elements) {
    if (range.elements.size() < 3 || range.elements[2].elements.size() < 2) continue;
    const auto& node = range.elements[2].elements;
    nodes.emplace(node[0].text.empty() ? settings_.uri.host : node[0].text,
                  static_cast<std::uint16_t>(node[1].integer));
  }
  return nodes;
}

RedisResult<std::vector<JobView>> JobRedis::view_all(std::size_t& foreign) {
  foreign = 0;
  auto places = nodes();
  if (!places) return places.error();
  if (places->empty()) places->emplace(settings_.uri.host, settings_.uri.port);
  std::vector<JobView> jobs;
  for (const auto& [host, port] : *places) {
    JobRedis node(settings_, prefix_);
    node.settings_.uri.host = host;
    node.settings_.uri.port = port;
    std::size_t others = 0;
    const auto ids = node.list(others);
    if (!ids) return ids.error();
    const auto views = node.view(*ids);
    if (!views) return views.error();
    jobs.insert(jobs.end(), views->begin(), views->end());
    foreign += others;
  }
  return jobs;
}

RedisResult<std::vector<std::string>> JobRedis::list(std::size_t& foreign) {
  const std::string head = "{" + prefix_ + ":jobs:";
  const std::string tail = "}:state";
  std::set<std::string> ids;
  std::set<std::string> others;
  std::string cursor = "0";
  do {
    const auto page =
        ask_all({{"SCAN", cursor, "MATCH", escape_glob(head) + "*" + tail, "COUNT", kPage}});
    if (!page) return page.error();
    const auto& parts = page->front().elements;
    if (parts.size() != 2) return RedisError{RedisFault::kOther, "SCAN gave no list"};
    cursor = parts[0].text;
    for (const std::string& key : texts(parts[1])) {
      if (key.size() <= head.size() + tail.size()) continue;
      const std::string id = key.substr(head.size(), key.size() - head.size() - tail.size());
      (valid_job_id(id) ? ids : others).insert(id);
    }
  } while (cursor != "0");
  foreign = others.size();
  return std::vector<std::string>(ids.begin(), ids.end());
}

RedisResult<std::vector<JobView>> JobRedis::view(const std::vector<std::string>& ids) {
  std::vector<JobView> views;
  for (std::size_t begin = 0; begin < ids.size(); begin += kJobsAtOnce) {
    const std::size_t end = std::min(ids.size(), begin + kJobsAtOnce);
    std::vector<Command> commands;
    for (std::size_t i = begin; i < end; i++) append_questions(commands, keys(ids[i]));
    commands.push_back({"TIME"});
    const auto replies = ask(commands);
    if (!replies) return replies.error();
    if (replies->back().is_error()) return transcribe::classify_error_reply(replies->back().text);
    const auto time = texts(replies->back(), 2);
    const std::int64_t now = number(time[0]) * 1000 + number(time[1]) / 1000;
    auto at = replies->begin();
    for (std::size_t i = begin; i < end; i++, at += kCommandsPerJob) {
      views.push_back(read_answers(ids[i], std::vector<Reply>(at, at + kCommandsPerJob)));
      views.back().now_ms = now;
    }
  }
  return views;
}

RedisResult<std::map<std::string, std::string>> JobRedis::scan_hash(const std::string& key) {
  std::map<std::string, std::string> fields;
  std::string cursor = "0";
  do {
    const auto page = ask_all({{"HSCAN", key, cursor, "COUNT", kPage}});
    if (!page) return page.error();
    const auto& parts = page->front().elements;
    if (parts.size() != 2) return RedisError{RedisFault::kOther, "HSCAN gave no list"};
    cursor = parts[0].text;
    const auto words = texts(parts[1]);
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) fields[words[i]] = words[i + 1];
  } while (cursor != "0");
  return fields;
}

RedisResult<Records> JobRedis::records(const std::string& key) {
  const auto fields = scan_hash(key);
  if (!fields) return fields.error();
  Records records;
  for (const auto& [index, text] : *fields) {
    records.emplace(static_cast<std::uint64_t>(number(index)), transcribe::from_record(text));
  }
  return records;
}

RedisResult<std::vector<std::string>> JobRedis::run(const std::string& id, const std::string& op,
                                                    const std::vector<std::string>& arguments) {
  // The key's node first: EVALSHA there, not at whatever node was connected to.
  if (const auto known = ask({{"GET", keys(id).state}}); !known) return known.error();
  if (auto error = connect()) return std::move(*error);
  transcribe::ScriptClient::Call call{keys(id).all, {op, "0", ""}};
  call.arguments.insert(call.arguments.end(), arguments.begin(), arguments.end());
  const transcribe::ScriptClient script{std::string(transcribe::kJobScript)};
  auto answer = script.run(*connection_, {call}, kTimeout, never_);
  if (!answer.ok()) return std::move(*answer.error);
  if (auto error = first_error(answer.replies)) return std::move(*error);
  return texts(answer.replies.front(), 1);
}
