// What was said before a chunk, as a part of its prompt (the property `context`). Any thread.
#pragma once

#include <string>

#include "audio/chunk.h"

namespace transcribe {

class PromptContext {
 public:
  virtual ~PromptContext() = default;
  // The end of the transcript before the chunk; empty when it is not there yet, or of no use. The
  // same for all attempts of the chunk.
  virtual std::string before(const ChunkInfo& chunk) = 0;
};

}  // namespace transcribe
