// URIs as people may see them. Pure; any thread.
#pragma once

#include <string>

namespace transcribe {

// The text without the password of its user info, whether or not it can be parsed.
std::string without_password(const std::string& uri);

}  // namespace transcribe
