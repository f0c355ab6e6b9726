// The two audio endpoints' requests and answers, without HTTP.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recognizer.h"

namespace local_recognizer {

struct ApiError {
  unsigned status = 400;
  std::string message = {};
  std::string type = "invalid_request_error";
  std::string param = {};  // empty: null
  std::string code = {};   // empty: null
};
std::string to_json(const ApiError& error);

struct FormField {
  std::string name;
  bool is_file = false;
  std::string value;
};

struct TranscriptionRequest {
  std::vector<std::int16_t> samples;
  bool verbose = false;
  bool words = false;
  bool segments = true;
};

// False, and `error` says why, when the form asks for what this server can't do.
bool parse_request(const std::vector<FormField>& form, TranscriptionRequest& request,
                   ApiError& error);

// The body of the answer.
std::string to_json(const TranscriptionRequest& request, const std::vector<Word>& words);

}  // namespace local_recognizer
