// Where something of a chunk is in the media, as players count: what the transcript files show. A
// chunk lies in one segment, so that stream time passes evenly in it and in the overlap around it.
// Pure.
#pragma once

#include "transcript/text_piece.h"

namespace transcribe {

class StreamTimes {
 public:
  explicit StreamTimes(const ChunkInfo& chunk);

  // Stream time is the timestamp: nearly always, where it is not known, and where it runs
  // backwards.
  bool same() const { return shift_ == Nanoseconds(0) && rate_ == 1; }
  Nanoseconds at(Nanoseconds timestamp) const;

 private:
  Nanoseconds begin_;
  Nanoseconds shift_{0};  // at the chunk's begin
  double rate_ = 1;
};

// The piece with all its times but the seam's moved.
TextPiece in_stream_time(TextPiece piece);

}  // namespace transcribe
