#include "cutting_proxy.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

namespace transcribe {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

// Takes "*2\r\n", with its own sign, and returns the number.
std::optional<std::size_t> take_number(const std::string& bytes, std::size_t& at) {
  const std::size_t end = bytes.find("\r\n", at);
  if (end == std::string::npos) return std::nullopt;
  const std::size_t number = std::strtoul(bytes.c_str() + at + 1, nullptr, 10);
  at = end + 2;
  return number;
}

// The request that `bytes` begin with, as soon as it is whole.
std::optional<std::vector<std::string>> read_request(const std::string& bytes, std::size_t& size) {
  std::size_t at = 0;
  const auto count = take_number(bytes, at);
  if (!count) return std::nullopt;
  std::vector<std::string> words;
  while (words.size() < *count) {
    const auto length = take_number(bytes, at);
    if (!length || bytes.size() < at + *length + 2) return std::nullopt;
    words.push_back(bytes.substr(at, *length));
    at += *length + 2;
  }
  size = at;
  return words;
}

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

}  // namespace

// One connection's requests and answers.
struct CuttingProxy::Pipeline {
  std::string waiting;  // requests that are not whole
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;
  std::uint64_t last = 0;  // the request with whose answer the connection ends
  std::unique_ptr<redisReader, FreeReader> reader{redisReaderCreate()};

  bool is_over() const { return last != 0 && answered >= last; }
  void count_answers(const char* bytes, std::size_t size) {
    redisReaderFeed(reader.get(), bytes, size);
    void* answer = nullptr;
    while (redisReaderGetReply(reader.get(), &answer) == REDIS_OK && answer != nullptr) {
      freeReplyObject(answer);
      answered++;
    }
  }
};

CuttingProxy::CuttingProxy(std::uint16_t server, Limit limit)
    : server_(server), limit_(std::move(limit)) {
  listen();
}

CuttingProxy::CuttingProxy(std::uint16_t server, Judge judge)
    : server_(server), judge_(std::move(judge)) {
  listen();
}

void CuttingProxy::listen() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 16) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      pipe(wake_) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

CuttingProxy::~CuttingProxy() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
  close(listener_);
}

// One connection at a time: a client opens the next one after it has lost the last.
void CuttingProxy::run() {
  for (;;) {
    pollfd ends[2] = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    if (poll(ends, 2, -1) < 0) continue;
    if (ends[0].revents != 0) return;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const unsigned number = connections_++;
    pass(client, limit_ ? limit_(number) : kUnlimited);
    // A reset may also take away what was sent before it.
    const linger now = {1, 0};
    if (number % 2 == 1) setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(client);
  }
}

void CuttingProxy::pass(int client, std::uint64_t limit) {
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(server_);
  Pipeline pipeline;
  const int on = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  bool open = connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  std::uint64_t passed = 0;
  bool answered = true;
  char buffer[16384];
  while (open) {
    pollfd ends[3] = {{wake_[0], POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}};
    if (poll(ends, 3, -1) < 0) continue;
    if (ends[0].revents != 0) break;
    if (ends[1].revents != 0) {
      const ssize_t size = recv(client, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      if (judge_) {
        pipeline.waiting.append(buffer, static_cast<std::size_t>(size));
        open = pass_requests(server, pipeline);
      } else {
        open = send_all(server, buffer, static_cast<std::size_t>(size));
      }
      if (std::exchange(answered, false)) turns_++;
    }
    if (open && ends[2].revents != 0) {
      const ssize_t size = recv(server, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      if (turns_ == hold_) {
        holds_ = true;
        continue;
      }
      if (judge_) pipeline.count_answers(buffer, static_cast<std::size_t>(size));
      if (pipeline.is_over()) {
        lost_++;
        break;
      }
      if (pipeline.last != 0) continue;
      const auto part = std::min<std::uint64_t>(static_cast<std::uint64_t>(size), limit - passed);
      passed += part;
      passed_ += part;
      answered = true;
      open = send_all(client, buffer, part) && passed < limit;
    }
  }
  close(server);
}

// False: the end of the connection.
bool CuttingProxy::pass_requests(int server, Pipeline& pipeline) {
  std::size_t size = 0;
  while (const auto words = read_request(pipeline.waiting, size)) {
    const Fate fate = judge_(*words);
    if (fate == Fate::kCut || !send_all(server, pipeline.waiting.data(), size)) return false;
    pipeline.waiting.erase(0, size);
    pipeline.asked++;
    if (fate == Fate::kLoseAnswer && pipeline.last == 0) pipeline.last = pipeline.asked;
  }
  return true;
}

}  // namespace transcribe
