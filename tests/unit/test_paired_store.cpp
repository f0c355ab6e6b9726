// Two stores of one job: who decides, and what becomes of the other.
#include <glib/gstdio.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fake_clock.h"
#include "job/journal_store.h"
#include "job/paired_store.h"
#include "outcomes.h"

#include "check_main.h"

namespace transcribe {
namespace {

// Stands for Redis.
class Owner final : public PersistentStore {
 public:
  explicit Owner(std::vector<std::string>& calls) : calls_(calls) {}
  Result<OpenedJob, StoreRefusal> open(const JobIdentity&, ResumePolicy policy,
                                       const std::function<void(StoredChunk&&)>& found,
                                       const std::function<void(const std::string&)>&) override {
    calls_.push_back(policy == ResumePolicy::kRestart ? "restart" : "open");
    if (refusal) return *refusal;
    for (const StoredChunk& chunk : chunks) found(StoredChunk(chunk));
    return job;
  }
  using PersistentStore::record;
  Status record(std::span<const Event>) override {
    calls_.push_back("record");
    return Success{};
  }
  Status finish() override {
    calls_.push_back("finish");
    return Success{};
  }

  OpenedJob job;
  std::optional<StoreRefusal> refusal;
  std::vector<StoredChunk> chunks;

 private:
  std::vector<std::string>& calls_;
};

struct Pair {
  Pair() {
    auto store = std::make_unique<Owner>(calls);
    owner = store.get();
    pair = std::make_unique<PairedStore>(std::move(store),
                                         std::make_unique<JournalStore>(directory, clock));
  }
  ~Pair() {
    pair.reset();
    g_unlink(journal().c_str());
    g_rmdir(directory.c_str());
  }
  std::string journal() const { return JournalStore::path(directory, identity.job_id); }
  std::string contents() const {
    CharPtr text;
    g_file_get_contents(journal().c_str(), out(text), nullptr, nullptr);
    return text ? text.get() : "-";
  }
  // An earlier run of the journal alone.
  void write_journal(const std::vector<Event>& events) {
    JournalStore store(directory, clock);
    ck_assert(open(store, ResumePolicy::kAuto).ok());
    for (const Event& event : events) ck_assert(store.record(event).ok());
    ck_assert(store.finish().ok());
  }
  Result<OpenedJob, StoreRefusal> open(PersistentStore& store, ResumePolicy policy) {
    found.clear();
    return store.open(
        identity, policy,
        [this](StoredChunk&& chunk) { found.push_back(chunk_of(chunk.outcome).index); },
        [](const std::string&) {});
  }

  const JobIdentity identity{"talk", "fp", {}};
  const FakeClock clock;
  const std::string directory = CharPtr(g_dir_make_tmp("pair-XXXXXX", nullptr)).get();
  std::vector<std::string> calls;
  std::vector<std::uint64_t> found;
  Owner* owner = nullptr;
  std::unique_ptr<PairedStore> pair;
};

StateChanged to(JobState state, JobReason reason) { return {state, std::nullopt, reason}; }

// The owner would have forgotten the job for nothing.
START_TEST(a_locked_journal_is_found_before_the_owner_is_asked) {
  for (const ResumePolicy policy : {ResumePolicy::kAuto, ResumePolicy::kRestart}) {
    Pair stores;
    JournalStore other(stores.directory, stores.clock);
    ck_assert(stores.open(other, ResumePolicy::kAuto).ok());
    const auto refused = stores.open(*stores.pair, policy);
    ck_assert(!refused.ok());
    ck_assert(refused.error().kind == StoreRefusal::Kind::kBusy);
    ck_assert_uint_eq(stores.calls.size(), 0);
    // And the other one's file is as it was.
    ck_assert(other.record(make_done(0, "one")).ok());
    ck_assert(stores.contents().find("\"one\"") != std::string::npos);
  }
}
END_TEST

START_TEST(what_the_owner_refuses_leaves_the_journal_as_it_was) {
  Pair stores;
  stores.owner->refusal = StoreRefusal{StoreRefusal::Kind::kBusy, "in work"};
  ck_assert(!stores.open(*stores.pair, ResumePolicy::kRestart).ok());
  ck_assert(stores.contents() == "-");
  stores.write_journal({make_done(0, "one")});
  const std::string before = stores.contents();
  for (const ResumePolicy policy : {ResumePolicy::kAuto, ResumePolicy::kRestart}) {
    const auto refused = stores.open(*stores.pair, policy);
    ck_assert(!refused.ok() && refused.error().message == "in work");
    ck_assert(stores.contents() == before);
  }
  // It is free for others.
  JournalStore other(stores.directory, stores.clock);
  ck_assert(stores.open(other, ResumePolicy::kAuto).ok());
}
END_TEST

// A later run in Redis alone has mended what failed.
START_TEST(an_older_end_in_the_journal_refuses_nothing) {
  Pair stores;
  stores.write_journal({to(JobState::kProcessing, JobReason::kStart), make_done(0, "one"),
                        make_failed(1), to(JobState::kFailed, JobReason::kChunksFailed)});
  // Without the owner's word the journal's counts.
  ck_assert(!stores.open(*stores.pair, ResumePolicy::kAuto).ok());
  ck_assert(stores.calls == (std::vector<std::string>{"open", "record", "finish"}));

  stores.owner->job.resumed = true;
  stores.owner->job.state = JobState::kCompleted;
  stores.owner->chunks = {{make_done(0, "one"), ""}, {make_done(1, "two"), ""}};
  const auto opened = stores.open(*stores.pair, ResumePolicy::kAuto);
  ck_assert_msg(opened.ok(), "%s", opened.ok() ? "" : opened.error().message.c_str());
  ck_assert(opened->state == JobState::kCompleted);
  ck_assert(stores.found == (std::vector<std::uint64_t>{0, 1}));
  ck_assert(opened->others.empty());
}
END_TEST

START_TEST(what_either_store_knows_is_known) {
  Pair stores;
  stores.write_journal({make_done(0, "one"), make_failed(2), make_skipped(4, SkipReason::kSilence),
                        make_done(3, "four")});
  stores.owner->job.resumed = true;
  stores.owner->job.others = {make_failed(1), make_failed(3)};
  stores.owner->job.next_index = 3;
  const auto opened = stores.open(*stores.pair, ResumePolicy::kRetryFailed);
  ck_assert(opened.ok());
  ck_assert_uint_eq(opened->next_index, 5);
  ck_assert(stores.found == (std::vector<std::uint64_t>{0, 3}));
  ck_assert_uint_eq(opened->others.size(), 2);
  ck_assert_uint_eq(chunk_of(opened->others[0]).index, 1);
  ck_assert_uint_eq(chunk_of(opened->others[1]).index, 4);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("paired_store");
  TCase* tcase = tcase_create("paired_store");
  for (const TTest* test :
       {a_locked_journal_is_found_before_the_owner_is_asked,
        what_the_owner_refuses_leaves_the_journal_as_it_was,
        an_older_end_in_the_journal_refuses_nothing, what_either_store_knows_is_known}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
