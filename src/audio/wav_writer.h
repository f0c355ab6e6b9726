// RIFF/WAVE header for 16 kHz mono S16LE with exact sizes: servers read a placeholder length as
// hours of audio. Format: Microsoft Multimedia Programming Interface 1.0, "WAVE".
#pragma once

#include <array>
#include <cstdint>

namespace transcribe {

inline constexpr std::uint64_t kWavHeaderBytes = 44;

std::array<std::uint8_t, kWavHeaderBytes> wav_header(std::uint32_t pcm_bytes);

}  // namespace transcribe
