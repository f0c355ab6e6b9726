// Answers a proxy's demand for a password once, for a request and for the CONNECT before it.
// libsoup alone does neither: with a password in the proxy's URI it sends again for as long as
// the answer is 407, and what it sends again goes to the proxy's own address.
// Lives in one thread, while the request is under way.
#pragma once

#include <libsoup/soup.h>

#include <vector>

#include "base/glib_ptr.h"

namespace transcribe {

class ProxyLogin {
 public:
  // `message` is not yet queued. Nothing else is sent through `session` meanwhile.
  ProxyLogin(SoupSession* session, SoupMessage* message);
  ~ProxyLogin();
  ProxyLogin(const ProxyLogin&) = delete;
  ProxyLogin& operator=(const ProxyLogin&) = delete;

 private:
  static void on_queued(SoupSession* session, SoupMessage* message, gpointer self) noexcept;
  static void on_headers(SoupMessage* message, gpointer self) noexcept;
  static void on_restarted(SoupMessage* message, gpointer self) noexcept;
  void watch(SoupMessage* message);

  SoupSession* session_;
  UriPtr uri_;
  std::vector<ObjectPtr<SoupMessage>> watched_;
  unsigned refusals_ = 0;
};

}  // namespace transcribe
