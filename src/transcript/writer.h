// The transcript file: txt, srt, vtt and jsonl grow in media order and are flushed per chunk; json
// is written whole at the end. A process that is killed at any moment leaves a readable file.
//
// One thread at a time. A write that fails (full disk) is kept and tried again with the next
// chunk; the file never holds half a record.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "job/job_store.h"
#include "transcript/joiner.h"

namespace transcribe {

enum class TranscriptFormat { kAuto, kTxt, kSrt, kVtt, kJsonl, kJson };

// kAuto by the file name's ending; txt when it has none that is known.
TranscriptFormat resolve_format(TranscriptFormat format, const std::string& location);

// An I/O error with what can be done; `no_space` for a full disk, quota or file-size limit.
struct WriteError {
  std::string message;
  bool no_space = false;
};
using WriteStatus = Result<Success, WriteError>;

class TranscriptWriter {
 public:
  virtual ~TranscriptWriter() = default;

  // Can the file be written? Creates it when missing (not json), never truncates it, never blocks.
  static Status check(const std::string& location,
                      TranscriptFormat format = TranscriptFormat::kAuto);
  // Truncates (json: leaves the old file until the new one is whole). Named pipes, terminals and
  // /dev/stdout are written without blocking; json goes to them directly.
  // `resumed`: the file may hold what an earlier run wrote. The new one then grows beside it, in
  // LOCATION.part, and takes its place once it is as long.
  static Result<std::unique_ptr<TranscriptWriter>, WriteError> open(const std::string& location,
                                                                    TranscriptFormat format,
                                                                    const std::string& job_id,
                                                                    bool resumed = false);

  // finish() reads the results from its `store`; else nobody needs to keep them.
  virtual bool reads_store() const { return false; }
  // Appends one chunk's part; also tries again what could not be written before.
  virtual WriteStatus write(const Released& released) = 0;
  // A span that was never settled (the job ended before): written as a hole.
  virtual WriteStatus write_unsettled(const ChunkInfo& chunk) = 0;
  // The end: what is left, and json as a whole from `store`. An error means that the file is
  // incomplete; may be called again. A pipe's reader that takes nothing holds it up for two
  // seconds.
  // `whole`: the job came to the source's end. Else what a resumed job wrote beside a longer file
  // of an earlier run stays there, unless that file begins with the same, and that file as it is.
  virtual WriteStatus finish(JobState state, JobStore& store, bool whole = true) = 0;
};

}  // namespace transcribe
