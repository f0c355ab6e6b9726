// Two real servers that share the slots of a cluster, for one test. See redis_server.h.
#pragma once

#include <string>

#include "redis_server.h"

namespace transcribe {

class RedisCluster {
 public:
  // Each node has half of the slots; or the second one that of this key only. Returns when both
  // accept commands; aborts the test when they don't.
  explicit RedisCluster(const std::string& lone_key = "");

  RedisServer first, second;

  bool first_has(const std::string& key) const;
  RedisServer& node_of(const std::string& key) { return first_has(key) ? first : second; }
  RedisServer& node_without(const std::string& key) { return first_has(key) ? second : first; }

  // The node of this key no longer has its slot: it answers CLUSTERDOWN to everybody.
  void take_slot(const std::string& key);
  void give_slot(const std::string& key);
  // Polls a node until it says so of the cluster: "ok", "fail".
  static void wait_for_state(const RedisServer& node, const std::string& state);

 private:
  std::string begin_ = "8192", end_ = "16383";  // of the second's slots
};

}  // namespace transcribe
