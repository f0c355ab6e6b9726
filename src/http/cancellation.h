// Ends waiting anywhere: a flag that threads can wait on and a GCancellable for GIO.
// Any thread. cancel() is final and idempotent; a cancel that came before the wait counts too.
#pragma once

#include "base/glib_ptr.h"

namespace transcribe {

class Cancellation {
 public:
  Cancellation() : cancellable_(g_cancellable_new()) {}
  void cancel() { g_cancellable_cancel(cancellable_.get()); }
  bool cancelled() const { return g_cancellable_is_cancelled(cancellable_.get()); }
  GCancellable* get() const { return cancellable_.get(); }

 private:
  ObjectPtr<GCancellable> cancellable_;
};

}  // namespace transcribe
