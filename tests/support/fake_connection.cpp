#include "fake_connection.h"

#include <libsoup/soup.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "multipart_reader.h"

namespace transcribe::testing {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kMaxBody = 64 * 1024 * 1024;
constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kSendSize = 64 * 1024;
constexpr int kReadsPerTurn = 16;
constexpr std::chrono::milliseconds kDrainLimit{2000};

bool header_says(const Headers& headers, const char* name, const char* value) {
  return g_ascii_strcasecmp(find_header(headers, name).c_str(), value) == 0;
}

bool read_number(std::string_view text, unsigned base, std::size_t& value) {
  guint64 number = 0;
  if (!g_ascii_string_to_unsigned(std::string(text).c_str(), base, 0, kMaxBody, &number, nullptr)) {
    return false;
  }
  value = number;
  return true;
}

}  // namespace

void Connection::Source::set(GSource* source, GMainContext* context) {
  clear();
  source_ = source;
  g_source_attach(source_, context);
}

void Connection::Source::clear() {
  if (source_) {
    g_source_destroy(source_);
    g_source_unref(source_);
    source_ = nullptr;
  }
}

Connection::Connection(GMainContext* context, ObjectPtr<GSocket> socket, std::size_t number,
                       std::chrono::milliseconds close_idle, ConnectionHost& host)
    : context_(context),
      socket_(std::move(socket)),
      number_(number),
      close_idle_(close_idle),
      host_(host) {
  g_socket_set_blocking(socket_.get(), FALSE);
  g_socket_set_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1, nullptr);
  watch(readable_, G_IO_IN);
  become_idle();
}

Connection::~Connection() { close(End::kStopped); }

void Connection::watch(Source& source, GIOCondition condition) {
  GSource* watch = g_socket_create_source(socket_.get(), condition, nullptr);
  const GSocketSourceFunc callback = [](GSocket*, GIOCondition what, gpointer self) noexcept {
    auto* connection = static_cast<Connection*>(self);
    if (what & G_IO_OUT) {
      connection->send();
    } else {
      connection->receive();
    }
    return gboolean(G_SOURCE_CONTINUE);
  };
  g_source_set_callback(watch, G_SOURCE_FUNC(callback), this, nullptr);
  source.set(watch, context_);
}

void Connection::start_timer(std::chrono::milliseconds delay, void (Connection::*action)()) {
  timer_action_ = action;
  GSource* timeout = g_timeout_source_new(static_cast<guint>(delay.count()));
  const GSourceFunc callback = [](gpointer self) noexcept {
    auto* connection = static_cast<Connection*>(self);
    (connection->*connection->timer_action_)();
    return gboolean(G_SOURCE_REMOVE);
  };
  g_source_set_callback(timeout, callback, this, nullptr);
  timer_.set(timeout, context_);
}

void Connection::end_request(End end) {
  if (open_request_) {
    open_request_ = false;
    request_.end = end;
    request_.ended = g_get_monotonic_time();
    host_.on_end(request_);
    request_ = Request();
  }
}

void Connection::close(End end) {
  if (state_ == State::kClosed) {
    return;
  }
  state_ = State::kClosed;
  readable_.clear();
  writable_.clear();
  timer_.clear();
  // First: what the client sees, the test can look up.
  end_request(end);
  g_socket_close(socket_.get(), nullptr);
}

void Connection::reset() {
  const linger now = {1, 0};
  setsockopt(g_socket_get_fd(socket_.get()), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(End::kFault);
}

void Connection::receive() {
  char buffer[kReadSize];
  for (int turn = 0; turn < kReadsPerTurn && state_ != State::kClosed; ++turn) {
    ErrorPtr error;
    const gssize size = g_socket_receive(socket_.get(), buffer, sizeof buffer, nullptr, out(error));
    if (size < 0 && g_error_matches(error.get(), G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      return;
    }
    if (size <= 0) {
      close(state_ == State::kDraining ? End::kAnswered : End::kClientGone);
      return;
    }
    if (state_ == State::kDraining) {
      continue;
    }
    input_.append(buffer, static_cast<std::size_t>(size));
    process();
    const bool busy =
        state_ == State::kWaiting || state_ == State::kAtGate || state_ == State::kSending;
    if (busy && input_.size() > kMaxHead) {
      readable_.clear();
      return;
    }
  }
}

void Connection::process() {
  bool more = true;
  while (more && !input_.empty()) {
    switch (state_) {
      case State::kIdle:
        timer_.clear();
        first_byte_ = g_get_monotonic_time();
        state_ = State::kHead;
        break;
      case State::kHead:
        more = read_head();
        break;
      case State::kBody:
        more = chunked_ ? read_chunked() : read_body();
        break;
      default:
        more = false;
    }
  }
}

void Connection::refuse_garbage(const std::string& why) {
  host_.on_garbage(number_, why);
  answer_ = Answer();
  answer_.close = true;
  output_ = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  sent_ = 0;
  limit_ = output_.size();
  state_ = State::kSending;
  body_unread_ = true;
  send();
}

bool Connection::read_head() {
  const auto end = input_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (input_.size() > kMaxHead) {
      refuse_garbage("a head without an end");
    }
    return false;
  }
  const auto line_end = input_.find("\r\n");
  const std::string line = input_.substr(0, line_end);
  Request request;
  request.connection = number_;
  request.arrival = first_byte_;
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  const std::string version = last == std::string::npos ? "" : line.substr(last + 1);
  if (last <= first || (version != "HTTP/1.1" && version != "HTTP/1.0") ||
      !read_header_lines(std::string_view(input_).substr(line_end + 2, end - line_end),
                         request.headers)) {
    refuse_garbage("not an HTTP request: " + line.substr(0, 80));
    return false;
  }
  input_.erase(0, end + 4);
  request.method = line.substr(0, first);
  request.path = line.substr(first + 1, last - first - 1);
  const auto question = request.path.find('?');
  if (question != std::string::npos) {
    request.query = request.path.substr(question + 1);
    request.path.resize(question);
  }
  const std::string length = request.header("Content-Length");
  length_ = 0;
  chunk_begun_ = false;
  chunked_ = header_says(request.headers, "Transfer-Encoding", "chunked");
  if (!chunked_ && !length.empty() && !read_number(length, 10, length_)) {
    refuse_garbage("Content-Length: " + length);
    return false;
  }
  keep_alive_ = version == "HTTP/1.1" && !header_says(request.headers, "Connection", "close");
  body_.clear();
  request_ = std::move(request);
  open_request_ = true;
  state_ = State::kBody;
  if (auto early = host_.on_head(request_)) {
    early->close = true;
    answer(std::move(*early));
    return false;
  }
  if (header_says(request_.headers, "Expect", "100-continue")) {
    g_socket_send(socket_.get(), "HTTP/1.1 100 Continue\r\n\r\n", 25, nullptr, nullptr);
  }
  if (!chunked_) {
    body_.reserve(length_);
    if (length_ == 0) {
      read_body();
    }
  }
  return true;
}

bool Connection::read_body() {
  const auto size = std::min(length_ - body_.size(), input_.size());
  body_.append(input_, 0, size);
  input_.erase(0, size);
  if (body_.size() == length_) {
    request_.received = g_get_monotonic_time();
    answer(host_.on_body(request_, std::move(body_)));
  }
  return true;
}

bool Connection::read_chunked() {
  if (chunk_begun_) {
    const auto size = std::min(length_, input_.size());
    body_.append(input_, 0, size);
    input_.erase(0, size);
    length_ -= size;
    if (length_ > 0) {
      return true;
    }
    if (input_.size() < 2) {
      return false;
    }
    input_.erase(0, 2);
    chunk_begun_ = false;
    return true;
  }
  const auto end = input_.find("\r\n");
  if (end == std::string::npos) {
    return false;
  }
  if (!read_number(input_.substr(0, std::min(end, input_.find(';'))), 16, length_) ||
      body_.size() + length_ > kMaxBody) {
    refuse_garbage("a chunked body that can't be read");
    return false;
  }
  if (length_ > 0) {
    input_.erase(0, end + 2);
    chunk_begun_ = true;
    return true;
  }
  const auto trailer_end = input_.find("\r\n\r\n");
  if (trailer_end == std::string::npos) {
    return false;
  }
  input_.erase(0, trailer_end + 4);
  request_.received = g_get_monotonic_time();
  answer(host_.on_body(request_, std::move(body_)));
  return true;
}

void Connection::answer(Answer answer) {
  answer_ = std::move(answer);
  state_ = State::kWaiting;
  if (answer_.delay.count() > 0) {
    start_timer(answer_.delay, &Connection::after_delay);
  } else {
    after_delay();
  }
}

void Connection::after_delay() {
  if (answer_.gate.empty()) {
    play();
  } else {
    state_ = State::kAtGate;
    check_gate();
  }
}

void Connection::check_gate() {
  if (state_ == State::kAtGate && host_.gate_is_open(answer_.gate)) {
    state_ = State::kWaiting;
    play();
  }
}

void Connection::play() {
  if (answer_.hang) {
    return;
  }
  if (answer_.reset != Reset::kNone) {
    reset();
    return;
  }
  sent_ = 0;
  state_ = State::kSending;
  body_unread_ = request_.received == 0;
  if (answer_.raw.empty()) {
    compose();
  } else {
    output_ = answer_.raw;
    limit_ = output_.size();
  }
  send();
}

void Connection::compose() {
  std::string type = "application/json";
  std::string body = answer_.body ? *answer_.body : default_body(request_, type);
  const bool close = answer_.close || answer_.cut_body_after || !keep_alive_;
  request_.status = answer_.status;
  output_ = "HTTP/1.1 " + std::to_string(answer_.status) + " " +
            soup_status_get_phrase(answer_.status) + "\r\n";
  const auto add = [&](const std::string& name, const std::string& value) {
    if (find_header(answer_.headers, name).empty()) {
      output_ += name + ": " + value + "\r\n";
    }
  };
  add("Content-Type", type);
  add("Content-Length", std::to_string(body.size()));
  add("X-Request-Id", "req_" + std::to_string(request_.number));
  if (close) {
    add("Connection", "close");
  }
  for (const auto& [name, value] : answer_.headers) {
    output_ += name + ": " + value + "\r\n";
  }
  output_ += "\r\n";
  limit_ = output_.size();
  if (answer_.cut_body_after && *answer_.cut_body_after < body.size()) {
    body.resize(*answer_.cut_body_after);
  }
  output_ += body;
  if (answer_.drip_bytes == 0) {
    limit_ = output_.size();
  }
}

void Connection::send() {
  writable_.clear();
  while (sent_ < limit_) {
    const auto piece = std::min(limit_ - sent_, kSendSize);
    if (sent_ + piece == output_.size()) {
      end_request(spoiled() ? End::kFault : End::kAnswered);
    }
    ErrorPtr error;
    const gssize size =
        g_socket_send(socket_.get(), output_.data() + sent_, piece, nullptr, out(error));
    if (size < 0 && g_error_matches(error.get(), G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
      watch(writable_, G_IO_OUT);
      return;
    }
    if (size < 0) {
      close(End::kClientGone);
      return;
    }
    sent_ += static_cast<std::size_t>(size);
  }
  if (limit_ == output_.size()) {
    finish();
    return;
  }
  limit_ = std::min(limit_ + answer_.drip_bytes, output_.size());
  start_timer(answer_.drip_interval, &Connection::send);
}

bool Connection::spoiled() const { return !answer_.raw.empty() || answer_.cut_body_after; }

void Connection::finish() {
  output_.clear();
  if (spoiled()) {
    close(End::kFault);
    return;
  }
  if (body_unread_) {
    // Closing now would make the kernel answer the rest of the body with a reset, which may
    // overtake the answer.
    g_socket_shutdown(socket_.get(), FALSE, TRUE, nullptr);
    state_ = State::kDraining;
    input_.clear();
    watch(readable_, G_IO_IN);
    start_timer(kDrainLimit, &Connection::give_up_draining);
    return;
  }
  if (answer_.close || !keep_alive_) {
    close(End::kAnswered);
    return;
  }
  if (answer_.close_idle.count() > 0) {
    close_idle_ = answer_.close_idle;
  }
  watch(readable_, G_IO_IN);
  become_idle();
  process();
}

void Connection::become_idle() {
  state_ = State::kIdle;
  timer_.clear();
  if (close_idle_.count() > 0) {
    start_timer(close_idle_, &Connection::close_idle);
  }
}

void Connection::close_idle() { close(End::kAnswered); }

void Connection::give_up_draining() { close(End::kAnswered); }

}  // namespace transcribe::testing
