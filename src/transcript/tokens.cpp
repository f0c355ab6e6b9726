#include "transcript/tokens.h"

#include "base/glib_ptr.h"
#include "transcript/graphemes.h"

namespace transcribe {
namespace {

bool is_format(gunichar character) { return g_unichar_type(character) == G_UNICODE_FORMAT; }

bool is_lone(gunichar character) {
  if (g_unichar_type(character) == G_UNICODE_OTHER_SYMBOL) return true;
  return is_unspaced_script(character) && !g_unichar_isdigit(character) &&
         g_unichar_isalnum(character);
}

const char* word_end(const char* begin, const char* end) {
  const char* p = g_utf8_next_char(begin);
  while (p < end) {
    const gunichar character = g_utf8_get_char(p);
    const char* next = g_utf8_next_char(p);
    if (is_apostrophe(character)) {
      if (next == end || !is_word_character(g_utf8_get_char(next))) break;
    } else if (is_lone(character) || !(is_word_character(character) || is_format(character))) {
      break;
    }
    p = next;
  }
  return p;
}

std::string make_key(std::string_view word) {
  bool plain = true;
  for (const char byte : word) plain = plain && g_ascii_isalnum(byte);
  if (plain) {
    std::string key(word);
    for (char& byte : key) byte = g_ascii_tolower(byte);
    return key;
  }
  const CharPtr normal(
      g_utf8_normalize(word.data(), static_cast<gssize>(word.size()), G_NORMALIZE_ALL_COMPOSE));
  if (!normal) return std::string(word);
  const CharPtr folded(g_utf8_casefold(normal.get(), -1));
  std::string key;
  for (const char* p = folded.get(); *p != '\0'; p = g_utf8_next_char(p)) {
    const gunichar character = g_utf8_get_char(p);
    if (is_word_character(character) && !is_apostrophe(character))
      key.append(p, static_cast<std::size_t>(g_utf8_next_char(p) - p));
  }
  // Symbols, and words of which nothing else is left.
  return key.empty() ? std::string(word) : key;
}

}  // namespace

std::vector<Token> tokenize(std::string_view text) {
  std::vector<Token> tokens;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  for (const char* p = begin; p < end;) {
    const gunichar character = g_utf8_get_char(p);
    const bool lone = is_lone(character);
    if (!lone && !g_unichar_isalnum(character)) {
      p = g_utf8_next_char(p);
      continue;
    }
    const char* const next = lone ? next_grapheme(p, end) : word_end(p, end);
    Token token;
    token.begin = static_cast<std::size_t>(p - begin);
    token.end = static_cast<std::size_t>(next - begin);
    token.character = lone;
    token.key = make_key(text.substr(token.begin, token.end - token.begin));
    tokens.push_back(std::move(token));
    p = next;
  }
  return tokens;
}

std::size_t split_gap(std::string_view text, std::size_t begin, std::size_t end) {
  const char* const stop = text.data() + end;
  for (const char* p = text.data() + begin; p < stop; p = g_utf8_next_char(p)) {
    const gunichar character = g_utf8_get_char(p);
    if (g_unichar_isspace(character) || is_opening(character))
      return static_cast<std::size_t>(p - text.data());
  }
  return end;
}

}  // namespace transcribe
