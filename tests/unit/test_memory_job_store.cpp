#include <glib.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "job/memory_job_store.h"
#include "open_files.h"
#include "outcomes.h"

#include "check_main.h"

using namespace transcribe;

namespace {

std::string text_of(std::uint64_t index) {
  return "chunk " + std::to_string(index) + " " + std::string(index % 50, 'x');
}

std::vector<std::string> texts_in(MemoryJobStore& store) {
  std::vector<std::string> texts;
  const Status read = store.for_each([&](const Outcome& outcome) {
    texts.push_back(std::get<ChunkDone>(outcome).transcription->text);
    return true;
  });
  ck_assert_msg(read.ok(), "%s", read.ok() ? "" : read.error().message.c_str());
  return texts;
}

// Only the parent reports; the child says with its exit code.
bool in_child(bool (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

// Zero: every record goes to the file; 1000: some; a lot: none.
START_TEST(gives_back_in_index_order) {
  const std::size_t spill[] = {0, 1, 1000, 1000000};
  const std::size_t before = testing::open_files();
  {
    MemoryJobStore store(spill[_i]);
    for (std::uint64_t i = 0; i < 500; ++i) {
      const std::uint64_t index = i * 263 % 500;
      store.record(make_done(index, text_of(index)));
      if (i == 250) ck_assert_uint_eq(texts_in(store).size(), 251);
    }
    const auto texts = texts_in(store);
    ck_assert_uint_eq(texts.size(), 500);
    for (std::uint64_t i = 0; i < 500; ++i) ck_assert(texts[i] == text_of(i));
    ck_assert_uint_eq(testing::open_files(), before + (_i < 3 ? 1 : 0));
  }
  ck_assert_uint_eq(testing::open_files(), before);
}
END_TEST

START_TEST(only_settled_chunks_are_kept) {
  MemoryJobStore store;
  store.record(StateChanged{});
  store.record(ChunkQueued{make_chunk(0), 1});
  store.record(ChunkAttempt{make_chunk(0), 1});
  store.record(ChunkRetry{make_chunk(0), 1, Nanoseconds(0), {}});
  store.record(make_failed(1));
  store.record(make_skipped(2, SkipReason::kSilence));
  std::vector<std::uint64_t> seen;
  ck_assert(store
                .for_each([&](const Outcome& outcome) {
                  seen.push_back(chunk_of(outcome).index);
                  return true;
                })
                .ok());
  ck_assert(seen == (std::vector<std::uint64_t>{1, 2}));
}
END_TEST

START_TEST(the_later_outcome_counts) {
  MemoryJobStore store(0);
  store.record(make_failed(0));
  store.record(make_done(0, "at last"));
  const auto texts = texts_in(store);
  ck_assert_uint_eq(texts.size(), 1);
  ck_assert_str_eq(texts[0].c_str(), "at last");
}
END_TEST

START_TEST(stops_when_told) {
  MemoryJobStore store;
  for (std::uint64_t i = 0; i < 5; ++i) store.record(make_done(i, "x"));
  int visits = 0;
  ck_assert(store.for_each([&](const Outcome&) { return ++visits < 2; }).ok());
  ck_assert_int_eq(visits, 2);
}
END_TEST

static bool limited_file() {
  // The signal of the limit would end the process: its default action must not happen.
  signal(SIGXFSZ, SIG_DFL);
  const rlimit limit{5000, 5000};
  setrlimit(RLIMIT_FSIZE, &limit);
  MemoryJobStore store(1000);
  for (std::uint64_t i = 0; i < 300; ++i) store.record(make_done(i, text_of(i)));
  std::uint64_t next = 0;
  const Status read = store.for_each([&](const Outcome& outcome) {
    return std::get<ChunkDone>(outcome).transcription->text == text_of(next++);
  });
  return read.ok() && next == 300;
}

// Every record is asked for, one is gone.
START_TEST(what_can_not_be_read_back_is_an_error) {
  MemoryJobStore store(0);
  for (std::uint64_t i = 0; i < 5; ++i) store.record(make_done(i, text_of(i)));
  ck_assert(store.find(4).ok());
  ck_assert(!store.find(5).ok());
  const std::string file = testing::last_unlinked_file();
  ck_assert_int_eq(truncate(file.c_str(), 300), 0);
  ck_assert(store.find(0).ok());
  const auto found = store.find(4);
  ck_assert(!found.ok());
  ck_assert_msg(found.error().message.find("chunk 4 could not be read back") != std::string::npos,
                "%s", found.error().message.c_str());
  const Status read = store.for_each([](const Outcome&) { return true; });
  ck_assert(!read.ok());
}
END_TEST

START_TEST(full_disk_loses_nothing) { ck_assert(in_child(limited_file)); }
END_TEST

static bool no_temporary_directory() {
  setenv("TMPDIR", "/nonexistent", 1);
  MemoryJobStore store(10);
  for (std::uint64_t i = 0; i < 100; ++i) store.record(make_done(i, text_of(i)));
  std::uint64_t next = 0;
  const Status read = store.for_each([&](const Outcome& outcome) {
    return std::get<ChunkDone>(outcome).transcription->text == text_of(next++);
  });
  return read.ok() && next == 100;
}

START_TEST(no_directory_loses_nothing) { ck_assert(in_child(no_temporary_directory)); }
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("memory_job_store");
  TCase* tcase = tcase_create("memory_job_store");
  tcase_add_loop_test(tcase, gives_back_in_index_order, 0, 4);
  tcase_add_test(tcase, only_settled_chunks_are_kept);
  tcase_add_test(tcase, the_later_outcome_counts);
  tcase_add_test(tcase, stops_when_told);
  tcase_add_test(tcase, what_can_not_be_read_back_is_an_error);
  tcase_add_test(tcase, full_disk_loses_nothing);
  tcase_add_test(tcase, no_directory_loses_nothing);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
