// Where a job's audio comes from, as its store may have it: a URI without what can be a secret.
// Pure; any thread.
#pragma once

#include <string>

namespace transcribe {

// A file: URI as it is. Of others user info, query and fragment are left out, and kSourceCut marks
// the end where there were any. Empty: nothing that tells another process where the audio is
// (appsrc://, fd://0), the audio itself (data:), longer than kMaxSource, or no URI.
std::string source_text(const std::string& uri);

// Nothing was left out: the text is the URI itself.
bool is_whole_source(const std::string& text);

inline constexpr std::size_t kMaxSource = 4096;  // bytes; the script's limit
inline constexpr char kSourceCut[] = "?...";

}  // namespace transcribe
