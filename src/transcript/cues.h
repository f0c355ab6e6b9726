// Subtitles out of what was released: at most two lines of 42 columns and seven seconds, cut where
// sentences end, else where clauses do, else between words. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "transcript/joiner.h"

namespace transcribe {

inline constexpr std::size_t kCueColumns = 42;
inline constexpr Nanoseconds kLongestCue = std::chrono::seconds(7);
// A subtitle that was said faster stays as long where there is room.
inline constexpr Nanoseconds kShortestCue = std::chrono::seconds(1);
// It is moved a little rather than be shorter than this.
inline constexpr Nanoseconds kLeastCue = std::chrono::milliseconds(500);

// In columns; of a longer name that stands before the text, the rest is left out.
inline constexpr std::size_t kLongestName = 20;

struct Cue {
  Nanoseconds begin{0};  // in the media, as players count (stream_times.h)
  Nanoseconds end{0};
  std::string text;  // one or two lines
  std::string speaker;
  bool hole = false;
};

// Those of the text, then the hole, if it is one. In order of their begin, inside the text's time;
// begin < end where the text has any time at all. Those of one speaker do not overlap. A first line
// leaves room for "SPEAKER: ".
std::vector<Cue> make_cues(const Released& released);

// A failed, dropped or flushed chunk, or a result that was dropped; not skipped silence.
std::optional<Cue> find_hole(const Released& released);

// "[not transcribed: HTTP 500, 0:00:12 – 0:00:40]" over the chunk's core, on one line.
Cue make_hole(const ChunkInfo& chunk, const std::string& why);

// As a subtitle: two lines, from its begin, no longer than others. The text tells its whole span.
Cue show_hole(Cue hole);

}  // namespace transcribe
