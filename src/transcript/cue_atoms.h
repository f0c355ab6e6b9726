// The smallest parts of a text that a subtitle shows or leaves out as a whole. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "transcript/text_piece.h"
#include "transcript/text_spans.h"

namespace transcribe {

// How good it is to end a line or a subtitle here.
enum class Break { kWord, kClause, kSentence, kAlways };

struct Atom {
  std::string text;       // without white space
  std::size_t width = 0;  // columns
  bool spaced = false;    // white space before it
  Break after = Break::kWord;
  Nanoseconds start{0};
  Nanoseconds stop{0};
};

// Columns that the text takes; wide characters take two, marks none.
std::size_t width_of(std::string_view text);

// The text, or as much of its begin as fits into so many columns with "…" behind it.
std::string cut_to(std::size_t columns, std::string text);

// Words; in scripts without spaces, characters with the punctuation that clings to them. None is
// wider than `most`. Times are those of the tokens inside.
std::vector<Atom> split_atoms(const TextPiece& piece, const TextSpan& span, std::size_t most);

}  // namespace transcribe
