// Transcripts into pipes and standard output.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "writer_test.h"

using namespace transcribe;

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

static Suite* make_suite() {
  Suite* suite = suite_create("writer_streams");
  TCase* tests = tcase_create("writer_streams");
  tcase_add_test(tests, pipe_with_a_late_reader);
  tcase_add_test(tests, pipe_whose_reader_leaves);
  tcase_add_test(tests, pipe_whose_reader_stalls);
  tcase_add_test(tests, standard_output);
  tcase_add_test(tests, pending_signals_are_left_alone);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
