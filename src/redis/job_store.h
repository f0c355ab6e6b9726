// A job's state in Redis: the mirror that other programs follow and a later run continues from.
//
// One thread of its own holds one connection and does all I/O; record() only enqueues. Everything
// is kept (settled chunks in an unlinked temporary file) until the job has ended, so that a server
// that was away, full, restarted or emptied gets the whole truth again. The operations and their
// answers are those of scripts/job.lua; keys and fields: docs/redis.md.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "job/persistent_store.h"
#include "redis/connection.h"

namespace transcribe {

// How dead owners are told from slow ones (job_reaper.h).
struct ReaperTimes {
  Milliseconds grace{5000};      // after the end of a lease
  Milliseconds interval{15000};  // between looks; longer than any owner takes to reconnect
  Milliseconds jitter{3000};     // of the interval
};

struct RedisJobSettings {
  RedisUri uri;
  std::string tls_ca_file;
  std::string key_prefix = "transcribe";
  std::uint64_t stream_max_length = 10000;
  Milliseconds retention{24 * 3600 * 1000};
  Milliseconds lease{30000};
  std::string consumer_group;  // empty: none
  // Without Redis open() refuses; else it gives up waiting after 2 s, the job is created later,
  // and a refusal that comes then turns the mirror off (on_store_off()).
  bool required = false;
  Milliseconds flush_timeout{10000};  // bound of finish()
  Milliseconds timeout{5000};         // bound of connecting, and of each answer
  ReaperTimes reaper;
};

class RedisJobStore final : public PersistentStore {
 public:
  // What is passed by reference outlives the store.
  RedisJobStore(RedisJobSettings settings, StoreObserver& observer, const Clock& clock,
                const Log& log);
  // At once; what is not stored by then stays out.
  ~RedisJobStore() override;

  Result<OpenedJob, StoreRefusal> open(
      const JobIdentity& identity, ResumePolicy policy,
      const std::function<void(StoredChunk&&)>& found,
      const std::function<void(const std::string&)>& waiting) override;
  void cancel_open() override;
  void stop_waiting() override;
  // Never blocks, always Success.
  using PersistentStore::record;
  Status record(std::span<const Event> events) override;
  // Waits until all is stored, at most flush_timeout. After it nothing may be recorded.
  Status finish() override;

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
