// Whenever a program is killed, its transcript file can be read.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <random>

#include "writer_test.h"

using namespace transcribe;

namespace {

using Step = std::function<void()>;

// Runs `write` in a child that is killed at a random moment of its life: behind so many steps, and
// a little later.
void kill_while(std::mt19937& random, const std::function<void(const Step&)>& write) {
  int steps[2];
  ck_assert_int_eq(pipe(steps), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(steps[0]);
    write([&] { static_cast<void>(!::write(steps[1], "", 1)); });
    _exit(0);
  }
  close(steps[1]);
  char step = 0;
  for (std::size_t left = random() % 30; left > 0 && read(steps[0], &step, 1) == 1;) left--;
  g_usleep(random() % 500);
  kill(child, SIGKILL);
  ck_assert_int_eq(waitpid(child, nullptr, 0), child);
  close(steps[0]);
}

void write_records(
    const std::string& location, std::uint64_t count, const Step& step = [] {}) {
  auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "job");
  Joiner joiner;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!(*writer)->write(joiner.add(make_done(i, "ünïcödé text \" of a chunk")).at(0))) _exit(1);
    step();
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
    write_records(location, 20);
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
  ck_assert_uint_eq(growths, _i == 2 ? 21 : 20);
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
    kill_while(random, [&](const Step& step) { write_records(location, 300, step); });
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
  ck_assert_uint_gt(longest, 200);
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
    kill_while(random, [&](const Step& step) {
      auto writer = TranscriptWriter::open(location, TranscriptFormat::kAuto, "new");
      for (int i = 0; i < 100; ++i) {
        if (!(*writer)->finish(JobState::kCompleted, store)) _exit(1);
        step();
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

static Suite* make_suite() {
  Suite* suite = suite_create("writer_kills");
  TCase* tests = tcase_create("writer_kills");
  tcase_add_loop_test(tests, whole_records_at_every_system_call, 0, 4);
  tcase_add_loop_test(tests, killed_files_are_readable, 0, 4);
  tcase_add_test(tests, killed_json_is_old_or_new);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
