#include "http/proxy_login.h"

#include <string_view>

namespace transcribe {

ProxyLogin::ProxyLogin(SoupSession* session, SoupMessage* message)
    : session_(session), uri_(g_uri_ref(soup_message_get_uri(message))) {
  g_signal_connect(session_, "request-queued", G_CALLBACK(on_queued), this);
  watch(message);
}

ProxyLogin::~ProxyLogin() {
  g_signal_handlers_disconnect_by_data(session_, this);
  for (const auto& message : watched_) g_signal_handlers_disconnect_by_data(message.get(), this);
}

void ProxyLogin::watch(SoupMessage* message) {
  g_signal_connect(message, "got-headers", G_CALLBACK(on_headers), this);
  g_signal_connect(message, "restarted", G_CALLBACK(on_restarted), this);
  watched_.push_back(share(message));
}

void ProxyLogin::on_queued(SoupSession*, SoupMessage* message, gpointer self) noexcept {
  if (std::string_view(soup_message_get_method(message)) == "CONNECT")
    static_cast<ProxyLogin*>(self)->watch(message);
}

// The first 407 may come before any password was sent, or ask for a Digest with a newer nonce.
// After the second the authentication lets go of the message, and the 407 is the answer.
void ProxyLogin::on_headers(SoupMessage* message, gpointer self) noexcept {
  auto* login = static_cast<ProxyLogin*>(self);
  if (soup_message_get_status(message) != SOUP_STATUS_PROXY_UNAUTHORIZED) return;
  if (++login->refusals_ < 2) return;
  SoupSessionFeature* authentication =
      soup_session_get_feature(login->session_, SOUP_TYPE_AUTH_MANAGER);
  if (authentication) g_signal_handlers_disconnect_by_data(message, authentication);
}

void ProxyLogin::on_restarted(SoupMessage* message, gpointer self) noexcept {
  soup_message_set_uri(message, static_cast<ProxyLogin*>(self)->uri_.get());
}

}  // namespace transcribe
