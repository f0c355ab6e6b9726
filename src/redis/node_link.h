// A connection to the server that has some keys, in a cluster to their node, and the one script
// that is called there. Finds the node by the errors that it is told of.
//
// One thread at a time. Whoever calls it when it is not open gets kLost.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "redis/connection.h"
#include "redis/script_client.h"

namespace transcribe {

class NodeLink {
 public:
  // `home`: what redis-uri says; its timeout bounds connecting. `answer` bounds the wait for each
  // answer.
  NodeLink(Connection::Settings home, Milliseconds answer, std::string script);

  // Connects anew, to where the last error has sent it.
  RedisResult<Success> connect(const Cancellation& cancellation);
  // Part of every connection, after what is to be asked of the server before.
  RedisResult<Success> load_script(const Cancellation& cancellation);
  bool is_open() const { return connection_ != nullptr; }
  void close() { connection_.reset(); }
  // Of connecting and of answers, from now on.
  void set_timeout(Milliseconds timeout);

  // Host and port in redis-uri, for messages.
  std::string address() const { return home_.address(); }
  // The same server's other node that `error` (kMoved) names.
  Connection::Settings moved_to(const RedisError& error) const;

  // One command, whose error reply is an error and noted, too.
  RedisResult<Reply> call(const Command& command, const Cancellation& cancellation);
  // What breaks the connection is noted. Error replies come as they are: what they say of this
  // link's keys is to be noted.
  Connection::Replies run(const std::vector<ScriptClient::Call>& calls,
                          const Cancellation& cancellation);
  Connection::Replies exchange(const std::vector<Command>& commands,
                               const Cancellation& cancellation);
  // Decides where to go next, and closes a connection that this error has made useless.
  void note(const RedisError& error);

 private:
  const RedisUri home_;
  const ScriptClient script_;
  Connection::Settings settings_;  // of the node
  Milliseconds answer_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace transcribe
