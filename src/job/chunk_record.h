// The stored form of a settled chunk, the same in every store: one JSON object. Pure.
//
//   v, index
//   start, frames                  core, in 16 kHz samples of the job
//   payload_start, payload_frames  only where they differ from the core
//   pts_ns, stream_ns, running_ns  of the core; the last two only where known
//   stream_rate                    how fast stream time passes, where it is not 1
//   reason                         of the cut
//   sha256, mask                   hex digest of the PCM; speech run lengths
//   status                         "done", "failed" or "skipped"
//   text, language, confidence     done; segments and words are arrays of objects with start_ns
//   segments, words                and end_ns, relative to the payload's first sample
//   error                          failed: object with severity, cause, reason, message, …
//   skip_reason                    skipped
//   attempts, request_id           done and failed
//   latency_ms, resumed            done
//   suspect, dropped               done: why the text may be none of what was said, an array of
//                                  names; whether it was left out of the transcript
//   epoch                          of the owner that stored it (Redis)
//
// Members that are empty or unknown are left out. The service's raw answer is not kept.
// Joining the outcomes that are read back gives the same pieces and seams as joining them live.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "job/event.h"

namespace transcribe {

inline constexpr int kRecordVersion = 1;

// One line, no line end. `sha256` is the hex digest of the chunk's PCM; empty for skipped ones.
// `epoch` 0: unknown, or there is none.
std::string to_record(const Outcome& outcome, const std::string& sha256, std::uint64_t epoch = 0);

struct StoredChunk {
  Outcome outcome;
  std::string sha256;
};
// Tolerates unknown members; fails with the reason on anything that is no such record.
Result<StoredChunk> from_record(const std::string& record);

}  // namespace transcribe
