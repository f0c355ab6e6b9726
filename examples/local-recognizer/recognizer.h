// English speech to words with libpocketsphinx and Debian's pocketsphinx-en-us model.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

struct ps_decoder_s;

namespace local_recognizer {

inline constexpr unsigned kSampleRate = 16000;

struct Word {
  std::string text;
  double start = 0;  // seconds from the first sample
  double end = 0;
};

// A pool of decoders: about 94 MB and 0.4 s each, made when all others are busy. recognize() may be
// called from any number of threads; the words depend on nothing but the samples.
class Recognizer {
 public:
  // Null when the model can't be loaded.
  static std::unique_ptr<Recognizer> create();
  ~Recognizer();

  // 16 kHz mono. False when no further decoder could be made.
  bool recognize(std::span<const std::int16_t> samples, std::vector<Word>& words);

 private:
  struct DecoderFree {
    void operator()(ps_decoder_s* decoder) const noexcept;
  };
  using Decoder = std::unique_ptr<ps_decoder_s, DecoderFree>;

  Recognizer() = default;
  static Decoder make_decoder();
  Decoder take();
  void give_back(Decoder decoder);

  std::mutex mutex_;
  std::vector<Decoder> idle_;  // guarded by mutex_
};

}  // namespace local_recognizer
