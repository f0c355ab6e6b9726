#include "transcript/joiner.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace transcribe {
namespace {

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

// Quotes, stops and digits belong to whatever script is next to them.
bool is_neutral(gunichar character) {
  if (is_unspaced_script(character)) return false;
  const GUnicodeScript script = g_unichar_get_script(character);
  return script == G_UNICODE_SCRIPT_COMMON || script == G_UNICODE_SCRIPT_INHERITED;
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

std::vector<Word> in_media_time(const std::vector<Word>& words, const ChunkInfo& chunk) {
  const Nanoseconds origin = chunk.payload_timestamp();
  const Nanoseconds length = frames_to_time(chunk.payload.frames());
  std::vector<Word> moved = words;
  for (Word& word : moved) {
    word.start = std::clamp(word.start, Nanoseconds(0), length);
    word.end = origin + std::clamp(word.end, word.start, length);
    word.start += origin;
  }
  return moved;
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

Joiner::Joiner(std::uint64_t first_index) : next_(first_index) {}

std::vector<Released> Joiner::add(Outcome outcome) {
  const std::uint64_t index = chunk_of(outcome).index;
  if (index >= next_) waiting_.emplace(index, std::move(outcome));

  std::vector<Released> released;
  while (!waiting_.empty() && waiting_.begin()->first == next_) {
    released.push_back(release(std::move(waiting_.extract(waiting_.begin()).mapped())));
    ++next_;
  }
  return released;
}

std::vector<Released> Joiner::finish() {
  std::vector<Released> released;
  while (!waiting_.empty()) {
    auto node = waiting_.extract(waiting_.begin());
    next_ = node.key() + 1;
    released.push_back(release(std::move(node.mapped())));
  }
  return released;
}

Released Joiner::release(Outcome outcome) {
  Released released{std::move(outcome), std::nullopt};
  const auto* done = std::get_if<ChunkDone>(&released.outcome);
  if (done == nullptr || !done->transcription) return released;
  const std::string_view text = trimmed(done->transcription->text);
  if (text.empty()) return released;

  TextPiece piece;
  piece.chunk = done->chunk;
  piece.timestamp = done->chunk->time.timestamp;
  piece.duration = done->chunk->duration();
  if (!empty_ && !(ends_unspaced_ && begins_unspaced(text))) piece.text.push_back(' ');
  piece.text += text;
  piece.words = in_media_time(done->transcription->words, *done->chunk);
  empty_ = false;
  ends_unspaced_ = ends_unspaced(text);
  released.text = std::move(piece);
  return released;
}

}  // namespace transcribe
