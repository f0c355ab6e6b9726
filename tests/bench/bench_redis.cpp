// What a job in Redis costs: results stored per second, the time that the event thread spends on
// it, the delay until a result is in Redis, and many jobs on one server. And what a server that is
// killed under this load still has of what it acknowledged.
//
// usage: bench_redis (skipped without redis-server)
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench.h"
#include "outcomes.h"
#include "redis/job_store.h"
#include "redis_client.h"
#include "redis_server.h"

using namespace transcribe;

namespace {

const SystemClock the_clock;
const Log the_log;

class Silent final : public StoreObserver {
 public:
  void on_stored(const std::vector<std::uint64_t>&) noexcept override {}
  void on_store_error(const std::string& message) noexcept override { bench::die(message); }
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string& message) noexcept override { bench::die(message); }
  void on_taken_over(const std::string& message) noexcept override { bench::die(message); }
  void on_cancel_requested(const std::string& note) noexcept override { bench::die(note); }
};
Silent silent;

// Of a job whose server is killed.
class Acknowledged final : public StoreObserver {
 public:
  void on_stored(const std::vector<std::uint64_t>& indices) noexcept override {
    count += indices.size();
  }
  void on_store_error(const std::string&) noexcept override { gone = true; }
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string& message) noexcept override { bench::die(message); }
  void on_taken_over(const std::string& message) noexcept override { bench::die(message); }
  void on_cancel_requested(const std::string& note) noexcept override { bench::die(note); }
  std::atomic<std::uint64_t> count = 0;
  std::atomic<bool> gone = false;
};

class Job {
 public:
  Job(const RedisServer& server, const std::string& id, StoreObserver& observer = silent) {
    RedisJobSettings settings;
    settings.uri = *parse_redis_uri(server.uri());
    settings.required = true;
    settings.flush_timeout = Milliseconds(120000);
    store_ = std::make_unique<RedisJobStore>(settings, observer, the_clock, the_log);
    const auto opened = store_->open(
        {id, "f", {}}, ResumePolicy::kAuto, [](StoredChunk&&) {}, [](const std::string&) {});
    if (!opened) bench::die(opened.error().message);
    tell(StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart});
  }
  void tell(const Event& event) {
    if (const Status status = store_->record(event); !status) bench::die(status.error().message);
  }
  void settle(std::uint64_t index) { tell(make_done(index, std::string(300, 'x'))); }
  void end() {
    tell(StateChanged{JobState::kCompleted, JobState::kProcessing, JobReason::kEndOfStream});
    if (const Status status = store_->finish(); !status) bench::die(status.error().message);
  }

 private:
  std::unique_ptr<RedisJobStore> store_;
};

double pings_per_second(RedisClient& redis) {
  constexpr int kCount = 5000;
  const double begin = bench::wall_seconds();
  for (int i = 0; i < kCount; i++) redis("PING");
  return kCount / (bench::wall_seconds() - begin);
}

void throughput(const RedisServer& server) {
  constexpr std::uint64_t kChunks = 20000;
  RedisClient redis(server.port());
  const double pings = pings_per_second(redis);
  Job job(server, "throughput");
  const double begin = bench::wall_seconds();
  double slowest = 0;
  double told = 0;
  for (std::uint64_t i = 0; i < kChunks; i++) {
    const double before = bench::wall_seconds();
    job.settle(i);
    const double took = bench::wall_seconds() - before;
    told += took;
    slowest = std::max(slowest, took);
  }
  job.end();
  const double rate = double(kChunks) / (bench::wall_seconds() - begin);
  std::printf("%.0f results per second stored, %.2f of as many PINGs one by one (%.0f)\n", rate,
              rate / pings, pings);
  std::printf("the event thread spends %.1f us on a result (most %.0f us) and waits for nothing\n",
              told / double(kChunks) * 1e6, slowest * 1e6);
}

void delay(const RedisServer& server) {
  RedisClient redis(server.port());
  Job job(server, "delay");
  std::vector<double> delays;
  std::vector<double> pings;
  for (std::uint64_t i = 0; i < 500; i++) {
    double begin = bench::wall_seconds();
    redis("PING");
    pings.push_back(bench::wall_seconds() - begin);
    begin = bench::wall_seconds();
    job.settle(i);
    while (redis("HEXISTS", "{transcribe:jobs:delay}:chunks", std::to_string(i)).number == 0) {
    }
    delays.push_back(bench::wall_seconds() - begin);
  }
  job.end();
  std::printf("a result is in Redis after p50 %.0f us, p99 %.0f us: %.1f and %.1f PINGs\n",
              bench::percentile(delays, 0.5) * 1e6, bench::percentile(delays, 0.99) * 1e6,
              bench::percentile(delays, 0.5) / bench::percentile(pings, 0.5),
              bench::percentile(delays, 0.99) / bench::percentile(pings, 0.99));
}

void many_jobs(const RedisServer& server) {
  constexpr std::uint64_t kJobs = 200, kChunks = 50;
  const auto run = [&](std::uint64_t jobs, const std::string& prefix) {
    std::vector<std::unique_ptr<Job>> all;
    const double begin = bench::wall_seconds();
    for (std::uint64_t i = 0; i < jobs; i++)
      all.push_back(std::make_unique<Job>(server, prefix + std::to_string(i)));
    for (std::uint64_t chunk = 0; chunk < kChunks; chunk++) {
      for (const auto& job : all) job->settle(chunk);
    }
    for (const auto& job : all) job->end();
    return double(jobs * kChunks) / (bench::wall_seconds() - begin);
  };
  const double one = run(1, "single");
  const double many = run(kJobs, "many");
  RedisClient redis(server.port());
  for (std::uint64_t i = 0; i < kJobs; i++) {
    const std::string key = "{transcribe:jobs:many" + std::to_string(i) + "}:";
    if (redis("GET", key + "state").text != "COMPLETED" ||
        redis("HLEN", key + "chunks").number != std::int64_t(kChunks))
      bench::die("job " + std::to_string(i) + " is not whole");
  }
  std::printf("200 jobs at once: %.0f results per second, %.1f of one job's; all whole\n", many,
              many / one);
}

// Results of 64 requests at a time, until the server is killed.
void durability(const std::string& fsync) {
  RedisServer::Options options;
  if (!fsync.empty()) {
    options.append_only = true;
    options.arguments = {"--appendfsync", fsync};
  }
  RedisServer server(options);
  Acknowledged acknowledged;
  auto job = std::make_unique<Job>(server, "durability", acknowledged);
  const double begin = bench::wall_seconds();
  double end = begin;
  std::uint64_t told = 0;
  for (; end - begin < 3; end = bench::wall_seconds()) {
    if (told - acknowledged.count < 64)
      job->settle(told++);
    else
      std::this_thread::yield();
  }
  server.kill();
  while (!acknowledged.gone) std::this_thread::yield();
  const std::uint64_t count = acknowledged.count;
  // Nothing is written again before it is counted.
  job.reset();
  server.restart();
  RedisClient redis(server.port());
  const auto found = redis("HLEN", "{transcribe:jobs:durability}:chunks").number;
  std::printf("%s: %.0f results per second; killed: %llu acknowledged, %lld found again\n",
              fsync.empty() ? "no append-only file" : fsync.c_str(), double(count) / (end - begin),
              static_cast<unsigned long long>(count), static_cast<long long>(found));
}

}  // namespace

int main() {
  if (!RedisServer::available()) {
    std::puts("redis-server is not installed");
    return 77;
  }
  const RedisServer server;
  throughput(server);
  delay(server);
  many_jobs(server);
  for (const char* fsync : {"", "everysec", "always"}) durability(fsync);
  return 0;
}
