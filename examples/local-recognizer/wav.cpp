#include "wav.h"

#include <algorithm>
#include <cstddef>

#include "recognizer.h"

namespace local_recognizer {
namespace {

constexpr unsigned kPcm = 1;
constexpr unsigned kExtensible = 0xfffe;

unsigned little_endian(std::string_view bytes) {
  unsigned value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

bool check_format(std::string_view format, std::string& error) {
  if (format.size() < 16) {
    error = "The WAV file has a cut format chunk.";
    return false;
  }
  unsigned tag = little_endian(format.substr(0, 2));
  if (tag == kExtensible && format.size() >= 26) tag = little_endian(format.substr(24, 2));
  const unsigned channels = little_endian(format.substr(2, 2));
  const unsigned rate = little_endian(format.substr(4, 4));
  const unsigned bits = little_endian(format.substr(14, 2));
  if (tag == kPcm && channels == 1 && rate == kSampleRate && bits == 16) return true;
  error = "This server needs WAV with 16 kHz, 1 channel, 16 bit PCM; the file has " +
          std::to_string(rate) + " Hz, " + std::to_string(channels) + " channels, " +
          std::to_string(bits) + " bit, format " + std::to_string(tag) + ".";
  return false;
}

}  // namespace

bool read_wav(std::string_view file, std::vector<std::int16_t>& samples, std::string& error) {
  if (file.size() < 12 || !file.starts_with("RIFF") || file.substr(8, 4) != "WAVE") {
    error = "Audio file might be corrupted or unsupported: this server reads WAV only.";
    return false;
  }
  bool have_format = false;
  for (std::size_t at = 12; file.size() - at >= 8;) {
    const std::string_view id = file.substr(at, 4);
    const std::size_t size = little_endian(file.substr(at + 4, 4));
    at += 8;
    if (size > file.size() - at) {
      error = "Audio file might be corrupted: a chunk of the WAV file is longer than the file.";
      return false;
    }
    const std::string_view body = file.substr(at, size);
    if (id == "fmt ") {
      if (!check_format(body, error)) return false;
      have_format = true;
    } else if (id == "data" && have_format) {
      samples.resize(size / 2);
      for (std::size_t i = 0; i < samples.size(); i++)
        samples[i] = static_cast<std::int16_t>(little_endian(body.substr(i * 2, 2)));
      return true;
    }
    // Chunks are padded to an even length; the last one often isn't.
    at = std::min(at + size + size % 2, file.size());
  }
  error = "Audio file might be corrupted: the WAV file has no format or no data chunk.";
  return false;
}

}  // namespace local_recognizer
