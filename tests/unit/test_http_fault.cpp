#include <libsoup/soup.h>

#include "http/fault.h"

// Last: see check_main.h.
#include "check_main.h"

namespace transcribe {
namespace {

struct Row {
  GQuark domain;
  int code;
  bool connected;
  TransportFault fault;
};

START_TEST(every_cause_has_its_fault) {
  const Row rows[] = {
      {G_IO_ERROR, G_IO_ERROR_TIMED_OUT, false, TransportFault::kDeadline},
      {G_IO_ERROR, G_IO_ERROR_TIMED_OUT, true, TransportFault::kDeadline},
      {G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED, false, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_HOST_UNREACHABLE, false, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_NETWORK_UNREACHABLE, false, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_PROXY_FAILED, false, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_FAILED, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_INVALID_DATA, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_CANCELLED, true, TransportFault::kNetwork},
      {G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, false, TransportFault::kNotFound},
      {G_IO_ERROR, G_IO_ERROR_PROXY_NEED_AUTH, false, TransportFault::kInvalid},
      {G_IO_ERROR, G_IO_ERROR_PROXY_AUTH_FAILED, false, TransportFault::kInvalid},
      {G_IO_ERROR, G_IO_ERROR_PROXY_NOT_ALLOWED, false, TransportFault::kInvalid},
      {G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, false, TransportFault::kInvalid},
      {G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, false, TransportFault::kNotFound},
      {G_RESOLVER_ERROR, G_RESOLVER_ERROR_TEMPORARY_FAILURE, false, TransportFault::kNetwork},
      {G_RESOLVER_ERROR, G_RESOLVER_ERROR_INTERNAL, false, TransportFault::kNetwork},
      {G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE, false, TransportFault::kTls},
      {G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, false, TransportFault::kTls},
      {G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE, false, TransportFault::kTls},
      {G_TLS_ERROR, G_TLS_ERROR_NOT_TLS, false, TransportFault::kTls},
      {G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED, true, TransportFault::kTls},
      {G_TLS_ERROR, G_TLS_ERROR_EOF, false, TransportFault::kNetwork},
      {G_TLS_ERROR, G_TLS_ERROR_EOF, true, TransportFault::kNetwork},
      {G_TLS_ERROR, G_TLS_ERROR_MISC, true, TransportFault::kNetwork},
      {G_TLS_ERROR, G_TLS_ERROR_MISC, false, TransportFault::kTls},
      {G_URI_ERROR, G_URI_ERROR_BAD_HOST, false, TransportFault::kInvalid},
      {SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING, true, TransportFault::kNetwork},
      {SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_ENCODING, true, TransportFault::kNetwork},
  };
  for (const Row& row : rows) {
    const ErrorPtr error(g_error_new_literal(row.domain, row.code, "text"));
    ck_assert_msg(classify(*error, row.connected) == row.fault, "%s %d connected %d",
                  g_quark_to_string(row.domain), row.code, row.connected);
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("http_fault");
  TCase* tcase = tcase_create("classify");
  tcase_add_test(tcase, every_cause_has_its_fault);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
