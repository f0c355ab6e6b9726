// A private GMainContext with one SoupSession: sends one request at a time over a connection that
// stays open. Any thread, but one at a time; the session's sources run only inside send().
#pragma once

#include <libsoup/soup.h>

#include <string>

#include "base/clock.h"
#include "http/cancellation.h"
#include "http/message.h"

namespace transcribe {

class Channel {
 public:
  struct Settings {
    std::string user_agent;
    ObjectPtr<GProxyResolver> proxy;          // null: the system's setting
    ObjectPtr<GTlsDatabase> tls_authorities;  // null: the system's
    std::size_t max_response_bytes = 0;
  };

  explicit Channel(const Settings& settings);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // After an error the channel is not fit for another request. Nothing is pending on return.
  HttpResult send(const HttpRequest& request, Milliseconds timeout,
                  const Cancellation& cancellation);
  // Whether the last answer came over a connection that had carried a request before.
  bool reused_connection() const { return reused_connection_; }

 private:
  MainContextPtr context_;
  ObjectPtr<SoupSession> session_;
  ObjectPtr<GSocket> socket_;  // of the newest connection
  std::size_t max_response_bytes_;
  guint64 connection_id_ = 0;  // that the last answer came over
  bool reused_connection_ = false;
};

}  // namespace transcribe
