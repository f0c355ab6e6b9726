#include "dispatch/worker_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <utility>

#include "base/glib_ptr.h"
#include "base/guarded.h"

namespace transcribe {

struct WorkerPool::Private {
  struct State {
    bool closed = false;
    unsigned running = 0;
  };

  std::function<void()> run;
  Guarded<State> state;
  std::condition_variable idle;
  GThreadPool* pool = nullptr;
  // GLib's own locks are invisible to ThreadSanitizer, and a thread may have served another pool
  // before: this orders what came before submit() before the run.
  std::atomic<unsigned> tickets{0};

  void run_ticket() {
    (void)tickets.load(std::memory_order_acquire);
    {
      auto access = state.lock();
      if (access->closed) return;
      access->running++;
    }
    run();
    auto access = state.lock();
    access->running--;
    idle.notify_all();
  }

  static void on_ticket(gpointer, gpointer self) noexcept {
    static_cast<Private*>(self)->run_ticket();
  }
};

namespace {

int threads(unsigned wanted) { return static_cast<int>(std::clamp(wanted, 1u, 1024u)); }

}  // namespace

WorkerPool::WorkerPool(unsigned max_threads, std::function<void()> run)
    : d_(std::make_unique<Private>()) {
  d_->run = std::move(run);
  // Only an exclusive pool can fail here: it starts its threads at once.
  d_->pool = g_thread_pool_new(Private::on_ticket, d_.get(), threads(max_threads), FALSE, nullptr);
}

WorkerPool::~WorkerPool() {
  {
    auto access = d_->state.lock();
    access->closed = true;
    access.wait(d_->idle, [&] { return access->running == 0; });
  }
  g_thread_pool_free(d_->pool, TRUE, TRUE);
  // Likewise for the last ticket and the end.
  (void)d_->state.lock();
}

void WorkerPool::submit() {
  d_->tickets.fetch_add(1, std::memory_order_release);
  // When the system has no thread to give, GLib keeps the ticket for the next one that is there.
  g_thread_pool_push(d_->pool, GINT_TO_POINTER(1), nullptr);
}

void WorkerPool::set_max_threads(unsigned max_threads) {
  g_thread_pool_set_max_threads(d_->pool, threads(max_threads), nullptr);
}

}  // namespace transcribe
