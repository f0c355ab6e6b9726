// Who owns a job: host, boot, process and the process's start time, so that a start on the same
// host can tell a dead owner from a living one. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace transcribe {

struct JobOwner {
  std::string host;
  std::string boot;  // boot id and pid namespace: two containers of one host can't see each other
  std::uint64_t process = 0;
  std::uint64_t started = 0;  // clock ticks since boot

  static JobOwner here();
  // "host boot process started"; absent when it is not that.
  static std::optional<JobOwner> parse(const std::string& text);
  std::string text() const;

  // The process ran where this one does and is gone. False where that can't be known.
  bool is_dead() const;
};

// The job's member of `<prefix>:workers` in this process.
std::string worker_name(const std::string& job_id);

// For people: "process 17 on host", or the text as it is.
std::string describe_owner(const std::string& text);

}  // namespace transcribe
