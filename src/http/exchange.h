// One request on its way through a session: an attempt that ends with the answer, an error, the
// deadline or the caller's cancel. Lives in one thread, under the session's pushed context.
#pragma once

#include <libsoup/soup.h>

#include <optional>
#include <string>

#include "base/clock.h"
#include "http/cancellation.h"
#include "http/message.h"

namespace transcribe {

class Exchange {
 public:
  // `socket` is the session's open socket, if any; it is replaced when another one is opened.
  Exchange(const HttpRequest& request, SoupMessage* message, ObjectPtr<GSocket>& socket,
           std::size_t max_response_bytes);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Iterates `context` until the exchange is over and nothing of it is pending.
  HttpResult run(SoupSession* session, GMainContext* context, Milliseconds timeout,
                 const Cancellation& cancellation);

 private:
  static void on_starting(SoupMessage* message, gpointer self) noexcept;
  static void on_restarted(SoupMessage* message, gpointer self) noexcept;
  static void on_network_event(SoupMessage* message, GSocketClientEvent event,
                               GIOStream* connection, gpointer self) noexcept;
  static gboolean on_deadline(gpointer self) noexcept;
  static void on_sent(GObject* session, GAsyncResult* result, gpointer self) noexcept;
  static void on_read(GObject* stream, GAsyncResult* result, gpointer self) noexcept;
  static void on_closed(GObject* stream, GAsyncResult* result, gpointer self) noexcept;

  void set_body();
  void read_more();
  void close();
  void give_up(TransportFault fault, std::string message);
  void fail(ErrorPtr error);
  HttpResponse take_response();

  const HttpRequest& request_;
  SoupMessage* message_;
  ObjectPtr<GSocket>& socket_;
  const std::size_t max_response_bytes_;
  ObjectPtr<GCancellable> attempt_;
  ObjectPtr<GInputStream> stream_;
  std::string body_;
  std::size_t received_ = 0;
  Milliseconds timeout_{};
  std::optional<TransportError> error_;
  bool starting_ = false;
  bool done_ = false;
};

}  // namespace transcribe
