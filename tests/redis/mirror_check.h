// Redis must say of a job what the bus said.
#pragma once

#include <cstdint>
#include <string>

#include "sink_fixture.h"

namespace transcribe::testing {

// Of a pipeline whose job has ended or was stopped, by the server at `port`: state, reason, error,
// counters and each chunk's outcome and text are those of the messages; the keys agree with each
// other; so does the fold of the stream, when it is `complete` (neither trimmed nor restored).
// Compares with the messages of this run and of earlier ones that it has resumed.
void check_mirror(SinkPipeline& pipeline, std::uint16_t port, bool complete = true);

}  // namespace transcribe::testing
