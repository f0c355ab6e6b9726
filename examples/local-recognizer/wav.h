// Reading WAV files from memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace local_recognizer {

// 16 kHz mono S16LE samples of a WAV file. Otherwise false, and `error` says what was found and
// what is needed.
bool read_wav(std::string_view file, std::vector<std::int16_t>& samples, std::string& error);

}  // namespace local_recognizer
