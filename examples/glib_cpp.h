// Ownership of GLib's and GStreamer's things in C++.
#pragma once

#include <gst/gst.h>

#include <memory>
#include <string>

struct GFree {
  void operator()(void* memory) const noexcept { g_free(memory); }
};
struct GstUnref {
  void operator()(void* object) const noexcept { gst_object_unref(object); }
};
using CString = std::unique_ptr<char, GFree>;
template <typename T>
using GstPtr = std::unique_ptr<T, GstUnref>;

inline std::string take(char* text) { return text ? CString(text).get() : std::string(); }
