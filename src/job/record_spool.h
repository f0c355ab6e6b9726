// Texts that are kept until they are asked for again: in memory at first, in an unlinked temporary
// file once they exceed `spill_bytes`. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file_io.h"
#include "base/result.h"

namespace transcribe {

class RecordSpool {
 public:
  struct Position {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  explicit RecordSpool(std::size_t spill_bytes)
      : spill_bytes_(spill_bytes), spill_at_(spill_bytes) {}

  // A disk that is full or can't be used costs memory, nothing else.
  Position append(std::string_view record);
  Status read(const Position& position, std::string& record) const;

 private:
  void spill();

  // The records form one sequence of bytes: its first part lies in the file, the rest in memory.
  std::size_t spill_bytes_;
  std::size_t spill_at_;
  UniqueFd file_;
  std::uint64_t in_file_ = 0;
  std::string in_memory_;
};

}  // namespace transcribe
