#include "transcript/carried_context.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "transcript/tokens.h"

namespace transcribe {

namespace {

constexpr Nanoseconds kLongSilence = std::chrono::seconds(30);
constexpr Nanoseconds kRounding = std::chrono::milliseconds(1);
constexpr std::ptrdiff_t kFewestEchoed = 5;
constexpr std::size_t kFewestOfPassage = 3;

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (Token& token : tokenize(text)) words.push_back(std::move(token.key));
  return words;
}

}  // namespace

std::string last_words(const std::string& text) {
  const long characters = g_utf8_strlen(text.c_str(), -1);
  const char* begin = text.c_str();
  if (characters > kContextCharacters) {
    begin = g_utf8_offset_to_pointer(begin, characters - kContextCharacters);
    const bool inside = !g_unichar_isspace(g_utf8_get_char(g_utf8_prev_char(begin)));
    const char* space = begin;
    while (*space != '\0' && !g_unichar_isspace(g_utf8_get_char(space)))
      space = g_utf8_next_char(space);
    if (inside && *space != '\0') begin = space;
  }
  while (g_unichar_isspace(g_utf8_get_char(begin))) begin = g_utf8_next_char(begin);
  return begin;
}

bool echoes_prompt(const std::string& answer, const std::string& prompt) {
  const auto said = words_of(answer);
  const auto given = words_of(prompt);
  if (said.size() >= kFewestOfPassage &&
      std::search(given.begin(), given.end(), said.begin(), said.end()) != given.end())
    return true;
  const auto most = static_cast<std::ptrdiff_t>(std::min(said.size(), given.size()));
  for (std::ptrdiff_t count = kFewestEchoed; count <= most; count++) {
    if (std::equal(given.end() - count, given.end(), said.begin())) return true;
  }
  return false;
}

bool CarriedContext::too_old(const State& s, const ChunkInfo& chunk) {
  const Nanoseconds silence = chunk.time.timestamp - s.last_word_end;
  // Back in time is another run, too, but for what rounding takes.
  return chunk.core.begin != s.position || silence > kLongSilence || silence < -kRounding;
}

void CarriedContext::add(const Released& released) {
  auto s = state_.lock();
  const auto take_text = [&] {
    if (released.text) s->tail = last_words(s->tail + released.text->text);
  };
  if (!released.outcome) {
    take_text();
    return;
  }
  const ChunkInfo& chunk = chunk_of(*released.outcome);
  if (too_old(*s, chunk)) s->tail.clear();
  s->decided.erase(chunk.index);
  s->next_index = chunk.index + 1;
  s->position = chunk.core.end;
  const auto* done = std::get_if<ChunkDone>(&*released.outcome);
  if (done == nullptr) {
    // The rest of the chunk before it.
    take_text();
    const auto* skipped = std::get_if<ChunkSkipped>(&*released.outcome);
    if (skipped == nullptr || skipped->reason != SkipReason::kSilence) s->tail.clear();
    return;
  }
  if (!done->suspect.empty() || done->transcription->is_echo) {
    s->tail.clear();
    return;
  }
  const std::string& language = done->transcription->language;
  if (!language.empty() && !s->language.empty() && language != s->language) s->tail.clear();
  if (!language.empty()) s->language = language;
  if (!released.text || released.text->text.empty()) return;
  s->last_word_end = chunk.time.timestamp + chunk.duration();
  take_text();
}

std::string CarriedContext::before(const ChunkInfo& chunk) {
  auto s = state_.lock();
  const auto [decided, first] = s->decided.try_emplace(chunk.index);
  if (first && chunk.index == s->next_index && !too_old(*s, chunk)) decided->second = s->tail;
  return decided->second;
}

}  // namespace transcribe
