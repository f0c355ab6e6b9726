// A connection to one Redis server: the handshake, then pipelines of commands.
//
// Any thread, one at a time. After an error of exchange() the connection is dead for good:
// discard it and open another, for replies could no longer be told apart.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "redis/reply.h"
#include "redis/transport.h"

namespace transcribe {

class Connection {
 public:
  struct Settings {
    RedisUri uri;
    std::string tls_ca_file;  // PEM bundle; empty: the system's
    std::string client_name;  // in CLIENT LIST, without spaces; empty: none
    Milliseconds timeout{5000};
  };

  // Connects and sends AUTH, SELECT and CLIENT SETNAME. `settings.timeout` bounds the connection
  // with its TLS handshake, and again each answer. A refused CLIENT SETNAME is no error.
  static RedisResult<std::unique_ptr<Connection>> open(const Settings& settings,
                                                       const Cancellation& cancellation);

  // With an error, `replies` are those that came before it: the other commands may or may not
  // have been carried out.
  struct Replies {
    std::vector<Reply> replies;
    std::optional<RedisError> error;
    bool ok() const { return !error; }
  };

  // Sends all commands at once; the replies, error replies too, come in their order. `timeout`
  // bounds the wait for each reply; a server may hold back what it has until it has carried out
  // all commands that reached it together.
  Replies exchange(const std::vector<Command>& commands, Milliseconds timeout,
                   const Cancellation& cancellation);
  // One command; an error reply becomes a RedisError.
  RedisResult<Reply> call(const Command& command, Milliseconds timeout,
                          const Cancellation& cancellation);

  bool alive() const { return alive_; }

 private:
  explicit Connection(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}
  std::optional<RedisError> shake_hands(const Settings& settings, const Cancellation& cancellation);

  std::unique_ptr<Transport> transport_;
  ReplyReader reader_;
  bool alive_ = true;
};

}  // namespace transcribe
