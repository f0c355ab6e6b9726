// What the tests of the Redis job store share: a run of a job against a real server, and an
// observer that can be waited for.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"
#include "check_text.h"
#include "job/persistent_store.h"
#include "job_client.h"
#include "outcomes.h"
#include "redis/job_store.h"
#include "redis_server.h"

// Last: see check_main.h.
#include "check_main.h"

namespace transcribe {

// Nothing may come near it.
inline constexpr std::chrono::seconds kPatience{30};

using SteadyTime = std::chrono::steady_clock::time_point;

// Always, where something (valgrind) makes everything slow.
inline bool is_within(std::chrono::steady_clock::duration limit, SteadyTime begin) {
  return std::chrono::steady_clock::now() - begin < limit || g_getenv("TRANSCRIBE_SLOW") != nullptr;
}

class Watcher final : public StoreObserver {
 public:
  struct Seen {
    std::vector<std::string> errors, offs, takeovers, cancels;
    int recovered = 0;
    std::vector<std::uint64_t> stored;
  };

  void on_stored(const std::vector<std::uint64_t>& indices) noexcept override {
    note([&] { seen_.stored.insert(seen_.stored.end(), indices.begin(), indices.end()); });
  }
  void on_store_error(const std::string& message) noexcept override {
    note([&] { seen_.errors.push_back(message); });
  }
  void on_store_recovered() noexcept override {
    note([&] { seen_.recovered++; });
  }
  void on_store_off(const std::string& message) noexcept override {
    note([&] { seen_.offs.push_back(message); });
  }
  void on_taken_over(const std::string& message) noexcept override {
    note([&] { seen_.takeovers.push_back(message); });
  }
  void on_cancel_requested(const std::string& message) noexcept override {
    note([&] { seen_.cancels.push_back(message); });
  }

  Seen seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  // "errors recovered offs takeovers cancels", as digits.
  std::string counts() {
    const Seen seen = this->seen();
    return std::to_string(seen.errors.size()) + " " + std::to_string(seen.recovered) + " " +
           std::to_string(seen.offs.size()) + " " + std::to_string(seen.takeovers.size()) + " " +
           std::to_string(seen.cancels.size());
  }
  // False when it does not come true in time.
  template <typename Predicate>
  bool wait(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return predicate(seen_); });
  }

 private:
  template <typename Note>
  void note(Note change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  Seen seen_;
};

// Keeps what is logged, so that it can be searched for secrets.
class KeptLog final : public Log {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel, const std::string& text) const override {
    const std::lock_guard lock(mutex_);
    text_ += text + "\n";
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::string text_;
};

// One run of job "talk".
struct JobRun {
  explicit JobRun(const std::string& uri) { settings.uri = *parse_redis_uri(uri); }
  explicit JobRun(const RedisServer& server) : JobRun(server.uri()) {}

  bool open(ResumePolicy policy = ResumePolicy::kAuto) {
    store = std::make_unique<RedisJobStore>(settings, watcher, clock, log);
    return reopen(policy);
  }
  bool reopen(ResumePolicy policy) {
    auto opened = store->open(
        identity, policy, [&](StoredChunk&& chunk) { found.push_back(std::move(chunk)); },
        [&](const std::string& sentence) {
          waits.push_back(sentence);
          waiting = true;
        });
    if (opened) {
      job = *opened;
    } else {
      refusal = opened.error();
    }
    return opened.ok();
  }
  void assert_open(ResumePolicy policy = ResumePolicy::kAuto) {
    const bool opened = open(policy);
    ck_assert_msg(opened, "%s", refusal.message.c_str());
  }

  // In another thread, beside open(): until it waits for another owner.
  void wait_for_wait() const {
    while (!waiting) g_usleep(1000);
  }

  void begin() {
    assert_open();
    start();
  }
  void record(const Event& event) { ck_assert(store->record(event).ok()); }
  void start() {
    record(StateChanged{JobState::kQueued, std::nullopt, JobReason::kCreated});
    record(
        StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart, nullptr, source});
  }
  void queue(std::uint64_t index) {
    const ChunkPtr chunk = make_chunk(index);
    record(ChunkQueued{chunk, 1000});
    record(ChunkAttempt{chunk, 1});
  }
  void done(std::uint64_t index, const std::string& text) { record(make_done(index, text)); }
  void transcribe(std::uint64_t index, const std::string& text) {
    queue(index);
    done(index, text);
  }
  void end(JobState state, JobReason reason) {
    record(StateChanged{state, JobState::kProcessing, reason});
  }
  Status finish() {
    const auto begin = std::chrono::steady_clock::now();
    const Status status = store->finish();
    ck_assert(is_within(settings.flush_timeout + std::chrono::seconds(10), begin));
    return status;
  }
  void assert_finish() {
    const Status status = finish();
    ck_assert_msg(status.ok(), "%s", status.ok() ? "" : status.error().message.c_str());
  }
  void complete() {
    end(JobState::kCompleted, JobReason::kEndOfStream);
    assert_finish();
  }
  // "0:done 2:skipped"
  std::string found_text() const {
    std::string text;
    for (const StoredChunk& chunk : found) {
      const char* kind = std::holds_alternative<ChunkDone>(chunk.outcome)     ? "done"
                         : std::holds_alternative<ChunkFailed>(chunk.outcome) ? "failed"
                                                                              : "skipped";
      text +=
          (text.empty() ? "" : " ") + std::to_string(chunk_of(chunk.outcome).index) + ":" + kind;
    }
    return text;
  }

  RedisJobSettings settings;
  JobIdentity identity{"talk", "fp", {{"model", "whisper-1"}}};
  std::string source;
  Watcher watcher;
  SystemClock clock;
  KeptLog log;
  std::vector<StoredChunk> found;
  std::vector<std::string> waits;
  std::atomic<bool> waiting = false;  // for another owner; for other threads
  OpenedJob job;
  StoreRefusal refusal;
  std::unique_ptr<RedisJobStore> store;
};

// Polls a server until it says what is wanted.
template <typename Predicate>
bool eventually(Predicate predicate) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > end) return false;
    g_usleep(2000);
  }
  return true;
}

// The job as a client sees it, with the lifetimes that the store sets.
struct JobView : JobClient {
  JobView(RedisClient& client, const std::string& job = "talk") : JobClient(client, job) {
    ttl = "604800000";
    retention = "86400000";
  }
  void wait_for_state(const std::string& wanted) {
    ck_assert_msg(eventually([&] { return state() == wanted; }), "%s", state().c_str());
  }
  void wait_for_done(const std::string& count) {
    ck_assert_msg(eventually([&] { return field("progress", "done") == count; }), "%s",
                  dump().c_str());
  }
  // The stored text of a chunk: what stands in its record.
  bool has_text(std::uint64_t index, const std::string& text) {
    return field("chunks", std::to_string(index)).find("\"text\":\"" + text + "\"") !=
           std::string::npos;
  }
  // Without events that only time brings.
  std::string events_text() {
    std::string text;
    for (auto& event : events()) {
      if (event["event"] == "progress") continue;
      text += (text.empty() ? "" : ", ") + event["event"];
      for (const char* name : {"state", "reason", "idx", "status"}) {
        if (event.contains(name)) text += " " + event[name];
      }
    }
    return text;
  }
};

}  // namespace transcribe
