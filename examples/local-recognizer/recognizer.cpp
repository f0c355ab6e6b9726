#include "recognizer.h"

#include <pocketsphinx.h>
#include <sphinxbase/err.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace local_recognizer {
namespace {

constexpr double kFramesPerSecond = 100;

// Fillers are no words: <s>, </s>, <sil>, [NOISE], ++UH++.
bool is_filler(std::string_view word) {
  return word.empty() || word.front() == '<' || word.front() == '[' || word.starts_with("++");
}

// About -60 dBFS. Below that the decoder finds words in nothing at all.
constexpr int kQuietestPeak = 30;

bool is_silent(std::span<const std::int16_t> samples) {
  return std::ranges::all_of(
      samples, [](int sample) { return sample >= -kQuietestPeak && sample <= kQuietestPeak; });
}

// "read(2)" is the second pronunciation of "read".
std::string_view without_variant(std::string_view word) {
  return word.ends_with(')') ? word.substr(0, word.rfind('(')) : word;
}

}  // namespace

void Recognizer::DecoderFree::operator()(ps_decoder_s* decoder) const noexcept { ps_free(decoder); }

Recognizer::~Recognizer() = default;

std::unique_ptr<Recognizer> Recognizer::create() {
  // The log stream is state that all decoders share.
  err_set_logfp(nullptr);
  Decoder first = make_decoder();
  if (!first) return nullptr;
  std::unique_ptr<Recognizer> recognizer(new Recognizer);
  recognizer->give_back(std::move(first));
  return recognizer;
}

Recognizer::Decoder Recognizer::make_decoder() {
  // The two passes left out and the pruning double the speed at the same word error rate.
  // Removing silence would drop frames before they are counted and so shift the times of words;
  // dithering draws from a generator that all decoders share.
  cmd_ln_t* config =
      cmd_ln_init(nullptr, ps_args(), TRUE,                             //
                  "-hmm", POCKETSPHINX_MODEL_DIR "/en-us/en-us",        //
                  "-lm", POCKETSPHINX_MODEL_DIR "/en-us/en-us.lm.bin",  //
                  "-dict", POCKETSPHINX_MODEL_DIR "/en-us/cmudict-en-us.dict", "-samprate", "16000",
                  "-remove_silence", "no", "-dither", "no", "-fwdflat", "no", "-bestpath", "no",
                  "-maxhmmpf", "3000", "-maxwpf", "10", nullptr);
  if (!config) return nullptr;
  Decoder decoder(ps_init(config));
  cmd_ln_free_r(config);
  return decoder;
}

Recognizer::Decoder Recognizer::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      Decoder decoder = std::move(idle_.back());
      idle_.pop_back();
      return decoder;
    }
  }
  return make_decoder();
}

void Recognizer::give_back(Decoder decoder) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(decoder));
}

bool Recognizer::recognize(std::span<const std::int16_t> samples, std::vector<Word>& words) {
  if (is_silent(samples)) return true;
  Decoder decoder = take();
  if (!decoder) return false;
  // Without a new stream the estimated noise of earlier utterances changes the words of this one.
  const bool decoded =
      ps_start_stream(decoder.get()) == 0 && ps_start_utt(decoder.get()) == 0 &&
      ps_process_raw(decoder.get(), samples.data(), samples.size(), FALSE, TRUE) >= 0;
  if (ps_end_utt(decoder.get()) != 0 || !decoded) return false;

  for (ps_seg_t* segment = ps_seg_iter(decoder.get()); segment; segment = ps_seg_next(segment)) {
    const std::string_view word = ps_seg_word(segment);
    if (is_filler(word)) continue;
    int first = 0;
    int last = 0;
    ps_seg_frames(segment, &first, &last);
    const double length = static_cast<double>(samples.size()) / kSampleRate;
    words.push_back({std::string(without_variant(word)), std::min(first / kFramesPerSecond, length),
                     std::min((last + 1) / kFramesPerSecond, length)});
  }
  give_back(std::move(decoder));
  return true;
}

}  // namespace local_recognizer
