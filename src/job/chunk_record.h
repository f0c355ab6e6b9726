// The stored form of a settled chunk, the same in every store: one JSON object (design: `v`,
// `index`, `start`, `frames`, `pts_ns`, `reason`, `sha256`, `status`, `text`, …). Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "job/event.h"

namespace transcribe {

inline constexpr int kRecordVersion = 1;

// One line, no line end. `sha256` is the hex digest of the chunk's PCM; empty for skipped ones.
std::string to_record(const Outcome& outcome, const std::string& sha256);

struct StoredChunk {
  Outcome outcome;
  std::string sha256;
};
// Tolerates unknown members; fails with the reason on anything that is no such record.
Result<StoredChunk> from_record(const std::string& record);

}  // namespace transcribe
