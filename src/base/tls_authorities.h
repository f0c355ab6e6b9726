// The certificates a TLS peer is judged by.
#pragma once

#include <string>

#include "base/glib_ptr.h"
#include "base/result.h"

namespace transcribe {

// From a PEM bundle, the property tls-ca-file; null when `file` is empty: the system's.
// The error names the property. Any thread; reads the file.
Result<ObjectPtr<GTlsDatabase>> load_tls_authorities(const std::string& file);

}  // namespace transcribe
