// A request and what came back, free of libsoup.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/glib_ptr.h"
#include "base/result.h"

namespace transcribe {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Case-insensitive; the first match.
std::optional<std::string> find_header(const Headers& headers, std::string_view name);

struct HttpRequest {
  std::string url;  // may carry a query; never logged with it
  Headers headers;  // without Content-Type and Content-Length
  std::string content_type;
  std::vector<BytesPtr> body;  // sent one after the other without a copy
};

struct HttpResponse {
  unsigned status = 0;
  Headers headers;
  std::string body;
};

enum class TransportFault {
  kCancelled,  // by the caller: not an error
  kDeadline,   // our total deadline, or the socket's inactivity limit
  kNetwork,    // refused, reset, closed, unreachable, name server not answering
  kNotFound,   // the host name does not exist
  kTls,        // certificate or handshake
  kInvalid,    // URL or proxy setting can't be used
};

struct TransportError {
  TransportFault fault = TransportFault::kNetwork;
  std::string message;
  // The connection had carried a request before: the usual loss of an idle connection.
  bool reused_connection = false;
  // A connection stood and the request began to go out. While this is false, not a byte of it
  // was sent: the server has certainly not processed it.
  bool connected = false;
};

using HttpResult = Result<HttpResponse, TransportError>;

}  // namespace transcribe
