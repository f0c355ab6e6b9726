#include "http/fault.h"

namespace transcribe {
namespace {

TransportFault classify_io(int code) {
  switch (code) {
    case G_IO_ERROR_TIMED_OUT:
      return TransportFault::kDeadline;
    case G_IO_ERROR_HOST_NOT_FOUND:
      return TransportFault::kNotFound;
    case G_IO_ERROR_NOT_SUPPORTED:
    case G_IO_ERROR_INVALID_ARGUMENT:
    case G_IO_ERROR_PROXY_AUTH_FAILED:
    case G_IO_ERROR_PROXY_NEED_AUTH:
    case G_IO_ERROR_PROXY_NOT_ALLOWED:
      return TransportFault::kInvalid;
    default:
      return TransportFault::kNetwork;
  }
}

TransportFault classify_tls(int code, bool connected) {
  switch (code) {
    case G_TLS_ERROR_EOF:
      return TransportFault::kNetwork;
    case G_TLS_ERROR_UNAVAILABLE:
    case G_TLS_ERROR_BAD_CERTIFICATE:
    case G_TLS_ERROR_CERTIFICATE_REQUIRED:
      return TransportFault::kTls;
    default:
      return connected ? TransportFault::kNetwork : TransportFault::kTls;
  }
}

}  // namespace

TransportFault classify(const GError& error, bool connected) {
  if (error.domain == G_IO_ERROR) return classify_io(error.code);
  if (error.domain == G_TLS_ERROR) return classify_tls(error.code, connected);
  if (error.domain == G_RESOLVER_ERROR) {
    return error.code == G_RESOLVER_ERROR_NOT_FOUND ? TransportFault::kNotFound
                                                    : TransportFault::kNetwork;
  }
  if (error.domain == G_URI_ERROR) return TransportFault::kInvalid;
  return TransportFault::kNetwork;
}

}  // namespace transcribe
