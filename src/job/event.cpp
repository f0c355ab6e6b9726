#include "job/event.h"

namespace transcribe {

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kProcessing:
      return "PROCESSING";
    case JobState::kCompleted:
      return "COMPLETED";
    case JobState::kFailed:
      return "FAILED";
  }
  return "";
}

std::string_view to_string(JobReason reason) {
  switch (reason) {
    case JobReason::kCreated:
      return "created";
    case JobReason::kStart:
      return "start";
    case JobReason::kEndOfStream:
      return "eos";
    case JobReason::kError:
      return "error";
    case JobReason::kChunksFailed:
      return "chunks-failed";
    case JobReason::kStopped:
      return "stopped";
    case JobReason::kCancelled:
      return "cancelled";
    case JobReason::kTakenOver:
      return "taken-over";
  }
  return "";
}

std::string_view to_string(SkipReason reason) {
  switch (reason) {
    case SkipReason::kSilence:
      return "silence";
    case SkipReason::kQueueFull:
      return "queue-full";
    case SkipReason::kFlushed:
      return "flushed";
  }
  return "";
}

std::string_view to_string(Suspicion suspicion) {
  switch (suspicion) {
    case Suspicion::kNoSpeech:
      return "no-speech";
    case Suspicion::kCompression:
      return "compression";
    case Suspicion::kRepetition:
      return "repetition";
    case Suspicion::kTooFast:
      return "too-fast";
    case Suspicion::kSilence:
      return "silence";
  }
  return "";
}

const ChunkInfo& chunk_of(const Outcome& outcome) {
  return std::visit([](const auto& event) -> const ChunkInfo& { return *event.chunk; }, outcome);
}

bool is_resumed(const Outcome& outcome) {
  return std::visit([](const auto& event) { return event.resumed; }, outcome);
}

}  // namespace transcribe
