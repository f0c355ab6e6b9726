// How speech lies in a chunk's payload, by the chunk's mask: tells where in time a share of it is
// over. Frames without speech count a little, so that every moment has its place. Pure.
#pragma once

#include <vector>

#include "audio/chunk.h"

namespace transcribe {

class SpeechSpread {
 public:
  // A chunk without a mask is taken as speech from its begin to its end.
  explicit SpeechSpread(const ChunkInfo& chunk);

  struct Span {
    Nanoseconds start{0};
    Nanoseconds stop{0};
  };
  // When the part from `first` to `last` (shares, 0 to 1) of what is said between `begin` and `end`
  // was said: begins and ends with speech where there is any. All relative to the payload's first
  // sample.
  Span between(Nanoseconds begin, Nanoseconds end, double first, double last) const;

  Nanoseconds length() const { return length_; }

 private:
  struct Knot {
    double time;
    double weight;  // of all before
    bool speech;    // from here on
  };
  using Knots = std::vector<Knot>;
  double weight_at(double time) const;
  Knots::const_iterator run_at(double weight) const;

  Nanoseconds length_;
  Knots knots_;
};

// Speech in the payload; absent when the chunk has no mask.
std::optional<Nanoseconds> speech_in(const ChunkInfo& chunk);

}  // namespace transcribe
