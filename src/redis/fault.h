// What went wrong on the way to Redis, as far as it decides what to do next. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace transcribe {

enum class RedisFault {
  kCancelled,   // by the caller: not an error
  kLost,        // no connection, closed, reset, no answer in time, no Redis protocol
  kLoading,     // the server reads its data set
  kReadOnly,    // a replica, perhaps a former master: resolve and connect anew
  kFull,        // out of memory; nothing was written
  kDisk,        // can't persist or replicate; nothing was written
  kBusy,        // a script of somebody runs for too long
  kMoved,       // another cluster node has this slot: `host`, `port`, `slot`
  kUnsettled,   // the cluster is changing: ASK, TRYAGAIN, CLUSTERDOWN
  kRefused,     // rights, certificate, wrong type, wrong database: stays so until somebody acts
  kMaxClients,  // the server has no room for another connection
  kNoScript,    // SCRIPT LOAD, then again
  kOther,       // any other error reply: a fault of ours or of the data
};

struct RedisError {
  RedisFault fault = RedisFault::kLost;
  // A sentence for a person; never holds the password.
  std::string message;
  // With kMoved; an empty host means: the host that answered.
  std::string host{};
  std::uint16_t port = 0;
  unsigned slot = 0;
};

template <typename T>
using RedisResult = Result<T, RedisError>;

// For logs: "lost", "read-only".
const char* to_string(RedisFault fault);

// Whether the connection that brought this error may carry the next command.
bool keeps_connection(RedisFault fault);

// What the text of an error reply means. The message is the text.
RedisError classify_error_reply(const std::string& text);

}  // namespace transcribe
