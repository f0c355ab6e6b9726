// Header lines and multipart/form-data (RFC 7578), read strictly: what a lenient server would
// forgive is an error here. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fake_message.h"

namespace transcribe::testing {

// Lines of "Name: value", each ended by CRLF, without the empty line. False: malformed.
bool read_header_lines(std::string_view lines, Headers& headers);

// An empty string, or what is wrong with the form.
std::string read_multipart(const std::string& content_type, std::string_view body,
                           std::vector<Part>& parts);

}  // namespace transcribe::testing
