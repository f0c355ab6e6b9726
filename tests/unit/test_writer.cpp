#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "job/memory_job_store.h"
#include "openai/json.h"
#include "outcomes.h"
#include "transcript/writer.h"

#include "check_main.h"

using namespace transcribe;

namespace {

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

std::string read_file(const std::string& path) {
  CharPtr text;
  gsize size = 0;
  if (!g_file_get_contents(path.c_str(), out(text), &size, nullptr)) return "<unreadable>";
  return {text.get(), size};
}

void write_file(const std::string& path, const std::string& text) {
  ck_assert(g_file_set_contents(path.c_str(), text.c_str(), -1, nullptr));
}

void assert_file(const std::string& path, const std::string& expected) {
  const std::string text = read_file(path);
  ck_assert_str_eq(text.c_str(), expected.c_str());
}

WriterPtr open_writer(const std::string& location,
                      TranscriptFormat format = TranscriptFormat::kAuto) {
  auto writer = TranscriptWriter::open(location, format, "job-1");
  ck_assert_msg(writer.ok(), "%s", writer.ok() ? "" : writer.error().message.c_str());
  return std::move(*writer);
}

Segment segment(int start, int end, const std::string& text, const std::string& speaker = "") {
  Segment one;
  one.start = std::chrono::seconds(start);
  one.end = std::chrono::milliseconds(end * 1000 + 250);
  one.text = text;
  one.speaker = speaker;
  return one;
}

ChunkDone done_with(std::uint64_t index, const std::string& text, std::vector<Segment> segments) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  transcription->segments = std::move(segments);
  ChunkDone done = make_done(index, "");
  done.transcription = transcription;
  return done;
}

// What a job with a bit of everything writes.
void write_all(TranscriptWriter& writer, JobStore& store, const std::vector<Outcome>& outcomes) {
  Joiner joiner;
  for (const Outcome& outcome : outcomes) {
    std::visit([&](const auto& event) { store.record(event); }, outcome);
    for (const Released& released : joiner.add(outcome)) ck_assert(writer.write(released).ok());
  }
}

std::vector<Outcome> a_job() {
  return {make_done(0, "Hello & <i>welcome</i>."),
          done_with(1, "Who? Me.", {segment(0, 2, " Who?", "A"), segment(3, 4, "Me.", "B<b>")}),
          make_failed(2),
          make_skipped(3, SkipReason::kSilence),
          make_skipped(4, SkipReason::kQueueFull),
          make_done(5, "The\r\n\r\nend --> \xe2\x80\xa8")};
}

std::string file_of_a_job(const std::string& name) {
  const Directory directory;
  const std::string location = directory.file(name);
  write_file(location, "old text that is longer than nothing");
  MemoryJobStore store;
  WriterPtr writer = open_writer(location);
  write_all(*writer, store, a_job());
  ck_assert(writer->write_unsettled(*make_chunk(6)).ok());
  ck_assert(writer->finish(JobState::kFailed, store).ok());
  ck_assert_uint_eq(directory.names().size(), 1);
  return read_file(location);
}

JsonNodePtr parsed(const std::string& text) {
  JsonNodePtr root = parse_json(text);
  ck_assert_msg(as_object(root.get()) != nullptr, "no JSON object: %s", text.c_str());
  return root;
}

std::vector<std::string> lines_of(const std::string& text) {
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

bool in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Released release_alone(const Outcome& outcome) {
  Joiner joiner(chunk_of(outcome).index);
  return joiner.add(outcome).at(0);
}

bool limit_files(rlim_t bytes) {
  signal(SIGXFSZ, SIG_DFL);
  const rlimit limit{bytes, RLIM_INFINITY};
  return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

}  // namespace

START_TEST(format_by_ending) {
  const auto resolve = [](const char* name) {
    return resolve_format(TranscriptFormat::kAuto, name);
  };
  ck_assert(resolve("a.srt") == TranscriptFormat::kSrt);
  ck_assert(resolve("/x.y/a.VTT") == TranscriptFormat::kVtt);
  ck_assert(resolve("a.jsonl") == TranscriptFormat::kJsonl);
  ck_assert(resolve("a.json") == TranscriptFormat::kJson);
  ck_assert(resolve("a.txt") == TranscriptFormat::kTxt);
  ck_assert(resolve("srt") == TranscriptFormat::kTxt);
  ck_assert(resolve("/dev/stdout") == TranscriptFormat::kTxt);
  ck_assert(resolve_format(TranscriptFormat::kVtt, "a.srt") == TranscriptFormat::kVtt);
}
END_TEST

START_TEST(txt) {
  const std::string text = file_of_a_job("a.txt");
  ck_assert_str_eq(text.c_str(),
                   "Hello & <i>welcome</i>.\n"
                   "A: Who?\nB<b>: Me.\n"
                   "[not transcribed: HTTP 500, 0:00:20 – 0:00:30]\n"
                   "[not transcribed: queue-full, 0:00:40 – 0:00:50]\n"
                   "The end -->\n"
                   "[not transcribed: job ended, 0:01:00 – 0:01:10]\n");
}
END_TEST

START_TEST(srt) {
  const std::string text = file_of_a_job("a.srt");
  ck_assert_str_eq(
      text.c_str(),
      "1\n00:00:00,000 --> 00:00:03,913\nHello &\n\n"
      "2\n00:00:03,913 --> 00:00:10,000\n<i>welcome</i>.\n\n"
      "3\n00:00:10,000 --> 00:00:12,250\nA: Who?\n\n"
      "4\n00:00:13,000 --> 00:00:14,250\nB<b>: Me.\n\n"
      "5\n00:00:20,000 --> 00:00:27,000\n[not transcribed: HTTP 500,\n0:00:20 – 0:00:30]\n\n"
      "6\n00:00:40,000 --> 00:00:47,000\n[not transcribed: queue-full,\n0:00:40 – 0:00:50]\n\n"
      "7\n00:00:50,000 --> 00:00:55,000\nThe\n\n"
      "8\n00:00:55,000 --> 00:01:00,000\nend ->\n\n"
      "9\n00:01:00,000 --> 00:01:07,000\n[not transcribed: job ended,\n0:01:00 – 0:01:10]\n\n");
}
END_TEST

START_TEST(vtt) {
  const std::string text = file_of_a_job("a.vtt");
  ck_assert_str_eq(
      text.c_str(),
      "WEBVTT\n\n"
      "00:00:00.000 --> 00:00:03.913\nHello &amp;\n\n"
      "00:00:03.913 --> 00:00:10.000\n&lt;i&gt;welcome&lt;/i&gt;.\n\n"
      "00:00:10.000 --> 00:00:12.250\n<v A>Who?\n\n"
      "00:00:13.000 --> 00:00:14.250\n<v B&lt;b&gt;>Me.\n\n"
      "00:00:20.000 --> 00:00:27.000\n[not transcribed: HTTP 500,\n0:00:20 – 0:00:30]\n\n"
      "00:00:40.000 --> 00:00:47.000\n[not transcribed: queue-full,\n0:00:40 – 0:00:50]\n\n"
      "00:00:50.000 --> 00:00:55.000\nThe\n\n"
      "00:00:55.000 --> 00:01:00.000\nend --&gt;\n\n"
      "00:01:00.000 --> 00:01:07.000\n[not transcribed: job ended,\n0:01:00 – 0:01:10]\n\n");
}
END_TEST

START_TEST(times_of_long_streams) {
  const Directory directory;
  MemoryJobStore store;
  WriterPtr writer = open_writer(directory.file("a.srt"));
  ck_assert(writer->write(release_alone(make_done(36000, "x"))).ok());
  assert_file(directory.file("a.srt"), "1\n100:00:00,000 --> 100:00:07,000\nx\n\n");
}
END_TEST

START_TEST(jsonl) {
  const auto lines = lines_of(file_of_a_job("a.jsonl"));
  const char* status[] = {"done", "done", "failed", "skipped", "skipped", "done", "unsettled"};
  ck_assert_uint_eq(lines.size(), 7);
  std::string text;
  for (std::size_t i = 0; i < 7; ++i) {
    const JsonNodePtr root = parsed(lines[i]);
    JsonObject* object = as_object(root.get());
    ck_assert_int_eq(json_object_get_int_member(object, "index"), static_cast<gint64>(i));
    ck_assert_int_eq(json_object_get_int_member(object, "timestamp"),
                     static_cast<gint64>(i) * 10000000000);
    ck_assert_int_eq(json_object_get_int_member(object, "duration"), 10000000000);
    ck_assert_str_eq(json_object_get_string_member(object, "status"), status[i]);
    text += json_object_get_string_member_with_default(object, "text", "");
  }
  ck_assert_str_eq(text.c_str(), "Hello & <i>welcome</i>. Who? Me. The\r\n\r\nend -->");
  ck_assert_str_eq(lines[2].c_str(),
                   "{\"index\":2,\"timestamp\":20000000000,\"duration\":10000000000,"
                   "\"status\":\"failed\",\"error\":{\"reason\":\"http-status\","
                   "\"http_status\":500,\"message\":\"The service failed.\"}}");
  ck_assert(lines[1].find("\"segments\":[{\"timestamp\":10000000000,\"duration\":2250000000,"
                          "\"text\":\"Who?\",\"speaker\":\"A\"},") != std::string::npos);
  ck_assert(lines[4].find("\"reason\":\"queue-full\"") != std::string::npos);
}
END_TEST

START_TEST(json) {
  const JsonNodePtr root = parsed(file_of_a_job("a.json"));
  JsonObject* object = as_object(root.get());
  ck_assert_str_eq(json_object_get_string_member(object, "job_id"), "job-1");
  ck_assert_str_eq(json_object_get_string_member(object, "state"), "FAILED");
  ck_assert_str_eq(json_object_get_string_member(object, "text"),
                   "Hello & <i>welcome</i>. Who? Me. The\r\n\r\nend -->");
  JsonArray* chunks = json_object_get_array_member(object, "chunks");
  ck_assert_uint_eq(json_array_get_length(chunks), 7);
  for (guint i = 0; i < 7; ++i) {
    ck_assert_int_eq(json_object_get_int_member(json_array_get_object_element(chunks, i), "index"),
                     i);
  }
}
END_TEST

START_TEST(json_keeps_order_around_unsettled) {
  const Directory directory;
  MemoryJobStore store;
  WriterPtr writer = open_writer(directory.file("a.json"));
  for (const std::uint64_t index : {1, 2, 5}) store.record(make_done(index, "x"));
  for (const std::uint64_t index : {7, 3, 0, 4}) {
    ck_assert(writer->write_unsettled(*make_chunk(index)).ok());
  }
  ck_assert(writer->finish(JobState::kCompleted, store).ok());
  const JsonNodePtr root = parsed(read_file(directory.file("a.json")));
  ck_assert_str_eq(json_object_get_string_member(as_object(root.get()), "text"), "x x x");
  JsonArray* chunks = json_object_get_array_member(as_object(root.get()), "chunks");
  std::string order;
  for (guint i = 0; i < json_array_get_length(chunks); ++i) {
    JsonObject* chunk = json_array_get_object_element(chunks, i);
    order += std::to_string(json_object_get_int_member(chunk, "index"));
    order += json_object_get_string_member(chunk, "status")[0];
  }
  ck_assert_str_eq(order.c_str(), "0u1d2d3u4u5d7u");
}
END_TEST

START_TEST(an_empty_job_leaves_a_valid_file) {
  const Directory directory;
  MemoryJobStore store;
  const std::pair<const char*, const char*> files[] = {
      {"a.txt", ""},
      {"a.srt", ""},
      {"a.vtt", "WEBVTT\n\n"},
      {"a.jsonl", ""},
      {"a.json",
       "{\"job_id\":\"job-1\",\n\"state\":\"COMPLETED\",\n\"text\":\"\",\n\"chunks\":[]}\n"}};
  for (const auto& [name, expected] : files) {
    WriterPtr writer = open_writer(directory.file(name));
    ck_assert(writer->finish(JobState::kCompleted, store).ok());
    assert_file(directory.file(name), expected);
  }
}
END_TEST

// No text of the service can end a cue, a line or a record, or reach a terminal as a command.
START_TEST(hostile_texts) {
  const std::string text =
      "\n\n1\n00:00:00,000 --> 00:00:01,000\r\n\r\n\xe2\x80\xa9\x1b[31m\"\\ </v><c>&amp;\t\xc2\x85"
      "end\v\f\n \n";
  const Directory directory;
  MemoryJobStore store;
  for (const char* name : {"a.txt", "a.srt", "a.vtt", "a.jsonl", "a.json"}) {
    WriterPtr writer = open_writer(directory.file(name));
    write_all(*writer, store, {make_done(0, text)});
    ck_assert(writer->finish(JobState::kCompleted, store).ok());
    const std::string file = read_file(directory.file(name));
    ck_assert(g_utf8_validate(file.c_str(), -1, nullptr));
    ck_assert(file.find('\x1b') == std::string::npos);
  }
  assert_file(directory.file("a.txt"),
              "1 00:00:00,000 --> 00:00:01,000 [31m\"\\ </v><c>&amp; end\n");
  assert_file(directory.file("a.srt"),
              "1\n00:00:00,000 --> 00:00:06,153\n1 00:00:00,000 -> 00:00:01,000\n\n"
              "2\n00:00:06,153 --> 00:00:10,000\n[31m\"\\ </v><c>&amp; end\n\n");
  assert_file(directory.file("a.vtt"),
              "WEBVTT\n\n00:00:00.000 --> 00:00:06.153\n1 00:00:00,000 --&gt; 00:00:01,000\n\n"
              "00:00:06.153 --> 00:00:10.000\n[31m\"\\ &lt;/v&gt;&lt;c&gt;&amp;amp; end\n\n");
  ck_assert_uint_eq(lines_of(read_file(directory.file("a.jsonl"))).size(), 1);
}
END_TEST

START_TEST(each_chunk_is_there_at_once) {
  const Directory directory;
  WriterPtr writer = open_writer(directory.file("a.txt"));
  ck_assert(writer->write(release_alone(make_done(0, "one"))).ok());
  assert_file(directory.file("a.txt"), "one\n");
  ck_assert(writer->write(release_alone(make_done(1, "two"))).ok());
  assert_file(directory.file("a.txt"), "one\ntwo\n");
}
END_TEST

START_TEST(check_creates_and_keeps) {
  const Directory directory;
  ck_assert(TranscriptWriter::check(directory.file("new.srt")).ok());
  assert_file(directory.file("new.srt"), "");
  write_file(directory.file("old.txt"), "precious");
  ck_assert(TranscriptWriter::check(directory.file("old.txt")).ok());
  assert_file(directory.file("old.txt"), "precious");
  ck_assert(TranscriptWriter::check(directory.file("new.json")).ok());
  ck_assert(!g_file_test(directory.file("new.json").c_str(), G_FILE_TEST_EXISTS));
  ck_assert(TranscriptWriter::check("/dev/null").ok());
  ck_assert(TranscriptWriter::check("/dev/stdout").ok());
}
END_TEST

START_TEST(unwritable_places) {
  const Directory directory;
  for (const std::string& location :
       {std::string(), directory.path(), directory.path() + "/", directory.file("missing/a.txt"),
        directory.file("missing/a.json"), directory.file("a.txt/b.txt"),
        std::string("/dev/fd/987")}) {
    write_file(directory.file("a.txt"), "");
    const Status check = TranscriptWriter::check(location);
    ck_assert_msg(!check.ok(), "%s", location.c_str());
    ck_assert(check.error().message.find(location) != std::string::npos);
    const auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job");
    ck_assert_msg(!writer.ok(), "%s", location.c_str());
    ck_assert(!writer.error().no_space);
  }
}
END_TEST

// Root may write everywhere: the child is somebody else.
START_TEST(no_permission) {
  const Directory directory;
  write_file(directory.file("a.txt"), "");
  g_chmod(directory.file("a.txt").c_str(), 0444);
  write_file(directory.file("a.json"), "");
  g_chmod(directory.file("a.json").c_str(), 0666);
  g_chmod(directory.path().c_str(), 0555);
  ck_assert(in_child([&] {
    if (getuid() == 0 && setuid(65534) != 0) return false;
    return !TranscriptWriter::check(directory.file("a.txt")).ok() &&
           !TranscriptWriter::check(directory.file("b.txt")).ok() &&
           !TranscriptWriter::check(directory.file("a.json")).ok() &&
           !TranscriptWriter::check(directory.file("b.json")).ok() &&
           !TranscriptWriter::open(directory.file("b.txt"), TranscriptFormat::kTxt, "j").ok();
  }));
}
END_TEST

START_TEST(full_disk_is_made_up_for) {
  const Directory directory;
  const std::string location = directory.file("a.jsonl");
  ck_assert(in_child([&] {
    MemoryJobStore store;
    auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job");
    if (!writer || !limit_files(1000)) return false;
    Joiner joiner;
    int refused = 0;
    for (std::uint64_t i = 0; i < 50; ++i) {
      const auto status = (*writer)->write(joiner.add(make_done(i, std::to_string(i))).at(0));
      if (!status) {
        ++refused;
        if (!status.error().no_space || status.error().message.empty()) return false;
      }
      for (const std::string& line : lines_of(read_file(location))) {
        if (!parse_json(line)) return false;
      }
    }
    const auto incomplete = (*writer)->finish(JobState::kCompleted, store);
    if (refused < 30 || incomplete.ok() || !incomplete.error().no_space) return false;
    if (lines_of(read_file(location)).size() != static_cast<std::size_t>(50 - refused))
      return false;
    limit_files(RLIM_INFINITY);
    return (*writer)->finish(JobState::kCompleted, store).ok();
  }));
  const auto lines = lines_of(read_file(location));
  ck_assert_uint_eq(lines.size(), 50);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const JsonNodePtr root = parsed(lines[i]);
    ck_assert_int_eq(json_object_get_int_member(as_object(root.get()), "index"),
                     static_cast<gint64>(i));
  }
}
END_TEST

START_TEST(full_disk_leaves_the_old_json) {
  const Directory directory;
  const std::string location = directory.file("a.json");
  write_file(location, "{\"old\":1}");
  ck_assert(in_child([&] {
    MemoryJobStore store;
    for (std::uint64_t i = 0; i < 3000; ++i) store.record(make_done(i, "some text"));
    auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job");
    if (!writer || !limit_files(100000)) return false;
    const auto refused = (*writer)->finish(JobState::kCompleted, store);
    if (refused.ok() || !refused.error().no_space) return false;
    if (read_file(location) != "{\"old\":1}" || directory.names().size() != 1) return false;
    limit_files(RLIM_INFINITY);
    return (*writer)->finish(JobState::kCompleted, store).ok();
  }));
  const JsonNodePtr root = parsed(read_file(location));
  ck_assert_uint_eq(
      json_array_get_length(json_object_get_array_member(as_object(root.get()), "chunks")), 3000);
  ck_assert_uint_eq(directory.names().size(), 1);
}
END_TEST

START_TEST(json_keeps_mode_and_link) {
  const Directory directory;
  write_file(directory.file("real.json"), "old");
  g_chmod(directory.file("real.json").c_str(), 0640);
  ck_assert_int_eq(symlink("real.json", directory.file("link.json").c_str()), 0);
  MemoryJobStore store;
  WriterPtr writer = open_writer(directory.file("link.json"));
  ck_assert(writer->finish(JobState::kCompleted, store).ok());
  parsed(read_file(directory.file("real.json")));
  ck_assert(g_file_test(directory.file("link.json").c_str(), G_FILE_TEST_IS_SYMLINK));
  struct stat info {};
  ck_assert_int_eq(stat(directory.file("real.json").c_str(), &info), 0);
  ck_assert_int_eq(info.st_mode & 0777, 0640);
}
END_TEST

namespace {

// Runs `write` in a child that is killed at a random moment of its life.
void kill_while(std::mt19937& random, const std::function<void()>& write) {
  const pid_t child = fork();
  if (child == 0) {
    write();
    _exit(0);
  }
  g_usleep(random() % 4000);
  kill(child, SIGKILL);
  ck_assert_int_eq(waitpid(child, nullptr, 0), child);
}

void write_records(const std::string& location, std::uint64_t count) {
  auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job");
  Joiner joiner;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!(*writer)->write(joiner.add(make_done(i, "ünïcödé text \" of a chunk")).at(0))) _exit(1);
  }
}

const char* const kGrowing[] = {"a.txt", "a.srt", "a.vtt", "a.jsonl"};

void assert_whole_records(const std::string& text, int format) {
  const std::string end = format == 1 || format == 2 ? "\n\n" : "\n";
  ck_assert_msg(text.empty() || text.ends_with(end), "cut at %zu: %s", text.size(), text.c_str());
  ck_assert(g_utf8_validate(text.c_str(), -1, nullptr));
  if (format != 3) return;
  for (const std::string& line : lines_of(text)) ck_assert(parse_json(line) != nullptr);
}

}  // namespace

// Stops the writer before and after every system call: wherever it were killed there, the file is
// whole.
START_TEST(whole_records_at_every_system_call) {
  const Directory directory;
  const std::string location = directory.file(kGrowing[_i]);
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
    raise(SIGSTOP);
    write_records(location, 60);
    _exit(0);
  }
  int status = 0;
  std::string text;
  std::size_t growths = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    if (g_file_test(location.c_str(), G_FILE_TEST_EXISTS)) {
      const std::string now = read_file(location);
      if (now != text) ++growths;
      assert_whole_records(now, _i);
      text = now;
    }
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  ck_assert(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) return;  // not allowed to trace here
  ck_assert_int_eq(WEXITSTATUS(status), 0);
  ck_assert_uint_eq(growths, _i == 2 ? 61 : 60);
}
END_TEST

// At any moment, also inside a system call: there the kernel may stop in the middle of the last
// record, and all before it is whole.
START_TEST(killed_files_are_readable) {
  std::mt19937 random(static_cast<unsigned>(_i));
  const Directory directory;
  const std::string location = directory.file(kGrowing[_i]);
  const std::string record_end = _i == 1 || _i == 2 ? "\n\n" : "\n";
  std::size_t longest = 0;
  int cut = 0;
  for (int round = 0; round < 40; ++round) {
    kill_while(random, [&] { write_records(location, 200000); });
    if (!g_file_test(location.c_str(), G_FILE_TEST_EXISTS)) continue;
    std::string text = read_file(location);
    longest = std::max(longest, text.size());
    const std::size_t last = text.rfind(record_end);
    const std::size_t whole = last == std::string::npos ? 0 : last + record_end.size();
    ck_assert_uint_lt(text.size() - whole, 200);
    cut += whole < text.size();
    text.resize(whole);
    assert_whole_records(text, _i);
  }
  // More than one record: the kills came while it wrote.
  if (g_getenv("TRANSCRIBE_SLOW") == nullptr) ck_assert_uint_gt(longest, 200);
  ck_assert_int_lt(cut, 30);
}
END_TEST

START_TEST(killed_json_is_old_or_new) {
  std::mt19937 random(3);
  const Directory directory;
  const std::string location = directory.file("a.json");
  write_file(location, "{\"job_id\":\"old\"}");
  MemoryJobStore store;
  for (std::uint64_t i = 0; i < 20; ++i) store.record(make_done(i, "some text"));
  for (int round = 0; round < 30; ++round) {
    kill_while(random, [&] {
      auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "new");
      for (int i = 0; i < 100; ++i) {
        if (!(*writer)->finish(JobState::kCompleted, store)) _exit(1);
      }
    });
    const JsonNodePtr root = parsed(read_file(location));
    JsonObject* object = as_object(root.get());
    if (g_str_equal(json_object_get_string_member(object, "job_id"), "new")) {
      ck_assert_uint_eq(json_array_get_length(json_object_get_array_member(object, "chunks")), 20);
    }
  }
}
END_TEST

START_TEST(pipe_with_a_late_reader) {
  const Directory directory;
  const std::string location = directory.file("pipe.vtt");
  ck_assert_int_eq(mkfifo(location.c_str(), 0600), 0);
  ck_assert(TranscriptWriter::check(location).ok());
  WriterPtr writer = open_writer(location);
  MemoryJobStore store;
  const auto early = writer->write(release_alone(make_done(0, "one")));
  ck_assert(!early.ok());
  ck_assert(!early.error().no_space);
  ck_assert(!writer->finish(JobState::kCompleted, store).ok());

  const int reader = open(location.c_str(), O_RDONLY | O_NONBLOCK);
  ck_assert(writer->write(release_alone(make_done(1, "two"))).ok());
  ck_assert(writer->finish(JobState::kCompleted, store).ok());
  char text[1000] = "";
  ck_assert_int_gt(read(reader, text, sizeof text - 1), 0);
  ck_assert_str_eq(text,
                   "WEBVTT\n\n00:00:00.000 --> 00:00:07.000\none\n\n"
                   "00:00:10.000 --> 00:00:17.000\ntwo\n\n");
  close(reader);
}
END_TEST

// SIGPIPE must not end the process, and the next reader begins with a whole record.
START_TEST(pipe_whose_reader_leaves) {
  const Directory directory;
  const std::string location = directory.file("pipe");
  ck_assert_int_eq(mkfifo(location.c_str(), 0600), 0);
  signal(SIGPIPE, SIG_DFL);
  int reader = open(location.c_str(), O_RDONLY | O_NONBLOCK);
  WriterPtr writer = open_writer(location);
  ck_assert(writer->write(release_alone(make_done(0, "one"))).ok());
  close(reader);
  ck_assert(!writer->write(release_alone(make_done(1, "two"))).ok());
  reader = open(location.c_str(), O_RDONLY | O_NONBLOCK);
  ck_assert(writer->write(release_alone(make_done(2, "three"))).ok());
  char text[100] = "";
  ck_assert_int_gt(read(reader, text, sizeof text - 1), 0);
  ck_assert_str_eq(text, "two\nthree\n");
  close(reader);
}
END_TEST

// A reader that stalls blocks nobody and loses nothing.
START_TEST(pipe_whose_reader_stalls) {
  const Directory directory;
  const std::string location = directory.file("pipe");
  ck_assert_int_eq(mkfifo(location.c_str(), 0600), 0);
  const int reader = open(location.c_str(), O_RDONLY | O_NONBLOCK);
  WriterPtr writer = open_writer(location);
  const std::string text(10000, 'x');
  int refused = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    refused += !writer->write(release_alone(make_done(i, text))).ok();
  }
  ck_assert_int_gt(refused, 5);
  std::size_t taken = 0;
  std::vector<char> buffer(1 << 20);
  for (int round = 0; round < 20; ++round) {
    const ssize_t size = read(reader, buffer.data(), buffer.size());
    if (size > 0) taken += static_cast<std::size_t>(size);
    if (writer->write(release_alone(make_skipped(20, SkipReason::kSilence))).ok()) break;
  }
  const ssize_t size = read(reader, buffer.data(), buffer.size());
  if (size > 0) taken += static_cast<std::size_t>(size);
  ck_assert_uint_eq(taken, 20 * 10001);
  close(reader);
}
END_TEST

// `> file` is neither truncated nor written over; a pipe and a socket do as well.
START_TEST(standard_output) {
  const Directory directory;
  const std::string location = directory.file("redirected");
  write_file(location, "said before\n");
  ck_assert(in_child([&] {
    const int file = open(location.c_str(), O_WRONLY | O_APPEND);
    dup2(file, STDOUT_FILENO);
    MemoryJobStore store;
    store.record(make_done(0, "one"));
    if (!TranscriptWriter::check("/dev/stdout").ok()) return false;
    for (const auto format : {TranscriptFormat::kTxt, TranscriptFormat::kJson}) {
      auto writer = TranscriptWriter::open("/dev/stdout", format, "job");
      if (!writer || !(*writer)->write(release_alone(make_done(0, "one"))).ok() ||
          !(*writer)->finish(JobState::kCompleted, store).ok()) {
        return false;
      }
    }
    return true;
  }));
  const std::string text = read_file(location);
  ck_assert(text.starts_with("said before\none\n{\"job_id\":\"job\""));
  ck_assert(text.ends_with("]}\n"));
  ck_assert(g_file_test("/dev/stdout", G_FILE_TEST_EXISTS));
}
END_TEST

START_TEST(pending_signals_are_left_alone) {
  const Directory directory;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  raise(SIGPIPE);
  WriterPtr writer = open_writer(directory.file("a.txt"));
  ck_assert(writer->write(release_alone(make_done(0, "one"))).ok());
  sigset_t pending;
  sigpending(&pending);
  ck_assert(sigismember(&pending, SIGPIPE));
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  ck_assert(sigismember(&mask, SIGPIPE));
  ck_assert(!sigismember(&mask, SIGXFSZ));
  const timespec at_once{};
  ck_assert_int_eq(sigtimedwait(&signals, nullptr, &at_once), SIGPIPE);
}
END_TEST

// What a resumed job wrote, and stopped: it goes where the old file has all of it.
START_TEST(part_is_kept_only_for_what_is_new) {
  const struct {
    const char* name;
    std::vector<std::string> texts;
    bool kept;
  } cases[] = {
      {"t.txt", {}, false},        {"t.vtt", {}, false},     {"t.txt", {"one"}, false},
      {"t.jsonl", {"one"}, false}, {"t.txt", {"ode"}, true}, {"t.srt", {"one", "tvo"}, true},
  };
  for (const auto& one : cases) {
    const Directory directory;
    const std::string location = directory.file(one.name);
    const auto write = [&](bool resumed, const std::vector<std::string>& texts) {
      auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job", resumed);
      ck_assert(writer.ok());
      MemoryJobStore store;
      std::vector<Outcome> outcomes;
      for (const std::string& text : texts) outcomes.push_back(make_done(outcomes.size(), text));
      write_all(**writer, store, outcomes);
      ck_assert((*writer)->finish(JobState::kFailed, store, !resumed).ok());
      if (resumed) ck_assert((*writer)->finish(JobState::kFailed, store, false).ok());
    };
    write(false, {"one", "two", "three"});
    const std::string old = read_file(location);
    write(true, one.texts);
    assert_file(location, old);
    ck_assert_uint_eq(directory.names().size(), one.kept ? 2 : 1);
  }
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("writer");
  TCase* formats = tcase_create("formats");
  tcase_add_test(formats, format_by_ending);
  tcase_add_test(formats, txt);
  tcase_add_test(formats, srt);
  tcase_add_test(formats, vtt);
  tcase_add_test(formats, times_of_long_streams);
  tcase_add_test(formats, jsonl);
  tcase_add_test(formats, json);
  tcase_add_test(formats, json_keeps_order_around_unsettled);
  tcase_add_test(formats, an_empty_job_leaves_a_valid_file);
  tcase_add_test(formats, hostile_texts);
  suite_add_tcase(suite, formats);
  TCase* files = tcase_create("files");
  tcase_add_test(files, each_chunk_is_there_at_once);
  tcase_add_test(files, check_creates_and_keeps);
  tcase_add_test(files, unwritable_places);
  tcase_add_test(files, no_permission);
  tcase_add_test(files, full_disk_is_made_up_for);
  tcase_add_test(files, full_disk_leaves_the_old_json);
  tcase_add_test(files, json_keeps_mode_and_link);
  tcase_add_test(files, part_is_kept_only_for_what_is_new);
  tcase_add_loop_test(files, whole_records_at_every_system_call, 0, 4);
  tcase_add_loop_test(files, killed_files_are_readable, 0, 4);
  tcase_add_test(files, killed_json_is_old_or_new);
  suite_add_tcase(suite, files);
  TCase* streams = tcase_create("streams");
  tcase_add_test(streams, pipe_with_a_late_reader);
  tcase_add_test(streams, pipe_whose_reader_leaves);
  tcase_add_test(streams, pipe_whose_reader_stalls);
  tcase_add_test(streams, standard_output);
  tcase_add_test(streams, pending_signals_are_left_alone);
  suite_add_tcase(suite, streams);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
