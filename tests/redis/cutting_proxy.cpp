#include "cutting_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
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

}  // namespace

CuttingProxy::CuttingProxy(std::uint16_t server, Limit limit)
    : server_(server), limit_(std::move(limit)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 16) != 0 ||
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
    pass(client, limit_(number));
    // A reset may also take away what was sent before it.
    const linger now = {1, 0};
    if (number % 2 == 1) setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(client);
  }
}

void CuttingProxy::pass(int client, std::uint64_t limit) {
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(server_);
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
      open = size > 0 && send_all(server, buffer, static_cast<std::size_t>(size));
      if (std::exchange(answered, false)) turns_++;
    }
    if (open && ends[2].revents != 0) {
      const ssize_t size = recv(server, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      if (turns_ == hold_) {
        holds_ = true;
        continue;
      }
      const auto part = std::min<std::uint64_t>(static_cast<std::uint64_t>(size), limit - passed);
      passed += part;
      passed_ += part;
      answered = true;
      open = send_all(client, buffer, part) && passed < limit;
    }
  }
  close(server);
}

}  // namespace transcribe
