// Results as a sound service gives them, and the same with one thing wrong: exactly that is
// flagged.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "fuzz.h"
#include "outcomes.h"
#include "transcript/guards.h"

#include "check_main.h"

using namespace transcribe;

namespace {

struct Heard {
  Transcription transcription;
  std::shared_ptr<ChunkInfo> chunk = make_chunk(0);
  std::vector<std::string> words;
};

void set_text(Heard& result) {
  std::string& text = result.transcription.text;
  text.clear();
  for (const std::string& word : result.words) text += (text.empty() ? "" : " ") + word;
}

// In runs of any lengths, of so many frames in all.
SpeechMask speech_of(std::mt19937& random, std::uint32_t frames) {
  SpeechMask mask{static_cast<std::uint32_t>(random() % 50)};
  for (std::uint32_t left = frames; left > 0;) {
    const std::uint32_t run = std::min<std::uint32_t>(left, 1 + random() % 200);
    mask.push_back(run);
    left -= run;
    if (left > 0) mask.push_back(1 + random() % 20);
  }
  return mask;
}

// Words that seldom come again, at most 7 a second of speech; segments of which the service is
// sure, or none.
Heard sound(std::mt19937& random) {
  Heard result;
  const auto count = 3 + random() % 40;
  for (unsigned i = 0; i < count; ++i)
    result.words.push_back(i % 5 == 0 ? "the" : "w" + std::to_string(random()));
  set_text(result);
  const auto least = static_cast<std::uint32_t>(count * 100 / 7 + 1);
  const std::uint32_t frames = std::max<std::uint32_t>(least, 20) + random() % 300;
  result.chunk->mask = speech_of(random, frames);
  result.chunk->core = result.chunk->payload = {0, 3 * kSampleRate * (frames + 200) / 100};
  for (auto segments = random() % 4; segments > 0; --segments) {
    Segment segment;
    segment.text = "x";
    // Only both together tell of no speech.
    if (random() % 2 == 0) {
      segment.no_speech_prob = 0.6;
      segment.avg_logprob = -3.0;
    } else {
      segment.no_speech_prob = 0.99;
      segment.avg_logprob = -1.0;
    }
    result.transcription.segments.push_back(segment);
  }
  return result;
}

// A phrase of 1 to 8 words until it makes up just more than half of at least 20.
void loop(Heard& result, std::mt19937& random) {
  const std::size_t length = 1 + random() % 8;
  const std::size_t times = std::max(result.words.size(), std::size_t{20}) / length + 1;
  std::vector<std::string> phrase;
  for (std::size_t i = 0; i < length; ++i) phrase.push_back("loop" + std::to_string(i));
  const auto at =
      result.words.begin() + static_cast<std::ptrdiff_t>(random() % (result.words.size() + 1));
  std::vector<std::string> looped;
  for (std::size_t i = 0; i < times; ++i) looped.insert(looped.end(), phrase.begin(), phrase.end());
  result.words.insert(at, looped.begin(), looped.end());
  set_text(result);
  const auto frames = static_cast<std::uint32_t>(result.words.size() * 100 / 7 + 20);
  result.chunk->mask = speech_of(random, frames);
  result.chunk->core = result.chunk->payload = {0, 3 * kSampleRate * (frames + 200) / 100};
}

Segment doubted(std::mt19937& random) {
  Segment segment;
  segment.text = "x";
  segment.no_speech_prob = 0.601 + random() % 300 / 1000.0;
  segment.avg_logprob = -1.001 - random() % 1000 / 1000.0;
  return segment;
}

void check(const Heard& result, std::vector<Suspicion> expected) {
  const auto found = find_suspicions(result.transcription, *result.chunk);
  std::string names;
  for (const Suspicion one : found) names += " " + std::string(to_string(one));
  ck_assert_msg(found == expected, "flagged as%s: %s", names.c_str(),
                result.transcription.text.c_str());
}

}  // namespace

START_TEST(only_what_is_wrong_is_flagged) {
  const unsigned count = testing::rounds(300, 30000);
  for (unsigned seed = 0; seed < count; ++seed) {
    std::mt19937 random(seed);
    const Heard good = sound(random);
    check(good, {});

    Heard result = good;
    loop(result, random);
    check(result, {Suspicion::kRepetition});
    // Where the service measures that, its figure counts.
    Segment measured;
    measured.text = "x";
    measured.compression_ratio = 2.4;
    result.transcription.segments.push_back(measured);
    check(result, {});
    result.transcription.segments.back().compression_ratio = 2.401;
    check(result, {Suspicion::kCompression});

    result = good;
    auto& segments = result.transcription.segments;
    segments.insert(
        segments.begin() + static_cast<std::ptrdiff_t>(random() % (segments.size() + 1)),
        doubted(random));
    check(result, {Suspicion::kNoSpeech});

    result = good;
    result.chunk = std::make_shared<ChunkInfo>(*good.chunk);
    result.chunk->mask = speech_of(random, 1 + random() % 19);
    result.chunk->mask.push_back(100000);
    check(result, {Suspicion::kSilence});
    // As little of it, and nothing said.
    result.words.clear();
    set_text(result);
    check(result, {});

    result = good;
    result.chunk = std::make_shared<ChunkInfo>(*good.chunk);
    const std::uint32_t needed = static_cast<std::uint32_t>(good.words.size() * 100 / 8);
    if (needed > 21) {
      result.chunk->mask = speech_of(random, needed - 1);
      result.chunk->mask.push_back(100000);
      check(result, {Suspicion::kTooFast});
    }
  }
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fuzz_guards");
  TCase* tcase = tcase_create("fuzz_guards");
  tcase_add_test(tcase, only_what_is_wrong_is_flagged);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
