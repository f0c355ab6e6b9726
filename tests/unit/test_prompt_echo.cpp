// context=previous from end to end: what goes with a chunk, and answers that are only that again.
#include <glib/gstdio.h>

#include <string>
#include <vector>

#include "base/guarded.h"
#include "engine.h"
#include "fake_service.h"
#include "short_deadline.h"
#include "silent_observer.h"

#include "check_main.h"

namespace {

using namespace transcribe;
using namespace std::chrono_literals;
using testing::Answer;
using testing::FakeService;
using testing::Request;

constexpr std::uint64_t kFrames = kSampleRate;
const char* const kSaid = "one two three four five";
const SystemClock system_clock;
const Log no_log;

class Texts final : public SilentObserver {
 public:
  void on_retry(const ChunkRetry& event) noexcept override {
    auto told = told_.lock();
    told->retries.push_back(event.failure.reason);
    changed_.notify_all();
  }
  void on_released(const Released& released, const Counters&) noexcept override {
    auto told = told_.lock();
    const auto* done = std::get_if<ChunkDone>(&*released.outcome);
    told->texts.push_back(done != nullptr ? done->transcription->text : "failed");
    changed_.notify_all();
  }

  struct Told {
    std::vector<std::string> texts;
    std::vector<std::string> retries;
  };
  Told wait(std::size_t texts, std::size_t retries = 0) {
    auto told = told_.lock();
    told.wait(changed_,
              [&] { return told->texts.size() >= texts && told->retries.size() >= retries; });
    return *told;
  }

 private:
  Guarded<Told> told_;
  std::condition_variable changed_;
};

Answer says(const std::string& text) {
  Answer answer;
  answer.body = "{\"text\": \"" + text + "\"}";
  return answer;
}

struct Story {
  explicit Story(const std::function<void(EngineConfig&)>& set = [](EngineConfig&) {}) {
    EngineConfig config;
    config.service.base_url = service.url();
    config.request.context = Context::kPrevious;
    config.live.rate.requests_per_second = 0;
    config.live.limits.max_parallel = 1;
    config.live.limits.retry_delay = 1ms;
    config.job_id = config.rate_limit_group = "prompt-echo";
    set(config);
    auto created = Engine::create(std::move(config), texts, system_clock, no_log);
    ck_assert(created.ok());
    engine = std::move(*created);
    // Chunk 1 is answered with its prompt as long as it has one.
    service.answer_with([](const Request& request) {
      if (*request.chunk == 1) return says(kSaid);
      if (*request.chunk == 2) return says(request.fields("prompt").empty() ? "better" : kSaid);
      return says("more");
    });
    engine->start();
  }

  void submit(std::uint64_t number, bool skipped = false) {
    AudioPiece piece;
    piece.skipped = skipped;
    piece.core = piece.payload = {number * kFrames, (number + 1) * kFrames};
    piece.reason = CutReason::kFixed;
    piece.pcm.reset(
        g_bytes_new_take(g_malloc0(kFrames * kBytesPerFrame), kFrames * kBytesPerFrame));
    engine->submit(std::move(piece), {frames_to_time(piece.core.begin), {}, {}});
  }
  // Until the first is told: the next one has its context.
  void begin() {
    submit(0);
    texts.wait(1);
    submit(1);
  }
  Texts::Told finish(std::size_t chunks) {
    engine->finish();
    ck_assert(engine->wait_finished(std::nullopt) == Engine::Wait::kDone);
    return texts.wait(chunks);
  }

  FakeService service;
  Texts texts;
  std::unique_ptr<Engine> engine;
};

START_TEST(better_answer_counts) {
  Story story;
  story.begin();
  const auto told = story.finish(2);
  assert_text(told.texts[1], "better");
  ck_assert_uint_eq(told.retries.size(), 1);
  assert_text(told.retries[0], "prompt-echo");
  const auto requests = story.service.requests();
  ck_assert_uint_eq(requests.size(), 3);
  assert_text(requests[1].field("prompt"), kSaid);
  ck_assert(requests[2].fields("prompt").empty());
  const EngineStats stats = story.engine->stats();
  ck_assert(stats.max_delay >= stats.counters.max_latency);
  ck_assert(stats.counters.max_latency.count() > 0);
}
END_TEST

START_TEST(answer_in_doubt_counts_without_retries) {
  Story story([](EngineConfig& config) { config.live.limits.retries = 0; });
  story.begin();
  const auto told = story.finish(2);
  assert_text(told.texts[1], kSaid);
  ck_assert_uint_eq(told.retries.size(), 0);
  ck_assert_uint_eq(story.service.requests().size(), 2);
}
END_TEST

START_TEST(answer_in_doubt_counts_at_eos_timeout) {
  Story story([](EngineConfig& config) {
    config.live.limits.retry_delay = config.live.limits.max_retry_delay = 3600s;
  });
  story.begin();
  story.texts.wait(1, 1);
  story.engine->finish();
  story.engine->expire();
  const auto told = story.finish(2);
  assert_text(told.texts[1], kSaid);
  ck_assert_uint_eq(story.engine->stats().counters.failed, 0);
}
END_TEST

// Its turn comes too late: another chunk has the only slot.
START_TEST(answer_in_doubt_counts_at_chunk_timeout) {
  Story story([](EngineConfig& config) {
    const auto most = 7 * short_deadline();
    config.live.limits.retry_delay = config.live.limits.max_retry_delay = most / 4;
    config.live.limits.chunk_timeout = most;
  });
  story.begin();
  story.texts.wait(1, 1);
  story.service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "never";
    return answer;
  });
  story.submit(2);
  const auto told = story.finish(3);
  assert_text(told.texts[1], kSaid);
  assert_text(told.texts[2], "failed");
}
END_TEST

// The prompt that a user has set comes back just as well.
START_TEST(static_prompt) {
  Story story([](EngineConfig& config) {
    config.request.context = Context::kStatic;
    config.live.prompt = "Alice, Bob and Carol.";
  });
  story.service.answer_with([](const Request& request) {
    return says(request.fields("prompt").empty() ? "better" : "alice bob and carol");
  });
  story.submit(0);
  assert_text(story.finish(1).texts[0], "better");
  const auto requests = story.service.requests();
  ck_assert_uint_eq(requests.size(), 2);
  assert_text(requests[0].field("prompt"), "Alice, Bob and Carol.");
}
END_TEST

// All chunks at once, one request at a time: each takes along what was said before it, whatever the
// threads do. Some chunks are silence that is told and not sent.
START_TEST(previous_is_deterministic) {
  char* directory = g_dir_make_tmp("prompt-echo-XXXXXX", nullptr);
  constexpr std::uint64_t kChunks = 12;
  for (int round = 0; round < 10; round++) {
    const std::string job = "round-" + std::to_string(round);
    Story story([&](EngineConfig& config) {
      config.job_id = job;
      if (_i == 1) config.journal_directory = directory;
    });
    story.service.answer_with(
        [](const Request& request) { return says("w" + std::to_string(*request.chunk)); });
    for (std::uint64_t i = 0; i < kChunks; i++) story.submit(i, i % 3 == 1);
    story.finish(kChunks);
    std::string before;
    std::uint64_t sent = 0;
    for (const Request& request : story.service.requests()) {
      while (sent % 3 == 1) sent++;
      ck_assert_uint_eq(*request.chunk, sent + 1);
      assert_text(request.fields("prompt").empty() ? "" : request.field("prompt"), before);
      before += (before.empty() ? "w" : " w") + std::to_string(*request.chunk);
      sent++;
    }
    ck_assert_uint_eq(sent, kChunks);
    if (_i == 1) {
      story.engine.reset();
      ck_assert_int_eq(g_unlink((std::string(directory) + "/" + job + ".jsonl").c_str()), 0);
    }
  }
  ck_assert_int_eq(g_rmdir(directory), 0);
  g_free(directory);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("prompt_echo");
  TCase* tests = tcase_create("general");
  tcase_add_test(tests, better_answer_counts);
  tcase_add_test(tests, answer_in_doubt_counts_without_retries);
  tcase_add_test(tests, answer_in_doubt_counts_at_eos_timeout);
  tcase_add_test(tests, answer_in_doubt_counts_at_chunk_timeout);
  tcase_add_test(tests, static_prompt);
  tcase_add_loop_test(tests, previous_is_deterministic, 0, 2);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
