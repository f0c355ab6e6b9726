// Reads the one kind of WAV that the sink may send, and accepts nothing else: RIFF/WAVE, PCM,
// 16 kHz mono S16LE, sizes that match the bytes exactly. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace transcribe::testing {

// None: `error` says what is wrong with the bytes.
std::optional<std::vector<std::int16_t>> read_wav(std::string_view bytes, std::string& error);

}  // namespace transcribe::testing
