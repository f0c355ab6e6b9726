#include "transcript/guards.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>

#include "transcript/speech_spread.h"
#include "transcript/tokens.h"

namespace transcribe {
namespace {

// Of the recogniser's own rules for trying a segment again.
constexpr double kMostNoSpeech = 0.6;
constexpr double kLeastLogprob = -1.0;
constexpr double kMostCompression = 2.4;

constexpr std::size_t kLongestPhrase = 8;
constexpr std::size_t kFewestTokens = 20;
constexpr double kWordsPerSecond = 8;
// A word takes as long as that many characters of a script without spaces.
constexpr double kCharactersPerWord = 2;
constexpr Nanoseconds kLeastSpeech = std::chrono::milliseconds(200);

bool is_no_speech(const Segment& segment) {
  return segment.no_speech_prob && segment.avg_logprob && *segment.no_speech_prob > kMostNoSpeech &&
         *segment.avg_logprob < kLeastLogprob;
}

bool is_compressed(const Segment& segment) {
  return segment.compression_ratio && *segment.compression_ratio > kMostCompression;
}

// Whether one phrase of `length` words makes up more than half of the text.
bool repeats(const std::vector<std::size_t>& words, std::size_t length) {
  struct Count {
    std::size_t times = 0;
    std::size_t free = 0;  // from here on it may be counted again
  };
  std::map<std::vector<std::size_t>, Count> counts;
  for (std::size_t i = 0; i + length <= words.size(); ++i) {
    Count& count = counts[{words.begin() + static_cast<std::ptrdiff_t>(i),
                           words.begin() + static_cast<std::ptrdiff_t>(i + length)}];
    if (i < count.free) continue;
    count.free = i + length;
    if (++count.times * length * 2 > words.size()) return true;
  }
  return false;
}

bool is_repetition(const std::vector<Token>& tokens) {
  if (tokens.size() < kFewestTokens) return false;
  std::unordered_map<std::string_view, std::size_t> numbers;
  std::vector<std::size_t> words;
  words.reserve(tokens.size());
  for (const Token& token : tokens)
    words.push_back(numbers.try_emplace(token.key, numbers.size()).first->second);
  for (std::size_t length = 1; length <= kLongestPhrase; ++length) {
    if (repeats(words, length)) return true;
  }
  return false;
}

double count_words(const std::vector<Token>& tokens) {
  double words = 0;
  for (const Token& token : tokens) words += token.character ? 1 / kCharactersPerWord : 1;
  return words;
}

}  // namespace

std::vector<Suspicion> find_suspicions(const Transcription& transcription, const ChunkInfo& chunk) {
  std::vector<Suspicion> found;
  const std::vector<Token> tokens = tokenize(transcription.text);
  if (tokens.empty()) return found;
  const auto& segments = transcription.segments;
  const auto any = [&](auto is) { return std::any_of(segments.begin(), segments.end(), is); };

  if (any(is_no_speech)) found.push_back(Suspicion::kNoSpeech);
  if (any([](const Segment& segment) { return segment.compression_ratio.has_value(); })) {
    if (any(is_compressed)) found.push_back(Suspicion::kCompression);
  } else if (is_repetition(tokens)) {
    found.push_back(Suspicion::kRepetition);
  }
  if (const auto speech = speech_in(chunk)) {
    if (*speech < kLeastSpeech) {
      found.push_back(Suspicion::kSilence);
    } else if (count_words(tokens) >
               kWordsPerSecond * std::chrono::duration<double>(*speech).count()) {
      found.push_back(Suspicion::kTooFast);
    }
  }
  return found;
}

}  // namespace transcribe
