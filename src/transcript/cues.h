// Timed lines of subtitles out of the outcome of one chunk. Pure.
#pragma once

#include <string>
#include <vector>

#include "transcript/joiner.h"

namespace transcribe {

struct Cue {
  Nanoseconds begin{0};  // media time
  Nanoseconds end{0};
  std::string text;
  std::string speaker;
  bool hole = false;
};

// Segments where the service gave them with times, else the piece as one cue; a failed, dropped or
// flushed chunk is one cue that says what is missing; skipped silence and empty texts give none.
// In order of their begin, inside the chunk's core; never end < begin.
std::vector<Cue> make_cues(const Released& released);

// "[not transcribed: HTTP 500, 0:00:12 – 0:00:40]" over the chunk's core.
Cue make_hole(const ChunkInfo& chunk, const std::string& why);

}  // namespace transcribe
