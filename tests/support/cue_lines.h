// What tests of subtitles are made of. For tests with Check: include it after everything else.
#pragma once

#include <glib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "outcomes.h"
#include "transcript/cue_atoms.h"
#include "transcript/cues.h"

#include "check_main.h"

namespace transcribe::testing {

inline Nanoseconds s(int seconds) { return std::chrono::seconds(seconds); }

inline Segment segment(Nanoseconds start, Nanoseconds end, const std::string& text) {
  Segment one;
  one.start = start;
  one.end = end;
  one.text = text;
  return one;
}

inline ChunkDone done_with(ChunkPtr chunk, const std::string& text, std::vector<Segment> segments,
                           std::vector<Word> words = {}) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  transcription->segments = std::move(segments);
  transcription->words = std::move(words);
  ChunkDone done = make_done(std::move(chunk), "");
  done.transcription = transcription;
  return done;
}

// What every subtitle keeps to: at most two lines, none longer than kCueColumns.
inline void check_lines(const Cue& cue) {
  ck_assert_msg(!cue.text.empty() && cue.text.back() != '\n', "%s", cue.text.c_str());
  std::size_t lines = 0;
  for (std::size_t begin = 0; begin < cue.text.size(); ++lines) {
    const std::size_t end = std::min(cue.text.find('\n', begin), cue.text.size());
    const std::string line = cue.text.substr(begin, end - begin);
    const std::size_t name = lines == 0 && !cue.speaker.empty() ? cue.speaker.size() + 2 : 0;
    ck_assert_msg(width_of(line) + name <= kCueColumns, "%s", line.c_str());
    const gunichar first = g_utf8_get_char(line.c_str());
    ck_assert_msg(!g_unichar_ismark(first) && !g_unichar_isspace(first), "%s", line.c_str());
    const bool lonely = g_utf8_strlen(line.c_str(), -1) > 1;
    ck_assert_msg(
        !lonely || (!line.starts_with("。") && !line.starts_with("，") && !line.starts_with("」")),
        "%s", cue.text.c_str());
    begin = end + 1;
  }
  ck_assert_uint_le(lines, 2);
}

}  // namespace transcribe::testing
