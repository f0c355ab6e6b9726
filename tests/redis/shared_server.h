// One server for all tests of a case, emptied before each. Check forks per test, so a test sees
// the server's port and a connection of its own.
#pragma once

#include <memory>

#include "redis_client.h"
#include "redis_server.h"

namespace transcribe {

// Never deleted by a test's own process: it ends with the case.
inline RedisServer* shared_server = nullptr;

inline void start_shared_server() { shared_server = new RedisServer; }
inline void stop_shared_server() {
  delete shared_server;
  shared_server = nullptr;
}
inline void empty_shared_server() {
  RedisClient client(shared_server->port());
  client("CONFIG", "SET", "maxmemory", "0");
  client("FLUSHALL");
}

}  // namespace transcribe
