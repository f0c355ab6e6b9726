// Any raw audio to 16 kHz mono S16 in host byte order (stereo in parts of 5 : 3, so that inverted
// channels do not cancel out): one GstAudioConverter, fed so that the
// result depends on the samples only and never on how buffers split them.
//
// n frames in since configure(), flush() or reset() give exactly
// gst_util_uint64_scale_round(n, 16000, rate) frames out once flushed. Streaming thread only.
#pragma once

#include <gst/audio/audio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"

namespace transcribe {

class AudioNormalizer {
 public:
  // Caps that configure() takes, as text for the pad template.
  static const char* const kCaps;

  AudioNormalizer();
  ~AudioNormalizer();
  AudioNormalizer(const AudioNormalizer&) = delete;
  AudioNormalizer& operator=(const AudioNormalizer&) = delete;

  // Flush first: what the converter still holds is dropped.
  Status configure(const GstAudioInfo& info);
  bool configured() const;
  const GstAudioInfo& info() const;

  // All three append to `out`, in frames of the output. configure() must have succeeded.
  //
  // Fails when the buffer can't be mapped or is not of the configured format. `skip` and `frames`
  // select a part of the buffer in input frames (overlap with what came before).
  Status push(GstBuffer* buffer, std::vector<std::int16_t>& out, std::uint64_t skip = 0,
              std::uint64_t frames = G_MAXUINT64);
  void push_silence(std::uint64_t frames_in, std::vector<std::int16_t>& out);
  // Drains the converter; what follows starts afresh.
  void flush(std::vector<std::int16_t>& out);

  // Forgets what the converter holds.
  void reset();

  // Input frames since configure(), flush() or reset().
  std::uint64_t frames_in() const;

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
