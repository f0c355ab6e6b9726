// The Transcriber over HTTP: builds the request, sends it, reads or classifies the answer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/log.h"
#include "http/client.h"
#include "openai/prompt_context.h"
#include "openai/request.h"
#include "openai/transcriber.h"

namespace transcribe {

class OpenAiClient final : public Transcriber {
 public:
  struct Config {
    ServiceSettings service;
    RequestSettings request;
    HttpClient::Config http;
    std::string job_id;
    PromptContext* context = nullptr;  // with Context::kPrevious; outlives the client
    // True when the answer is only the prompt again: models that hear nothing repeat it. Any
    // thread; null: no answer is.
    std::function<bool(const std::string& answer, const std::string& prompt)> is_echo;
  };
  // Fails when validate() refuses the settings or the HTTP client can't be set up.
  static Result<std::unique_ptr<OpenAiClient>> create(Config config, const Clock& clock,
                                                      const Log& log);

  // A request that would be too large.
  std::optional<Failure> refuse(const Chunk& chunk) override;
  AttemptOutcome transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                            const Cancellation& cancellation) override;

 private:
  OpenAiClient(Config config, std::string url, std::unique_ptr<HttpClient> http, const Clock& clock,
               const Log& log);

  using Answer = std::shared_ptr<const Transcription>;

  // As configured, with the chunk's own prompt.
  RequestSettings settings_for(const Chunk& chunk) const;
  // The chunk's answer to an earlier attempt, when it was an echo.
  Answer find_echo(std::uint64_t index);
  Failure echo(const Chunk& chunk, unsigned attempt, Transcription&& answer);
  AttemptOutcome send(const Chunk& chunk, unsigned attempt, const RequestSettings& settings,
                      bool without_prompt, Milliseconds timeout, const Cancellation& cancellation);
  // Takes what must not be told out of a failure's texts, and logs it.
  Failure conclude(const Chunk& chunk, unsigned attempt, Failure failure) const;

  const Config config_;
  const std::string url_;
  const std::string printable_url_;
  const std::vector<std::string> secrets_;
  const Clock& clock_;
  const Log& log_;
  std::unique_ptr<HttpClient> http_;
  // By chunk; the failure that was reported owns the answer.
  Guarded<std::map<std::uint64_t, std::weak_ptr<const Transcription>>> echoes_;
};

}  // namespace transcribe
