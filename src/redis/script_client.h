// Calls one Lua script by its SHA-1 and loads it where the server does not have it.
// Belongs to the thread that owns the connection.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "redis/connection.h"

namespace transcribe {

class ScriptClient {
 public:
  struct Call {
    std::vector<std::string> keys;
    std::vector<std::string> arguments;
  };

  // `text`: the script. Every call must be harmless to repeat: after a loss of the script in the
  // middle of a pipeline, all calls from there on are sent again, so that their order stays.
  explicit ScriptClient(std::string text);

  // Part of every handshake: scripts are neither replicated nor kept over a restart.
  RedisResult<Success> load(Connection& connection, Milliseconds timeout,
                            const Cancellation& cancellation) const;

  // The replies in the order of the calls. A NOSCRIPT that remains after several loads (somebody
  // empties the cache all the time) is an error reply like any other.
  Connection::Replies run(Connection& connection, const std::vector<Call>& calls,
                          Milliseconds timeout, const Cancellation& cancellation) const;

  const std::string& sha() const { return sha_; }

 private:
  std::string text_;
  std::string sha_;
};

}  // namespace transcribe
