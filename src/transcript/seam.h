// Where two chunks that heard the same audio are put together. Pure.
//
// A word that both have, at nearly the same time, is where one goes over into the other; without
// such a word, the middle of what both heard. Never gives up more words of a side than can have
// been said there: in doubt a word is there twice.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "transcript/text_piece.h"
#include "transcript/tokens.h"

namespace transcribe {

struct SeamRule {
  Nanoseconds begin{0};  // what both chunks heard, in media time
  Nanoseconds end{0};
  bool exact = false;  // both sides have word times

  Nanoseconds middle() const { return begin + (end - begin) / 2; }
  // How far apart in time the same word may be on both sides.
  Nanoseconds tolerance() const;
  // How much of a side may be given up.
  std::size_t most_words() const;
  std::size_t most_characters() const;
};

// The first of the tokens that a later chunk may replace, which heard everything from rule.begin
// on. Bounded: not more than a seam may give up, and one.
std::size_t first_open(const std::vector<Token>& tokens, const SeamRule& rule);

struct SeamCut {
  SeamKind kind = SeamKind::kAppend;
  std::size_t left = 0;   // tokens of the left side that stay
  std::size_t right = 0;  // first token of the right side that stays
  // kMatch: left[left - 1] and right[right - 1] are the same word, the left one stays.
};

SeamCut find_seam(const std::vector<Token>& left, const std::vector<Token>& right,
                  const SeamRule& rule);

}  // namespace transcribe
