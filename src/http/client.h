// Sends POST requests over connections that stay open; as many at once as there are callers.
//
// One channel (a private GMainContext with one SoupSession) is lent to one caller at a time, so
// nothing relies on libsoup's thread safety, cancel is instant and the total deadline is ours:
// libsoup 3.2's session timer crashes a session that lives in a shared context, its own timeout
// is per socket operation, and a synchronous request can't be cancelled while it waits.
// send(): any thread. The destructor: when no send() is running.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "http/cancellation.h"
#include "http/message.h"

namespace transcribe {

class HttpClient {
 public:
  struct Config {
    std::string user_agent;
    std::string proxy;        // URI; empty: the system's setting
    std::string tls_ca_file;  // PEM bundle; empty: the system's
    std::size_t max_response_bytes = 64 * 1024 * 1024;
  };
  // Fails when the proxy or the CA file can't be used.
  static Result<std::unique_ptr<HttpClient>> create(const Config& config, const Log& log);
  ~HttpClient();

  // Blocks until the whole answer is here, `timeout` is over, or `cancellation` ends it.
  // Redirects are not followed (the body would be lost): a 3xx is returned as it is.
  // An answer larger than max_response_bytes is a kNetwork error. One that ends with the
  // connection, or was cut between two chunks, looks whole: only its content can tell.
  HttpResult send(const HttpRequest& request, Milliseconds timeout,
                  const Cancellation& cancellation);

 private:
  struct Private;
  explicit HttpClient(std::unique_ptr<Private> d);
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
