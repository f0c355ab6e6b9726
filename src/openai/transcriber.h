// The one door from dispatch to the service: one attempt for one chunk. Tests put a fake here.
#pragma once

#include <string>
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
  // Worker threads, many at once. Blocks until done, `timeout` is over or `cancellation` ends it.
  virtual AttemptOutcome transcribe(const Chunk& chunk, unsigned attempt, Milliseconds timeout,
                                    const Cancellation& cancellation) = 0;
};

}  // namespace transcribe
