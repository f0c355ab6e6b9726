// What the property redis-uri says. Pure; any thread.
//
//   redis://[user[:password]@]host[:port][/db]
//   rediss://…                                   the same over TLS
//   redis+unix://[user[:password]@]/path[?db=N]
//
// User, password and path are percent-encoded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace transcribe {

struct RedisUri {
  enum class Transport { kTcp, kTls, kUnix };
  Transport transport = Transport::kTcp;
  std::string host;  // without brackets; also the name that TLS checks
  std::uint16_t port = 6379;
  std::string path;  // of the Unix socket
  std::string user;  // empty: the default user
  std::optional<std::string> password;
  unsigned database = 0;

  // "host:port" or the path, for messages.
  std::string address() const;
};

// The error names redis-uri and repeats nothing of the text, which may hold a password.
Result<RedisUri> parse_redis_uri(const std::string& text);

}  // namespace transcribe
