#include "base/file_io.h"

#include <signal.h>
#include <time.h>

#include <cerrno>

namespace transcribe {
namespace {

// Both signals are sent to the thread that writes: blocked there, they stay pending until they
// are taken off again.
class WriteSignals {
 public:
  WriteSignals() {
    sigemptyset(&ours_);
    sigaddset(&ours_, SIGXFSZ);
    sigaddset(&ours_, SIGPIPE);
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    // One that somebody else waits for is not ours to take.
    for (const int signal : {SIGXFSZ, SIGPIPE}) {
      if (sigismember(&pending, signal) == 1) sigdelset(&ours_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &ours_, &before_);
  }
  WriteSignals(const WriteSignals&) = delete;
  WriteSignals& operator=(const WriteSignals&) = delete;
  ~WriteSignals() {
    const int error = errno;
    const timespec at_once{};
    while (sigtimedwait(&ours_, nullptr, &at_once) > 0 || errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

 private:
  sigset_t ours_;
  sigset_t before_;
};

template <typename Write>
ssize_t repeat(Write write) {
  const WriteSignals signals;
  ssize_t written = 0;
  do {
    written = write();
  } while (written < 0 && errno == EINTR);
  return written;
}

}  // namespace

ssize_t write_quietly(int fd, std::string_view bytes) {
  return repeat([&] { return ::write(fd, bytes.data(), bytes.size()); });
}

ssize_t write_quietly_at(int fd, std::string_view bytes, off_t offset) {
  return repeat([&] { return ::pwrite(fd, bytes.data(), bytes.size(), offset); });
}

}  // namespace transcribe
