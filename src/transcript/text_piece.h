// The next final piece of the joined transcript. Concatenated, the texts are the transcript.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "job/event.h"
#include "transcript/tokens.h"

namespace transcribe {

// How the text of a chunk was put behind the one before it, where both heard the same audio.
enum class SeamKind {
  kAppend,    // nothing to compare: all of both
  kMatch,     // at a word that both have
  kMidpoint,  // in the middle
  kOneSided,  // only one of them heard words there: all of both
  kDoubt,     // too much would have been lost: all of both, some words may be there twice
};
std::string_view to_string(SeamKind kind);

struct Seam {
  SeamKind kind = SeamKind::kAppend;
  Nanoseconds begin{0};  // what both heard, in media time
  Nanoseconds end{0};
  std::string dropped_left;  // text that gave way to the other side's
  std::string dropped_right;
};

struct TextPiece {
  ChunkPtr chunk;  // the last chunk it comes from
  MediaTime time;
  Nanoseconds duration{0};
  std::string text;                   // brings its own leading space where one is due
  std::vector<Word> words;            // in media time; only where the service gave them
  std::vector<Token> tokens;          // the words of `text`, with known or estimated times
  std::vector<std::string> speakers;  // of the segments in `tokens`; empty: no segments
  std::optional<Seam> seam;           // at the begin of what is `chunk`'s
};

}  // namespace transcribe
