#include "transcript/stream_times.h"

#include <algorithm>
#include <cmath>

namespace transcribe {

StreamTimes::StreamTimes(const ChunkInfo& chunk) : begin_(chunk.time.timestamp) {
  if (!chunk.time.stream_time || chunk.time.stream_rate <= 0) return;
  shift_ = *chunk.time.stream_time - begin_;
  rate_ = chunk.time.stream_rate;
}

Nanoseconds StreamTimes::at(Nanoseconds timestamp) const {
  if (rate_ == 1) return timestamp + shift_;
  constexpr double kFar = 0x1p61;  // a stored rate may be anything
  const double passed = static_cast<double>((timestamp - begin_).count()) * rate_;
  return begin_ + shift_ + Nanoseconds(std::llround(std::clamp(passed, -kFar, kFar)));
}

TextPiece in_stream_time(TextPiece piece) {
  const StreamTimes times(*piece.chunk);
  if (times.same()) return piece;
  const Nanoseconds end = times.at(piece.time.timestamp + piece.duration);
  piece.time.timestamp = times.at(piece.time.timestamp);
  piece.duration = end - piece.time.timestamp;
  for (Token& token : piece.tokens) {
    token.start = times.at(token.start);
    token.stop = times.at(token.stop);
  }
  for (Word& word : piece.words) {
    word.start = times.at(word.start);
    word.end = times.at(word.end);
  }
  return piece;
}

}  // namespace transcribe
