#include "wav_reader.h"

namespace transcribe::testing {
namespace {

std::uint32_t little_endian(std::string_view bytes, std::size_t offset, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[offset + i]);
  }
  return value;
}

std::string expect(const char* what, std::uint64_t wanted, std::uint64_t found) {
  if (wanted == found) {
    return {};
  }
  return std::string(what) + " is " + std::to_string(found) + ", expected " +
         std::to_string(wanted);
}

std::string check_format(std::string_view chunk) {
  if (chunk.size() != 16) {
    return expect("size of the fmt chunk", 16, chunk.size());
  }
  const struct {
    const char* name;
    std::size_t offset, size;
    std::uint32_t wanted;
  } fields[] = {{"format tag", 0, 2, 1},       {"channels", 2, 2, 1},
                {"rate", 4, 4, 16000},         {"bytes per second", 8, 4, 32000},
                {"block alignment", 12, 2, 2}, {"bits per sample", 14, 2, 16}};
  for (const auto& field : fields) {
    const auto error =
        expect(field.name, field.wanted, little_endian(chunk, field.offset, field.size));
    if (!error.empty()) {
      return error;
    }
  }
  return {};
}

}  // namespace

std::optional<std::vector<std::int16_t>> read_wav(std::string_view bytes, std::string& error) {
  error.clear();
  if (bytes.size() < 12 || bytes.substr(0, 4) != "RIFF" || bytes.substr(8, 4) != "WAVE") {
    error = "no RIFF/WAVE header";
    return std::nullopt;
  }
  error = expect("RIFF size", bytes.size() - 8, little_endian(bytes, 4, 4));
  if (!error.empty()) {
    return std::nullopt;
  }
  std::optional<std::string_view> data;
  bool format = false;
  std::size_t at = 12;
  while (at < bytes.size()) {
    if (bytes.size() - at < 8) {
      error = "bytes after the last chunk";
      return std::nullopt;
    }
    const auto id = bytes.substr(at, 4);
    const std::size_t size = little_endian(bytes, at + 4, 4);
    at += 8;
    if (size + size % 2 > bytes.size() - at) {
      error = "the " + std::string(id) + " chunk is longer than the file";
      return std::nullopt;
    }
    const auto content = bytes.substr(at, size);
    at += size + size % 2;
    if (id == "fmt ") {
      format = true;
      error = check_format(content);
      if (!error.empty()) {
        return std::nullopt;
      }
    } else if (id == "data" && data) {
      error = "two data chunks";
      return std::nullopt;
    } else if (id == "data") {
      data = content;
    }
  }
  if (!format || !data) {
    error = format ? "no data chunk" : "no fmt chunk";
    return std::nullopt;
  }
  if (data->size() % 2 != 0) {
    error = "half a sample at the end";
    return std::nullopt;
  }
  std::vector<std::int16_t> samples(data->size() / 2);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<std::int16_t>(little_endian(*data, 2 * i, 2));
  }
  return samples;
}

}  // namespace transcribe::testing
