// One chunk as the transcript files show it. Pure. Texts are made safe for their format: no line
// breaks or control characters where they would end a record, no markup of the service's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "transcript/cues.h"

namespace transcribe {

// A line per chunk, or per turn where the speakers are known: "SPEAKER: text".
std::string format_txt(const Released& released);
std::string format_txt(const Cue& hole);

// `number` is that of the next cue and is counted on.
std::string format_srt(const std::vector<Cue>& cues, std::uint64_t& number);
std::string format_vtt(const std::vector<Cue>& cues);

// One JSON object on one line, without its end: index, timestamp, duration, status ("done",
// "failed", "skipped", "rest": what was left of a chunk's text at the end), and
//   done:    language; suspect: why the text may be none of what was said, and dropped: so it is
//            left out
//   failed:  error: reason, http_status, type, code, message
//   skipped: reason
//   text     the piece of the joined transcript: concatenated they are the whole; with its
//            segments and words, and the seam before it. A hole may bring some, too.
// timestamp and duration are media time in ns, also in segments, words and the seam. stream_time
// stands beside them where it is another one (stream_times.h).
std::string format_json(const Released& released);
// status "unsettled".
std::string format_json(const ChunkInfo& unsettled);

// Why a span has no text when the job ended before it was settled.
inline constexpr const char* kUnsettled = "job ended";

}  // namespace transcribe
