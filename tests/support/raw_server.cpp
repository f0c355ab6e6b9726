#include "raw_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace transcribe {
namespace {

std::size_t content_length(const std::string& head) {
  std::string lower = head;
  std::transform(lower.begin(), lower.end(), lower.begin(), g_ascii_tolower);
  const auto at = lower.find("\r\ncontent-length:");
  return at == std::string::npos ? 0 : std::stoul(lower.substr(at + 17));
}

}  // namespace

RawServer::Peer::Peer(RawServer& server, GSocketConnection* connection, unsigned number)
    : server_(server), connection_(connection), stream_(G_IO_STREAM(connection)), number_(number) {
  g_object_ref(stream_);
}

RawServer::Peer::~Peer() { g_object_unref(stream_); }

bool RawServer::Peer::start_tls() {
  GIOStream* tls = g_tls_server_connection_new(stream_, server_.certificate_, nullptr);
  g_object_unref(stream_);
  stream_ = tls;
  g_tls_connection_set_require_close_notify(G_TLS_CONNECTION(tls), FALSE);
  return g_tls_connection_handshake(G_TLS_CONNECTION(tls), server_.end_, nullptr);
}

bool RawServer::Peer::read_head(Request& request) {
  std::size_t end;
  while ((end = ahead_.find("\r\n\r\n")) == std::string::npos) {
    char buffer[4096];
    const gssize size = g_input_stream_read(g_io_stream_get_input_stream(stream_), buffer,
                                            sizeof buffer, server_.end_, nullptr);
    if (size <= 0) return false;
    ahead_.append(buffer, static_cast<std::size_t>(size));
  }
  request.head = ahead_.substr(0, end + 2);
  request.body.clear();
  ahead_.erase(0, end + 4);
  return true;
}

bool RawServer::Peer::read_body(std::size_t size,
                                const std::function<void(std::string_view)>& sink) {
  const std::string first = ahead_.substr(0, size);
  ahead_.erase(0, first.size());
  sink(first);
  size -= first.size();
  std::vector<char> buffer(64 * 1024);
  while (size > 0) {
    const gssize got = g_input_stream_read(g_io_stream_get_input_stream(stream_), buffer.data(),
                                           std::min(size, buffer.size()), server_.end_, nullptr);
    if (got <= 0) return false;
    sink(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    size -= static_cast<std::size_t>(got);
  }
  server_.count(server_.requests_);
  return true;
}

bool RawServer::Peer::read_request(Request& request) {
  return read_head(request) && read_body(content_length(request.head),
                                         [&](std::string_view part) { request.body += part; });
}

bool RawServer::Peer::write(std::string_view text) {
  return g_output_stream_write_all(g_io_stream_get_output_stream(stream_), text.data(), text.size(),
                                   nullptr, server_.end_, nullptr);
}

bool RawServer::Peer::answer(unsigned status, std::string_view body, std::string_view headers) {
  return write("HTTP/1.1 " + std::to_string(status) +
               " Status\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
               std::string(headers) + "\r\n" + std::string(body));
}

bool RawServer::Peer::pause(std::chrono::milliseconds time) {
  GPollFD fd;
  if (!g_cancellable_make_pollfd(server_.end_, &fd)) return false;
  const bool ended = g_poll(&fd, 1, static_cast<gint>(time.count())) > 0;
  g_cancellable_release_fd(server_.end_);
  return !ended;
}

void RawServer::Peer::hang() { pause(std::chrono::milliseconds(-1)); }

void RawServer::Peer::hang_until_closed() {
  char byte;
  while (g_input_stream_read(g_io_stream_get_input_stream(stream_), &byte, 1, server_.end_,
                             nullptr) > 0) {
  }
}

void RawServer::Peer::reset_on_close() {
  const linger at_once{1, 0};
  setsockopt(g_socket_get_fd(g_socket_connection_get_socket(connection_)), SOL_SOCKET, SO_LINGER,
             &at_once, sizeof at_once);
}

RawServer::RawServer(Script script, const std::string& certificate)
    : script_(std::move(script)), listener_(g_socket_listener_new()), end_(g_cancellable_new()) {
  if (!certificate.empty()) {
    GError* error = nullptr;
    certificate_ = g_tls_certificate_new_from_file(certificate.c_str(), &error);
    if (!certificate_) g_error("%s: %s", certificate.c_str(), error->message);
  }
  GError* error = nullptr;
  GSocket* socket =
      g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr);
  // Small, and fixed by being set: a script that does not read stalls its client for good.
  g_socket_set_option(socket, SOL_SOCKET, SO_RCVBUF, 16 * 1024, nullptr);
  GInetAddress* loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
  GSocketAddress* wanted = g_inet_socket_address_new(loopback, 0);
  if (!g_socket_bind(socket, wanted, FALSE, &error) || !g_socket_listen(socket, &error) ||
      !g_socket_listener_add_socket(listener_, socket, nullptr, &error))
    g_error("cannot listen on loopback: %s", error->message);
  GSocketAddress* got = g_socket_get_local_address(socket, nullptr);
  port_ = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(got));
  g_object_unref(got);
  g_object_unref(wanted);
  g_object_unref(loopback);
  g_object_unref(socket);
  acceptor_ = std::thread([this] { accept(); });
}

RawServer::~RawServer() {
  g_cancellable_cancel(end_);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  g_object_unref(listener_);
  g_object_unref(end_);
  g_clear_object(&certificate_);
}

void RawServer::accept() {
  while (GSocketConnection* connection =
             g_socket_listener_accept(listener_, nullptr, end_, nullptr)) {
    const unsigned number = connections_++;
    threads_.emplace_back([this, connection, number] { serve(connection, number); });
  }
}

void RawServer::serve(GSocketConnection* connection, unsigned number) {
  {
    Peer peer(*this, connection, number);
    if (!certificate_ || peer.start_tls()) script_(peer);
  }
  // Not the TLS stream: its farewell would wait for a client that reads nothing.
  g_io_stream_close(G_IO_STREAM(connection), nullptr, nullptr);
  g_object_unref(connection);
  count(closed_);
}

void RawServer::count(std::atomic<unsigned>& counter) {
  const std::lock_guard lock(mutex_);
  ++counter;
  changed_.notify_all();
}

void RawServer::wait_for_requests(unsigned count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requests_ >= count; });
}

void RawServer::wait_for_closed(unsigned count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ >= count; });
}

std::string RawServer::url(std::string_view path) const {
  return (certificate_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_) +
         std::string(path);
}

}  // namespace transcribe
