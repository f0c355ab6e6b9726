// Tells the job's events to everybody who follows it: the store, the transcript file and the
// observer (the bus), results in index order.
//
// Event thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine_observer.h"
#include "job/memory_job_store.h"
#include "transcript/joiner.h"
#include "transcript/writer.h"

namespace transcribe {

class Mirrors {
 public:
  // `observer` outlives this object; without a `writer` there is no transcript file.
  Mirrors(EngineObserver& observer, std::unique_ptr<TranscriptWriter> writer);

  // `counters` as of the event.
  void tell(const Event& event, const Counters& counters);
  // The end, once, after all events. `end` as far as the engine knows it: state, reason, counters
  // and failures. `unsettled` chunks, by index, become holes in the file.
  void tell_end(JobEnd end, const std::vector<ChunkInfo>& unsettled);

 private:
  void release(const Released& released, const Counters& counters);
  void release_rest(const std::vector<ChunkInfo>& unsettled, const Counters& counters);
  void note_file(const WriteStatus& status);

  EngineObserver& observer_;
  MemoryJobStore store_;
  Joiner joiner_;
  std::unique_ptr<TranscriptWriter> writer_;
  bool file_failing_ = false;
  std::string text_;
  bool text_truncated_ = false;
};

}  // namespace transcribe
