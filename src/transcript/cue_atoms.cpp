#include "transcript/cue_atoms.h"

#include <algorithm>
#include <utility>

#include "transcript/graphemes.h"

namespace transcribe {
namespace {

using std::chrono::milliseconds;

// A subtitle ends in a pause, and never waits through a long one.
constexpr Nanoseconds kPause = milliseconds(1000);
constexpr Nanoseconds kLongPause = milliseconds(3000);

std::size_t columns(gunichar character) {
  if (g_unichar_iszerowidth(character) || g_unichar_ismark(character)) return 0;
  return g_unichar_iswide(character) ? 2 : 1;
}

std::size_t grapheme_width(const char* begin, const char* end) {
  std::size_t width = 0;
  for (const char* p = begin; p < end; p = g_utf8_next_char(p))
    width = std::max(width, columns(g_utf8_get_char(p)));
  return width;
}

bool is_closing(gunichar character) {
  switch (g_unichar_break_type(character)) {
    case G_UNICODE_BREAK_CLOSE_PUNCTUATION:
    case G_UNICODE_BREAK_CLOSE_PARANTHESIS:
    case G_UNICODE_BREAK_QUOTATION:
      return true;
    default:
      return false;
  }
}

bool ends_sentence(gunichar character) {
  switch (character) {
    case '.':
    case '!':
    case '?':
    case 0x2026:  // …
    case 0x203c:  // ‼
    case 0x203d:  // ‽
    case 0x3002:  // 。
    case 0xff0e:  // ．
    case 0xff01:  // ！
    case 0xff1f:  // ？
    case 0xff61:  // ｡
    case 0x0964:  // ।
    case 0x06d4:  // ۔
    case 0x061f:  // ؟
    case 0x17d4:  // ។
    case 0x104b:  // ။
      return true;
    default:
      return false;
  }
}

bool ends_clause(gunichar character) {
  switch (character) {
    case ',':
    case ';':
    case ':':
    case 0x2013:  // –
    case 0x2014:  // —
    case 0x3001:  // 、
    case 0xff0c:  // ，
    case 0xff1b:  // ；
    case 0xff1a:  // ：
    case 0x060c:  // ،
    case 0x061b:  // ؛
      return true;
    default:
      return false;
  }
}

Break break_after(std::string_view text) {
  for (const char* p = text.data() + text.size(); p > text.data();) {
    p = g_utf8_prev_char(p);
    const gunichar character = g_utf8_get_char(p);
    if (ends_sentence(character)) return Break::kSentence;
    if (ends_clause(character)) return Break::kClause;
    if (!is_closing(character)) break;
  }
  return Break::kWord;
}

bool may_end_line(gunichar character) {
  if (is_opening(character)) return false;
  switch (g_unichar_break_type(character)) {
    case G_UNICODE_BREAK_OPEN_PUNCTUATION:
    case G_UNICODE_BREAK_PREFIX:
    case G_UNICODE_BREAK_QUOTATION:
    case G_UNICODE_BREAK_WORD_JOINER:
    case G_UNICODE_BREAK_NON_BREAKING_GLUE:
      return false;
    default:
      break;
  }
  // Vowels of Thai and Lao that are written before their consonant.
  return !(character >= 0x0e40 && character <= 0x0e44) &&
         !(character >= 0x0ec0 && character <= 0x0ec4);
}

bool may_begin_line(gunichar character) {
  switch (g_unichar_break_type(character)) {
    case G_UNICODE_BREAK_CLOSE_PUNCTUATION:
    case G_UNICODE_BREAK_CLOSE_PARANTHESIS:
    case G_UNICODE_BREAK_EXCLAMATION:
    case G_UNICODE_BREAK_INFIX_SEPARATOR:
    case G_UNICODE_BREAK_SYMBOL:
    case G_UNICODE_BREAK_NON_STARTER:
    case G_UNICODE_BREAK_CONDITIONAL_JAPANESE_STARTER:
    case G_UNICODE_BREAK_POSTFIX:
    case G_UNICODE_BREAK_QUOTATION:
    case G_UNICODE_BREAK_WORD_JOINER:
    case G_UNICODE_BREAK_NON_BREAKING_GLUE:
    case G_UNICODE_BREAK_INSEPARABLE:
      return false;
    default:
      return !ends_sentence(character) && !ends_clause(character);
  }
}

bool may_break_between(gunichar before, gunichar after) {
  return (is_unspaced_script(before) || is_unspaced_script(after)) && may_end_line(before) &&
         may_begin_line(after);
}

// An atom and where its text is.
struct Place {
  Atom atom;
  std::size_t begin;
  std::size_t end;
};

class Splitter {
 public:
  Splitter(const std::string& text, const TextSpan& span) : text_(text), span_(span) {}

  std::vector<Place> split(std::size_t most) {
    const char* const end = text_.data() + span_.end;
    gunichar before = 0;
    bool spaced = false;
    for (const char* p = text_.data() + span_.begin; p < end;) {
      const gunichar character = g_utf8_get_char(p);
      const char* next = g_utf8_next_char(p);
      if (g_unichar_isspace(character)) {
        spaced = true;
      } else if (!g_unichar_iscntrl(character)) {
        next = next_grapheme(p, end);
        const std::size_t width = grapheme_width(p, next);
        const bool begins = places_.empty() || spaced || may_break_between(before, character) ||
                            places_.back().atom.width + width > most;
        if (begins) {
          places_.push_back({});
          places_.back().atom.spaced = spaced && places_.size() > 1;
          places_.back().begin = offset(p);
        }
        Place& place = places_.back();
        place.atom.text.append(p, static_cast<std::size_t>(next - p));
        place.atom.width += width;
        place.end = offset(next);
        before = character;
        spaced = false;
      }
      p = next;
    }
    return std::move(places_);
  }

 private:
  std::size_t offset(const char* p) const { return static_cast<std::size_t>(p - text_.data()); }

  const std::string& text_;
  const TextSpan& span_;
  std::vector<Place> places_;
};

// When a byte of the token was said.
Nanoseconds time_within(const Token& token, std::size_t byte) {
  const std::size_t at = std::clamp(byte, token.begin, token.end) - token.begin;
  const std::size_t length = std::max<std::size_t>(1, token.end - token.begin);
  return token.start + (token.stop - token.start) / static_cast<std::int64_t>(length) *
                           static_cast<std::int64_t>(at);
}

}  // namespace

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const char* const next = next_grapheme(p, end);
    width += grapheme_width(p, next);
    p = next;
  }
  return width;
}

std::string cut_to(std::size_t columns, std::string text) {
  if (width_of(text) <= columns) return text;
  do {
    const char* const last = g_utf8_prev_char(text.c_str() + text.size());
    text.resize(static_cast<std::size_t>(last - text.c_str()));
  } while (width_of(text) + 1 > columns);
  return text + "…";
}

std::vector<Atom> split_atoms(const TextPiece& piece, const TextSpan& span, std::size_t most) {
  std::vector<Place> places = Splitter(piece.text, span).split(most);
  std::vector<Atom> atoms;
  std::size_t token = span.first;
  Nanoseconds last = span.first < span.last ? piece.tokens[span.first].start : piece.time.timestamp;
  std::size_t segment = 0;
  for (Place& place : places) {
    Atom& atom = place.atom;
    bool timed = false;
    while (token < span.last && piece.tokens[token].end <= place.begin) ++token;
    for (std::size_t i = token; i < span.last && piece.tokens[i].begin < place.end; ++i) {
      const Nanoseconds start = time_within(piece.tokens[i], place.begin);
      const Nanoseconds stop = place.end >= piece.tokens[i].end
                                   ? piece.tokens[i].stop
                                   : time_within(piece.tokens[i], place.end);
      atom.start = timed ? std::min(atom.start, start) : start;
      atom.stop = timed ? std::max(atom.stop, stop) : stop;
      timed = true;
      const bool another = !atoms.empty() && piece.tokens[i].segment != segment;
      if (another) atoms.back().after = std::max(atoms.back().after, Break::kSentence);
      segment = piece.tokens[i].segment;
    }
    if (!timed) atom.start = atom.stop = last;
    if (!atoms.empty()) {
      const Nanoseconds pause = atom.start - last;
      Break& before = atoms.back().after;
      if (pause >= kPause) before = std::max(before, Break::kSentence);
      if (pause >= kLongPause) before = Break::kAlways;
    }
    last = std::max(last, atom.stop);
    atom.after = break_after(atom.text);
    atoms.push_back(std::move(atom));
  }
  return atoms;
}

}  // namespace transcribe
