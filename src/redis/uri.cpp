#include "redis/uri.h"

#include <charconv>
#include <string_view>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

Error refuse(const char* reason) { return Error{std::string("redis-uri ") + reason}; }

std::optional<unsigned> parse_database(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status read_socket_path(GUri* uri, RedisUri& result) {
  const char* host = g_uri_get_host(uri);
  result.path = g_uri_get_path(uri);
  if ((host && *host) || result.path.size() < 2 || result.path.front() != '/') {
    return refuse(
        "names no Unix socket; write its absolute path after the two slashes: "
        "redis+unix:///run/redis/redis.sock");
  }
  const char* query = g_uri_get_query(uri);
  if (!query) return Success{};
  const std::string_view text = query;
  const auto database = text.substr(0, 3) == "db=" ? parse_database(text.substr(3)) : std::nullopt;
  if (!database) return refuse("has an unknown part after '?'; only ?db=NUMBER may stand there");
  result.database = *database;
  return Success{};
}

Status read_host(GUri* uri, RedisUri& result) {
  const char* host = g_uri_get_host(uri);
  if (!host || !*host) return refuse("names no host; write redis://HOST[:PORT][/DATABASE]");
  result.host = host;
  const int port = g_uri_get_port(uri);
  if (port == 0) return refuse("has port 0; Redis usually listens on 6379");
  if (port > 0) result.port = static_cast<std::uint16_t>(port);
  if (g_uri_get_query(uri)) {
    return refuse(
        "has a part after '?' that is not known; write a '?' in a password as %3F, and the "
        "database as redis://HOST/NUMBER");
  }
  const std::string_view path = g_uri_get_path(uri);
  if (path.empty() || path == "/") return Success{};
  const auto database = parse_database(path.substr(1));
  if (!database) {
    return refuse(
        "has no number after the host's '/': it is the database, as in redis://HOST/0; write a "
        "'/' in a password as %2F");
  }
  result.database = *database;
  return Success{};
}

}  // namespace

std::string RedisUri::address() const {
  if (transport == Transport::kUnix) return path;
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<RedisUri> parse_redis_uri(const std::string& text) {
  // GLib's own error would repeat parts of the text.
  const UriPtr uri(g_uri_parse(text.c_str(), G_URI_FLAGS_HAS_PASSWORD, nullptr));
  if (!uri || text.find('\0') != std::string::npos) {
    return refuse(
        "can't be read; write redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE], with rediss for "
        "TLS, or redis+unix:///PATH, and characters such as @ : / ? # % in a password "
        "percent-encoded");
  }
  RedisUri result;
  const std::string_view scheme = g_uri_get_scheme(uri.get());
  if (scheme == "rediss") {
    result.transport = RedisUri::Transport::kTls;
  } else if (scheme == "redis+unix") {
    result.transport = RedisUri::Transport::kUnix;
  } else if (scheme != "redis") {
    return refuse(
        "has an unknown scheme; it begins with redis://, rediss:// (TLS) or redis+unix://");
  }
  if (g_uri_get_fragment(uri.get()))
    return refuse("has a '#'; write it as %23 when it is part of the password");

  if (const char* user = g_uri_get_user(uri.get())) result.user = user;
  if (const char* password = g_uri_get_password(uri.get())) result.password = password;
  // "redis://:@host" is what scripts make of an unset password.
  if (result.password && result.password->empty() && result.user.empty()) result.password.reset();

  const Status status = result.transport == RedisUri::Transport::kUnix
                            ? read_socket_path(uri.get(), result)
                            : read_host(uri.get(), result);
  if (!status) return status.error();
  return result;
}

}  // namespace transcribe
