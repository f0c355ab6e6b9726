// The words of a text, as texts are compared: white space, punctuation, case and compatible forms
// make no difference. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace transcribe {

// A run of letters and digits, with the apostrophes inside; in scripts without spaces, and of
// symbols, one grapheme.
struct Token {
  std::size_t begin = 0;  // bytes of the text, without punctuation around it
  std::size_t end = 0;
  bool character = false;  // one grapheme
  std::string key;         // equal for words that are the same; never empty
  // When it was said, in media time; start <= stop.
  Nanoseconds start{0};
  Nanoseconds stop{0};
  std::size_t segment = 0;  // of the service's, where there are any

  Nanoseconds middle() const { return start + (stop - start) / 2; }
};

std::vector<Token> tokenize(std::string_view text);

// Where to cut the punctuation between two words, which is text[begin, end): closing signs stay
// with the first word, white space and opening signs go with the second.
std::size_t split_gap(std::string_view text, std::size_t begin, std::size_t end);

}  // namespace transcribe
