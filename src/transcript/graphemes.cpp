#include "transcript/graphemes.h"

namespace transcribe {
namespace {

constexpr gunichar kZeroWidthJoiner = 0x200d;

bool is_neutral(gunichar character) {
  if (is_unspaced_script(character)) return false;
  const GUnicodeScript script = g_unichar_get_script(character);
  return script == G_UNICODE_SCRIPT_COMMON || script == G_UNICODE_SCRIPT_INHERITED;
}

bool is_regional_indicator(gunichar character) {
  return character >= 0x1f1e6 && character <= 0x1f1ff;
}

// Drawn on what is before it, though some of it is no mark by category.
bool extends(gunichar character) {
  const bool skin_tone = character >= 0x1f3fb && character <= 0x1f3ff;
  const bool sara_am = character == 0x0e33 || character == 0x0eb3;
  const bool half_width_voicing = character == 0xff9e || character == 0xff9f;
  return g_unichar_ismark(character) || skin_tone || sara_am || half_width_voicing ||
         character == kZeroWidthJoiner || character == 0x200c;
}

}  // namespace

bool is_unspaced_script(gunichar character) {
  switch (g_unichar_get_script(character)) {
    case G_UNICODE_SCRIPT_HAN:
    case G_UNICODE_SCRIPT_HIRAGANA:
    case G_UNICODE_SCRIPT_KATAKANA:
    case G_UNICODE_SCRIPT_BOPOMOFO:
    case G_UNICODE_SCRIPT_THAI:
    case G_UNICODE_SCRIPT_LAO:
    case G_UNICODE_SCRIPT_KHMER:
    case G_UNICODE_SCRIPT_MYANMAR:
      return true;
    case G_UNICODE_SCRIPT_COMMON:
      // CJK punctuation, marks shared by the two Kana, and full-width forms.
      return (character >= 0x3000 && character <= 0x30ff) ||
             (character >= 0xff00 && character <= 0xffef);
    default:
      return false;
  }
}

bool is_word_character(gunichar character) {
  return g_unichar_isalnum(character) || g_unichar_ismark(character);
}

bool is_opening(gunichar character) {
  const GUnicodeType type = g_unichar_type(character);
  return type == G_UNICODE_OPEN_PUNCTUATION || type == G_UNICODE_INITIAL_PUNCTUATION ||
         type == G_UNICODE_CURRENCY_SYMBOL || character == 0xbf || character == 0xa1 ||
         character == '#' || character == '@';
}

bool is_apostrophe(gunichar character) {
  return character == '\'' || character == 0x2019 || character == 0x2018 || character == 0x2bc ||
         character == 0xff07 || character == '`' || character == 0xb4;
}

const char* next_grapheme(const char* begin, const char* end) {
  gunichar last = g_utf8_get_char(begin);
  const char* next = g_utf8_next_char(begin);
  if (is_regional_indicator(last) && next < end && is_regional_indicator(g_utf8_get_char(next)))
    next = g_utf8_next_char(next);
  for (; next < end; next = g_utf8_next_char(next)) {
    const gunichar character = g_utf8_get_char(next);
    // The joiner of an emoji sequence takes the next symbol in; one inside of a word does not.
    const bool joined =
        last == kZeroWidthJoiner && g_unichar_type(character) == G_UNICODE_OTHER_SYMBOL;
    if (!joined && !extends(character)) break;
    last = character;
  }
  return next;
}

std::string_view trimmed(std::string_view text) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  while (begin < end && g_unichar_isspace(g_utf8_get_char(begin))) begin = g_utf8_next_char(begin);
  while (begin < end) {
    const char* last = g_utf8_prev_char(end);
    if (!g_unichar_isspace(g_utf8_get_char(last))) break;
    end = last;
  }
  return {begin, static_cast<std::size_t>(end - begin)};
}

bool begins_unspaced(std::string_view text) {
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end; p = g_utf8_next_char(p)) {
    const gunichar character = g_utf8_get_char(p);
    if (!is_neutral(character)) return is_unspaced_script(character);
  }
  return false;
}

bool ends_unspaced(std::string_view text) {
  for (const char* p = text.data() + text.size(); p > text.data();) {
    p = g_utf8_prev_char(p);
    const gunichar character = g_utf8_get_char(p);
    if (!is_neutral(character)) return is_unspaced_script(character);
  }
  return false;
}

}  // namespace transcribe
