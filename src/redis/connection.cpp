#include "redis/connection.h"

#include <string_view>

namespace transcribe {
namespace {

// The server's words, but for those it says about a command it does not know: they repeat the
// command's arguments.
RedisError authentication_error(const std::string& text) {
  RedisError error = classify_error_reply(text);
  const std::string code = text.substr(0, text.find(' '));
  if (error.fault == RedisFault::kOther || error.fault == RedisFault::kRefused) {
    const bool plain = code == "WRONGPASS" || code == "NOPERM" || code == "DENIED";
    error.fault = RedisFault::kRefused;
    error.message = "Redis refused the user or password in redis-uri (" + (plain ? text : code) +
                    "); check both, and that the user exists and is on";
  }
  return error;
}

}  // namespace

RedisResult<std::unique_ptr<Connection>> Connection::open(const Settings& settings,
                                                          const Cancellation& cancellation) {
  auto transport =
      Transport::open(settings.uri, settings.tls_ca_file, settings.timeout, cancellation);
  if (!transport) return std::move(transport.error());
  std::unique_ptr<Connection> connection(new Connection(std::move(*transport)));
  if (auto error = connection->shake_hands(settings, cancellation)) return std::move(*error);
  return connection;
}

std::optional<RedisError> Connection::shake_hands(const Settings& settings,
                                                  const Cancellation& cancellation) {
  std::vector<Command> commands;
  const RedisUri& uri = settings.uri;
  const bool authenticates = uri.password || !uri.user.empty();
  if (authenticates) {
    Command auth = {"AUTH"};
    if (!uri.user.empty()) auth.push_back(uri.user);
    auth.push_back(uri.password.value_or(""));
    commands.push_back(std::move(auth));
  }
  if (uri.database != 0) commands.push_back({"SELECT", std::to_string(uri.database)});
  if (!settings.client_name.empty())
    commands.push_back({"CLIENT", "SETNAME", settings.client_name});
  if (commands.empty()) return std::nullopt;

  Replies answer = exchange(commands, settings.timeout, cancellation);
  for (std::size_t i = 0; i < answer.replies.size(); i++) {
    const Reply& reply = answer.replies[i];
    if (!reply.is_error()) continue;
    const std::string& command = commands[i].front();
    if (command == "AUTH") return authentication_error(reply.text);
    RedisError error = classify_error_reply(reply.text);
    if (command == "SELECT" || !keeps_connection(error.fault)) return error;
  }
  return std::move(answer.error);
}

Connection::Replies Connection::exchange(const std::vector<Command>& commands, Milliseconds timeout,
                                         const Cancellation& cancellation) {
  Replies result;
  if (!alive_) {
    result.error = RedisError{RedisFault::kLost, "the connection is dead"};
    return result;
  }
  if (commands.empty()) return result;
  std::string bytes;
  for (const Command& command : commands) append_command(bytes, command);

  std::optional<RedisError> unreadable;
  const auto consume = [&](std::string_view part) {
    const std::size_t before = result.replies.size();
    const auto fed = reader_.feed(part, result.replies);
    if (!fed) {
      unreadable = fed.error();
      return Transport::Next::kStop;
    }
    if (result.replies.size() > commands.size() ||
        (result.replies.size() == commands.size() && reader_.has_rest())) {
      result.replies.resize(commands.size());
      unreadable = RedisError{RedisFault::kLost, "Redis sent more replies than were asked for"};
      return Transport::Next::kStop;
    }
    if (result.replies.size() == commands.size()) return Transport::Next::kNothing;
    return result.replies.size() > before ? Transport::Next::kAnother : Transport::Next::kPart;
  };
  auto sent = transport_->exchange(bytes, timeout, cancellation, consume);
  if (!sent) {
    alive_ = false;
    const bool unreadable_is_cause = unreadable && sent.error().fault != RedisFault::kCancelled;
    result.error = unreadable_is_cause ? std::move(*unreadable) : std::move(sent.error());
  }
  return result;
}

RedisResult<Reply> Connection::call(const Command& command, Milliseconds timeout,
                                    const Cancellation& cancellation) {
  Replies answer = exchange({command}, timeout, cancellation);
  // What a server says before it closes is more than that it closed.
  if (!answer.replies.empty() && answer.replies.front().is_error())
    return classify_error_reply(answer.replies.front().text);
  if (answer.error) return std::move(*answer.error);
  if (answer.replies.empty()) return RedisError{RedisFault::kLost, "Redis gave no reply"};
  return std::move(answer.replies.front());
}

}  // namespace transcribe
