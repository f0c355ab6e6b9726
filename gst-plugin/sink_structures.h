// GstStructures of the element messages about chunks: fields as in docs/element.md.
#pragma once

#include <gst/gst.h>

#include <string>

#include "job/event.h"
#include "transcript/joiner.h"

namespace transcribe {

// All return a new structure; the caller owns it.
GstStructure* queued_structure(const std::string& job_id, const ChunkQueued& event);
GstStructure* retry_structure(const std::string& job_id, const ChunkRetry& event);
GstStructure* outcome_structure(const std::string& job_id, const Outcome& outcome);
GstStructure* text_structure(const std::string& job_id, const TextPiece& piece);

}  // namespace transcribe
