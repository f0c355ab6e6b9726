// The engine against the fake service: what the observer is told, and that every end and every
// wait ends, whatever happens at the same time.
#include <glib.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "engine.h"
#include "fake_service.h"

#include "check_main.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using testing::FakeService;
using testing::Request;

constexpr std::uint64_t kFrames = 1600;

const SystemClock system_clock;
const Log no_log;

class Recorder final : public EngineObserver {
 public:
  struct Story {
    std::vector<JobState> states;
    std::string sources;  // of the changes of state
    std::vector<Released> released;
    std::size_t queued = 0;
    std::size_t retries = 0;
    std::size_t completes = 0;
    std::optional<JobEnd> end;
    bool stopped = false;
    bool spoke_after_end = false;
    Counters counters;
  };

  // Called within each observer call.
  std::function<void()> inside;

  Story story() { return *story_.lock(); }
  template <typename Predicate>
  bool wait(Predicate predicate) {
    auto story = story_.lock();
    return story.wait_until(changed_, std::chrono::steady_clock::now() + 30s,
                            [&] { return predicate(*story); });
  }

  void on_state(const StateChanged& change, const Counters&) noexcept override {
    tell([&](Story& story) {
      story.states.push_back(change.state);
      story.sources += change.source;
    });
  }
  void on_queued(const ChunkQueued&, const Counters&) noexcept override {
    tell([&](Story& story) { story.queued++; });
  }
  void on_retry(const ChunkRetry&) noexcept override {
    tell([&](Story& story) { story.retries++; });
  }
  void on_released(const Released& released, const Counters& counters) noexcept override {
    tell([&](Story& story) {
      story.released.push_back(released);
      story.counters = counters;
    });
  }
  void on_file_error(const WriteError&) noexcept override {}
  void on_file_recovered() noexcept override {}
  void on_store_error(const std::string&) noexcept override {}
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string&) noexcept override {}
  void on_store_waiting(const std::string&) noexcept override {}
  void on_complete(const JobEnd&) noexcept override {
    tell([&](Story& story) { story.completes++; });
  }
  void on_end(const JobEnd& end) noexcept override {
    tell([&](Story& story) {
      story.end = end;
      story.counters = end.counters;
    });
  }
  void on_stopped(const Counters& counters) noexcept override {
    tell([&](Story& story) {
      story.stopped = true;
      story.counters = counters;
    });
  }

 private:
  template <typename Function>
  void tell(Function function) {
    if (inside) inside();
    auto story = story_.lock();
    if (story->end || story->stopped) story->spoke_after_end = true;
    function(*story);
    changed_.notify_all();
  }

  Guarded<Story> story_;
  std::condition_variable changed_;
};

EngineConfig make_config(const FakeService& service) {
  static std::atomic<unsigned> jobs{0};
  EngineConfig config;
  config.service.base_url = service.url();
  config.live.rate.requests_per_second = 0;
  config.live.limits.retry_delay = 1ms;
  config.live.limits.max_retry_delay = 2ms;
  config.job_id = "job-" + std::to_string(jobs++);
  config.rate_limit_group = config.job_id;
  return config;
}

std::unique_ptr<Engine> make_engine(EngineConfig config, EngineObserver& observer) {
  auto engine = Engine::create(std::move(config), observer, system_clock, no_log);
  ck_assert_msg(static_cast<bool>(engine), "%s", engine ? "" : engine.error().message.c_str());
  return std::move(*engine);
}

void submit(Engine& engine, std::uint64_t number) {
  AudioPiece piece;
  piece.core = piece.payload = {number * kFrames, (number + 1) * kFrames};
  piece.reason = CutReason::kFixed;
  const std::vector<std::int16_t> samples(kFrames, static_cast<std::int16_t>(number));
  piece.pcm.reset(g_bytes_new(samples.data(), samples.size() * sizeof(samples[0])));
  MediaTime time;
  time.timestamp = frames_to_time(piece.core.begin);
  engine.submit(std::move(piece), time);
}

Answer gated(const std::string& gate) {
  Answer answer;
  answer.gate = gate;
  return answer;
}

std::uint64_t index_of(const Released& released) { return chunk_of(*released.outcome).index; }

template <typename Event>
std::size_t count(const Recorder::Story& story) {
  return static_cast<std::size_t>(std::count_if(
      story.released.begin(), story.released.end(),
      [](const Released& released) { return std::holds_alternative<Event>(*released.outcome); }));
}

void check_told_once(const Recorder::Story& story) {
  ck_assert(!story.spoke_after_end);
  ck_assert(story.stopped != story.end.has_value());
  for (std::size_t i = 1; i < story.released.size(); i++)
    ck_assert_uint_lt(index_of(story.released[i - 1]), index_of(story.released[i]));
  const Counters& counters = story.counters;
  ck_assert_uint_eq(counters.completed, count<ChunkDone>(story));
  ck_assert_uint_eq(counters.failed, count<ChunkFailed>(story));
  ck_assert_uint_eq(counters.skipped(), count<ChunkSkipped>(story));
}

// Every chunk from 0 to the last one.
void check_no_hole(const Recorder::Story& story) {
  for (std::size_t i = 0; i < story.released.size(); i++)
    ck_assert_uint_eq(index_of(story.released[i]), i);
}

}  // namespace

START_TEST(test_results_in_order) {
  FakeService service;
  service.answer_with([](const Request& request) { return gated(std::to_string(*request.chunk)); });
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start(false, "http://user:secret@example.org/talk.ogg?secret");
  engine->start(false, "http://example.org/other.ogg");
  for (unsigned i = 0; i < 5; i++) submit(*engine, i);
  engine->finish();
  ck_assert(service.wait_for_requests(5, 20s));
  for (unsigned i = 5; i > 0; i--) {
    service.open_gate(std::to_string(i));
    ck_assert(service.wait_for_answers(6 - i, 20s));
  }
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(count<ChunkDone>(story), 5);
  ck_assert(story.end->state == JobState::kCompleted);
  ck_assert_str_eq(story.end->text.c_str(), "chunk 1 chunk 2 chunk 3 chunk 4 chunk 5");
  ck_assert_str_eq(story.sources.c_str(), "http://example.org/talk.ogg?...");
}
END_TEST

// What was settled before a job-wide error is told, in order and around the holes; nothing starts
// afterwards.
START_TEST(test_job_wide_error) {
  FakeService service;
  service.answer_with([](const Request& request) {
    if (*request.chunk == 4) return Answer();
    if (*request.chunk == 2) return gated("second");
    Answer answer = Answer::error(401, "invalid_api_key");
    answer.gate = *request.chunk == 3 ? "third" : "never";
    return answer;
  });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 4;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 8; i++) submit(*engine, i);
  const auto completed = [&](std::uint64_t wanted) {
    while (engine->stats().counters.completed < wanted) std::this_thread::yield();
  };
  completed(1);
  service.open_gate("second");
  completed(2);
  // The chunks that took their slots.
  ck_assert(service.wait_for_requests(6, 20s));
  service.open_gate("third");
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const std::size_t requests = service.requests().size();
  ck_assert(engine->wait_for_room() == Engine::Wait::kEnded);
  ck_assert(engine->ended());
  submit(*engine, 8);
  engine->finish();
  engine->flush();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  engine.reset();

  const auto story = recorder.story();
  check_told_once(story);
  ck_assert_uint_eq(story.released.size(), 2);
  ck_assert_uint_eq(index_of(story.released[0]), 1);
  ck_assert_uint_eq(index_of(story.released[1]), 3);
  ck_assert(story.end->state == JobState::kFailed);
  ck_assert(story.end->reason == JobReason::kError);
  ck_assert_uint_eq(story.end->fatal->failure.http_status, 401);
  ck_assert_uint_eq(story.end->fatal->chunk->index, 2);
  ck_assert_uint_eq(service.requests().size(), requests);
}
END_TEST

// Once, when it is due, the last one that was wished for, without a lock; not after the end.
START_TEST(test_call_at) {
  FakeService service;
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start(true);
  Guarded<std::vector<int>> calls;
  std::condition_variable changed;
  const auto call = [&](int number) {
    return [&, number] {
      submit(*engine, static_cast<std::uint64_t>(number) - 1);
      auto called = calls.lock();
      called->push_back(number);
      changed.notify_all();
    };
  };
  const auto wait = [&](std::vector<int> wanted) {
    auto called = calls.lock();
    ck_assert(called.wait_until(changed, std::chrono::steady_clock::now() + 30s,
                                [&] { return *called == wanted; }));
  };
  engine->call_at(system_clock.now() - 1h, call(1));
  wait({1});
  engine->call_at(system_clock.now() + 1h, call(7));
  const TimePoint soon = system_clock.now() + 20ms;
  engine->call_at(soon, call(2));
  wait({1, 2});
  ck_assert(system_clock.now() >= soon);
  // However much there is to tell.
  engine->call_at(system_clock.now() + 1h, call(8));
  for (unsigned i = 2; i < 6; i++) submit(*engine, i);
  ck_assert(recorder.wait([](const auto& story) { return story.released.size() == 6; }));
  engine->finish();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  engine->call_at(system_clock.now() - 1h, call(9));
  engine->cancel();
  engine->stop();
  check_told_once(recorder.story());
  check_no_hole(recorder.story());
  ck_assert(*calls.lock() == (std::vector<int>{1, 2}));
}
END_TEST

namespace {

void check_fatal(const Recorder::Story& story, const std::string& expected) {
  const std::string reason = story.end && story.end->fatal ? story.end->fatal->failure.reason : "";
  ck_assert_msg(reason == expected, "\"%s\"", reason.c_str());
}

}  // namespace

// Whatever comes before them without being sent, and whichever answer comes first.
START_TEST(test_first_three_that_were_sent) {
  enum { kSilence, kFlushedBefore, kFlushed, kOutOfOrder };
  const int what = _i;
  FakeService service;
  service.answer_with([what](const Request& request) {
    Answer answer = Answer::error(415, "unsupported_format");
    if (*request.chunk == 1) answer.gate = what == kOutOfOrder ? "go" : "never";
    return answer;
  });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 4;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  AudioPiece piece;
  piece.core = piece.payload = {0, kFrames};
  piece.skipped = true;
  if (what == kSilence) {
    engine->submit(std::move(piece), MediaTime());
  } else if (what == kFlushedBefore) {
    engine->skip_flushed(piece.core, MediaTime());
  } else {
    submit(*engine, 0);
  }
  for (unsigned i = 1; i < 4; i++) submit(*engine, i);
  if (what == kFlushed || what == kOutOfOrder) {
    while (engine->stats().counters.failed < 3) std::this_thread::yield();
    ck_assert(!engine->ended());
  }
  if (what == kFlushed) engine->flush();
  if (what == kOutOfOrder) service.open_gate("go");
  ck_assert(engine->wait_finished(TimePoint(system_clock.now()) + 20s) == Engine::Wait::kDone);
  engine.reset();
  const auto story = recorder.story();
  check_told_once(story);
  check_fatal(story, "rejected");
  ck_assert_uint_eq(story.end->fatal->chunk->index, what == kOutOfOrder ? 2 : 3);
}
END_TEST

// A chunk that leaky drops while it waits for a retry leaves its place, too.
START_TEST(test_dropped_in_the_back_off) {
  const bool rejected = _i == 1;
  FakeService service;
  service.answer_with([rejected](const Request& request) {
    if (*request.chunk == 1) return Answer::error(503);
    return rejected ? Answer::error(415) : Answer();
  });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.retry_delay = config.live.limits.max_retry_delay = 1h;
  config.live.limits.max_parallel = 1;
  config.live.max_queued_chunks = 1;
  config.live.leaky = Leaky::kDownstream;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  submit(*engine, 0);
  ck_assert(recorder.wait([](const Recorder::Story& story) { return story.retries == 1; }));
  for (unsigned i = 1; i < 4; i++) {
    while (engine->stats().load.in_flight > 0) std::this_thread::yield();
    submit(*engine, i);
    ck_assert(service.wait_for_answers(i + 1, 20s));
  }
  engine->finish();
  ck_assert(engine->wait_finished(TimePoint(system_clock.now()) + 20s) == Engine::Wait::kDone);
  engine.reset();
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(story.released.size(), 4);
  const auto* dropped = std::get_if<ChunkSkipped>(&*story.released[0].outcome);
  ck_assert(dropped && dropped->reason == SkipReason::kQueueFull);
  check_fatal(story, rejected ? "rejected" : "");
}
END_TEST

// What another moment may mend, and what was never sent, says nothing of the rest.
START_TEST(test_busy_is_no_rejection) {
  const unsigned status = _i == 0 ? 429 : 408;
  FakeService service;
  service.answer_with([status](const Request&) { return Answer::error(status); });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.retries = 1;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 5; i++) submit(*engine, i);
  engine->finish();
  ck_assert(engine->wait_finished(TimePoint(system_clock.now()) + 20s) == Engine::Wait::kDone);
  engine.reset();
  const auto story = recorder.story();
  check_told_once(story);
  check_fatal(story, "");
  ck_assert_uint_eq(count<ChunkFailed>(story), 5);
}
END_TEST

START_TEST(test_expire) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk == 2 ? Answer() : gated("never"); });
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start();
  for (unsigned i = 0; i < 4; i++) submit(*engine, i);
  engine->finish();
  while (engine->stats().counters.completed < 1) std::this_thread::yield();
  const auto past = system_clock.now() - 1s;
  ck_assert(engine->wait_finished(past) == Engine::Wait::kTimeout);
  engine->expire();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(story.released.size(), 4);
  ck_assert_uint_eq(count<ChunkFailed>(story), 3);
  ck_assert(story.end->state == JobState::kFailed);
  ck_assert(story.end->reason == JobReason::kChunksFailed);
  ck_assert_str_eq(story.end->first_failed->failure.reason.c_str(), "eos-timeout");
  ck_assert_str_eq(story.end->failed_chunks.c_str(), "0, 2, 3");
}
END_TEST

START_TEST(test_expire_keeps_the_last_failure) {
  FakeService service;
  service.answer_with([](const Request& request) {
    if (*request.chunk != 1) return gated("never");
    Answer answer = Answer::error(503, "overloaded");
    answer.headers = {{"x-request-id", "req-" + std::to_string(request.attempt)},
                      {"Retry-After", "60"}};
    return answer;
  });
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start();
  for (unsigned i = 0; i < 2; i++) submit(*engine, i);
  engine->finish();
  ck_assert(recorder.wait([](const auto& story) { return story.retries == 1; }));
  ck_assert(service.wait_for_requests(2, 20s));
  engine->expire();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const auto story = recorder.story();
  check_told_once(story);
  ck_assert_uint_eq(story.released.size(), 2);
  const auto& first = std::get<ChunkFailed>(*story.released[0].outcome);
  ck_assert_uint_eq(first.attempts, 1);
  assert_text(first.failure.reason, "eos-timeout");
  ck_assert_uint_eq(first.failure.http_status, 503);
  assert_text(first.failure.error_code, "overloaded");
  assert_text(first.failure.request_id, "req-1");
  ck_assert(first.failure.cause == Cause::kTimeBudget);
  ck_assert(first.failure.message.find("raise eos-timeout. Last failure: ") != std::string::npos);
  const auto& second = std::get<ChunkFailed>(*story.released[1].outcome);
  ck_assert_uint_eq(second.attempts, 1);
  ck_assert_uint_eq(second.failure.http_status, 0);
}
END_TEST

namespace {

// Holds up whoever asks for the date, as the store does when it is opened.
class GatedClock final : public Clock {
 public:
  TimePoint now() const override { return system_clock.now(); }
  WallTime wall_now() const override {
    auto open = open_.lock();
    open.wait(changed_, [&] { return *open; });
    return system_clock.wall_now();
  }
  void open() {
    auto open = open_.lock();
    *open = true;
    changed_.notify_all();
  }

 private:
  mutable Guarded<bool> open_{false};
  mutable std::condition_variable changed_;
};

void remove_directory(char* directory) {
  GDir* dir = g_dir_open(directory, 0, nullptr);
  while (const char* name = g_dir_read_name(dir))
    std::remove((std::string(directory) + "/" + name).c_str());
  g_dir_close(dir);
  std::remove(directory);
  g_free(directory);
}

}  // namespace

// eos-timeout is over before the store is open: nothing is sent, and what the store knows counts.
START_TEST(test_expire_before_the_store_is_open) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk == 2 ? Answer() : gated("never"); });
  char* const directory = g_dir_make_tmp("engine-XXXXXX", nullptr);
  EngineConfig config = make_config(service);
  config.journal_directory = directory;
  {
    Recorder recorder;
    auto engine = make_engine(config, recorder);
    engine->start();
    for (unsigned i = 0; i < 3; i++) submit(*engine, i);
    while (engine->stats().counters.completed < 1) std::this_thread::yield();
    ck_assert(service.wait_for_requests(3, 20s));
  }
  const std::size_t before = service.requests().size();
  config.live.on_error = _i == 0 ? OnError::kContinue : OnError::kAbort;
  GatedClock clock;
  Recorder recorder;
  auto engine = Engine::create(std::move(config), recorder, clock, no_log);
  ck_assert(engine.ok());
  (*engine)->start();
  for (unsigned i = 0; i < 4; i++) submit(**engine, i);
  (*engine)->finish();
  (*engine)->expire();
  clock.open();
  ck_assert((*engine)->wait_finished(std::nullopt) == Engine::Wait::kDone);
  engine->reset();
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(service.requests().size(), before);
  ck_assert_uint_eq(story.released.size(), 4);
  ck_assert_uint_eq(story.counters.resumed, 1);
  ck_assert(std::get<ChunkDone>(*story.released[1].outcome).resumed);
  for (const std::size_t i : {0, 2, 3}) {
    const auto& failed = std::get<ChunkFailed>(*story.released[i].outcome);
    assert_text(failed.failure.reason, "eos-timeout");
    ck_assert_uint_eq(failed.attempts, 0);
  }
  ck_assert(story.end->reason == (_i == 0 ? JobReason::kChunksFailed : JobReason::kError));
  ck_assert_uint_eq(story.queued, 3);
  remove_directory(directory);
}
END_TEST

// A live source goes on while the store is opened: what finds no room is dropped as always.
START_TEST(test_leaky_before_the_store_is_open) {
  const bool oldest = _i == 0;
  FakeService service;
  char* const directory = g_dir_make_tmp("engine-XXXXXX", nullptr);
  EngineConfig config = make_config(service);
  config.journal_directory = directory;
  config.live.leaky = oldest ? Leaky::kDownstream : Leaky::kUpstream;
  config.live.max_queued_chunks = 2;
  GatedClock clock;
  Recorder recorder;
  auto engine = Engine::create(std::move(config), recorder, clock, no_log);
  ck_assert(engine.ok());
  (*engine)->start(true);
  for (unsigned i = 0; i < 5; i++) {
    ck_assert((*engine)->wait_for_room() == Engine::Wait::kDone);
    submit(**engine, i);
  }
  ck_assert_uint_eq((*engine)->stats().load.waiting, 2);
  (*engine)->finish();
  clock.open();
  ck_assert((*engine)->wait_finished(std::nullopt) == Engine::Wait::kDone);
  engine->reset();
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(story.released.size(), 5);
  for (std::size_t i = 0; i < 5; i++) {
    const bool sent = oldest ? i >= 3 : i < 2;
    ck_assert(std::holds_alternative<ChunkDone>(*story.released[i].outcome) == sent);
  }
  ck_assert_uint_eq(service.requests().size(), 2);
  ck_assert_uint_eq(story.queued, 5);
  remove_directory(directory);
}
END_TEST

namespace {

// The event thread, which stores results, stands still on demand.
class StoppedEvents {
 public:
  void stop() { *stopped_.lock() = true; }
  void go() {
    auto stopped = stopped_.lock();
    *stopped = false;
    changed_.notify_all();
  }
  void pass() {
    auto stopped = stopped_.lock();
    stopped.wait(changed_, [&] { return !*stopped; });
  }

 private:
  Guarded<bool> stopped_{false};
  std::condition_variable changed_;
};

}  // namespace

// With a journal no more chunks are sent than there are slots until their results are on the disk;
// without a store nothing waits.
START_TEST(test_slots_wait_for_the_journal) {
  const bool stored = _i == 0;
  FakeService service;
  StoppedEvents events;
  Recorder recorder;
  recorder.inside = [&] { events.pass(); };
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 2;
  char* const directory = g_dir_make_tmp("engine-XXXXXX", nullptr);
  if (stored) config.journal_directory = directory;
  events.stop();
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 6; i++) submit(*engine, i);
  if (stored) {
    // What the event thread had in its hands when it stopped was no result.
    ck_assert(service.wait_for_answers(2, 20s));
    ck_assert(!service.wait_for_requests(3, 200ms));
  } else {
    ck_assert(service.wait_for_requests(6, 20s));
  }
  events.go();
  engine->finish();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  engine.reset();
  check_told_once(recorder.story());
  ck_assert_uint_eq(count<ChunkDone>(recorder.story()), 6);
  remove_directory(directory);
}
END_TEST

// All ends come although slots wait for a store that does not move.
START_TEST(test_ends_with_unstored_chunks) {
  FakeService service;
  StoppedEvents events;
  Recorder recorder;
  recorder.inside = [&] { events.pass(); };
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 1;
  char* const directory = g_dir_make_tmp("engine-XXXXXX", nullptr);
  config.journal_directory = directory;
  events.stop();
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 3; i++) submit(*engine, i);
  while (engine->stats().counters.completed < 1) std::this_thread::yield();
  if (_i == 0) engine->flush();
  if (_i == 1) engine->cancel();
  if (_i == 2) engine->expire();
  engine->finish();
  if (_i == 2) ck_assert_uint_eq(engine->stats().counters.failed, 2);
  if (_i == 0) ck_assert_uint_eq(engine->stats().counters.skipped_flushed, 2);
  ck_assert_uint_eq(service.requests().size(), 1);
  events.go();
  engine->wait_finished(std::nullopt);
  engine.reset();
  check_told_once(recorder.story());
  remove_directory(directory);
}
END_TEST

// A disk that takes nothing holds nobody back.
START_TEST(test_full_disk_holds_no_slot) {
  FakeService service;
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 2;
  char* const directory = g_dir_make_tmp("engine-XXXXXX", nullptr);
  config.journal_directory = directory;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  ck_assert(engine->wait_open() == Engine::Wait::kDone);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = 1;
  setrlimit(RLIMIT_FSIZE, &limit);
  for (unsigned i = 0; i < 8; i++) submit(*engine, i);
  engine->finish();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  ck_assert_uint_eq(count<ChunkDone>(recorder.story()), 8);
  ck_assert(!recorder.story().end->unstored.empty());
  engine.reset();
  remove_directory(directory);
}
END_TEST

START_TEST(test_expire_and_abort) {
  FakeService service;
  service.answer_with([](const Request&) { return gated("never"); });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.on_error = OnError::kAbort;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 3; i++) submit(*engine, i);
  engine->finish();
  engine->expire();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const auto story = recorder.story();
  check_told_once(story);
  ck_assert_uint_eq(count<ChunkFailed>(story), 3);
  ck_assert(story.end->reason == JobReason::kError);
}
END_TEST

START_TEST(test_flush_in_the_drain) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk <= 3 ? gated("never") : Answer(); });
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start();
  for (unsigned i = 0; i < 3; i++) submit(*engine, i);
  engine->finish();
  engine->flush();
  ck_assert(!engine->ended());
  engine->skip_flushed({3 * kFrames, 4 * kFrames}, MediaTime());
  for (unsigned i = 4; i < 6; i++) submit(*engine, i);
  ck_assert(recorder.wait([](const auto& story) { return story.released.size() == 6; }));
  ck_assert(!engine->ended());
  engine->finish();
  ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  const auto story = recorder.story();
  check_told_once(story);
  check_no_hole(story);
  ck_assert_uint_eq(story.counters.skipped_flushed, 4);
  ck_assert_uint_eq(count<ChunkDone>(story), 2);
  ck_assert(story.end->state == JobState::kCompleted);
}
END_TEST

START_TEST(test_stop_before_start) {
  FakeService service;
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine.reset();
  const auto story = recorder.story();
  check_told_once(story);
  ck_assert(story.stopped);
  ck_assert_uint_eq(story.states.size(), 1);
}
END_TEST

// The job's story is complete even when its store refuses it at once, on another thread.
START_TEST(test_refused_by_its_store) {
  FakeService service;
  for (unsigned round = 0; round < 50; round++) {
    Recorder recorder;
    EngineConfig config = make_config(service);
    config.journal_directory = "/dev/null";
    auto engine = make_engine(std::move(config), recorder);
    if (round % 2 == 0) engine->start();
    ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
    const auto story = recorder.story();
    check_told_once(story);
    ck_assert_uint_eq(story.states.size(), 2);
    ck_assert(story.states[0] == JobState::kQueued && story.states[1] == JobState::kProcessing);
    ck_assert(story.end->state == JobState::kFailed && story.end->reason == JobReason::kError);
    assert_text(story.end->fatal->failure.reason, "store");
  }
  ck_assert(service.requests().empty());
}
END_TEST

enum How { kInterrupt, kCancel, kRoom, kError, kWays };

START_TEST(test_wait_for_room_ends) {
  const int how = _i;
  FakeService service;
  service.answer_with([](const Request& request) {
    if (*request.chunk == 1) return gated("first");
    if (*request.chunk == 2) return gated("second");
    return gated("never");
  });
  if (how == kError)
    service.answer_with([](const Request&) {
      Answer answer = Answer::error(401);
      answer.gate = "first";
      return answer;
    });
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 1;
  config.live.max_queued_chunks = 2;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();
  for (unsigned i = 0; i < 3; i++) {
    ck_assert(engine->wait_for_room() == Engine::Wait::kDone);
    submit(*engine, i);
  }
  ck_assert(service.wait_for_requests(1, 20s));
  ck_assert(!engine->has_room());
  std::atomic<bool> entered{false};
  Engine::Wait result = Engine::Wait::kTimeout;
  std::thread waiter([&] {
    entered = true;
    result = engine->wait_for_room();
  });
  while (!entered) std::this_thread::yield();
  if (how == kInterrupt) engine->interrupt(true);
  if (how == kCancel) engine->cancel();
  if (how == kRoom || how == kError) service.open_gate("first");
  waiter.join();
  const Engine::Wait expected = how == kInterrupt ? Engine::Wait::kInterrupted
                                : how == kRoom    ? Engine::Wait::kDone
                                                  : Engine::Wait::kEnded;
  ck_assert_int_eq(static_cast<int>(result), static_cast<int>(expected));
  if (how == kInterrupt) {
    engine->interrupt(false);
    LiveSettings more = make_config(service).live;
    more.max_queued_chunks = 10;
    engine->update(more);
    ck_assert(engine->wait_for_room() == Engine::Wait::kDone);
  }
}
END_TEST

START_TEST(test_wait_finished_ends) {
  const int how = _i;
  FakeService service;
  service.answer_with([how](const Request&) {
    Answer answer = how == kError ? Answer::error(401) : Answer();
    answer.gate = "go";
    return answer;
  });
  Recorder recorder;
  auto engine = make_engine(make_config(service), recorder);
  engine->start();
  submit(*engine, 0);
  engine->finish();
  std::atomic<bool> entered{false};
  Engine::Wait result = Engine::Wait::kTimeout;
  std::thread waiter([&] {
    entered = true;
    result = engine->wait_finished(std::nullopt);
  });
  while (!entered) std::this_thread::yield();
  if (how == kInterrupt) engine->interrupt(true);
  if (how == kCancel) engine->cancel();
  if (how == kRoom || how == kError) service.open_gate("go");
  waiter.join();
  const Engine::Wait expected = how == kInterrupt ? Engine::Wait::kInterrupted
                                : how == kCancel  ? Engine::Wait::kEnded
                                                  : Engine::Wait::kDone;
  ck_assert_int_eq(static_cast<int>(result), static_cast<int>(expected));
  if (how == kInterrupt) {
    engine->interrupt(false);
    service.open_gate("go");
    ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
  }
}
END_TEST

// An observer that looks at the engine, and other threads that hold it, when it is stopped.
START_TEST(test_stop_with_others_inside) {
  FakeService service;
  for (unsigned round = 0; round < 20; round++) {
    Recorder recorder;
    Guarded<std::shared_ptr<Engine>> shared;
    const auto get = [&] { return *shared.lock(); };
    recorder.inside = [&] {
      if (const auto engine = get()) (void)engine->stats();
    };
    *shared.lock() = make_engine(make_config(service), recorder);
    std::atomic<bool> quit{false};
    std::thread other([&] {
      while (!quit) {
        if (const auto engine = get()) {
          (void)engine->stats();
          engine->update(make_config(service).live);
        }
      }
    });
    get()->start();
    for (unsigned i = 0; i < 10; i++) submit(*get(), i);
    if (round % 2 == 0)
      ck_assert(recorder.wait([](const auto& story) { return !story.released.empty(); }));
    get()->stop();
    const auto story = recorder.story();
    check_told_once(story);
    ck_assert(story.stopped);
    shared.lock()->reset();
    quit = true;
    other.join();
    ck_assert_uint_eq(recorder.story().released.size(), story.released.size());
  }
}
END_TEST

namespace {

// One job with answers, flushes, interrupts, changes and an end at random moments.
void random_round(FakeService& service, unsigned seed) {
  std::minstd_rand random(seed);
  Recorder recorder;
  EngineConfig config = make_config(service);
  config.live.limits.max_parallel = 1 + random() % 8;
  config.live.max_queued_chunks = 1 + random() % 8;
  config.live.leaky = static_cast<Leaky>(random() % 4 == 0 ? 1 + random() % 2 : 0);
  const bool broken = random() % 4 == 0;
  const bool cancels = random() % 3 == 0;
  const bool flushes = random() % 2 == 0;
  const unsigned pieces = 1 + random() % 40;
  service.answer_with([broken, dice = std::minstd_rand(seed + 1)](const Request&) mutable {
    const unsigned roll = dice() % 100;
    if (broken && roll == 0) return Answer::error(401);
    if (roll < 10) return Answer::error(503);
    if (broken && roll < 15) return Answer::error(400);
    Answer answer;
    answer.delay = std::chrono::milliseconds(roll % 4);
    return answer;
  });
  LiveSettings live = config.live;
  live.limits.max_parallel = 1 + random() % 8;
  auto engine = make_engine(std::move(config), recorder);
  engine->start();

  std::atomic<bool> done{false};
  std::thread disturber([&, dice = std::minstd_rand(seed + 2)]() mutable {
    while (!done) {
      std::this_thread::sleep_for(std::chrono::microseconds(dice() % 3000));
      switch (dice() % 8) {
        case 0:
          if (flushes) engine->flush();
          break;
        case 1:
        case 2:
          engine->interrupt(true);
          std::this_thread::yield();
          engine->interrupt(false);
          break;
        case 3:
          engine->update(live);
          break;
        case 4:
          if (cancels && dice() % 4 == 0) engine->cancel();
          break;
        default:
          (void)engine->stats();
      }
    }
  });
  bool open = true;
  for (unsigned i = 0; open && i < pieces; i++) {
    Engine::Wait room = engine->wait_for_room();
    while (room == Engine::Wait::kInterrupted) {
      std::this_thread::yield();
      room = engine->wait_for_room();
    }
    open = room == Engine::Wait::kDone;
    if (open) submit(*engine, i);
    if (random() % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
  }
  // A flush in the drain takes the end back; the source says it again.
  Engine::Wait end = Engine::Wait::kInterrupted;
  while (end == Engine::Wait::kInterrupted || end == Engine::Wait::kTimeout) {
    engine->finish();
    end = engine->wait_finished(system_clock.now() + 5ms);
    if (end == Engine::Wait::kTimeout && random() % 8 == 0) engine->expire();
  }
  done = true;
  disturber.join();
  engine.reset();

  const auto story = recorder.story();
  check_told_once(story);
  if (story.end && story.end->reason != JobReason::kError) {
    check_no_hole(story);
    ck_assert_uint_eq(story.released.size(), pieces);
  }
  if (end == Engine::Wait::kDone) ck_assert(story.end.has_value());
  ck_assert(cancels || !story.stopped);
}

}  // namespace

START_TEST(test_random_ends) {
  FakeService service;
  const char* full = std::getenv("TRANSCRIBE_FULL");
  const unsigned rounds = full != nullptr && *full != '\0' ? 2000 : 100;
  const unsigned seed = g_random_int() % 1000000;
  std::fprintf(stderr, "seed %u\n", seed);
  for (unsigned i = 0; i < rounds; i++) {
    random_round(service, seed + i);
  }
}
END_TEST

namespace {

Suite* make_suite() {
  Suite* suite = suite_create("engine");
  TCase* tests = tcase_create("engine");
  tcase_set_timeout(tests, 100);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_results_in_order);
  tcase_add_test(tests, test_job_wide_error);
  tcase_add_test(tests, test_call_at);
  tcase_add_loop_test(tests, test_first_three_that_were_sent, 0, 4);
  tcase_add_loop_test(tests, test_dropped_in_the_back_off, 0, 2);
  tcase_add_loop_test(tests, test_busy_is_no_rejection, 0, 2);
  tcase_add_test(tests, test_expire);
  tcase_add_test(tests, test_expire_keeps_the_last_failure);
  tcase_add_loop_test(tests, test_expire_before_the_store_is_open, 0, 2);
  tcase_add_loop_test(tests, test_leaky_before_the_store_is_open, 0, 2);
  tcase_add_loop_test(tests, test_slots_wait_for_the_journal, 0, 2);
  tcase_add_loop_test(tests, test_ends_with_unstored_chunks, 0, 3);
  tcase_add_test(tests, test_full_disk_holds_no_slot);
  tcase_add_test(tests, test_expire_and_abort);
  tcase_add_test(tests, test_refused_by_its_store);
  tcase_add_test(tests, test_flush_in_the_drain);
  tcase_add_test(tests, test_stop_before_start);
  tcase_add_loop_test(tests, test_wait_for_room_ends, 0, kWays);
  tcase_add_loop_test(tests, test_wait_finished_ends, 0, kWays);
  tcase_add_test(tests, test_stop_with_others_inside);
  tcase_add_test(tests, test_random_ends);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
