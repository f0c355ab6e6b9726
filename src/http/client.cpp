#include "http/client.h"

#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/tls_authorities.h"
#include "http/channel.h"

namespace transcribe {
namespace {

Result<ObjectPtr<GProxyResolver>> make_proxy(const std::string& proxy) {
  if (proxy.empty()) return ObjectPtr<GProxyResolver>();
  const UriPtr uri(g_uri_parse(proxy.c_str(), G_URI_FLAGS_HAS_PASSWORD, nullptr));
  const std::string_view scheme = uri ? g_uri_get_scheme(uri.get()) : "";
  const char* host = uri ? g_uri_get_host(uri.get()) : nullptr;
  const bool known = scheme == "http" || scheme == "https" || scheme == "socks" ||
                     scheme == "socks4" || scheme == "socks4a" || scheme == "socks5";
  if (!known || !host || !*host)
    return Error{"proxy is not a URI like http://host:port or socks5://host:port"};
  return ObjectPtr<GProxyResolver>(g_simple_proxy_resolver_new(proxy.c_str(), nullptr));
}

}  // namespace

struct HttpClient::Private {
  explicit Private(const Log& log_to) : log(log_to) {}

  const Log& log;
  Channel::Settings settings;
  // Last in, first out: the connection used last is the least likely to have been closed.
  Guarded<std::vector<std::unique_ptr<Channel>>> idle;
};

HttpClient::HttpClient(std::unique_ptr<Private> d) : d_(std::move(d)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create(const Config& config, const Log& log) {
  auto proxy = make_proxy(config.proxy);
  if (!proxy) return std::move(proxy.error());
  auto authorities = load_tls_authorities(config.tls_ca_file);
  if (!authorities) return std::move(authorities.error());

  auto d = std::make_unique<Private>(log);
  d->settings = {config.user_agent, std::move(*proxy), std::move(*authorities),
                 config.max_response_bytes};
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(d)));
}

HttpResult HttpClient::send(const HttpRequest& request, Milliseconds timeout,
                            const Cancellation& cancellation) {
  if (cancellation.cancelled()) return TransportError{TransportFault::kCancelled, "cancelled"};

  std::unique_ptr<Channel> channel;
  {
    auto idle = d_->idle.lock();
    if (!idle->empty()) {
      channel = std::move(idle->back());
      idle->pop_back();
    }
  }
  if (!channel) channel = std::make_unique<Channel>(d_->settings);

  HttpResult result = channel->send(request, timeout, cancellation);
  const char* connection = channel->reused_connection() ? "kept" : "new";
  if (result) {
    d_->log.print(LogLevel::kDebug, "answer %u with %zu bytes over a %s connection", result->status,
                  result->body.size(), connection);
    d_->idle.lock()->push_back(std::move(channel));
  } else {
    d_->log.print(LogLevel::kDebug, "no answer over a %s connection: %s", connection,
                  result.error().message.c_str());
  }
  return result;
}

}  // namespace transcribe
