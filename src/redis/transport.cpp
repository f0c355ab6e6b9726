#include "redis/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <vector>

#include "base/main_context.h"
#include "base/tls_authorities.h"
#include "redis/wait.h"

namespace transcribe {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;

RedisError cancelled() { return {RedisFault::kCancelled, "cancelled"}; }

RedisError refused(std::string message) { return {RedisFault::kRefused, std::move(message)}; }

RedisError lost(std::string message) { return {RedisFault::kLost, std::move(message)}; }

RedisError certificate_demanded(const std::string& address, const GError& error) {
  return refused(address + " refused this client's TLS connection (" + error.message +
                 "); client certificates can't be given here: set \"tls-auth-clients no\" on the "
                 "server and use a user with a password");
}

// The server judges the client after the client's handshake is over (TLS 1.3), in an alert that GIO
// has no error code for. A loss of the connection looks different.
bool is_rejection(const GError& error) {
  return error.domain == G_TLS_ERROR && error.code != G_TLS_ERROR_EOF;
}

std::string milliseconds(Milliseconds time) { return std::to_string(time.count()) + " ms"; }

// The two asynchronous steps to a stream, with what their callbacks leave behind.
class Opening {
 public:
  Opening(const RedisUri& uri, Wait& wait) : uri_(uri), wait_(wait) {}

  bool connect() {
    const ObjectPtr<GSocketClient> client(g_socket_client_new());
    g_socket_client_set_enable_proxy(client.get(), FALSE);
    ObjectPtr<GSocketConnectable> target;
    if (uri_.transport == RedisUri::Transport::kUnix) {
      target.reset(G_SOCKET_CONNECTABLE(g_unix_socket_address_new(uri_.path.c_str())));
    } else {
      target.reset(g_network_address_new(uri_.host.c_str(), uri_.port));
    }
    g_socket_client_connect_async(client.get(), target.get(), wait_.get(), on_connected, this);
    finish();
    return stream_ != nullptr;
  }

  bool shake_hands(GTlsDatabase* authorities) {
    const ObjectPtr<GSocketConnectable> name(g_network_address_new(uri_.host.c_str(), uri_.port));
    GIOStream* tls = g_tls_client_connection_new(stream_.get(), name.get(), out(error_));
    if (!tls) return false;
    stream_.reset(tls);
    if (authorities) g_tls_connection_set_database(G_TLS_CONNECTION(tls), authorities);
    // A server that goes down says no farewell; the protocol knows where an answer ends.
    g_tls_connection_set_require_close_notify(G_TLS_CONNECTION(tls), FALSE);
    const gulong id = g_signal_connect(tls, "accept-certificate", G_CALLBACK(on_certificate), this);
    g_tls_connection_handshake_async(G_TLS_CONNECTION(tls), G_PRIORITY_DEFAULT, wait_.get(),
                                     on_handshake, this);
    finish();
    g_signal_handler_disconnect(tls, id);
    return !error_;
  }

  RedisError describe() const {
    const std::string address = uri_.address();
    if (wait_.cancelled()) return cancelled();
    const bool tls = handshake_;
    if (wait_.timed_out()) {
      return lost(tls ? address + " did not finish the TLS handshake within " +
                            milliseconds(wait_.timeout()) +
                            "; redis-uri begins with redis:// when this port has no TLS"
                      : "no connection to " + address + " within " + milliseconds(wait_.timeout()));
    }
    std::string text = "no connection to " + address + ": " + error_->message;
    if (g_error_matches(error_.get(), G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE))
      return refused(text + "; install glib-networking");
    if (g_error_matches(error_.get(), G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED))
      return certificate_demanded(address, *error_);
    if (!g_error_matches(error_.get(), G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE))
      return lost(std::move(text));
    if (flags_ & G_TLS_CERTIFICATE_UNKNOWN_CA)
      text += "; its authority is not trusted: name the authority's file in tls-ca-file";
    if (flags_ & G_TLS_CERTIFICATE_BAD_IDENTITY)
      text += "; it belongs to another name: write the certificate's host name in redis-uri";
    if (flags_ & (G_TLS_CERTIFICATE_NOT_ACTIVATED | G_TLS_CERTIFICATE_EXPIRED))
      text += "; it is not valid at this time: check the clock and the certificate";
    return refused(std::move(text));
  }

  // Closing the stream must not wait for the peer.
  void abandon() {
    if (socket_) g_socket_shutdown(socket_.get(), TRUE, TRUE, nullptr);
  }

  ObjectPtr<GIOStream> stream_;
  ObjectPtr<GSocket> socket_;

 private:
  static void on_connected(GObject* client, GAsyncResult* result, gpointer self) noexcept {
    auto* opening = static_cast<Opening*>(self);
    GSocketConnection* connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, out(opening->error_));
    opening->stream_.reset(G_IO_STREAM(connection));
    if (connection) opening->socket_ = share(g_socket_connection_get_socket(connection));
    opening->done_ = true;
  }

  static gboolean on_certificate(GTlsConnection*, GTlsCertificate*, GTlsCertificateFlags flags,
                                 gpointer self) noexcept {
    static_cast<Opening*>(self)->flags_ = flags;
    return FALSE;
  }

  static void on_handshake(GObject* tls, GAsyncResult* result, gpointer self) noexcept {
    auto* opening = static_cast<Opening*>(self);
    g_tls_connection_handshake_finish(G_TLS_CONNECTION(tls), result, out(opening->error_));
    opening->done_ = true;
  }

  void finish() {
    handshake_ = stream_ != nullptr;
    while (!done_) wait_.iterate();
    done_ = false;
  }

  const RedisUri& uri_;
  Wait& wait_;
  ErrorPtr error_;
  GTlsCertificateFlags flags_ = G_TLS_CERTIFICATE_NO_FLAGS;
  bool handshake_ = false;
  bool done_ = false;
};

// One exchange: a writer and a reader side by side.
class Exchanging {
 public:
  Exchanging(GIOStream* stream, std::string_view bytes, Wait& wait,
             const Transport::Consumer& consume)
      : stream_(stream), rest_(bytes), wait_(wait), consume_(consume), buffer_(kReadSize) {}

  // True when all answers came.
  bool run(GSocket* socket) {
    write();
    read();
    while (writing_ || reading_) {
      wait_.iterate();
      if (!over_ && !wait_.ended()) continue;
      if (!complete_) g_socket_shutdown(socket, TRUE, TRUE, nullptr);
      wait_.end();
    }
    return complete_;
  }

  const GError* error() const { return error_.get(); }

 private:
  void write() {
    writing_ = !rest_.empty();
    if (!writing_) return;
    g_output_stream_write_async(g_io_stream_get_output_stream(stream_), rest_.data(), rest_.size(),
                                G_PRIORITY_DEFAULT, wait_.get(), on_written, this);
  }

  void read() {
    reading_ = true;
    g_input_stream_read_async(g_io_stream_get_input_stream(stream_), buffer_.data(), buffer_.size(),
                              G_PRIORITY_DEFAULT, wait_.get(), on_read, this);
  }

  static void on_written(GObject* stream, GAsyncResult* result, gpointer self) noexcept {
    auto* exchanging = static_cast<Exchanging*>(self);
    exchanging->writing_ = false;
    const gssize size = g_output_stream_write_finish(G_OUTPUT_STREAM(stream), result, nullptr);
    // A server that closes tells the reason before it does: the reader finds it, or the end.
    if (size <= 0 || exchanging->wait_.ended()) return;
    exchanging->rest_.remove_prefix(static_cast<std::size_t>(size));
    if (exchanging->answered_) {
      // An answer to what was not asked yet is no answer.
      exchanging->complete_ = exchanging->rest_.empty();
      exchanging->over_ = true;
      return;
    }
    exchanging->wait_.restart();
    exchanging->write();
  }

  static void on_read(GObject* stream, GAsyncResult* result, gpointer self) noexcept {
    auto* exchanging = static_cast<Exchanging*>(self);
    exchanging->reading_ = false;
    const gssize size =
        g_input_stream_read_finish(G_INPUT_STREAM(stream), result, out(exchanging->error_));
    if (size <= 0) {
      exchanging->over_ = true;
      return;
    }
    switch (exchanging->consume_({exchanging->buffer_.data(), static_cast<std::size_t>(size)})) {
      case Transport::Next::kNothing:
        // Who asked in several pieces may hear of the last one's end behind the answer.
        exchanging->answered_ = true;
        exchanging->complete_ = exchanging->over_ = !exchanging->writing_;
        return;
      case Transport::Next::kStop:
        exchanging->over_ = true;
        return;
      case Transport::Next::kAnother:
        exchanging->wait_.restart();
        break;
      case Transport::Next::kPart:
        break;
    }
    if (!exchanging->wait_.ended()) exchanging->read();
  }

  GIOStream* stream_;
  std::string_view rest_;
  Wait& wait_;
  const Transport::Consumer& consume_;
  std::vector<char> buffer_;
  ErrorPtr error_;
  bool writing_ = false;
  bool reading_ = false;
  bool answered_ = false;  // in full
  bool over_ = false;
  bool complete_ = false;
};

}  // namespace

RedisResult<std::unique_ptr<Transport>> Transport::open(const RedisUri& uri,
                                                        const std::string& tls_ca_file,
                                                        Milliseconds timeout,
                                                        const Cancellation& cancellation) {
  if (cancellation.cancelled()) return cancelled();
  ObjectPtr<GTlsDatabase> authorities;
  const bool tls = uri.transport == RedisUri::Transport::kTls;
  if (tls) {
    auto loaded = load_tls_authorities(tls_ca_file);
    if (!loaded) return refused(loaded.error().message);
    authorities = std::move(*loaded);
  }

  std::unique_ptr<Transport> transport(new Transport());
  GMainContext* context = transport->context_.get();
  const PushedContext pushed(context);
  transport->address_ = uri.address();
  Wait wait(context, timeout, cancellation);
  Opening opening(uri, wait);
  const bool open = opening.connect() && (!tls || opening.shake_hands(authorities.get()));
  if (!open) opening.abandon();
  transport->stream_ = std::move(opening.stream_);
  transport->socket_ = std::move(opening.socket_);
  if (!open) return opening.describe();
  transport->tcp_ = uri.transport == RedisUri::Transport::kTcp;
  if (uri.transport != RedisUri::Transport::kUnix)
    g_socket_set_option(transport->socket_.get(), IPPROTO_TCP, TCP_NODELAY, TRUE, nullptr);
  return transport;
}

Transport::~Transport() {
  const PushedContext pushed(context_.get());
  // TLS would say good-bye and wait for a peer that reads nothing.
  if (socket_) g_socket_shutdown(socket_.get(), TRUE, TRUE, nullptr);
  stream_.reset();
  while (g_main_context_iteration(context_.get(), FALSE)) {
  }
}

RedisResult<Success> Transport::exchange(std::string_view bytes, Milliseconds timeout,
                                         const Cancellation& cancellation,
                                         const Consumer& consume) {
  if (cancellation.cancelled()) return cancelled();
  const PushedContext pushed(context_.get());
  Wait wait(context_.get(), timeout, cancellation);
  const Consumer receive = [&](std::string_view part) {
    answered_ = true;
    return consume(part);
  };
  Exchanging exchanging(stream_.get(), bytes, wait, receive);
  if (exchanging.run(socket_.get())) return Success{};
  if (wait.cancelled()) return cancelled();
  if (wait.timed_out()) return lost(address_ + " did not answer within " + milliseconds(timeout));
  const GError* error = exchanging.error();
  if (error && !answered_ && is_rejection(*error)) return certificate_demanded(address_, *error);
  const char* hint =
      tcp_ && !answered_ ? "; redis-uri begins with rediss:// when this port speaks TLS" : "";
  if (!error) return lost(address_ + " closed the connection" + hint);
  return lost("the connection to " + address_ + " broke: " + error->message + hint);
}

}  // namespace transcribe
