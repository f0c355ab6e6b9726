// Tells results that may be none of what was said: recognisers invent text where there is no
// speech, and repeat themselves. They are flagged, never edited. Pure.
#pragma once

#include <vector>

#include "audio/chunk.h"
#include "job/event.h"

namespace transcribe {

// By the service's own measures where it gave them, by the text, and by how much speech the chunk
// holds where that is known. In the order of Suspicion; none for a text without words.
std::vector<Suspicion> find_suspicions(const Transcription& transcription, const ChunkInfo& chunk);

}  // namespace transcribe
