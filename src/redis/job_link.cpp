#include "redis/job_link.h"

#include "redis/scripts.h"

namespace transcribe {
namespace {

std::optional<RedisError> problem_of_probe(const JobAnswer& answer) {
  if (answer.word == JobAnswer::Word::kNoPermission) {
    return RedisError{RedisFault::kRefused,
                      "the Redis user in redis-uri lacks the right to run " + answer.text(0) +
                          " on the job's keys; docs/redis.md has the rights it needs"};
  }
  if (answer.word == JobAnswer::Word::kWrongType) {
    return RedisError{RedisFault::kRefused, "the key \"" + answer.text(0) +
                                                "\" in Redis holds something else; use another "
                                                "redis-key-prefix or job-id"};
  }
  return std::nullopt;
}

}  // namespace

JobLink::JobLink(Config config, const Log& log)
    : config_(std::move(config)),
      log_(log),
      node_(config_.connection, config_.connection.timeout, std::string(kJobScript)) {}

RedisResult<Success> JobLink::open(const Cancellation& cancellation) {
  if (auto connected = node_.connect(cancellation); !connected) return connected;
  auto prepared = prepare(cancellation);
  if (!prepared) {
    node_.note(prepared.error());
    node_.close();
  }
  return prepared;
}

RedisResult<Success> JobLink::prepare(const Cancellation& cancellation) {
  const auto info = node_.call({"INFO"}, cancellation);
  if (!info && !keeps_connection(info.error().fault)) return info.error();
  // Before the script: of a stranger the server reads no long argument.
  if (!info && info.error().message.starts_with("NOAUTH")) {
    return RedisError{RedisFault::kRefused,
                      "the server wants a password (NOAUTH); write it, and the user where there is "
                      "one, in redis-uri"};
  }
  run_id_.clear();
  if (info) warn(info->text);
  if (auto loaded = node_.load_script(cancellation); !loaded) return loaded;
  const auto probe = call({"probe", {config_.shared.index, config_.shared.workers}}, cancellation);
  if (!probe) return probe.error();
  if (auto problem = problem_of_probe(*probe)) return std::move(*problem);
  return Success{};
}

void JobLink::warn(const std::string& info) {
  const ServerFacts facts = parse_info(info);
  run_id_ = facts.run_id;
  for (const std::string& warning : durability_warnings(facts)) {
    if (warned_.insert(warning).second) {
      log_.print(LogLevel::kWarning, "%s: %s", address().c_str(), warning.c_str());
    }
  }
}

ScriptClient::Call JobLink::to_script(const JobCall& call) const {
  ScriptClient::Call script{config_.keys.all,
                            {call.operation, std::to_string(epoch_), config_.token}};
  script.arguments.insert(script.arguments.end(), call.arguments.begin(), call.arguments.end());
  return script;
}

JobLink::Answers JobLink::run(const std::vector<JobCall>& calls, const Cancellation& cancellation) {
  Answers result;
  std::vector<ScriptClient::Call> script;
  for (const JobCall& call : calls) script.push_back(to_script(call));
  auto replies = node_.run(script, cancellation);
  for (const Reply& reply : replies.replies) {
    result.answers.push_back(parse_job_answer(reply));
    const auto& answer = result.answers.back();
    if (!answer && !keeps_connection(answer.error().fault) && !result.lost)
      result.lost = answer.error();
  }
  if (replies.error) result.lost = std::move(replies.error);
  if (result.lost) node_.note(*result.lost);
  return result;
}

RedisResult<JobAnswer> JobLink::call(const JobCall& call, const Cancellation& cancellation) {
  Answers result = run({call}, cancellation);
  if (!result.answers.empty()) return std::move(result.answers.front());
  return std::move(*result.lost);
}

JobLink::Answers JobLink::run_for(const std::vector<std::pair<JobKeys, JobCall>>& calls,
                                  const Cancellation& cancellation) {
  Answers result;
  std::vector<ScriptClient::Call> script;
  for (const auto& [keys, call] : calls) {
    script.push_back({keys.all, {call.operation, "0", ""}});
    auto& arguments = script.back().arguments;
    arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
  }
  auto replies = node_.run(script, cancellation);
  for (const Reply& reply : replies.replies) result.answers.push_back(parse_job_answer(reply));
  result.lost = std::move(replies.error);
  return result;
}

RedisResult<std::vector<Reply>> JobLink::commands(const std::vector<Command>& commands,
                                                  const Cancellation& cancellation) {
  auto replies = node_.exchange(commands, cancellation);
  if (replies.error) return std::move(*replies.error);
  return std::move(replies.replies);
}

RedisResult<std::uint64_t> JobLink::time(const Cancellation& cancellation) {
  const auto replies = commands({{"TIME"}}, cancellation);
  if (!replies) return replies.error();
  const Reply& reply = replies->front();
  if (reply.is_error()) return classify_error_reply(reply.text);
  if (reply.elements.size() != 2)
    return RedisError{RedisFault::kOther, "the server does not tell its time"};
  const auto part = [&](std::size_t i) {
    return g_ascii_strtoull(reply.elements[i].text.c_str(), nullptr, 10);
  };
  return part(0) * 1000 + part(1) / 1000;
}

}  // namespace transcribe
