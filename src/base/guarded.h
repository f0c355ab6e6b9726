// A value that can be reached only while its lock is held.
//
//   Guarded<State> state_;
//   auto state = state_.lock();
//   state->open++;
//   state.wait(condition_, [&] { return state->open == 0; });
//
// Any thread. Notify the condition variable while the access is alive: ThreadSanitizer and
// tear-down are then both safe. Never call out (I/O, callbacks, GStreamer) with an access alive.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace transcribe {

template <typename T>
class Guarded {
 public:
  class Access {
   public:
    T* operator->() { return &value_; }
    T& operator*() { return value_; }

    template <typename Predicate>
    void wait(std::condition_variable& condition, Predicate predicate) {
      condition.wait(lock_, std::move(predicate));
    }
    void wait(std::condition_variable& condition) { condition.wait(lock_); }
    // False when the deadline passed and the predicate still is false.
    template <typename Predicate>
    bool wait_until(std::condition_variable& condition,
                    std::chrono::steady_clock::time_point deadline, Predicate predicate) {
      return condition.wait_until(lock_, deadline, std::move(predicate));
    }
    void wait_until(std::condition_variable& condition,
                    std::chrono::steady_clock::time_point deadline) {
      condition.wait_until(lock_, deadline);
    }

   private:
    friend class Guarded;
    Access(std::mutex& mutex, T& value) : lock_(mutex), value_(value) {}
    std::unique_lock<std::mutex> lock_;
    T& value_;
  };

  template <typename... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  [[nodiscard]] Access lock() { return Access(mutex_, value_); }

 private:
  std::mutex mutex_;
  T value_;
};

}  // namespace transcribe
