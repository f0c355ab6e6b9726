// The parts of a piece that belong together: what one person said, or one segment of the service's.
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "transcript/text_piece.h"

namespace transcribe {

struct TextSpan {
  std::size_t begin = 0;  // bytes of the piece's text
  std::size_t end = 0;
  std::size_t first = 0;  // tokens of the piece
  std::size_t last = 0;
  std::string speaker;
};

// In the order of the text, which they cover; one span where there are no segments. Neighbours
// have different speakers.
std::vector<TextSpan> speaker_spans(const TextPiece& piece);
std::vector<TextSpan> segment_spans(const TextPiece& piece);

}  // namespace transcribe
