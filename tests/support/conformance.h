// Holds a request against the official API description (audio-v1.json): form fields, their
// spelling, types and allowed values come from its schemas, nothing of that is written here. Only
// what the description says in prose (which fields exclude each other, the size limit, the shortest
// audio) is code. One object serves one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fake_message.h"

namespace transcribe::testing {

struct Violation {
  std::string message;
  std::string param;
  std::string code;
  unsigned status = 400;
};

class Conformance {
 public:
  // Ends the process when the description can't be read: no test can go on without it.
  Conformance();
  ~Conformance();
  std::vector<Violation> check(const Request& request) const;

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe::testing
