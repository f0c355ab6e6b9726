// Is a job that an outage kept from being read at the start one of this run's source? Compares the
// run's chunks with those that are done there, whichever are known first. Pure; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "job/chunk_record.h"
#include "job/event.h"

namespace transcribe {

class LateJoin {
 public:
  // Every event of the run, from its first on.
  void add(const Event& event);
  // Forgets what was expected: the job is read anew.
  void begin();
  void expect(const StoredChunk& stored);

  // For a person: the first difference, once there is one.
  std::optional<std::string> problem() const;

 private:
  struct Print {
    FrameSpan core;
    std::string sha256;
    bool dropped = false;  // not to be compared
  };
  void see(const ChunkInfo& chunk, bool dropped);
  void compare(std::uint64_t index);

  std::map<std::uint64_t, Print> run_;
  std::map<std::uint64_t, Print> job_;
  std::optional<std::uint64_t> differs_;
  bool whole_ = false;  // the run has come to the end of its source
};

}  // namespace transcribe
