// A GThreadPool that runs one function as often as asked, on at most `max_threads` threads.
//
// It carries tickets, not jobs: what there is to do lies behind the owner's std::mutex, which
// ThreadSanitizer sees. Not exclusive: threads come with the work and leave when idle.
#pragma once

#include <functional>
#include <memory>

namespace transcribe {

class WorkerPool {
 public:
  // `run` is called on worker threads and must not throw.
  WorkerPool(unsigned max_threads, std::function<void()> run);
  // Waits for the runs in progress, drops tickets not begun.
  ~WorkerPool();
  // One more call of `run`. Any thread.
  void submit();
  void set_max_threads(unsigned max_threads);

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
