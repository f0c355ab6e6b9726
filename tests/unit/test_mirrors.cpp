// What the mirrors do with results of an earlier run, and what they keep.
#include <glib.h>
#include <unistd.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mirrors.h"
#include "open_files.h"
#include "outcomes.h"

#include "check_main.h"

namespace transcribe {
namespace {

constexpr std::size_t kMegabyte = 1024 * 1024;

class Recorder final : public EngineObserver {
 public:
  std::vector<Released> released;
  std::optional<JobEnd> end;
  std::vector<std::string> store_errors;

  void on_state(const StateChanged&, const Counters&) noexcept override {}
  void on_queued(const ChunkQueued&, const Counters&) noexcept override {}
  void on_retry(const ChunkRetry&) noexcept override {}
  void on_released(const Released& one, const Counters&) noexcept override {
    released.push_back(one);
  }
  void on_file_error(const WriteError&) noexcept override {}
  void on_file_recovered() noexcept override {}
  void on_store_error(const std::string& message) noexcept override {
    store_errors.push_back(message);
  }
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string&) noexcept override {}
  void on_store_waiting(const std::string&) noexcept override {}
  void on_complete(const JobEnd&) noexcept override {}
  void on_end(const JobEnd& told) noexcept override { end = told; }
  void on_stopped(const Counters&) noexcept override {}
};

// Holds two chunks with long texts.
class Store final : public PersistentStore {
 public:
  explicit Store(std::size_t& recorded, Status end = Success{})
      : recorded_(recorded), end_(std::move(end)) {}
  Result<OpenedJob, StoreRefusal> open(const JobIdentity&, ResumePolicy,
                                       const std::function<void(StoredChunk&&)>& found,
                                       const std::function<void(const std::string&)>&) override {
    for (std::uint64_t i = 0; i < 2; i++)
      found({make_done(i, std::string(kMegabyte, i == 0 ? 'a' : 'b')), "digest"});
    OpenedJob opened;
    opened.resumed = true;
    return opened;
  }
  Status record(std::span<const Event> events) override {
    recorded_ += events.size();
    return Success{};
  }
  Status finish() override { return end_; }

 private:
  std::size_t& recorded_;
  const Status end_;
};

ChunkDone resumed(std::uint64_t index) {
  ChunkDone done;
  done.chunk = make_chunk(index);
  done.resumed = true;
  return done;
}

const SystemClock system_clock;

struct Place {
  Place() : path(g_dir_make_tmp("mirrors-XXXXXX", nullptr)) {}
  ~Place() {
    for (const char* name : {"/t.txt", "/t.json"}) unlink((std::string(path.get()) + name).c_str());
    rmdir(path.get());
  }
  std::string file(const char* name) const { return std::string(path.get()) + "/" + name; }
  std::string contents(const char* name) const {
    CharPtr text;
    if (!g_file_get_contents(file(name).c_str(), out(text), nullptr, nullptr)) return "";
    return text.get();
  }
  CharPtr path;
};

}  // namespace

START_TEST(unreadable_result_makes_the_transcript_incomplete) {
  const char* const name = _i == 0 ? "t.txt" : "t.json";
  const Place place;
  Recorder recorder;
  std::size_t recorded = 0;
  Mirrors mirrors(recorder, std::make_unique<Store>(recorded), system_clock);
  EarlierRun earlier;
  ck_assert(mirrors.open_store({}, ResumePolicy::kAuto, earlier).ok());
  ck_assert(mirrors.open_file(place.file(name), TranscriptFormat::kAuto, "job").ok());
  const std::string spilled = testing::last_unlinked_file();
  ck_assert(!spilled.empty());
  ck_assert_int_eq(truncate(spilled.c_str(), kMegabyte + 1000), 0);
  std::vector<Event> events = {resumed(0), resumed(1), make_done(2, "end")};
  mirrors.store(events);
  for (const Event& event : events) mirrors.tell(event, Counters());
  mirrors.close(mirrors.tell_end({}, {}));

  ck_assert_uint_eq(recorder.released.size(), 3);
  ck_assert_uint_eq(std::get<ChunkDone>(*recorder.released[0].outcome).transcription->text.size(),
                    kMegabyte);
  const auto& failed = std::get<ChunkFailed>(*recorder.released[1].outcome);
  ck_assert(failed.failure.message.find("chunk 1 could not be read back") != std::string::npos);
  ck_assert(recorder.end->incomplete_file.has_value());
  ck_assert(recorder.end->incomplete_file->message.find("chunk 1 could") != std::string::npos);
  // The store keeps what it has of chunk 1.
  ck_assert_uint_eq(recorded, 2);
  const std::string text = place.contents(name);
  ck_assert_uint_gt(text.size(), kMegabyte);
  ck_assert_msg(text.find("could not be read back") != std::string::npos ||
                    text.find("not transcribed") != std::string::npos,
                "%s", text.substr(kMegabyte).c_str());
}
END_TEST

// Only json reads the results again.
START_TEST(results_are_kept_for_those_who_read_them) {
  const struct {
    const char* name;
    std::size_t files;
  } cases[] = {{nullptr, 0}, {"t.txt", 1}, {"t.json", 1}};
  for (const auto& one : cases) {
    const Place place;
    Recorder recorder;
    const std::size_t before = testing::open_files();
    Mirrors mirrors(recorder, nullptr, system_clock);
    if (one.name != nullptr)
      ck_assert(mirrors.open_file(place.file(one.name), TranscriptFormat::kAuto, "job").ok());
    for (std::uint64_t i = 0; i < 20; i++)
      mirrors.tell(make_done(i, std::string(kMegabyte / 4, 'x')), Counters());
    const bool json = one.name != nullptr && g_str_has_suffix(one.name, ".json");
    ck_assert_uint_eq(testing::open_files(), before + one.files);
    mirrors.close(mirrors.tell_end({}, {}));
    ck_assert(!recorder.end->incomplete_file);
    if (json) ck_assert_uint_gt(place.contents(one.name).size(), 5 * kMegabyte);
  }
}
END_TEST

// At an outage everything is to be stored later; where that does not come true, it is told.
START_TEST(an_end_that_is_not_stored_is_told) {
  using Kind = StoreNote::Kind;
  const struct {
    std::vector<StoreNote> notes;
    JobReason reason;
    bool required;
    std::size_t errors;  // the last of them at the end
    bool last;
  } cases[] = {
      {{}, JobReason::kEndOfStream, false, 1, true},
      {{{Kind::kError, "away"}}, JobReason::kEndOfStream, false, 2, true},
      {{{Kind::kError, "away"}}, JobReason::kStopped, false, 2, true},
      {{{Kind::kError, "away"}, {Kind::kRecovered, ""}}, JobReason::kError, false, 2, true},
      // The ERROR tells it.
      {{{Kind::kError, "away"}}, JobReason::kEndOfStream, true, 1, false},
      {{{Kind::kOff, "refused"}}, JobReason::kEndOfStream, false, 0, false},
      {{{Kind::kError, "away"}, {Kind::kOff, "refused"}}, JobReason::kError, false, 1, false},
      {{{Kind::kError, "away"}}, JobReason::kTakenOver, false, 1, false},
  };
  for (const auto& one : cases) {
    Recorder recorder;
    std::size_t recorded = 0;
    Mirrors mirrors(recorder, std::make_unique<Store>(recorded, Error{"the end is missing"}),
                    system_clock);
    EarlierRun earlier;
    ck_assert(mirrors.open_store({}, ResumePolicy::kAuto, earlier).ok());
    for (const StoreNote& note : one.notes) mirrors.tell_store(note);
    JobEnd end;
    end.reason = one.reason;
    end.must_be_stored = one.required;
    mirrors.close(mirrors.tell_end(end, {}));
    ck_assert_uint_eq(recorder.store_errors.size(), one.errors);
    const bool last =
        !recorder.store_errors.empty() && recorder.store_errors.back() == "the end is missing";
    ck_assert_int_eq(last, one.last);
  }
}
END_TEST

namespace {

Suite* make_suite() {
  Suite* suite = suite_create("mirrors");
  TCase* tests = tcase_create("mirrors");
  tcase_add_loop_test(tests, unreadable_result_makes_the_transcript_incomplete, 0, 2);
  tcase_add_test(tests, results_are_kept_for_those_who_read_them);
  tcase_add_test(tests, an_end_that_is_not_stored_is_told);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
