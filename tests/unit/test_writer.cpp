// Transcript files that can't be written, or only now and then.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "writer_test.h"

using namespace transcribe;

namespace {

bool limit_files(rlim_t bytes) {
  signal(SIGXFSZ, SIG_DFL);
  const rlimit limit{bytes, RLIM_INFINITY};
  return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

}  // namespace

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
  TCase* tests = tcase_create("writer");
  tcase_add_test(tests, each_chunk_is_there_at_once);
  tcase_add_test(tests, check_creates_and_keeps);
  tcase_add_test(tests, unwritable_places);
  tcase_add_test(tests, no_permission);
  tcase_add_test(tests, full_disk_is_made_up_for);
  tcase_add_test(tests, full_disk_leaves_the_old_json);
  tcase_add_test(tests, json_keeps_mode_and_link);
  tcase_add_test(tests, part_is_kept_only_for_what_is_new);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
