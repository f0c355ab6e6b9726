// What a GError of GIO or libsoup means to somebody who wants to know whether to try again.
#pragma once

#include "http/message.h"

namespace transcribe {

// `connected`: the TLS handshake was over when the error came; what TLS reports after that is a
// broken connection, except a demand for a client certificate.
TransportFault classify(const GError& error, bool connected);

}  // namespace transcribe
