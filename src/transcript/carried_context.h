// context=previous: the end of the joined transcript goes with the next chunk's prompt, where it is
// there in time. It starts anew behind what breaks the flow of speech: a failed, dropped or flushed
// chunk, a suspect result, 30 s of media time without a word, another language, another run of a
// live job.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/guarded.h"
#include "openai/prompt_context.h"
#include "transcript/joiner.h"

namespace transcribe {

// Characters; models read the end of a long prompt only.
inline constexpr long kContextCharacters = 200;

class CarriedContext final : public PromptContext {
 public:
  // What was released, in order. One thread.
  void add(const Released& released);
  // Decided at the first call for a chunk, kept until the chunk is released.
  std::string before(const ChunkInfo& chunk) override;

 private:
  struct State {
    std::string tail;
    std::string language;
    std::uint64_t next_index = 0;  // of the chunk that follows the tail
    std::uint64_t position = 0;    // where that chunk has to begin, in frames
    Nanoseconds last_word_end{0};  // in media time
    std::map<std::uint64_t, std::string> decided;
  };

  // What was said before the chunk is too long ago, or was said in another run.
  static bool too_old(const State& s, const ChunkInfo& chunk);

  Guarded<State> state_;
};

// The last words of `text`, at most kContextCharacters; whole words where there are spaces.
std::string last_words(const std::string& text);

// True when `answer` begins with the last words of `prompt`, five or more, or is a passage of it of
// at least three words. White space, case and punctuation make no difference.
bool echoes_prompt(const std::string& answer, const std::string& prompt);

}  // namespace transcribe
