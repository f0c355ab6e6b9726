// A private GMainContext driven by the thread that waits: scopes for its use.
#pragma once

#include "base/glib_ptr.h"

namespace transcribe {

// While it lives, the thread's new asynchronous operations report to `context`.
class PushedContext {
 public:
  explicit PushedContext(GMainContext* context) : context_(context) {
    g_main_context_push_thread_default(context_);
  }
  ~PushedContext() { g_main_context_pop_thread_default(context_); }
  PushedContext(const PushedContext&) = delete;
  PushedContext& operator=(const PushedContext&) = delete;

 private:
  GMainContext* context_;
};

// Owns a source and its place in a context; comes before sources of default priority.
class AttachedSource {
 public:
  AttachedSource(GSource* source, GSourceFunc function, gpointer data, GMainContext* context)
      : source_(source) {
    g_source_set_callback(source_, function, data, nullptr);
    g_source_set_priority(source_, G_PRIORITY_HIGH);
    g_source_attach(source_, context);
  }
  ~AttachedSource() {
    g_source_destroy(source_);
    g_source_unref(source_);
  }
  AttachedSource(const AttachedSource&) = delete;
  AttachedSource& operator=(const AttachedSource&) = delete;

  GSource* get() const { return source_; }

 private:
  GSource* source_;
};

}  // namespace transcribe
