// The writer of `json`: one document, written when the job ends.
#pragma once

#include "transcript/writer.h"

namespace transcribe {

Result<std::unique_ptr<TranscriptWriter>, WriteError> open_json_writer(const std::string& location,
                                                                       const std::string& job_id,
                                                                       bool resumed);

}  // namespace transcribe
