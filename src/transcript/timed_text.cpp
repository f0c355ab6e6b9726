#include "transcript/timed_text.h"

#include <algorithm>
#include <utility>

#include "transcript/graphemes.h"
#include "transcript/speech_spread.h"

namespace transcribe {
namespace {

constexpr std::size_t kLookAhead = 12;
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

// A word as the service timed it, beside the text that it belongs to.
struct Spoken {
  std::string key;
  Nanoseconds start;  // in the payload
  Nanoseconds stop;
  std::size_t source;  // index of the word or segment it is from
};

// For each token the index of what was spoken there, in order; kNone where it has no counterpart.
std::vector<std::size_t> align(const std::vector<Token>& tokens,
                               const std::vector<Spoken>& spoken) {
  std::vector<std::size_t> found(tokens.size(), kNone);
  std::size_t i = 0;
  std::size_t k = 0;
  const auto step = [&] {
    for (std::size_t distance = 0; distance <= kLookAhead; ++distance) {
      for (std::size_t skipped = 0; skipped <= distance; ++skipped) {
        const std::size_t at = i + distance - skipped;
        const std::size_t from = k + skipped;
        if (at < tokens.size() && from < spoken.size() && tokens[at].key == spoken[from].key) {
          i = at;
          k = from;
          return true;
        }
      }
    }
    return false;
  };
  while (i < tokens.size() && k < spoken.size()) {
    if (step()) found[i] = k;
    ++i;
    ++k;
  }
  return found;
}

bool mostly_found(const std::vector<std::size_t>& found) {
  const auto missing = std::count(found.begin(), found.end(), kNone);
  return !found.empty() && static_cast<std::size_t>(missing) * 2 <= found.size();
}

// When each of the text's words was said, if they fill the speech between `begin` and `end`.
std::vector<SpeechSpread::Span> spread(const std::vector<Token>& tokens, std::size_t text_length,
                                       Nanoseconds begin, Nanoseconds end,
                                       const SpeechSpread& speech) {
  const double length = std::max<double>(1, static_cast<double>(text_length));
  std::vector<SpeechSpread::Span> spans;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const double first = i == 0 ? 0 : static_cast<double>(tokens[i].begin) / length;
    const double last =
        i + 1 == tokens.size() ? 1 : static_cast<double>(tokens[i + 1].begin) / length;
    spans.push_back(speech.between(begin, end, first, last));
  }
  return spans;
}

std::vector<Spoken> spoken_words(const std::vector<Word>& words, const SpeechSpread& speech) {
  std::vector<Spoken> spoken;
  // Servers without word times give zeros.
  if (std::none_of(words.begin(), words.end(), [](const Word& w) { return w.start < w.end; }))
    return spoken;
  for (std::size_t i = 0; i < words.size(); ++i) {
    // A word's own time needs no mask: its parts share it evenly.
    const Nanoseconds start = std::clamp(words[i].start, Nanoseconds(0), speech.length());
    const Nanoseconds stop = std::clamp(words[i].end, start, speech.length());
    const auto length = static_cast<std::int64_t>(std::max<std::size_t>(1, words[i].text.size()));
    for (Token& token : tokenize(words[i].text)) {
      const auto at = [&](std::size_t byte) {
        return start + (stop - start) / length * static_cast<std::int64_t>(byte);
      };
      const bool last = token.end == words[i].text.size();
      spoken.push_back({std::move(token.key), at(token.begin), last ? stop : at(token.end), i});
    }
  }
  return spoken;
}

std::vector<Spoken> spoken_segments(const std::vector<Segment>& segments,
                                    const SpeechSpread& speech) {
  std::vector<Spoken> spoken;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    const bool last = i + 1 == segments.size();
    const Nanoseconds start = std::clamp(segment.start, Nanoseconds(0), speech.length());
    Nanoseconds stop = std::clamp(segment.end, start, speech.length());
    // One without a length lasts until the next.
    if (stop == start) stop = last ? speech.length() : std::max(start, segments[i + 1].start);
    std::vector<Token> tokens = tokenize(segment.text);
    const auto spans = spread(tokens, segment.text.size(), start, stop, speech);
    for (std::size_t k = 0; k < tokens.size(); ++k)
      spoken.push_back({std::move(tokens[k].key), spans[k].start, spans[k].stop, i});
  }
  return spoken;
}

bool have_times(const std::vector<Segment>& segments) {
  return std::any_of(segments.begin(), segments.end(),
                     [](const Segment& segment) { return segment.start < segment.end; });
}

// Times for the tokens that were found, and for those between them.
void take_times(std::vector<Token>& tokens, std::size_t text_length,
                const std::vector<Spoken>& spoken, const std::vector<std::size_t>& found,
                const SpeechSpread& speech) {
  for (std::size_t i = 0; i < tokens.size();) {
    if (found[i] != kNone) {
      tokens[i].start = spoken[found[i]].start;
      tokens[i].stop = spoken[found[i]].stop;
      ++i;
      continue;
    }
    std::size_t next = i;
    while (next < tokens.size() && found[next] == kNone) ++next;
    const bool ends = next == tokens.size();
    const Nanoseconds begin = i == 0 ? Nanoseconds(0) : tokens[i - 1].stop;
    const Nanoseconds end = ends ? speech.length() : std::max(begin, spoken[found[next]].start);
    const auto from = static_cast<double>(i == 0 ? 0 : tokens[i - 1].end);
    const auto to = static_cast<double>(ends ? text_length : tokens[next].begin);
    for (; i < next; ++i) {
      const auto share = [&](std::size_t byte) {
        return (static_cast<double>(byte) - from) / std::max(1.0, to - from);
      };
      const auto span = speech.between(begin, end, share(tokens[i].begin), share(tokens[i].end));
      tokens[i].start = span.start;
      tokens[i].stop = span.stop;
    }
  }
}

void take_segments(TimedText& timed, const std::vector<Segment>& segments,
                   const std::vector<Spoken>& spoken, const std::vector<std::size_t>& found) {
  for (const Segment& segment : segments) timed.speakers.push_back(segment.speaker);
  const auto first = std::find_if(found.begin(), found.end(), [](auto k) { return k != kNone; });
  std::size_t current = spoken[*first].source;
  for (std::size_t i = 0; i < timed.tokens.size(); ++i) {
    if (found[i] != kNone) current = spoken[found[i]].source;
    timed.tokens[i].segment = current;
  }
}

void place_words(TimedText& timed, const std::vector<Word>& words, Nanoseconds length,
                 const std::vector<Spoken>& spoken, const std::vector<std::size_t>& found) {
  std::vector<std::size_t> begins(words.size(), kNone);
  for (std::size_t i = found.size(); i > 0; --i) {
    if (found[i - 1] != kNone) begins[spoken[found[i - 1]].source] = i - 1;
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    Word word = words[i];
    word.start = std::clamp(word.start, Nanoseconds(0), length);
    word.end = std::clamp(word.end, word.start, length);
    if (begins[i] != kNone) {
      at = begins[i];
    } else {
      while (at + 1 < timed.tokens.size() && timed.tokens[at].stop <= word.start) ++at;
    }
    timed.words.push_back({std::move(word), at});
  }
}

}  // namespace

TimedText TimedText::part(std::size_t begin, std::size_t end, std::size_t first,
                          std::size_t last) const {
  TimedText taken;
  taken.exact = exact;
  if (begin < end) taken.text = text.substr(begin, end - begin);
  for (std::size_t i = first; i < last; ++i) {
    taken.tokens.push_back(tokens[i]);
    taken.tokens.back().begin -= begin;
    taken.tokens.back().end -= begin;
  }
  // The segments that are left.
  std::size_t low = speakers.size();
  std::size_t high = 0;
  for (const Token& token : taken.tokens) {
    low = std::min(low, token.segment);
    high = std::max(high, token.segment);
  }
  for (Token& token : taken.tokens) token.segment -= low;
  for (std::size_t i = low; i < speakers.size() && i <= high; ++i)
    taken.speakers.push_back(speakers[i]);
  for (const PlacedWord& placed : words) {
    if (placed.token >= first && placed.token < last)
      taken.words.push_back({placed.word, placed.token - first});
  }
  return taken;
}

void TimedText::append(TimedText&& more) {
  if (tokens.empty()) exact = more.exact;
  if (!more.tokens.empty()) exact = exact && more.exact;
  const std::size_t bytes = text.size();
  const std::size_t count = tokens.size();
  // A part without segments beside one that has some.
  if (speakers.empty() && !more.speakers.empty() && count > 0) speakers.emplace_back();
  if (more.speakers.empty() && !speakers.empty()) more.speakers.emplace_back();
  const std::size_t segments = speakers.size();
  text += more.text;
  for (Token& token : more.tokens) {
    token.begin += bytes;
    token.end += bytes;
    token.segment += segments;
    tokens.push_back(std::move(token));
  }
  for (PlacedWord& placed : more.words) {
    placed.token += count;
    words.push_back(std::move(placed));
  }
  for (std::string& speaker : more.speakers) speakers.push_back(std::move(speaker));
}

TimedText time_text(const Transcription& transcription, const ChunkInfo& chunk) {
  TimedText timed;
  timed.text = trimmed(transcription.text);
  timed.tokens = tokenize(timed.text);
  const SpeechSpread speech(chunk);
  const auto& segments = transcription.segments;

  const std::vector<Spoken> words = spoken_words(transcription.words, speech);
  const std::vector<std::size_t> word_at = align(timed.tokens, words);
  const std::vector<Spoken> parts = spoken_segments(segments, speech);
  const std::vector<std::size_t> part_at = align(timed.tokens, parts);
  timed.exact = mostly_found(word_at);
  const bool have_segments = mostly_found(part_at);
  if (timed.exact) {
    take_times(timed.tokens, timed.text.size(), words, word_at, speech);
  } else if (have_segments && have_times(segments)) {
    take_times(timed.tokens, timed.text.size(), parts, part_at, speech);
  } else {
    const auto spans =
        spread(timed.tokens, timed.text.size(), Nanoseconds(0), speech.length(), speech);
    for (std::size_t i = 0; i < spans.size(); ++i) {
      timed.tokens[i].start = spans[i].start;
      timed.tokens[i].stop = spans[i].stop;
    }
  }
  if (have_segments) take_segments(timed, segments, parts, part_at);
  place_words(timed, transcription.words, speech.length(), words, word_at);

  const Nanoseconds origin = chunk.payload_timestamp();
  for (Token& token : timed.tokens) {
    token.start += origin;
    token.stop += origin;
  }
  for (auto& placed : timed.words) {
    placed.word.start += origin;
    placed.word.end += origin;
  }
  return timed;
}

}  // namespace transcribe
