// A way to a Redis server that can be cut at any byte of what the server says.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace transcribe {

// Passes on everything in both directions. A connection ends as soon as `limit(n)` bytes of replies
// went through it, every other one with a reset; n counts the connections from 0. A limit of 0 lets
// the first request through and none of its answer.
class CuttingProxy {
 public:
  using Limit = std::function<std::uint64_t(unsigned)>;
  static constexpr std::uint64_t kUnlimited = UINT64_MAX;

  // What becomes of a request.
  enum class Fate {
    kPass,
    kLoseAnswer,  // the connection ends when the server has answered; the client hears no more
    kCut,         // the connection ends, the request does not reach the server
  };
  // Asked about each request before it goes on to the server, in the proxy's thread: while it
  // decides, nothing else passes.
  using Judge = std::function<Fate(const std::vector<std::string>&)>;

  CuttingProxy(std::uint16_t server, Limit limit);
  CuttingProxy(std::uint16_t server, Judge judge);
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  std::string uri() const { return "redis://127.0.0.1:" + std::to_string(port_); }
  unsigned connections() const { return connections_; }
  // Bytes of replies, of all connections.
  std::uint64_t passed() const { return passed_; }
  // Round trips: requests that came after an answer.
  unsigned turns() const { return turns_; }
  // The answer to this round trip, the first is 1, is kept back; the connection stays as it is.
  void hold(unsigned turn) { hold_ = turn; }
  bool holds() const { return holds_; }
  // Answers of the server that were lost on purpose (kLoseAnswer).
  unsigned lost() const { return lost_; }
  // Connections from now on go there.
  void lead_to(std::uint16_t server) { server_ = server; }

 private:
  struct Pipeline;
  void listen();
  void run();
  void pass(int client, std::uint64_t limit);
  bool pass_requests(int server, Pipeline& pipeline);

  std::atomic<std::uint16_t> server_;
  const Limit limit_;
  const Judge judge_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  std::atomic<unsigned> connections_{0};
  std::atomic<std::uint64_t> passed_{0};
  std::atomic<unsigned> turns_{0};
  std::atomic<unsigned> hold_{0};
  std::atomic<bool> holds_{false};
  std::atomic<unsigned> lost_{0};
  std::thread thread_;
};

}  // namespace transcribe
