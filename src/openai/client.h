// The Transcriber over HTTP: builds the request, sends it, reads or classifies the answer.
#pragma once

#include <memory>
#include <string>

#include "base/guarded.h"
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
  static Result<std::unique_ptr<OpenAiClient>> create(Config config, const Clock& clock,
                                                      const Log& log);

  AttemptOutcome transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                            const Cancellation& cancellation) override;

  // For the chunks that are sent from now on. Any thread.
  void set_prompt(const std::string& prompt);

 private:
  OpenAiClient(Config config, std::string url, std::unique_ptr<HttpClient> http, const Clock& clock,
               const Log& log);

  const Config config_;
  const std::string url_;
  const Clock& clock_;
  const Log& log_;
  std::unique_ptr<HttpClient> http_;
  Guarded<std::string> prompt_;
};

}  // namespace transcribe
