// The text of one result with the time of every word: from the service's word times, else from its
// segment times with the words spread over the speech in each, else spread over the speech of the
// whole payload. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "audio/chunk.h"
#include "openai/response.h"
#include "transcript/tokens.h"

namespace transcribe {

struct TimedText {
  struct PlacedWord {
    Word word;          // in media time
    std::size_t token;  // the one that it begins with, or the nearest
  };

  std::string text;
  std::vector<Token> tokens;
  std::vector<PlacedWord> words;
  std::vector<std::string> speakers;  // of the segments that tokens refer to; empty: no segments
  bool exact = false;                 // tokens have the service's word times

  // What lies in bytes [begin, end), with the tokens [first, last).
  TimedText part(std::size_t begin, std::size_t end, std::size_t first, std::size_t last) const;
  void append(TimedText&& more);
};

// Times that can't be are repaired or not used: everything lies inside the payload.
TimedText time_text(const Transcription& transcription, const ChunkInfo& chunk);

}  // namespace transcribe
