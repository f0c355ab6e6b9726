#include <algorithm>
#include <string_view>

#include "openai/fields.h"
#include "openai/request.h"

namespace transcribe {
namespace {

using Problem = std::optional<Error>;

bool is_utf8(const std::string& text) {
  return g_utf8_validate_len(text.data(), text.size(), nullptr);
}

bool contains_any(const std::string& text, std::string_view characters) {
  return text.find_first_of(characters) != std::string::npos;
}

// RFC 9110, "token".
bool is_header_name(const std::string& name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return g_ascii_isalnum(c) || kMarks.find(c) != std::string_view::npos;
  });
}

bool is_header_value(const std::string& value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
}

// Keys are typed, pasted and read from files; what breaks them is white space and line ends.
bool is_key(const std::string& key) {
  return !key.starts_with(' ') && !key.ends_with(' ') &&
         std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

Problem check_extra_header(const ServiceSettings& service, const std::string& name,
                           const std::string& value) {
  if (!is_header_name(name)) return Error{"extra-headers: a header's name is not a legal one"};
  if (!is_header_value(value)) {
    return Error{"extra-headers: the value of " + name + " holds a line end or control character"};
  }
  const auto is = [&name](const char* other) {
    return g_ascii_strcasecmp(name.c_str(), other) == 0;
  };
  if ((is("Authorization") || is("api-key")) && service.auth_scheme != AuthScheme::kNone) {
    return Error{"extra-headers must not hold " + name +
                 ": use api-key and auth-scheme, or set auth-scheme=none"};
  }
  if (is("OpenAI-Organization")) return Error{"extra-headers: use organization for " + name};
  if (is("OpenAI-Project")) return Error{"extra-headers: use project for " + name};
  for (const char* own : {"Accept", "Accept-Encoding", "Connection", "Content-Encoding",
                          "Content-Length", "Content-Type", "Expect", "Host", "Idempotency-Key",
                          "TE", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent"}) {
    if (is(own)) return Error{"extra-headers must not hold " + name + ": the element sets it"};
  }
  return std::nullopt;
}

Problem check_service(const ServiceSettings& service, Task task) {
  const auto url = endpoint_url(service.base_url, task);
  if (!url) return url.error();
  if (service.api_key.empty()) {
    if (service.auth_scheme == AuthScheme::kApiKey) {
      return Error{
          "api-key is missing, and auth-scheme=api-key needs it: set api-key or the environment "
          "variable OPENAI_API_KEY"};
    }
    if (service.auth_scheme == AuthScheme::kBearer && is_openai(service.base_url)) {
      return Error{
          "api-key is missing: set api-key or the environment variable OPENAI_API_KEY, or base-url "
          "for a service that needs no key"};
    }
  }
  if (!is_key(service.api_key)) {
    return Error{
        "api-key holds a line end, a space at an end or another character that no key has: check "
        "where it was read from"};
  }
  if (!is_header_value(service.organization)) {
    return Error{"organization holds a line end or control character"};
  }
  if (!is_header_value(service.project)) {
    return Error{"project holds a line end or control character"};
  }
  for (const auto& [name, value] : service.extra_headers) {
    if (auto found = check_extra_header(service, name, value)) return found;
  }
  return std::nullopt;
}

Problem check_text(const RequestSettings& request) {
  const auto bad = [](const char* property) {
    return Error{std::string(property) + " is no valid UTF-8"};
  };
  if (!is_utf8(request.model)) return bad("model");
  if (!is_utf8(request.language)) return bad("language-code");
  if (!is_utf8(request.prompt)) return bad("prompt");
  for (const std::string& language : request.languages) {
    if (!is_utf8(language)) return bad("languages");
    if (language.empty()) return Error{"languages holds an empty string: remove it"};
  }
  for (const std::string& keyword : request.keywords) {
    if (!is_utf8(keyword)) return bad("keywords");
    if (keyword.empty()) return Error{"keywords holds an empty string: remove it"};
    if (contains_any(keyword, "<>\r\n")) {
      return Error{"keywords must not hold '<', '>' or line ends: the service rejects them"};
    }
  }
  return std::nullopt;
}

// The translations endpoint knows model, prompt, response_format and temperature only.
Problem check_translation(const RequestSettings& request) {
  const char* refused = nullptr;
  if (!request.language.empty()) refused = "language-code";
  if (!request.languages.empty()) refused = "languages";
  if (!request.keywords.empty()) refused = "keywords";
  if (request.segment_timestamps || request.word_timestamps) refused = "timestamp-granularities";
  if (request.logprobs) refused = "logprobs";
  if (request.chunking_strategy != ChunkingStrategy::kNone) refused = "chunking-strategy";
  if (request.response_format == ResponseFormat::kDiarizedJson) {
    refused = "response-format=diarized-json";
  }
  if (refused == nullptr) return std::nullopt;
  return Error{"task=translate can't be combined with " + std::string(refused) +
               ": translations do not have it"};
}

Problem check_formats(const RequestSettings& request) {
  const ResponseFormat format = effective_format(request);
  if ((request.segment_timestamps || request.word_timestamps) &&
      format != ResponseFormat::kVerboseJson) {
    return Error{"timestamp-granularities needs response-format=verbose-json or auto"};
  }
  if (request.logprobs && format != ResponseFormat::kJson) {
    return Error{"logprobs needs response-format=json (or auto without timestamp-granularities)"};
  }
  if (format == ResponseFormat::kDiarizedJson && !request.prompt.empty()) {
    return Error{"prompt can't be combined with response-format=diarized-json: remove one"};
  }
  if (format == ResponseFormat::kDiarizedJson && request.context == Context::kPrevious) {
    return Error{
        "context=previous can't be combined with response-format=diarized-json, which takes no "
        "prompt: remove one"};
  }
  return std::nullopt;
}

Problem check_extra_field(const RequestSettings& request, const std::string& name,
                          const std::string& value) {
  if (name.empty() || !is_utf8(name) || contains_any(name, "\"\r\n")) {
    return Error{"extra-fields: a field's name is not a legal one"};
  }
  if (!is_utf8(value)) return Error{"extra-fields: the value of " + name + " is no valid UTF-8"};
  const std::string_view field = field_base_name(name);
  if (field == "file") return Error{"extra-fields must not hold file: it is the audio"};
  if (field == "stream") {
    return Error{"extra-fields must not hold stream: the element reads whole answers"};
  }
  const bool everywhere =
      field == "model" || field == "prompt" || field == "response_format" || field == "temperature";
  const bool transcription =
      field == "language" || field == "languages" || field == "keywords" ||
      field == "timestamp_granularities" || (field == "include" && request.logprobs) ||
      (field == "chunking_strategy" && request.chunking_strategy != ChunkingStrategy::kNone);
  if (everywhere || (transcription && request.task == Task::kTranscribe)) {
    return Error{"extra-fields must not hold " + name + ": use the property " +
                 std::string(*property_of_field(field))};
  }
  return std::nullopt;
}

Problem check_request(const RequestSettings& request) {
  if (request.model.empty()) return Error{"model is empty: name one, e.g. gpt-transcribe"};
  if (auto found = check_text(request)) return found;
  if (!request.language.empty() && !request.languages.empty()) {
    return Error{"language-code and languages exclude each other: set one of them"};
  }
  // Written so that NaN fails.
  if (request.temperature && !(*request.temperature >= 0 && *request.temperature <= 1)) {
    return Error{"temperature must lie between 0 and 1, or be -1 to leave it to the service"};
  }
  if (request.task == Task::kTranslate) {
    if (auto found = check_translation(request)) return found;
  }
  if (auto found = check_formats(request)) return found;
  for (const auto& [name, value] : request.extra_fields) {
    if (auto found = check_extra_field(request, name, value)) return found;
  }
  return std::nullopt;
}

}  // namespace

Status validate(const ServiceSettings& service, const RequestSettings& request) {
  if (auto found = check_service(service, request.task)) return *found;
  if (auto found = check_request(request)) return *found;
  return Success{};
}

}  // namespace transcribe
