#include "transcript/text_spans.h"

namespace transcribe {
namespace {

template <typename Together>
std::vector<TextSpan> spans(const TextPiece& piece, Together together) {
  TextSpan whole;
  whole.end = piece.text.size();
  std::vector<TextSpan> found{whole};
  for (std::size_t i = 0; i < piece.tokens.size(); ++i) {
    if (i > 0 && !together(piece.tokens[i - 1], piece.tokens[i])) {
      found.back().end = split_gap(piece.text, piece.tokens[i - 1].end, piece.tokens[i].begin);
      TextSpan next;
      next.begin = found.back().end;
      next.end = piece.text.size();
      next.first = i;
      found.push_back(next);
    }
    TextSpan& span = found.back();
    span.last = i + 1;
    if (!piece.speakers.empty()) span.speaker = piece.speakers[piece.tokens[i].segment];
  }
  return found;
}

}  // namespace

std::vector<TextSpan> speaker_spans(const TextPiece& piece) {
  return spans(piece, [&](const Token& a, const Token& b) {
    return piece.speakers.empty() || piece.speakers[a.segment] == piece.speakers[b.segment];
  });
}

std::vector<TextSpan> segment_spans(const TextPiece& piece) {
  return spans(piece, [](const Token& a, const Token& b) { return a.segment == b.segment; });
}

}  // namespace transcribe
