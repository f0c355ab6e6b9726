// The one door from dispatch to the service: one attempt for one chunk. Tests put a fake here.
#pragma once

#include <optional>
#include <variant>

#include "audio/chunk.h"
#include "http/cancellation.h"
#include "openai/failure.h"
#include "openai/response.h"

namespace transcribe {

struct Cancelled {};
using AttemptOutcome = std::variant<Transcription, Failure, Cancelled>;

class Transcriber {
 public:
  virtual ~Transcriber() = default;
  // Why the chunk is never sent; absent: nothing speaks against it. Asked before every attempt, on
  // the same thread. Never of severity kRetry.
  virtual std::optional<Failure> refuse(const Chunk&) { return std::nullopt; }
  // Worker threads, many at once. Blocks until done, `timeout` is over or `cancellation` ends it.
  virtual AttemptOutcome transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                                    const Cancellation& cancellation) = 0;
};

}  // namespace transcribe
