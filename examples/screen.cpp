#include "screen.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

namespace {

std::string clock_text(GstClockTime time) {
  const guint64 ms = GST_CLOCK_TIME_IS_VALID(time) ? time / GST_MSECOND : 0;
  char text[48];
  std::snprintf(text, sizeof text,
                "%02" G_GUINT64_FORMAT ":%02" G_GUINT64_FORMAT ":%02" G_GUINT64_FORMAT
                ".%03" G_GUINT64_FORMAT,
                ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
  return text;
}

}  // namespace

std::string span_text(GstClockTime start, GstClockTime duration) {
  return clock_text(start) + " - " +
         clock_text(GST_CLOCK_TIME_IS_VALID(duration) ? start + duration : start);
}

std::string printable(const char* text) {
  const std::unique_ptr<char, decltype(&g_free)> valid(g_utf8_make_valid(text, -1), g_free);
  std::string result;
  for (const char* at = valid.get(); *at; at = g_utf8_next_char(at)) {
    const char* next = g_utf8_next_char(at);
    if (g_unichar_iscntrl(g_utf8_get_char(at)))
      result += ' ';
    else
      result.append(at, next);
  }
  char* stripped = g_strstrip(result.data());
  return stripped;
}

Screen::Screen(bool quiet) : quiet_(quiet), bar_(!quiet && isatty(STDERR_FILENO)) {}

void Screen::transcript(const std::string& line) {
  if (quiet_) return;
  erase_bar();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  draw_bar();
}

void Screen::info(const std::string& line) {
  if (!quiet_) problem(line);
}

void Screen::problem(const std::string& line) {
  erase_bar();
  std::fprintf(stderr, "%s\n", line.c_str());
  draw_bar();
}

void Screen::progress(std::optional<int> percent, guint64 done, guint64 submitted) {
  percent_ = percent;
  counts_ = std::to_string(done) + " of " + std::to_string(submitted) + " requests answered";
  note_.clear();
  redraw();
}

void Screen::note(std::string text) {
  note_ = std::move(text);
  redraw();
}

void Screen::redraw() {
  erase_bar();
  draw_bar();
}

void Screen::finish() {
  erase_bar();
  bar_ = false;
}

void Screen::erase_bar() {
  if (bar_) std::fputs("\r\033[K", stderr);
}

void Screen::draw_bar() {
  if (!bar_) return;
  std::string line = counts_;
  if (percent_) {
    constexpr int kWidth = 30;
    const int filled = std::clamp(*percent_, 0, 100) * kWidth / 100;
    line = "[" + std::string(static_cast<std::size_t>(filled), '#') +
           std::string(static_cast<std::size_t>(kWidth - filled), '.') + "] " +
           std::to_string(*percent_) + " %" + remaining();
  }
  if (!note_.empty()) line += "  " + note_;
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

std::string Screen::remaining() const {
  if (!percent_ || *percent_ <= 0 || *percent_ >= 100) return {};
  const gint64 elapsed = (g_get_monotonic_time() - start_) / G_USEC_PER_SEC;
  const gint64 left = elapsed * (100 - *percent_) / *percent_;
  char text[48];
  std::snprintf(text, sizeof text,
                "  ETA %" G_GINT64_FORMAT ":%02" G_GINT64_FORMAT ":%02" G_GINT64_FORMAT,
                left / 3600, left / 60 % 60, left % 60);
  return text;
}
