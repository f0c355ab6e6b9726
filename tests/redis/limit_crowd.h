// Many processes of one rate-limit-group (limit_member.cpp), and what they say. Use from one
// thread; the processes end with it.
#pragma once

#include <gio/gio.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace transcribe {

class LimitCrowd {
 public:
  struct Line {
    char kind = 0;  // see limit_member.cpp
    std::int64_t value = 0;
    std::int64_t said = 0;  // wall clock here, µs
  };
  using Lines = std::vector<Line>;

  // Starts `size` processes that ask the server on `port`.
  LimitCrowd(const std::string& program, unsigned size, std::uint16_t port, double rate,
             unsigned burst);
  ~LimitCrowd();
  LimitCrowd(const LimitCrowd&) = delete;
  LimitCrowd& operator=(const LimitCrowd&) = delete;

  // Waits until `done` says yes to what each process has said so far; false after a minute.
  bool wait_each(const std::function<bool(const Lines&)>& done);
  // The same for the first process only.
  bool wait_first(const std::function<bool(const Lines&)>& done);
  // What all have said so far.
  std::vector<Lines> lines();
  // To one process.
  void tell(unsigned process, const std::string& line);

 private:
  void read(std::size_t process);

  std::vector<GSubprocess*> processes_;
  std::vector<std::thread> readers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Lines> lines_;
};

// Due times of what was sent, of all processes, in order.
std::vector<std::int64_t> dues_of(const std::vector<LimitCrowd::Lines>& all);
std::size_t count_of(const LimitCrowd::Lines& lines, char kind);
// The last due time of a process; 0: none.
std::int64_t last_due(const LimitCrowd::Lines& lines);

}  // namespace transcribe
