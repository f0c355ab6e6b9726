// Waits for asynchronous operations of GIO with a deadline and a cancellation. One thread.
#pragma once

#include <utility>

#include "base/main_context.h"
#include "http/cancellation.h"
#include "redis/fault.h"

namespace transcribe {

// The deadline starts with the construction. When it passes, or the caller cancels, get() is
// cancelled, and with it every operation that was started with it. What is there by then counts,
// however late this process looks: it may have been stopped, or its machine.
class Wait {
 public:
  Wait(GMainContext* context, Milliseconds timeout, const Cancellation& cancellation)
      : attempt_(g_cancellable_new()),
        context_(context),
        timeout_(timeout),
        deadline_(new_deadline_source(), on_deadline, this, context),
        cancellation_(cancellation),
        cancel_(g_cancellable_connect(cancellation.get(), G_CALLBACK(wake), context, nullptr)) {
    restart();
    take_cancel();
  }
  // Returns when a call of wake() has.
  ~Wait() { g_cancellable_disconnect(cancellation_.get(), cancel_); }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  GCancellable* get() const { return attempt_.get(); }
  bool ended() const { return g_cancellable_is_cancelled(attempt_.get()); }
  bool timed_out() const { return timed_out_; }
  bool cancelled() const { return cancelled_; }
  Milliseconds timeout() const { return timeout_; }

  void restart() {
    late_ = false;
    g_source_set_ready_time(deadline_.get(), g_get_monotonic_time() + timeout_.count() * 1000);
  }
  void end() { g_cancellable_cancel(attempt_.get()); }
  // Runs what is due in the context, or waits for it.
  void iterate() {
    g_main_context_iteration(context_, TRUE);
    for (int i = 0; late_ && i < kLastLooks; i++) g_main_context_iteration(context_, FALSE);
    if (std::exchange(late_, false) && !ended()) {
      timed_out_ = true;
      end();
    }
    take_cancel();
  }

 private:
  // A read that finds something at once reports it in the next iteration only.
  static constexpr int kLastLooks = 4;

  // GLib's timeout source would start over after each call, and with an interval of 0 never let
  // the operations report that they are cancelled.
  static GSource* new_deadline_source() {
    static GSourceFuncs functions = {
        nullptr,
        nullptr,
        [](GSource* source, GSourceFunc function, gpointer self) -> gboolean {
          g_source_set_ready_time(source, -1);
          return function(self);
        },
        nullptr,
        nullptr,
        nullptr};
    return g_source_new(&functions, sizeof(GSource));
  }
  static gboolean on_deadline(gpointer self) noexcept {
    static_cast<Wait*>(self)->late_ = true;
    return G_SOURCE_CONTINUE;
  }
  // Not a g_cancellable_source: GLib 2.74 leaks one that is dropped while another thread is still
  // in g_cancellable_cancel().
  static void wake(GCancellable*, gpointer context) noexcept {
    g_main_context_wakeup(static_cast<GMainContext*>(context));
  }
  void take_cancel() {
    if (ended() || !cancellation_.cancelled()) return;
    cancelled_ = true;
    end();
  }

  ObjectPtr<GCancellable> attempt_;
  GMainContext* context_;
  Milliseconds timeout_;
  bool late_ = false;  // the deadline has passed
  bool timed_out_ = false;
  bool cancelled_ = false;
  AttachedSource deadline_;
  const Cancellation& cancellation_;
  gulong cancel_;
};

}  // namespace transcribe
