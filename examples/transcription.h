// One medium on its way to text: the pipeline and its bus.
#pragma once

#include <gst/gst.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "glib_cpp.h"
#include "screen.h"

enum ExitCode {
  kComplete = 0,
  kError = 1,
  kUsage = 2,
  kIncomplete = 3,
  kNoJob = 4,
  kStopped = 130,
};

struct Media {
  std::string name;  // as given
  std::string uri;
  std::string path;  // empty: no local file
};
// A file's name or a URI.
std::optional<Media> find_media(const char* argument, std::string& error);

// On the thread that runs the default main context. `on_end` is called once.
class Transcription {
 public:
  Transcription(Screen& screen, std::function<void(ExitCode)> on_end)
      : screen_(screen), on_end_(std::move(on_end)) {}
  ~Transcription();

  bool build(const Media& media, std::string& error);
  // "NAME=VALUE" on the sink. After build().
  bool set_property(const std::string& assignment, std::string& error);
  // Where the transcript is written; empty: nowhere.
  std::string output() const;
  // Of the job in its store; after start().
  std::string job_id() const;
  void start();
  // What was recorded so far is still transcribed.
  void end_recording();
  bool has_text() const { return has_text_; }

 private:
  static void on_pad_added(GstElement*, GstPad* pad, gpointer self) noexcept;
  static void on_no_more_pads(GstElement* source, gpointer self) noexcept;
  static gboolean on_message(GstBus*, GstMessage* message, gpointer self) noexcept;
  void on_element(const GstStructure* about);
  void on_progress(GstMessage* message);
  void on_error(GstMessage* message);
  void end(ExitCode code);
  std::string text_property(const char* name) const;
  std::string no_audio() const { return "There is no audio in " + media_ + "."; }

  Screen& screen_;
  std::function<void(ExitCode)> on_end_;
  std::string media_;
  GstPtr<GstElement> pipeline_;
  GstElement* sink_ = nullptr;  // the pipeline's
  std::string missing_plugin_;
  guint64 failed_chunks_ = 0;
  bool only_chunks_failed_ = false;
  bool has_text_ = false;
};
