#include "redis_cluster.h"

#include <glib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "redis_client.h"

namespace transcribe {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

RedisServer::Options as_node() {
  RedisServer::Options options;
  options.cluster = true;
  return options;
}

void expect_ok(const RedisReply& reply) {
  if (reply.text == "OK") return;
  std::fprintf(stderr, "no cluster: %s\n", reply.str().c_str());
  std::abort();
}

// "… 127.0.0.1:7000@17000 myself,master …"
std::string bus_port(const std::string& nodes) {
  const auto at = nodes.find('@') + 1;
  return nodes.substr(at, nodes.find_first_not_of("0123456789", at) - at);
}

std::string slot_of(RedisClient& node, const std::string& key) {
  return node("CLUSTER", "KEYSLOT", key).text;
}

}  // namespace

RedisCluster::RedisCluster(const std::string& lone_key) : first(as_node()), second(as_node()) {
  RedisClient one(first.port()), two(second.port());
  if (!lone_key.empty()) begin_ = end_ = slot_of(one, lone_key);
  if (begin_ != "0")
    expect_ok(one("CLUSTER", "ADDSLOTSRANGE", "0", std::to_string(std::stoi(begin_) - 1)));
  if (end_ != "16383")
    expect_ok(one("CLUSTER", "ADDSLOTSRANGE", std::to_string(std::stoi(end_) + 1), "16383"));
  expect_ok(two("CLUSTER", "ADDSLOTSRANGE", begin_, end_));
  expect_ok(two("CLUSTER", "SET-CONFIG-EPOCH", "2"));
  expect_ok(one("CLUSTER", "MEET", "127.0.0.1", std::to_string(second.port()),
                bus_port(two("CLUSTER", "NODES").text)));
  wait_for_state(first, "ok");
  wait_for_state(second, "ok");
}

bool RedisCluster::first_has(const std::string& key) const {
  RedisClient node(first.port());
  const int slot = std::stoi(slot_of(node, key));
  return slot < std::stoi(begin_) || slot > std::stoi(end_);
}

void RedisCluster::take_slot(const std::string& key) {
  const RedisServer& server = node_of(key);
  RedisClient node(server.port());
  expect_ok(node("CLUSTER", "DELSLOTS", slot_of(node, key)));
  wait_for_state(server, "fail");
}

void RedisCluster::give_slot(const std::string& key) {
  const RedisServer& server = node_of(key);
  RedisClient node(server.port());
  expect_ok(node("CLUSTER", "ADDSLOTS", slot_of(node, key)));
  wait_for_state(server, "ok");
}

void RedisCluster::wait_for_state(const RedisServer& node, const std::string& state) {
  RedisClient client(node.port());
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (client("CLUSTER", "INFO").text.find("cluster_state:" + state) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) {
      std::fprintf(stderr, "the cluster does not get \"%s\"\n", state.c_str());
      std::abort();
    }
    g_usleep(2000);
  }
}

}  // namespace transcribe
