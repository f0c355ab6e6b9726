// Descriptors that close themselves, and writes that report every failure as errno.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <string_view>
#include <utility>

namespace transcribe {

class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

// write() and pwrite() for code that lives in somebody else's process: a file-size limit or a
// reader that left is EFBIG or EPIPE, without the signal that would end the process, and without
// changing how the process treats these signals. Repeated on EINTR; may be short. Any thread.
ssize_t write_quietly(int fd, std::string_view bytes);
ssize_t write_quietly_at(int fd, std::string_view bytes, off_t offset);

}  // namespace transcribe
