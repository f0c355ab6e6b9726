#include "openai/client.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace transcribe {
namespace {

constexpr const char* kRedacted = "***";
// A shorter secret may be a part of common words.
constexpr std::size_t kMinSecretBytes = 8;

void redact(std::string& text, const std::string& secret) {
  const auto inside_word = [&text](std::size_t at) {
    return at < text.size() && g_ascii_isalnum(text[at]);
  };
  for (std::size_t at = text.find(secret); at != std::string::npos;) {
    const bool part_of_word = (at > 0 && inside_word(at - 1)) || inside_word(at + secret.size());
    if (secret.size() < kMinSecretBytes && part_of_word) {
      at = text.find(secret, at + 1);
      continue;
    }
    text.replace(at, secret.size(), kRedacted);
    at = text.find(secret, at + std::char_traits<char>::length(kRedacted));
  }
}

// For what is cut to size afterwards: a part of a secret would not be found any more.
void redact_long(std::string& text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    // A short one may be a word that the answer is made of.
    if (secret.size() >= kMinSecretBytes) redact(text, secret);
  }
}

// What a server might echo in its error: the key, headers and the query of the URL.
std::vector<std::string> list_secrets(const ServiceSettings& service, const std::string& url) {
  std::vector<std::string> secrets;
  if (!service.api_key.empty()) secrets.push_back(service.api_key);
  for (const auto& header : service.extra_headers) {
    if (header.second.size() >= kMinSecretBytes) secrets.push_back(header.second);
  }
  const std::size_t query = url.find('?');
  if (query == std::string::npos) return secrets;
  if (query + 1 < url.size()) secrets.push_back(url.substr(query + 1));
  for (std::size_t begin = query + 1; begin < url.size();) {
    const std::size_t end = std::min(url.find('&', begin), url.size());
    const std::string parameter = url.substr(begin, end - begin);
    const std::size_t equals = parameter.find('=');
    const bool harmless = parameter.starts_with("api-version=");
    if (equals != std::string::npos && !harmless) {
      const std::string value = parameter.substr(equals + 1);
      if (value.size() >= kMinSecretBytes) secrets.push_back(value);
    }
    begin = end + 1;
  }
  return secrets;
}

std::size_t total_size(const std::vector<BytesPtr>& body) {
  std::size_t size = 0;
  for (const BytesPtr& bytes : body) size += g_bytes_get_size(bytes.get());
  return size;
}

Failure too_large(std::size_t size) {
  Failure failure;
  failure.severity = Severity::kChunk;
  failure.cause = Cause::kWrite;
  failure.reason = "too-large";
  failure.message = "The request would have " + std::to_string(size) +
                    " bytes, more than the service's limit of " + std::to_string(kMaxBodyBytes) +
                    ", and was not sent. Lower max-chunk-duration.";
  return failure;
}

}  // namespace

Result<std::unique_ptr<OpenAiClient>> OpenAiClient::create(Config config, const Clock& clock,
                                                           const Log& log) {
  const Status valid = validate(config.service, config.request);
  if (!valid) return valid.error();
  auto url = endpoint_url(config.service.base_url, config.request.task);
  if (!url) return url.error();
  auto http = HttpClient::create(config.http, log);
  if (!http) return http.error();
  return std::unique_ptr<OpenAiClient>(
      new OpenAiClient(std::move(config), *url, std::move(*http), clock, log));
}

OpenAiClient::OpenAiClient(Config config, std::string url, std::unique_ptr<HttpClient> http,
                           const Clock& clock, const Log& log)
    : config_(std::move(config)),
      url_(std::move(url)),
      printable_url_(printable_url(url_)),
      secrets_(list_secrets(config_.service, url_)),
      clock_(clock),
      log_(log),
      http_(std::move(http)) {}

RequestSettings OpenAiClient::settings_for(const Chunk& chunk) const {
  RequestSettings settings = config_.request;
  settings.prompt = chunk.prompt;
  if (!config_.context) return settings;
  const std::string before = config_.context->before(chunk.info);
  if (!settings.prompt.empty() && !before.empty()) settings.prompt += ' ';
  settings.prompt += before;
  return settings;
}

OpenAiClient::Answer OpenAiClient::find_echo(std::uint64_t index) {
  auto echoes = echoes_.lock();
  const auto found = echoes->find(index);
  return found == echoes->end() ? nullptr : found->second.lock();
}

Failure OpenAiClient::echo(const Chunk& chunk, unsigned attempt, Transcription&& answer) {
  Failure failure;
  failure.cause = Cause::kRead;
  failure.reason = "prompt-echo";
  failure.message =
      "The service answered with the prompt instead of what was said; the chunk is sent once more, "
      "without a prompt. If that happens often, use another context";
  failure.http_status = 200;
  failure.request_id = answer.request_id;
  failure.maybe_processed = true;
  answer.is_echo = true;
  failure.answer = std::make_shared<const Transcription>(std::move(answer));
  (*echoes_.lock())[chunk.info.index] = failure.answer;
  return conclude(chunk, attempt, std::move(failure));
}

std::optional<Failure> OpenAiClient::refuse(const Chunk& chunk) {
  const std::size_t size = body_size(settings_for(chunk), g_bytes_get_size(chunk.pcm.get()));
  if (size <= kMaxBodyBytes) return std::nullopt;
  return conclude(chunk, 0, too_large(size));
}

AttemptOutcome OpenAiClient::transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                                        const Cancellation& cancellation) {
  RequestSettings settings = settings_for(chunk);
  const Answer before = find_echo(chunk.info.index);
  if (before) settings.prompt.clear();
  AttemptOutcome outcome = send(chunk, attempt, settings, before != nullptr, timeout, cancellation);
  if (auto* answer = std::get_if<Transcription>(&outcome)) {
    const bool prompted = takes_prompt(settings) && !settings.prompt.empty();
    if (prompted && config_.is_echo && config_.is_echo(answer->text, settings.prompt))
      return echo(chunk, attempt, std::move(*answer));
  } else if (auto* failure = std::get_if<Failure>(&outcome); failure && before) {
    // Once is enough.
    if (failure->severity != Severity::kJob) outcome = *before;
  }
  return outcome;
}

AttemptOutcome OpenAiClient::send(const Chunk& chunk, unsigned attempt,
                                  const RequestSettings& settings, bool without_prompt,
                                  Milliseconds timeout, const Cancellation& cancellation) {
  const std::uint64_t index = chunk.info.index;
  RequestSettings keyed = settings;
  keyed.prompt = chunk.prompt;
  const HttpRequest request = build_request(
      config_.service, settings, url_, chunk.pcm.get(), index, settings.prompt,
      idempotency_key(config_.job_id, index, chunk.info.sha256, keyed, without_prompt));
  log_.print(LogLevel::kDebug,
             "chunk %" G_GUINT64_FORMAT ", attempt %u: POST %s, %" G_GSIZE_FORMAT " bytes", index,
             attempt, printable_url_.c_str(), total_size(request.body));
  const TimePoint begin = clock_.now();
  HttpResult result = http_->send(request, timeout, cancellation);
  if (!result) {
    if (result.error().fault == TransportFault::kCancelled) return Cancelled{};
    return conclude(chunk, attempt, classify_transport(result.error(), printable_url_));
  }
  for (auto& header : result->headers) redact_long(header.second, secrets_);
  const auto elapsed = std::chrono::duration_cast<Milliseconds>(clock_.now() - begin);
  log_.print(LogLevel::kDebug,
             "chunk %" G_GUINT64_FORMAT ", attempt %u: HTTP %u, %" G_GSIZE_FORMAT
             " bytes in %" G_GINT64_FORMAT " ms, request id '%s'",
             index, attempt, result->status, result->body.size(),
             static_cast<gint64>(elapsed.count()), find_request_id(result->headers).c_str());
  if (result->status < 200 || result->status >= 300) {
    redact_long(result->body, secrets_);
    return conclude(chunk, attempt, classify_response(*result, printable_url_, clock_.wall_now()));
  }
  auto transcription = parse_response(*result);
  if (!transcription) {
    redact_long(result->body, secrets_);
    return conclude(chunk, attempt, broken_response(*result, transcription.error().message));
  }
  clamp_times(*transcription, frames_to_time(chunk.info.payload.frames()));
  return std::move(*transcription);
}

Failure OpenAiClient::conclude(const Chunk& chunk, unsigned attempt, Failure failure) const {
  for (std::string* text : {&failure.message, &failure.error_message, &failure.error_type,
                            &failure.error_code, &failure.error_param, &failure.request_id}) {
    for (const std::string& secret : secrets_) redact(*text, secret);
  }
  log_.print(LogLevel::kInfo, "chunk %" G_GUINT64_FORMAT ", attempt %u: %s", chunk.info.index,
             attempt, failure.message.c_str());
  return failure;
}

}  // namespace transcribe
