// What a kill may cost, with each kind of store: a chunk keeps its slot until its result is stored.
#include <fcntl.h>
#include <glib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>

#include "fake_service.h"
#include "mirror_check.h"
#include "redis_client.h"
#include "redis_server.h"
#include "sink_fixture.h"
#include "sink_story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe;
using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

std::size_t count_done(const std::string& text) {
  const std::string word = "\"status\":\"done\"";
  std::size_t count = 0;
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) count++;
  return count;
}

// The disk below the journal: it can be busy for as long as the test wants.
class Disk {
 public:
  int sync(int fd) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !busy_; });
    const auto result = static_cast<int>(syscall(SYS_fdatasync, fd));
    std::ifstream file("/proc/self/fd/" + std::to_string(fd));
    std::ostringstream text;
    text << file.rdbuf();
    done_ = count_done(text.str());
    return result;
  }
  void set_busy(bool busy) {
    const std::lock_guard lock(mutex_);
    busy_ = busy;
    changed_.notify_all();
  }
  // Results that it holds for good.
  std::size_t done() const { return done_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false;
  std::atomic<std::size_t> done_ = 0;
};

Disk disk;

}  // namespace

// In the place of the C library's, for the element too.
extern "C" int fdatasync(int fd) { return disk.sync(fd); }

namespace {

constexpr std::size_t kSlots = 2;

enum Kind { kRedis, kJournal, kBoth, kKinds };

// A job in one kind of store, or in both.
struct Stores {
  explicit Stores(Kind the_kind) : kind(the_kind), redis(server.port()), watch(server.port()) {}
  ~Stores() { std::filesystem::remove_all(directory); }

  std::string properties() const {
    std::string text =
        "split=fixed max-chunk-duration=1000000000 job-id=talk requests-per-second=0 "
        "max-parallel=" +
        std::to_string(kSlots);
    // Best effort gives slots free after a while.
    if (kind != kJournal) text += " redis-policy=required redis-uri=" + server.uri();
    if (kind != kRedis) text += " journal-directory=" + directory.string();
    return text;
  }
  std::size_t in_redis(RedisClient& client) const {
    return static_cast<std::size_t>(client("HLEN", "{transcribe:jobs:talk}:chunks").number);
  }
  // As the service's thread sees it: of two stores the first counts.
  std::size_t stored() { return std::max(in_redis(watch), disk.done()); }

  void hold() {
    // For less than the element waits for an answer.
    redis("CLIENT", "PAUSE", "3000", "WRITE");
    disk.set_busy(true);
  }
  void release() {
    redis("CLIENT", "UNPAUSE");
    disk.set_busy(false);
  }

  const Kind kind;
  const RedisServer server;
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("slots-" + std::to_string(getpid()));
  RedisClient redis;
  RedisClient watch;
};

}  // namespace

GST_START_TEST(test_slots_wait_for_the_store) {
  Stores stores(static_cast<Kind>(__i__));
  FakeService service;
  // Both: the service's thread until the end of the job.
  std::size_t sent = 0, most = 0;
  service.answer_with([&](const Request&) {
    // What is stored meanwhile makes it fewer, never more.
    most = std::max(most, ++sent - stores.stored());
    return Answer();
  });
  auto pipeline = start(service, stores.properties());
  pipeline->push(noise(kSecond, 1), 0);
  pipeline->push(noise(kSecond / 2, 2), GST_SECOND);
  const auto all_have = [&](std::size_t count) {
    return (stores.kind == kJournal || stores.in_redis(stores.redis) == count) &&
           (stores.kind == kRedis || disk.done() == count);
  };
  while (!all_have(1)) g_thread_yield();
  stores.hold();
  pipeline->push(noise(kSecond / 2, 3), GST_SECOND + GST_SECOND / 2);
  for (std::size_t i = 2; i < kChunks; i++)
    pipeline->push(noise(kSecond, static_cast<unsigned>(3 + i)), i * GST_SECOND);
  pipeline->end_of_stream();
  ck_assert(service.wait_for_answers(1 + kSlots, 20s));
  // Time for one more, which `most` would tell.
  static_cast<void>(service.wait_for_requests(2 + kSlots, 300ms));
  stores.release();
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), kChunks);
  ck_assert_uint_eq(most, kSlots);
  ck_assert(pipeline->warnings().empty());
  ck_assert(all_have(kChunks));
  if (stores.kind != kJournal) check_mirror(*pipeline, stores.server.port());
}
GST_END_TEST

static Suite* sink_slots_suite() {
  Suite* suite = suite_create("sink_slots");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_slots_wait_for_the_store, 0, kKinds);
  return suite;
}

GST_CHECK_MAIN(sink_slots)
