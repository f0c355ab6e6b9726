#include "http/channel.h"

#include <string_view>

#include "base/main_context.h"
#include "http/exchange.h"

namespace transcribe {
namespace {

TransportError invalid(std::string message) {
  return TransportError{TransportFault::kInvalid, std::move(message)};
}

// libsoup would drop such a header with a critical warning: a key read from a file with a line
// end is the usual case.
bool is_header(std::string_view name, std::string_view value) {
  using namespace std::string_view_literals;
  return !name.empty() && name.find_first_of(" \t\r\n:\0"sv) == name.npos &&
         value.find_first_of("\r\n\0"sv) == value.npos;
}

Result<ObjectPtr<SoupMessage>, TransportError> make_message(const HttpRequest& request) {
  const UriPtr uri(
      g_uri_parse(request.url.c_str(), static_cast<GUriFlags>(SOUP_HTTP_URI_FLAGS), nullptr));
  const std::string_view scheme = uri ? g_uri_get_scheme(uri.get()) : "";
  const char* host = uri ? g_uri_get_host(uri.get()) : nullptr;
  if ((scheme != "http" && scheme != "https") || !host || !*host)
    return invalid("the address of the service is not an http or https URL");

  // SOUP_METHOD_POST is a variable that the threads which use it first would race for.
  ObjectPtr<SoupMessage> message(soup_message_new_from_uri("POST", uri.get()));
  soup_message_add_flags(message.get(), static_cast<SoupMessageFlags>(SOUP_MESSAGE_IDEMPOTENT |
                                                                      SOUP_MESSAGE_NO_REDIRECT));
  SoupMessageHeaders* headers = soup_message_get_request_headers(message.get());
  for (const auto& [name, value] : request.headers) {
    if (!is_header(name, value)) {
      const CharPtr shown(g_strescape(name.c_str(), nullptr));
      return invalid(std::string("the request header \"") + shown.get() +
                     "\" holds a line end or another character that HTTP forbids");
    }
    soup_message_headers_append(headers, name.c_str(), value.c_str());
  }
  return message;
}

}  // namespace

Channel::Channel(const Settings& settings)
    : context_(g_main_context_new()), max_response_bytes_(settings.max_response_bytes) {
  const PushedContext pushed(context_.get());
  // More than one connection per host: with one, a request that finds the idle connection just
  // closed by the server would wait for it.
  session_.reset(soup_session_new_with_options("idle-timeout", 0U, "timeout", 0U,
                                               "max-conns-per-host", 4, nullptr));
  if (!settings.user_agent.empty())
    soup_session_set_user_agent(session_.get(), settings.user_agent.c_str());
  if (settings.proxy) soup_session_set_proxy_resolver(session_.get(), settings.proxy.get());
  if (settings.tls_authorities)
    soup_session_set_tls_database(session_.get(), settings.tls_authorities.get());
}

Channel::~Channel() {
  const PushedContext pushed(context_.get());
  // An HTTP/2 connection says good-bye before it closes.
  session_.reset();
  while (g_main_context_iteration(context_.get(), FALSE)) {
  }
}

HttpResult Channel::send(const HttpRequest& request, Milliseconds timeout,
                         const Cancellation& cancellation) {
  const PushedContext pushed(context_.get());
  auto message = make_message(request);
  if (!message) return std::move(message.error());

  Exchange exchange(request, message->get(), socket_, max_response_bytes_);
  HttpResult result = exchange.run(session_.get(), context_.get(), timeout, cancellation);
  // What libsoup does after the answer, such as handing the connection back, happens now and not
  // at the start of the next request.
  while (g_main_context_iteration(context_.get(), FALSE)) {
  }
  const guint64 id = soup_message_get_connection_id(message->get());
  reused_connection_ = id != 0 && id == connection_id_;
  connection_id_ = id;
  if (!result) result.error().reused_connection = reused_connection_;
  return result;
}

}  // namespace transcribe
