#include "dispatch/worker_pool.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/glib_ptr.h"

namespace transcribe {

struct WorkerPool::Private {
  std::function<void()> run;
  GThreadPool* pool = nullptr;
  // GLib's own locks are invisible to ThreadSanitizer, and a thread may have served another pool
  // before. This orders what came before submit() before the run, and the runs before the end.
  std::atomic<unsigned> handovers{0};

  static void on_ticket(gpointer, gpointer data) noexcept {
    auto* self = static_cast<Private*>(data);
    (void)self->handovers.load(std::memory_order_acquire);
    self->run();
    self->handovers.fetch_add(1, std::memory_order_release);
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
  g_thread_pool_free(d_->pool, TRUE, TRUE);
  (void)d_->handovers.load(std::memory_order_acquire);
}

void WorkerPool::submit() {
  d_->handovers.fetch_add(1, std::memory_order_release);
  // When the system has no thread to give, GLib keeps the ticket for the next one that is there.
  g_thread_pool_push(d_->pool, GINT_TO_POINTER(1), nullptr);
}

void WorkerPool::set_max_threads(unsigned max_threads) {
  g_thread_pool_set_max_threads(d_->pool, threads(max_threads), nullptr);
}

}  // namespace transcribe
