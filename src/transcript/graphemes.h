// What a reader sees as one character, and how scripts are written. Pure; texts are valid UTF-8.
#pragma once

#include <glib.h>

#include <string_view>

namespace transcribe {

// True for scripts whose words are not separated by spaces (Han, Kana, Thai, Lao, Khmer, Myanmar),
// and for the punctuation that only these use.
bool is_unspaced_script(gunichar character);

// Letters, digits and the marks on them.
bool is_word_character(gunichar character);
// ( [ “ « ¿ 「 …: belongs to what follows.
bool is_opening(gunichar character);
// ' and its variants, inside of words.
bool is_apostrophe(gunichar character);

// The end of the character at `begin` with all that is drawn upon it: marks, emoji sequences,
// flags. begin < end.
const char* next_grapheme(const char* begin, const char* end);

std::string_view trimmed(std::string_view text);
// The script next to the text's end decides; quotes, stops and digits belong to any.
bool begins_unspaced(std::string_view text);
bool ends_unspaced(std::string_view text);

}  // namespace transcribe
