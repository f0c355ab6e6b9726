#include "audio/chunk.h"

namespace transcribe {

std::string_view to_string(CutReason reason) {
  switch (reason) {
    case CutReason::kFixed:
      return "fixed";
    case CutReason::kPause:
      return "pause";
    case CutReason::kForced:
      return "forced";
    case CutReason::kSilence:
      return "silence";
    case CutReason::kDiscontinuity:
      return "discontinuity";
    case CutReason::kRequested:
      return "requested";
    case CutReason::kStalled:
      return "stalled";
    case CutReason::kEndOfStream:
      return "eos";
  }
  return "unknown";
}

std::string pcm_digest(GBytes* pcm) {
  return CharPtr(g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, pcm)).get();
}

}  // namespace transcribe
