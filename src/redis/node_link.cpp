#include "redis/node_link.h"

#include <utility>

namespace transcribe {
namespace {

RedisError not_open() { return {RedisFault::kLost, "there is no connection"}; }

Connection::Replies no_replies() {
  Connection::Replies replies;
  replies.error = not_open();
  return replies;
}

}  // namespace

NodeLink::NodeLink(Connection::Settings home, Milliseconds answer, std::string script)
    : home_(home.uri), script_(std::move(script)), settings_(std::move(home)), answer_(answer) {}

void NodeLink::set_timeout(Milliseconds timeout) { settings_.timeout = answer_ = timeout; }

Connection::Settings NodeLink::moved_to(const RedisError& error) const {
  Connection::Settings settings = settings_;
  // The answering node leaves its own host out.
  if (!error.host.empty()) settings.uri.host = error.host;
  settings.uri.port = error.port;
  return settings;
}

void NodeLink::note(const RedisError& error) {
  if (error.fault == RedisFault::kMoved) {
    settings_ = moved_to(error);
  } else if (!keeps_connection(error.fault) || !connection_) {
    settings_.uri = home_;
  }
  if (!keeps_connection(error.fault)) close();
}

RedisResult<Success> NodeLink::connect(const Cancellation& cancellation) {
  close();
  auto connection = Connection::open(settings_, cancellation);
  if (!connection) {
    note(connection.error());
    return connection.error();
  }
  connection_ = std::move(*connection);
  return Success{};
}

RedisResult<Success> NodeLink::load_script(const Cancellation& cancellation) {
  if (!connection_) return not_open();
  auto loaded = script_.load(*connection_, answer_, cancellation);
  if (!loaded) note(loaded.error());
  return loaded;
}

RedisResult<Reply> NodeLink::call(const Command& command, const Cancellation& cancellation) {
  if (!connection_) return not_open();
  auto reply = connection_->call(command, answer_, cancellation);
  if (!reply) note(reply.error());
  return reply;
}

Connection::Replies NodeLink::run(const std::vector<ScriptClient::Call>& calls,
                                  const Cancellation& cancellation) {
  if (!connection_) return no_replies();
  auto replies = script_.run(*connection_, calls, answer_, cancellation);
  if (replies.error) note(*replies.error);
  return replies;
}

Connection::Replies NodeLink::exchange(const std::vector<Command>& commands,
                                       const Cancellation& cancellation) {
  if (!connection_) return no_replies();
  auto replies = connection_->exchange(commands, answer_, cancellation);
  if (replies.error) note(*replies.error);
  return replies;
}

}  // namespace transcribe
