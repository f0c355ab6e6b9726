#include "http/exchange.h"

#include <algorithm>

#include "base/main_context.h"
#include "http/fault.h"
#include "http/proxy_login.h"

namespace transcribe {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;

// Not a g_cancellable_source: GLib 2.74 leaks one that is dropped while another thread is still in
// g_cancellable_cancel().
class Wakeup {
 public:
  Wakeup(const Cancellation& cancellation, GMainContext* context)
      : cancellable_(cancellation.get()),
        id_(g_cancellable_connect(cancellable_, G_CALLBACK(wake), context, nullptr)) {}
  // Returns when a call of wake() has.
  ~Wakeup() { g_cancellable_disconnect(cancellable_, id_); }
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

 private:
  static void wake(GCancellable*, gpointer context) noexcept {
    g_main_context_wakeup(static_cast<GMainContext*>(context));
  }
  GCancellable* cancellable_;
  gulong id_;
};

guint to_source_interval(Milliseconds timeout) {
  return static_cast<guint>(std::clamp<std::int64_t>(timeout.count(), 0, G_MAXUINT));
}

std::string describe(const GError& error, SoupMessage* message) {
  std::string text = error.message;
  if (g_error_matches(&error, G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE))
    return text + "; install glib-networking";
  const GTlsCertificateFlags flags = soup_message_get_tls_peer_certificate_errors(message);
  if (flags & G_TLS_CERTIFICATE_UNKNOWN_CA)
    text += "; its authority is not trusted: name the authority's file in tls-ca-file";
  if (flags & G_TLS_CERTIFICATE_BAD_IDENTITY) text += "; it belongs to another host name";
  if (flags & (G_TLS_CERTIFICATE_NOT_ACTIVATED | G_TLS_CERTIFICATE_EXPIRED))
    text += "; it is not valid at this time: check the clock and the certificate";
  return text;
}

}  // namespace

Exchange::Exchange(const HttpRequest& request, SoupMessage* message, ObjectPtr<GSocket>& socket,
                   std::size_t max_response_bytes)
    : request_(request),
      message_(message),
      socket_(socket),
      max_response_bytes_(max_response_bytes),
      attempt_(g_cancellable_new()) {
  g_signal_connect(message_, "starting", G_CALLBACK(on_starting), this);
  g_signal_connect(message_, "restarted", G_CALLBACK(on_restarted), this);
  g_signal_connect(message_, "network-event", G_CALLBACK(on_network_event), this);
  set_body();
}

Exchange::~Exchange() { g_signal_handlers_disconnect_by_data(message_, this); }

HttpResult Exchange::run(SoupSession* session, GMainContext* context, Milliseconds timeout,
                         const Cancellation& cancellation) {
  timeout_ = timeout;
  {
    const AttachedSource deadline(g_timeout_source_new(to_source_interval(timeout)), on_deadline,
                                  this, context);
    const Wakeup wakeup(cancellation, context);
    const ProxyLogin login(session, message_);
    soup_session_send_async(session, message_, G_PRIORITY_DEFAULT, attempt_.get(), on_sent, this);
    while (!done_) {
      if (cancellation.cancelled()) give_up(TransportFault::kCancelled, "cancelled");
      g_main_context_iteration(context, TRUE);
    }
  }
  if (error_) {
    error_->connected = starting_;
    return std::move(*error_);
  }
  return take_response();
}

void Exchange::set_body() {
  if (request_.body.empty()) return;
  const ObjectPtr<GInputStream> stream(g_memory_input_stream_new());
  std::size_t size = 0;
  for (const BytesPtr& piece : request_.body) {
    g_memory_input_stream_add_bytes(G_MEMORY_INPUT_STREAM(stream.get()), piece.get());
    size += g_bytes_get_size(piece.get());
  }
  soup_message_set_request_body(message_, request_.content_type.c_str(), stream.get(),
                                static_cast<gssize>(size));
}

void Exchange::on_starting(SoupMessage*, gpointer self) noexcept {
  static_cast<Exchange*>(self)->starting_ = true;
}

// libsoup forgets the body when it sends again, for a proxy that wants a password or a server
// that wants HTTP/1.1 instead of HTTP/2.
void Exchange::on_restarted(SoupMessage*, gpointer self) noexcept {
  static_cast<Exchange*>(self)->set_body();
}

void Exchange::on_network_event(SoupMessage*, GSocketClientEvent event, GIOStream* connection,
                                gpointer self) noexcept {
  if (event != G_SOCKET_CLIENT_CONNECTED || !G_IS_SOCKET_CONNECTION(connection)) return;
  static_cast<Exchange*>(self)->socket_ =
      share(g_socket_connection_get_socket(G_SOCKET_CONNECTION(connection)));
}

gboolean Exchange::on_deadline(gpointer self) noexcept {
  auto* exchange = static_cast<Exchange*>(self);
  exchange->give_up(
      TransportFault::kDeadline,
      "no complete answer within " + std::to_string(exchange->timeout_.count()) + " ms");
  return G_SOURCE_REMOVE;
}

void Exchange::on_sent(GObject* session, GAsyncResult* result, gpointer self) noexcept {
  auto* exchange = static_cast<Exchange*>(self);
  ErrorPtr error;
  exchange->stream_.reset(soup_session_send_finish(SOUP_SESSION(session), result, out(error)));
  if (exchange->stream_) {
    exchange->read_more();
  } else {
    exchange->fail(std::move(error));
    exchange->done_ = true;
  }
}

void Exchange::read_more() {
  body_.resize(received_ + kReadSize);
  g_input_stream_read_async(stream_.get(), body_.data() + received_, kReadSize, G_PRIORITY_DEFAULT,
                            attempt_.get(), on_read, this);
}

void Exchange::on_read(GObject* stream, GAsyncResult* result, gpointer self) noexcept {
  auto* exchange = static_cast<Exchange*>(self);
  ErrorPtr error;
  const gssize size = g_input_stream_read_finish(G_INPUT_STREAM(stream), result, out(error));
  if (size < 0) {
    exchange->fail(std::move(error));
  } else {
    exchange->received_ += static_cast<std::size_t>(size);
    if (exchange->received_ > exchange->max_response_bytes_) {
      exchange->give_up(
          TransportFault::kNetwork,
          "the answer is larger than " + std::to_string(exchange->max_response_bytes_) + " bytes");
    } else if (size > 0) {
      exchange->read_more();
      return;
    }
  }
  exchange->close();
}

void Exchange::close() {
  g_input_stream_close_async(stream_.get(), G_PRIORITY_DEFAULT, attempt_.get(), on_closed, this);
}

void Exchange::on_closed(GObject* stream, GAsyncResult* result, gpointer self) noexcept {
  g_input_stream_close_finish(G_INPUT_STREAM(stream), result, nullptr);
  static_cast<Exchange*>(self)->done_ = true;
}

void Exchange::give_up(TransportFault fault, std::string message) {
  if (error_) return;
  error_ = TransportError{fault, std::move(message)};
  // libsoup closes a TLS connection with a blocking farewell, which waits for ever behind a body
  // that the peer does not read; on a socket that is shut down it fails at once.
  if (socket_) g_socket_shutdown(socket_.get(), TRUE, TRUE, nullptr);
  g_cancellable_cancel(attempt_.get());
}

void Exchange::fail(ErrorPtr error) {
  if (error_) return;
  error_ = TransportError{classify(*error, starting_), describe(*error, message_)};
}

HttpResponse Exchange::take_response() {
  HttpResponse response;
  response.status = soup_message_get_status(message_);
  SoupMessageHeadersIter iterator;
  const char* name = nullptr;
  const char* value = nullptr;
  soup_message_headers_iter_init(&iterator, soup_message_get_response_headers(message_));
  while (soup_message_headers_iter_next(&iterator, &name, &value))
    response.headers.emplace_back(name, value);
  body_.resize(received_);
  response.body = std::move(body_);
  return response;
}

}  // namespace transcribe
