// What a service says about its own error, in any of the shapes that servers use. Pure.
#pragma once

#include <string>
#include <string_view>

namespace transcribe {

struct ErrorBody {
  std::string message;  // or the start of a body that could not be read
  std::string type;
  std::string code;
  std::string param;  // without FastAPI's "body" in front
  // `message` is a sentence for people, not a page of HTML or a cut body.
  bool readable = false;
};

ErrorBody read_error_body(std::string_view body);

// The first bytes of anything as one line of valid UTF-8, at most 512 bytes.
std::string excerpt(std::string_view bytes);

}  // namespace transcribe
