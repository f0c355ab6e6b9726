// What transcribe shows: the transcript on stdout, everything else on stderr.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>

// Without control characters: what a server sends must not steer the terminal.
std::string printable(const char* text);

// "00:00:01.500 - 00:00:04.000"
std::string span_text(GstClockTime start, GstClockTime duration);

// The progress bar stays below the text where stderr is a terminal. One thread.
class Screen {
 public:
  explicit Screen(bool quiet);

  // Not when quiet.
  void transcript(const std::string& line);
  void info(const std::string& line);
  // Always.
  void problem(const std::string& line);

  void progress(std::optional<int> percent, guint64 done, guint64 submitted);
  // Beside the bar until there is progress.
  void note(std::string text);
  void redraw();
  // No bar from here on.
  void finish();

 private:
  void erase_bar();
  void draw_bar();
  std::string remaining() const;

  bool quiet_;
  bool bar_;
  gint64 start_ = g_get_monotonic_time();
  std::optional<int> percent_;
  std::string counts_ = "starting";
  std::string note_;
};
