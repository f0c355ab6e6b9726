#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "fake_clock.h"
#include "job/earlier_run.h"
#include "job/journal_store.h"
#include "outcomes.h"

#include "check_main.h"

using namespace transcribe;

namespace {

class Directory {
 public:
  Directory() : path_(CharPtr(g_dir_make_tmp("journal-XXXXXX", nullptr)).get()) {}
  ~Directory() {
    GDir* dir = g_dir_open(path_.c_str(), 0, nullptr);
    while (const char* name = g_dir_read_name(dir)) ::remove((path_ + "/" + name).c_str());
    g_dir_close(dir);
    ::rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Opened {
  Result<OpenedJob, StoreRefusal> result;
  std::vector<StoredChunk> found;
};

Opened open(JournalStore& store, ResumePolicy policy = ResumePolicy::kAuto,
            const std::string& fingerprint = "f") {
  std::vector<StoredChunk> found;
  auto result = store.open(
      {"job", fingerprint, {{"model", "m"}}}, policy,
      [&](StoredChunk&& chunk) { found.push_back(std::move(chunk)); }, [](const std::string&) {});
  return {std::move(result), std::move(found)};
}

template <typename Settled>
Settled with_sha(Settled settled, const std::string& sha256) {
  auto chunk = std::make_shared<ChunkInfo>(*settled.chunk);
  chunk->sha256 = sha256;
  settled.chunk = std::move(chunk);
  return settled;
}

StateChanged state(JobState to, JobReason reason) { return {to, std::nullopt, reason}; }

std::string contents(const std::string& path) {
  CharPtr text;
  gsize size = 0;
  ck_assert(g_file_get_contents(path.c_str(), out(text), &size, nullptr));
  return std::string(text.get(), size);
}

void write_file(const std::string& path, const std::string& text) {
  ck_assert(
      g_file_set_contents(path.c_str(), text.data(), static_cast<gssize>(text.size()), nullptr));
}

// Runs `body` in a child process and returns its wait status.
template <typename Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  return status;
}

}  // namespace

START_TEST(test_new_job_then_resumed) {
  const Directory directory;
  const FakeClock clock;
  {
    JournalStore store(directory.path(), clock);
    const auto opened = open(store);
    ck_assert(opened.result.ok());
    ck_assert(!opened.result->resumed);
    ck_assert(opened.found.empty());
    ck_assert(store.record(state(JobState::kQueued, JobReason::kCreated)).ok());
    ck_assert(store.record(state(JobState::kProcessing, JobReason::kStart)).ok());
    ck_assert(store.record(with_sha(make_done(1, "one"), "sha1")).ok());
    ck_assert(store.record(with_sha(make_done(0, "zero"), "sha0")).ok());
    ck_assert(store.record(with_sha(make_failed(2), "sha2")).ok());
  }
  JournalStore store(directory.path(), clock);
  const auto opened = open(store);
  ck_assert(opened.result.ok());
  ck_assert(opened.result->resumed);
  ck_assert(opened.result->state == JobState::kProcessing);
  ck_assert(opened.result->meta.at("model") == "m");
  // The failed chunk of an interrupted job is sent again.
  ck_assert_uint_eq(opened.found.size(), 2);
  ck_assert(opened.found[0].sha256 == "sha1");
  ck_assert(std::get<ChunkDone>(opened.found[1].outcome).transcription->text == "zero");
}
END_TEST

START_TEST(test_a_live_job_keeps_what_was_not_transcribed) {
  const Directory directory;
  const FakeClock clock;
  const std::string path = JournalStore::path(directory.path(), "job");
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    ck_assert(store.record(make_done(0, "zero")).ok());
    ck_assert(store.record(make_skipped(1, SkipReason::kSilence)).ok());
    ck_assert(store.record(make_failed(2)).ok());
  }
  const std::string before = contents(path);
  {
    JournalStore store(directory.path(), clock);
    const auto opened = open(store);
    ck_assert(opened.result.ok());
    ck_assert_uint_eq(opened.result->next_index, 3);
    ck_assert_uint_eq(opened.result->others.size(), 2);
    EarlierRun earlier;
    earlier.add({chunk_of(opened.found[0].outcome), std::nullopt});
    const auto events = earlier.take_all(opened.result->others, opened.result->next_index);
    ck_assert_uint_eq(events.size(), 3);
    for (const Event& event : events) ck_assert(store.record(event).ok());
    // Only the new owner's line was added.
    const std::string added = contents(path).substr(before.size());
    ck_assert_uint_eq(added.find('\n'), added.size() - 1);
    // What failed again in this run is another matter.
    ck_assert(store.record(make_failed(2)).ok());
    ck_assert_uint_gt(contents(path).size(), before.size() + added.size());
  }
  JournalStore store(directory.path(), clock);
  const auto opened = open(store, ResumePolicy::kRetryFailed);
  ck_assert_uint_eq(opened.result->next_index, 3);
  ck_assert_uint_eq(opened.result->others.size(), 1);
}
END_TEST

START_TEST(test_stored_chunk_is_not_stored_again) {
  const Directory directory;
  const FakeClock clock;
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    ck_assert(store.record(with_sha(make_done(0, "first"), "sha")).ok());
  }
  JournalStore store(directory.path(), clock);
  ck_assert_uint_eq(open(store).found.size(), 1);
  const std::string before = contents(JournalStore::path(directory.path(), "job"));
  ck_assert(store.record(with_sha(make_done(0, "second"), "sha")).ok());
  ck_assert(contents(JournalStore::path(directory.path(), "job")) == before);
}
END_TEST

START_TEST(test_complete_job_is_replayed_and_not_changed) {
  const Directory directory;
  const FakeClock clock;
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    ck_assert(store.record(with_sha(make_done(0, "zero"), "sha0")).ok());
    ck_assert(store.record(state(JobState::kCompleted, JobReason::kEndOfStream)).ok());
  }
  const std::string before = contents(JournalStore::path(directory.path(), "job"));
  JournalStore store(directory.path(), clock);
  const auto opened = open(store);
  ck_assert(opened.result->state == JobState::kCompleted);
  ck_assert_uint_eq(opened.found.size(), 1);
  ck_assert(store.record(state(JobState::kProcessing, JobReason::kStart)).ok());
  ck_assert(store.finish().ok());
  ck_assert(contents(JournalStore::path(directory.path(), "job")) == before);
}
END_TEST

START_TEST(test_failed_jobs) {
  for (const bool with_failed_chunk : {false, true}) {
    const Directory directory;
    const FakeClock clock;
    {
      JournalStore store(directory.path(), clock);
      ck_assert(open(store).result.ok());
      ck_assert(store.record(with_sha(make_done(0, "zero"), "sha0")).ok());
      if (with_failed_chunk) ck_assert(store.record(with_sha(make_failed(1), "sha1")).ok());
      ck_assert(store.record(state(JobState::kFailed, JobReason::kError)).ok());
    }
    {
      JournalStore store(directory.path(), clock);
      const auto opened = open(store);
      ck_assert_int_eq(opened.result.ok(), !with_failed_chunk);
      if (with_failed_chunk) {
        ck_assert(opened.result.error().kind == StoreRefusal::Kind::kSettings);
        ck_assert(opened.result.error().message.find("retry-failed") != std::string::npos);
      }
    }
    JournalStore store(directory.path(), clock);
    const auto opened = open(store, ResumePolicy::kRetryFailed);
    ck_assert(opened.result.ok());
    ck_assert_uint_eq(opened.found.size(), 1);
  }
}
END_TEST

START_TEST(test_restart_forgets) {
  const Directory directory;
  const FakeClock clock;
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    ck_assert(store.record(with_sha(make_done(0, "zero"), "sha0")).ok());
  }
  JournalStore store(directory.path(), clock);
  const auto opened = open(store, ResumePolicy::kRestart, "other");
  ck_assert(opened.result.ok());
  ck_assert(!opened.result->resumed);
  ck_assert(opened.found.empty());
}
END_TEST

START_TEST(test_other_settings_are_refused) {
  const Directory directory;
  const FakeClock clock;
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
  }
  JournalStore store(directory.path(), clock);
  const auto opened = open(store, ResumePolicy::kAuto, "other");
  ck_assert(!opened.result.ok());
  ck_assert(opened.result.error().kind == StoreRefusal::Kind::kSettings);
}
END_TEST

START_TEST(test_second_owner_is_refused_while_the_first_lives) {
  const Directory directory;
  const FakeClock clock;
  int ready[2];
  ck_assert_int_eq(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    JournalStore store(directory.path(), clock);
    const bool ok =
        open(store).result.ok() && store.record(with_sha(make_done(0, "zero"), "sha0")).ok();
    if (write(ready[1], ok ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  ck_assert_int_eq(::read(ready[0], &answer, 1), 1);
  ck_assert_int_eq(answer, 'y');
  for (const ResumePolicy policy : {ResumePolicy::kAuto, ResumePolicy::kRestart}) {
    JournalStore store(directory.path(), clock);
    const auto opened = open(store, policy);
    ck_assert(!opened.result.ok());
    ck_assert(opened.result.error().kind == StoreRefusal::Kind::kBusy);
    const std::string owner = std::to_string(child) + "@";
    ck_assert(opened.result.error().message.find(owner) != std::string::npos);
  }
  kill(child, SIGKILL);
  ck_assert_int_eq(waitpid(child, nullptr, 0), child);
  // At once after its death.
  JournalStore store(directory.path(), clock);
  const auto opened = open(store);
  ck_assert(opened.result.ok());
  ck_assert_uint_eq(opened.found.size(), 1);
}
END_TEST

START_TEST(test_torn_at_every_byte) {
  const Directory directory;
  const FakeClock clock;
  const std::string path = JournalStore::path(directory.path(), "job");
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    for (std::uint64_t i = 0; i < 3; i++)
      ck_assert(store.record(with_sha(make_done(i, "text " + std::to_string(i)), "sha")).ok());
  }
  const std::string whole = contents(path);
  // A prime step, so that all parts of the lines are met without a sync for each byte.
  for (std::size_t size = 0; size < whole.size(); size += 13) {
    write_file(path, whole.substr(0, size));
    std::size_t found = 0;
    {
      JournalStore store(directory.path(), clock);
      auto opened = open(store);
      ck_assert_msg(opened.result.ok(), "%zu bytes: %s", size,
                    opened.result.ok() ? "" : opened.result.error().message.c_str());
      found = opened.found.size();
      for (std::uint64_t i = found; i < 3; i++)
        ck_assert(store.record(with_sha(make_done(i, "text " + std::to_string(i)), "sha")).ok());
    }
    JournalStore store(directory.path(), clock);
    const auto again = open(store);
    ck_assert(again.result.ok());
    ck_assert_uint_eq(again.found.size(), 3);
  }
}
END_TEST

START_TEST(test_damage_is_told) {
  const Directory directory;
  const FakeClock clock;
  const std::string path = JournalStore::path(directory.path(), "job");
  {
    JournalStore store(directory.path(), clock);
    ck_assert(open(store).result.ok());
    ck_assert(store.record(with_sha(make_done(0, "zero"), "sha0")).ok());
  }
  const std::string whole = contents(path);
  for (const std::string& damaged : {"garbage\n" + whole, whole + "garbage\n" + whole}) {
    write_file(path, damaged);
    JournalStore store(directory.path(), clock);
    const auto opened = open(store);
    ck_assert(!opened.result.ok());
    ck_assert(opened.result.error().message.find("resume=restart") != std::string::npos);
    ck_assert(contents(path) == damaged);
  }
}
END_TEST

START_TEST(test_full_disk_heals) {
  const Directory directory;
  const FakeClock clock;
  const int status = in_child([&] {
    JournalStore store(directory.path(), clock);
    if (!open(store).result.ok()) _exit(1);
    if (!store.record(with_sha(make_done(0, "zero"), "sha0")).ok()) _exit(2);
    const off_t size =
        static_cast<off_t>(contents(JournalStore::path(directory.path(), "job")).size());
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = static_cast<rlim_t>(size + 10);
    setrlimit(RLIMIT_FSIZE, &limit);
    if (store.record(with_sha(make_done(1, "one"), "sha1")).ok()) _exit(3);
    if (static_cast<off_t>(contents(JournalStore::path(directory.path(), "job")).size()) != size)
      _exit(4);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!store.record(with_sha(make_done(2, "two"), "sha2")).ok()) _exit(5);
  });
  ck_assert_int_eq(status, 0);
  JournalStore store(directory.path(), clock);
  const auto opened = open(store);
  ck_assert_uint_eq(opened.found.size(), 3);
}
END_TEST

namespace {

class StoredChunks final : public StoreObserver {
 public:
  std::vector<std::uint64_t> indices;

  void on_stored(const std::vector<std::uint64_t>& stored) noexcept override {
    indices.insert(indices.end(), stored.begin(), stored.end());
  }
  void on_store_error(const std::string&) noexcept override {}
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string&) noexcept override {}
  void on_taken_over(const std::string&) noexcept override {}
  void on_cancel_requested(const std::string&) noexcept override {}
};

}  // namespace

// What is on the disk is told, not what only waits for it.
START_TEST(test_tells_what_is_stored) {
  const Directory directory;
  const FakeClock clock;
  const int status = in_child([&] {
    StoredChunks stored;
    JournalStore store(directory.path(), clock, &stored);
    if (!open(store).result.ok()) _exit(1);
    const std::vector<Event> events{with_sha(make_done(1, "one"), "sha1"),
                                    with_sha(make_failed(0), "sha0"),
                                    make_skipped(2, SkipReason::kSilence)};
    if (!store.record(events).ok() || stored.indices != std::vector<std::uint64_t>{1, 0, 2})
      _exit(2);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 200;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (store.record(with_sha(make_done(3, "three"), "sha3")).ok()) _exit(3);
    if (stored.indices.size() != 3) _exit(4);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!store.record(state(JobState::kProcessing, JobReason::kStart)).ok()) _exit(5);
    // One that it has already is stored too.
    if (!store.record(with_sha(make_done(1, "one"), "sha1")).ok()) _exit(6);
    if (stored.indices != std::vector<std::uint64_t>{1, 0, 2, 3, 1}) _exit(7);
  });
  ck_assert_int_eq(status, 0);
}
END_TEST

// A disk that is full for days: what is kept in memory has a bound, and what is lost is told.
START_TEST(test_disk_full_for_too_long) {
  const Directory directory;
  const FakeClock clock;
  constexpr std::size_t kBound = 4000;
  const int status = in_child([&] {
    JournalStore store(directory.path(), clock, nullptr, kBound);
    if (!open(store).result.ok()) _exit(1);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 200;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (std::uint64_t i = 0; i < 10; i++) {
      const Status told = store.record(with_sha(make_done(i, std::string(1000, 'x')), "sha"));
      if (told.ok()) _exit(2);
      const bool lost = told.error().message.find("lacks " + std::to_string(i - 2) + " results") !=
                        std::string::npos;
      if (lost != (i > 2)) _exit(static_cast<int>(10 + i));
    }
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    // Room again: what was kept is written, what was lost stays lost.
    if (store.record(with_sha(make_done(10, "ten"), "sha")).ok()) _exit(3);
    if (store.record(state(JobState::kCompleted, JobReason::kEndOfStream)).ok()) _exit(4);
    if (store.finish().ok()) _exit(5);
    // Another run of the chunk is stored.
    if (store.record(with_sha(make_done(5, "five"), "sha")).ok()) _exit(6);
  });
  ck_assert_int_eq(WEXITSTATUS(status), 0);
  JournalStore store(directory.path(), clock);
  const auto opened = open(store);
  ck_assert(opened.result.ok());
  ck_assert_uint_eq(opened.found.size(), 5);
  const std::vector<std::uint64_t> indices = {0, 1, 2, 10, 5};
  for (std::size_t i = 0; i < indices.size(); i++)
    ck_assert_uint_eq(chunk_of(opened.found[i].outcome).index, indices[i]);
}
END_TEST

START_TEST(test_killed_at_random) {
  const Directory directory;
  const FakeClock clock;
  std::size_t before = 0;
  for (int round = 0; round < 30; round++) {
    int wrote[2];
    ck_assert_int_eq(pipe(wrote), 0);
    const pid_t child = fork();
    if (child == 0) {
      JournalStore store(directory.path(), clock);
      const auto opened = open(store);
      if (!opened.result.ok()) _exit(1);
      for (std::uint64_t i = opened.found.size();; i++) {
        if (!store.record(with_sha(make_done(i, std::string(1000, 'x')), "sha")).ok()) _exit(2);
        if (i == opened.found.size() && write(wrote[1], "w", 1) != 1) _exit(3);
      }
    }
    // The moment is random, but never before the first record: a busy machine may be slow.
    char mark = 0;
    ck_assert_int_eq(::read(wrote[0], &mark, 1), 1);
    close(wrote[0]);
    close(wrote[1]);
    g_usleep(static_cast<gulong>(g_random_int_range(0, 5000)));
    kill(child, SIGKILL);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    JournalStore store(directory.path(), clock);
    const auto opened = open(store);
    ck_assert(opened.result.ok());
    ck_assert_uint_gt(opened.found.size(), before);
    before = opened.found.size();
    for (std::size_t i = 0; i < before; i++)
      ck_assert_uint_eq(chunk_of(opened.found[i].outcome).index, i);
  }
  ck_assert_uint_gt(before, 0);
}
END_TEST

START_TEST(test_directory) {
  const Directory directory;
  ck_assert(JournalStore::check(directory.path()).ok());
  const auto status = JournalStore::check("/proc/none");
  ck_assert(!status.ok());
  ck_assert(status.error().message.find("journal-directory") != std::string::npos);
}
END_TEST

static Suite* journal_store_suite() {
  Suite* suite = suite_create("journal_store");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_new_job_then_resumed);
  tcase_add_test(tests, test_a_live_job_keeps_what_was_not_transcribed);
  tcase_add_test(tests, test_stored_chunk_is_not_stored_again);
  tcase_add_test(tests, test_complete_job_is_replayed_and_not_changed);
  tcase_add_test(tests, test_failed_jobs);
  tcase_add_test(tests, test_restart_forgets);
  tcase_add_test(tests, test_other_settings_are_refused);
  tcase_add_test(tests, test_second_owner_is_refused_while_the_first_lives);
  tcase_add_test(tests, test_torn_at_every_byte);
  tcase_add_test(tests, test_damage_is_told);
  tcase_add_test(tests, test_full_disk_heals);
  tcase_add_test(tests, test_tells_what_is_stored);
  tcase_add_test(tests, test_disk_full_for_too_long);
  tcase_add_test(tests, test_killed_at_random);
  tcase_add_test(tests, test_directory);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(journal_store_suite)
