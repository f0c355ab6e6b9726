// A live job of days through the whole engine, against a service in a process of its own: what is
// in use does not grow. The audio is short, so that days pass in minutes; its place in time is not.
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "bytes_in_use.h"
#include "engine.h"
#include "silent_observer.h"

#include "check_main.h"

using namespace transcribe;
using transcribe::testing::bytes_in_use;

namespace {

constexpr std::uint64_t kChunkFrames = 10 * kSampleRate;
constexpr std::uint64_t kSentFrames = kSampleRate / 10;
// The begin of the transcript is kept for the last message: 1 MiB, which these fill.
constexpr int kLongTexts = 12;
constexpr std::size_t kLongText = 90000;
constexpr std::size_t kText = 1000;
// Chunks between two looks, when all is settled.
constexpr std::uint64_t kLook = 80;

bool in_full() {
  const char* full = g_getenv("TRANSCRIBE_FULL");
  return full != nullptr && *full != '\0';
}

// Connections and queues take more at one time than at another: the least of many looks counts.
// 2 bytes per chunk would be seen in the seven days.
constexpr std::size_t kSlack = 64 * 1024;

std::string words(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; text.size() < bytes; ++i)
    text += "word" + std::to_string(i) + (i % 9 == 8 ? ". " : " ");
  return text;
}

class ServiceProcess {
 public:
  ServiceProcess() {
    const std::string script = R"({"answers": [{"times": )" + std::to_string(kLongTexts) +
                               R"(, "body": {"text": ")" + words(kLongText) +
                               R"("}}], "default": {"body": {"text": ")" + words(kText) + R"("}}})";
    process_ =
        g_subprocess_new(static_cast<GSubprocessFlags>(G_SUBPROCESS_FLAGS_STDIN_PIPE |
                                                       G_SUBPROCESS_FLAGS_STDOUT_PIPE),
                         nullptr, TRANSCRIBE_FAKE_SERVICE, "--script", script.c_str(), nullptr);
    ck_assert_ptr_nonnull(process_);
    std::string line;
    for (char byte = 0; byte != '\n'; line += byte)
      ck_assert_int_eq(
          g_input_stream_read(g_subprocess_get_stdout_pipe(process_), &byte, 1, nullptr, nullptr),
          1);
    line.pop_back();
    url_ = "http://127.0.0.1:" + line + "/v1";
  }
  ~ServiceProcess() {
    g_output_stream_close(g_subprocess_get_stdin_pipe(process_), nullptr, nullptr);
    g_subprocess_wait(process_, nullptr, nullptr);
    g_object_unref(process_);
  }
  const std::string& url() const { return url_; }

 private:
  GSubprocess* process_ = nullptr;
  std::string url_;
};

class Listener final : public SilentObserver {
 public:
  // All of them settled and told.
  void wait(std::uint64_t outcomes) {
    auto told = told_.lock();
    told.wait(changed_, [&] { return told->outcomes >= outcomes; });
  }
  // Bytes in use while the event thread has nothing in hand.
  std::size_t look(Engine& engine) {
    engine.call_at({}, [this] {
      auto told = told_.lock();
      told->look = bytes_in_use();
      changed_.notify_all();
    });
    auto told = told_.lock();
    told.wait(changed_, [&] { return told->look.has_value(); });
    return *std::exchange(told->look, std::nullopt);
  }
  std::uint64_t bytes() { return told_.lock()->bytes; }

  void on_released(const Released& released, const Counters&) noexcept override {
    auto told = told_.lock();
    if (released.text) told->bytes += released.text->text.size();
    if (released.outcome) ++told->outcomes;
    changed_.notify_all();
  }

 private:
  struct Told {
    std::uint64_t outcomes = 0;
    std::uint64_t bytes = 0;
    std::optional<std::size_t> look;
  };
  Guarded<Told> told_;
  std::condition_variable changed_;
};

// Chunk i of a live stream. Every fifth is skipped silence, every third cut is forced.
void submit(Engine& engine, std::uint64_t index) {
  AudioPiece piece;
  piece.core = piece.payload = {index * kChunkFrames, (index + 1) * kChunkFrames};
  MediaTime time;
  time.timestamp = frames_to_time(piece.core.begin);
  time.running_time = time.stream_time = time.timestamp;
  piece.skipped = index % 5 == 4;
  piece.reason = piece.skipped ? CutReason::kSilence : CutReason::kPause;
  if (!piece.skipped) {
    const std::uint64_t shared = kSampleRate / 2;
    if (index % 3 == 0) {
      piece.reason = CutReason::kForced;
      piece.payload.end += shared;
    }
    if (index % 3 == 1 && index % 5 != 0) piece.payload.begin -= shared;
    piece.mask = {30, 900, 70};
    const std::vector<std::int16_t> samples(kSentFrames, static_cast<std::int16_t>(index));
    piece.pcm.reset(g_bytes_new(samples.data(), samples.size() * sizeof samples[0]));
  }
  engine.submit(std::move(piece), time);
}

}  // namespace

// 0: nothing but the bus; 1: with subtitles and a journal.
START_TEST(days_of_a_live_stream) {
  const std::uint64_t chunks = in_full() ? 7 * 24 * 360 : 14 * kLook;
  const CharPtr directory(g_dir_make_tmp("long-job-XXXXXX", nullptr));
  const std::string file = std::string(directory.get()) + "/talk.srt";
  const std::string journal = std::string(directory.get()) + "/stream.jsonl";
  ServiceProcess service;
  const SystemClock clock;
  const Log log;
  Listener listener;
  EngineConfig config;
  config.service.base_url = service.url();
  config.live.rate.requests_per_second = 0;
  config.job_id = "stream";
  config.rate_limit_group = "long-job";
  if (_i == 1) {
    config.location = file;
    config.journal_directory = directory.get();
  }
  std::vector<std::size_t> looks;
  {
    auto engine = Engine::create(std::move(config), listener, clock, log);
    ck_assert(static_cast<bool>(engine));
    ck_assert((*engine)->wait_open() == Engine::Wait::kDone);
    (*engine)->start(true);
    for (std::uint64_t index = 0; index < chunks; ++index) {
      ck_assert((*engine)->wait_for_room() == Engine::Wait::kDone);
      submit(**engine, index);
      if (index % kLook != kLook - 1) continue;
      listener.wait(index + 1);
      looks.push_back(listener.look(**engine));
    }
    (*engine)->finish();
    ck_assert((*engine)->wait_finished(std::nullopt) == Engine::Wait::kDone);
    const Counters counters = (*engine)->stats().counters;
    ck_assert_uint_eq(counters.completed + counters.skipped(), chunks);
    ck_assert_uint_eq(counters.failed, 0);
  }
  const auto quarter = static_cast<std::ptrdiff_t>(looks.size() / 4);
  const std::size_t settled =
      *std::min_element(looks.begin() + quarter, looks.begin() + 2 * quarter);
  const std::size_t left = *std::min_element(looks.end() - quarter, looks.end());
  std::printf("# %lu chunks: %lu bytes in use, then %lu\n", static_cast<unsigned long>(chunks),
              static_cast<unsigned long>(settled), static_cast<unsigned long>(left));
  std::fflush(stdout);
  ck_assert_uint_gt(settled, 1024 * 1024);
  ck_assert_uint_le(left, settled + kSlack);
  ck_assert_uint_gt(listener.bytes(), kLongTexts * kLongText);
  g_unlink(file.c_str());
  g_unlink(journal.c_str());
  ck_assert_int_eq(g_rmdir(directory.get()), 0);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("long_job");
  TCase* tcase = tcase_create("long_job");
  tcase_set_timeout(tcase, in_full() ? 1200 : 120);
  tcase_add_loop_test(tcase, days_of_a_live_stream, 0, 2);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
