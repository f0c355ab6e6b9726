#include "limit_crowd.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace transcribe {

LimitCrowd::LimitCrowd(const std::string& program, unsigned size, std::uint16_t port, double rate,
                       unsigned burst)
    : lines_(size) {
  for (unsigned i = 0; i < size; i++) {
    processes_.push_back(
        g_subprocess_new(static_cast<GSubprocessFlags>(G_SUBPROCESS_FLAGS_STDIN_PIPE |
                                                       G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                                       G_SUBPROCESS_FLAGS_STDERR_SILENCE),
                         nullptr, program.c_str(), std::to_string(port).c_str(),
                         ("member-" + std::to_string(i)).c_str(), std::to_string(rate).c_str(),
                         std::to_string(burst).c_str(), nullptr));
    if (!processes_.back()) std::abort();
  }
  for (unsigned i = 0; i < size; i++) readers_.emplace_back([this, i] { read(i); });
}

LimitCrowd::~LimitCrowd() {
  for (GSubprocess* process : processes_) g_subprocess_force_exit(process);
  for (std::thread& reader : readers_) reader.join();
  for (GSubprocess* process : processes_) {
    g_subprocess_wait(process, nullptr, nullptr);
    g_object_unref(process);
  }
}

void LimitCrowd::read(std::size_t process) {
  GDataInputStream* stream =
      g_data_input_stream_new(g_subprocess_get_stdout_pipe(processes_[process]));
  for (;;) {
    char* text = g_data_input_stream_read_line(stream, nullptr, nullptr, nullptr);
    if (!text) break;
    const Line line{text[0], std::atoll(text + 1), g_get_real_time()};
    g_free(text);
    const std::lock_guard lock(mutex_);
    lines_[process].push_back(line);
    changed_.notify_all();
  }
  g_object_unref(stream);
}

bool LimitCrowd::wait_each(const std::function<bool(const Lines&)>& done) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::minutes(1),
                           [&] { return std::all_of(lines_.begin(), lines_.end(), done); });
}

bool LimitCrowd::wait_first(const std::function<bool(const Lines&)>& done) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return done(lines_.front()); });
}

std::vector<LimitCrowd::Lines> LimitCrowd::lines() {
  const std::lock_guard lock(mutex_);
  return lines_;
}

void LimitCrowd::tell(unsigned process, const std::string& line) {
  GOutputStream* stream = g_subprocess_get_stdin_pipe(processes_[process]);
  const std::string text = line + "\n";
  g_output_stream_write_all(stream, text.data(), text.size(), nullptr, nullptr, nullptr);
  g_output_stream_flush(stream, nullptr, nullptr);
}

std::vector<std::int64_t> dues_of(const std::vector<LimitCrowd::Lines>& all) {
  std::vector<std::int64_t> dues;
  for (const LimitCrowd::Lines& lines : all) {
    for (const LimitCrowd::Line& line : lines)
      if (line.kind == 'G' || line.kind == 'L') dues.push_back(line.value);
  }
  std::sort(dues.begin(), dues.end());
  return dues;
}

std::size_t count_of(const LimitCrowd::Lines& lines, char kind) {
  return static_cast<std::size_t>(std::count_if(
      lines.begin(), lines.end(), [&](const LimitCrowd::Line& line) { return line.kind == kind; }));
}

std::int64_t last_due(const LimitCrowd::Lines& lines) {
  for (auto line = lines.rbegin(); line != lines.rend(); ++line)
    if (line->kind == 'G' || line->kind == 'L') return line->value;
  return 0;
}

}  // namespace transcribe
