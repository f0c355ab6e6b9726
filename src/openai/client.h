// The Transcriber over HTTP: builds the request, sends it, reads or classifies the answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/client.h"
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

  // As configured, with the chunk's own prompt.
  RequestSettings settings_for(const Chunk& chunk) const;
  // Takes what must not be told out of a failure's texts, and logs it.
  Failure conclude(const Chunk& chunk, unsigned attempt, Failure failure) const;

  const Config config_;
  const std::string url_;
  const std::string printable_url_;
  const std::vector<std::string> secrets_;
  const Clock& clock_;
  const Log& log_;
  std::unique_ptr<HttpClient> http_;
};

}  // namespace transcribe
