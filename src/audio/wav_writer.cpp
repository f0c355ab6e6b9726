#include "audio/wav_writer.h"

#include <glib.h>

#include <cstring>

#include "audio/chunk.h"

namespace transcribe {
namespace {

constexpr std::uint16_t kPcmFormat = 1;
constexpr std::uint16_t kChannels = 1;
constexpr std::uint32_t kFormatChunkBytes = 16;

class HeaderWriter {
 public:
  void tag(const char* four_letters) { append(four_letters, 4); }
  void u16(std::uint16_t value) {
    const std::uint16_t little = GUINT16_TO_LE(value);
    append(&little, sizeof little);
  }
  void u32(std::uint32_t value) {
    const std::uint32_t little = GUINT32_TO_LE(value);
    append(&little, sizeof little);
  }
  const std::array<std::uint8_t, kWavHeaderBytes>& bytes() const { return bytes_; }

 private:
  void append(const void* data, std::size_t size) {
    std::memcpy(bytes_.data() + used_, data, size);
    used_ += size;
  }

  std::array<std::uint8_t, kWavHeaderBytes> bytes_{};
  std::size_t used_ = 0;
};

}  // namespace

std::array<std::uint8_t, kWavHeaderBytes> wav_header(std::uint32_t pcm_bytes) {
  constexpr std::uint32_t kRiffOverhead = kWavHeaderBytes - 8;
  HeaderWriter header;
  header.tag("RIFF");
  header.u32(kRiffOverhead + pcm_bytes);
  header.tag("WAVE");
  header.tag("fmt ");
  header.u32(kFormatChunkBytes);
  header.u16(kPcmFormat);
  header.u16(kChannels);
  header.u32(kSampleRate);
  header.u32(kSampleRate * kBytesPerFrame);
  header.u16(kBytesPerFrame);
  header.u16(kBytesPerFrame * 8);
  header.tag("data");
  header.u32(pcm_bytes);
  return header.bytes();
}

}  // namespace transcribe
