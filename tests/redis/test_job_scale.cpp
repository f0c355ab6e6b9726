// Long jobs: what a chunk costs when there are very many, and lifetimes over a long time.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "job_store_test.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

bool full_tier() {
  const char* full = std::getenv("TRANSCRIBE_FULL");
  return full != nullptr && *full != '\0';
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t used_memory(RedisClient& redis) {
  const std::string info = redis("INFO", "memory").text;
  return std::strtoull(info.c_str() + info.find("used_memory:") + 12, nullptr, 10);
}

// Chunk by chunk, each stored before the next; then a second run takes them all over.
START_TEST(very_many_chunks) {
  const std::uint64_t chunks = full_tier() ? 20000 : 2000;
  const RedisServer server;
  RedisClient redis(server.port());
  const std::string text(500, 'x');
  std::vector<double> waits;  // ms
  {
    JobRun run(server);
    run.begin();
    run.transcribe(0, text);
    const std::size_t ours = resident_bytes();
    const std::size_t theirs = used_memory(redis);
    const auto wait_for = [&](std::size_t count) {
      ck_assert(run.watcher.wait([&](const auto& seen) { return seen.stored.size() >= count; }));
    };
    wait_for(1);
    for (std::uint64_t i = 1; i < chunks; i++) {
      const auto begin = std::chrono::steady_clock::now();
      run.transcribe(i, text);
      wait_for(i + 1);
      waits.push_back(
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
              .count());
    }
    std::sort(waits.begin(), waits.end());
    const std::size_t grown = resident_bytes() - std::min(ours, resident_bytes());
    const std::size_t stored = used_memory(redis) - theirs;
    std::printf("# %llu chunks: p50 %.3f ms, p99 %.3f ms, ours %zu B, the server's %zu B a chunk\n",
                static_cast<unsigned long long>(chunks), waits[waits.size() / 2],
                waits[waits.size() * 99 / 100], grown / chunks, stored / chunks);
    std::fflush(stdout);
#ifndef __SANITIZE_ADDRESS__  // it keeps what is freed, as valgrind does
    // The texts lie in a file.
    if (!std::getenv("TRANSCRIBE_SLOW"))
      ck_assert_uint_lt(grown, 8 * 1024 * 1024 + chunks * text.size());
#endif
    ck_assert_uint_lt(stored / chunks, 3 * text.size());
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
  }
  JobRun run(server);
  run.assert_open();
  ck_assert_uint_eq(run.found.size(), chunks);
  for (std::uint64_t i = 0; i < chunks; i++)
    ck_assert_uint_eq(chunk_of(run.found[i].outcome).index, i);
  run.start();
  run.complete();
  JobView view(redis);
  ck_same(view.problem(false), "");
  ck_same(view.field("progress", "done"), std::to_string(chunks));
}
END_TEST

// A day in short: no key goes while the owner gives signs of life, though they come just in time,
// and all of them go when it does not any more.
START_TEST(keys_live_as_long_as_their_owner) {
  const RedisServer server;
  RedisClient redis(server.port());
  JobClient job(redis, "day");
  job.ttl = "1000";
  job.group = "readers";
  job.create();
  job("move", {"PROCESSING", "start"});
  job("fail", {"0", record("failed", 0)});
  job("done", {"1", record("done", 1)});
  job("begin", {"2", "1"});
  const std::string before = job.dump();
  const int beats = full_tier() ? 100 : 8;
  for (int i = 0; i < beats; i++) {
    // Until less than half of the time is left.
    ck_assert(eventually([&] { return redis("PTTL", job.key("state")).number < 500; }));
    ck_same(job("beat", {"300"}).substr(0, 2), "OK");
    ck_same(job.problem(), "");
  }
  ck_same(job.dump(), before);
  ck_assert(eventually([&] { return redis("DBSIZE").number == 0; }));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_scale");
  TCase* tcase = tcase_create("job_scale");
  tcase_set_timeout(tcase, full_tier() ? 600 : 60);
  tcase_add_test(tcase, very_many_chunks);
  tcase_add_test(tcase, keys_live_as_long_as_their_owner);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
