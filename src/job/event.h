// Everything that happens in a job, as values. Events are appended in the order in which things
// happen, folded into the job's state (job.h), and told to the mirrors in that order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "audio/chunk.h"
#include "openai/failure.h"
#include "openai/response.h"

namespace transcribe {

enum class JobState { kQueued, kProcessing, kCompleted, kFailed };
std::string_view to_string(JobState state);  // "QUEUED", …

enum class JobReason {
  kCreated,
  kStart,
  kEndOfStream,   // "eos"
  kError,         // job-wide error, or a failed chunk with on-error=abort
  kChunksFailed,  // "chunks-failed"
  kStopped,       // left before the end; resumable
  kCancelled,     // a user asked for the end, through the store
  kTakenOver,     // another owner has the job now: nothing of it is ours to write any more
};
std::string_view to_string(JobReason reason);

enum class SkipReason { kSilence, kQueueFull, kFlushed };
std::string_view to_string(SkipReason reason);

// Why a result may be none of what was said.
enum class Suspicion {
  kNoSpeech,     // "no-speech": the service itself doubts that there was any
  kCompression,  // "compression": the text repeats itself, by the service's measure
  kRepetition,   // "repetition": the same by ours
  kTooFast,      // "too-fast": more words than can be said in that much speech
  kSilence,      // "silence": words where hardly any speech was heard
};
inline constexpr std::array kSuspicions{Suspicion::kNoSpeech, Suspicion::kCompression,
                                        Suspicion::kRepetition, Suspicion::kTooFast,
                                        Suspicion::kSilence};
std::string_view to_string(Suspicion suspicion);

using ChunkPtr = std::shared_ptr<const ChunkInfo>;

// The chunk was handed to the dispatcher.
struct ChunkQueued {
  ChunkPtr chunk;
  std::uint64_t bytes = 0;  // of the WAV
};
struct ChunkAttempt {
  ChunkPtr chunk;
  unsigned attempt = 0;
};
struct ChunkRetry {
  ChunkPtr chunk;
  unsigned attempt = 0;  // the one that will follow
  Nanoseconds delay{0};
  Failure failure;
};
struct ChunkDone {
  ChunkPtr chunk;
  std::shared_ptr<const Transcription> transcription;
  unsigned attempts = 0;
  Nanoseconds latency{0};  // last sample of the payload came to its text
  bool resumed = false;
  TimePoint answered_at{};  // not with resumed ones
  std::vector<Suspicion> suspect{};
  bool dropped = false;  // suspect, so its text is not in the transcript
};
struct ChunkFailed {
  ChunkPtr chunk;
  Failure failure;
  unsigned attempts = 0;
  bool resumed = false;  // in an earlier run, and not sent again
};
struct ChunkSkipped {
  ChunkPtr chunk;
  SkipReason reason = SkipReason::kSilence;
  bool resumed = false;  // in an earlier run
};
// Settled outcome of one chunk.
using Outcome = std::variant<ChunkDone, ChunkFailed, ChunkSkipped>;
const ChunkInfo& chunk_of(const Outcome& outcome);
// It was settled in an earlier run.
bool is_resumed(const Outcome& outcome);

struct StateChanged {
  JobState state = JobState::kQueued;
  std::optional<JobState> previous;
  JobReason reason = JobReason::kCreated;
  // With FAILED: what ended the job, or the first chunk that failed. Its chunk may be null.
  std::shared_ptr<const ChunkFailed> error{};
  // With PROCESSING: what is transcribed, as source_text() has it; empty: not known.
  std::string source{};
};

using Event = std::variant<StateChanged, ChunkQueued, ChunkAttempt, ChunkRetry, ChunkDone,
                           ChunkFailed, ChunkSkipped>;

}  // namespace transcribe
