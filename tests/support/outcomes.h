// Chunks and outcomes as tests need them: chunk i is `seconds` long and begins where the one
// before it ends.
#pragma once

#include <memory>
#include <string>

#include "job/event.h"

namespace transcribe {

inline std::shared_ptr<ChunkInfo> make_chunk(std::uint64_t index, std::uint64_t seconds = 10) {
  auto chunk = std::make_shared<ChunkInfo>();
  chunk->index = index;
  chunk->core = {index * seconds * kSampleRate, (index + 1) * seconds * kSampleRate};
  chunk->payload = chunk->core;
  chunk->time.timestamp = frames_to_time(chunk->core.begin);
  chunk->reason = CutReason::kPause;
  return chunk;
}

inline ChunkDone make_done(ChunkPtr chunk, const std::string& text) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  ChunkDone done;
  done.chunk = std::move(chunk);
  done.transcription = std::move(transcription);
  done.attempts = 1;
  return done;
}
inline ChunkDone make_done(std::uint64_t index, const std::string& text) {
  return make_done(make_chunk(index), text);
}

inline ChunkFailed make_failed(std::uint64_t index, unsigned http_status = 500) {
  ChunkFailed failed;
  failed.chunk = make_chunk(index);
  failed.failure.severity = Severity::kChunk;
  failed.failure.reason = "http-status";
  failed.failure.http_status = http_status;
  failed.failure.message = "The service failed.";
  failed.attempts = 6;
  return failed;
}

inline ChunkSkipped make_skipped(std::uint64_t index, SkipReason reason) {
  ChunkSkipped skipped;
  skipped.chunk = make_chunk(index);
  skipped.reason = reason;
  return skipped;
}

}  // namespace transcribe
