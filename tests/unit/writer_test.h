// A transcript file in a directory of its own.
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "job/memory_job_store.h"
#include "openai/json.h"
#include "outcomes.h"
#include "transcript/writer.h"

#include "check_main.h"

namespace transcribe {

using WriterPtr = std::unique_ptr<TranscriptWriter>;

class Directory {
 public:
  Directory() : path_(g_dir_make_tmp("test-writer-XXXXXX", nullptr)) {}
  ~Directory() {
    g_chmod(path_.get(), 0700);
    for (const std::string& name : names()) g_unlink(file(name).c_str());
    g_rmdir(path_.get());
  }
  std::string file(const std::string& name) const { return std::string(path_.get()) + "/" + name; }
  std::string path() const { return path_.get(); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    GDir* directory = g_dir_open(path_.get(), 0, nullptr);
    while (directory != nullptr) {
      const char* name = g_dir_read_name(directory);
      if (name == nullptr) break;
      found.emplace_back(name);
    }
    if (directory != nullptr) g_dir_close(directory);
    return found;
  }

 private:
  CharPtr path_;
};

inline std::string read_file(const std::string& path) {
  CharPtr text;
  gsize size = 0;
  if (!g_file_get_contents(path.c_str(), out(text), &size, nullptr)) return "<unreadable>";
  return {text.get(), size};
}

inline void write_file(const std::string& path, const std::string& text) {
  ck_assert(g_file_set_contents(path.c_str(), text.c_str(), -1, nullptr));
}

inline void assert_file(const std::string& path, const std::string& expected) {
  const std::string text = read_file(path);
  ck_assert_str_eq(text.c_str(), expected.c_str());
}

inline WriterPtr open_writer(const std::string& location,
                             TranscriptFormat format = TranscriptFormat::kAuto) {
  auto writer = TranscriptWriter::open(location, format, "job-1");
  ck_assert_msg(writer.ok(), "%s", writer.ok() ? "" : writer.error().message.c_str());
  return std::move(*writer);
}

// What a job with a bit of everything writes.
inline void write_all(TranscriptWriter& writer, JobStore& store,
                      const std::vector<Outcome>& outcomes) {
  Joiner joiner;
  for (const Outcome& outcome : outcomes) {
    std::visit([&](const auto& event) { store.record(event); }, outcome);
    for (const Released& released : joiner.add(outcome)) ck_assert(writer.write(released).ok());
  }
}

inline JsonNodePtr parsed(const std::string& text) {
  JsonNodePtr root = parse_json(text);
  ck_assert_msg(as_object(root.get()) != nullptr, "no JSON object: %s", text.c_str());
  return root;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      lines.push_back("<half a line>");
      break;
    }
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

inline bool in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline Released release_alone(const Outcome& outcome) {
  Joiner joiner(chunk_of(outcome).index);
  return joiner.add(outcome).at(0);
}

}  // namespace transcribe
