#include "redis/script_client.h"

#include <algorithm>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

constexpr int kMaxLoads = 3;

bool misses_script(const Reply& reply) {
  return reply.is_error() && classify_error_reply(reply.text).fault == RedisFault::kNoScript;
}

}  // namespace

ScriptClient::ScriptClient(std::string text) : text_(std::move(text)) {
  const CharPtr sha(g_compute_checksum_for_data(
      G_CHECKSUM_SHA1, reinterpret_cast<const guchar*>(text_.data()), text_.size()));
  sha_ = sha.get();
}

RedisResult<Success> ScriptClient::load(Connection& connection, Milliseconds timeout,
                                        const Cancellation& cancellation) const {
  const auto reply = connection.call({"SCRIPT", "LOAD", text_}, timeout, cancellation);
  if (!reply) return reply.error();
  return Success{};
}

Connection::Replies ScriptClient::run(Connection& connection, const std::vector<Call>& calls,
                                      Milliseconds timeout,
                                      const Cancellation& cancellation) const {
  Connection::Replies result;
  for (int loads = 0;; loads++) {
    std::vector<Command> commands;
    if (loads > 0) commands.push_back({"SCRIPT", "LOAD", text_});
    for (std::size_t i = result.replies.size(); i < calls.size(); i++) {
      Command command = {"EVALSHA", sha_, std::to_string(calls[i].keys.size())};
      command.insert(command.end(), calls[i].keys.begin(), calls[i].keys.end());
      command.insert(command.end(), calls[i].arguments.begin(), calls[i].arguments.end());
      commands.push_back(std::move(command));
    }
    Connection::Replies part = connection.exchange(commands, timeout, cancellation);
    auto begin = part.replies.begin();
    if (loads > 0 && begin != part.replies.end()) ++begin;
    const auto missing = std::find_if(begin, part.replies.end(), misses_script);
    const bool again = part.ok() && missing != part.replies.end() && loads < kMaxLoads;
    const auto end = part.ok() && !again ? part.replies.end() : missing;
    std::move(begin, end, std::back_inserter(result.replies));
    result.error = std::move(part.error);
    if (!again) return result;
  }
}

}  // namespace transcribe
