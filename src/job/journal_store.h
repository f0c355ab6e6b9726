// The store for people without a server: one append-only JSON Lines file per job.
//
//   {"v":1,"job_id":…,"fingerprint":…,"created_ms":…,"meta":{…}}   the first line
//   {"owner":"PID@HOST","opened_ms":…}                             one per run
//   {"state":"PROCESSING","reason":"start","at_ms":…}              one per transition
//   a chunk record (chunk_record.h)                                one per settled chunk
//
// A line is on the disk (fdatasync) before record() returns. A torn last line, left by a kill, is
// cut off when the file is opened again. The file is locked (flock) as long as its owner lives, so
// a dead owner's job can be taken over at once and a living one's can't.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_io.h"
#include "job/persistent_store.h"

namespace transcribe {

class JournalStore final : public PersistentStore {
 public:
  // Can jobs be written there? The message names journal-directory.
  static Status check(const std::string& directory);
  static std::string path(const std::string& directory, const std::string& job_id);

  // `observer`, where there is one, outlives the store; it is told of stored chunks only, within
  // record() and finish().
  // `max_pending`: bytes of records that are kept while the disk takes nothing. Results beyond that
  // are not stored: record() and finish() fail from then on and tell how many, and a run that
  // resumes the job sends these chunks again.
  JournalStore(std::string directory, const Clock& clock, StoreObserver* observer = nullptr,
               std::size_t max_pending = kMaxPending);
  ~JournalStore() override;
  static constexpr std::size_t kMaxPending = 16 * 1024 * 1024;

  std::optional<StoreRefusal> claim(const JobIdentity& identity) override;
  Result<OpenedJob, StoreRefusal> open(const JobIdentity& identity, ResumePolicy policy,
                                       const std::function<void(StoredChunk&&)>& found,
                                       const std::function<void(const std::string&)>&) override;
  using PersistentStore::record;
  Status record(std::span<const Event> events) override;
  Status finish() override;

 private:
  void add(const Event& event);
  bool is_kept(const Outcome& outcome) const;
  struct Contents;

  // Opens and locks the file. With `flags` 0 a missing one is no error: there is nothing to lock.
  std::optional<StoreRefusal> lock(const std::string& job_id, int flags);
  Result<OpenedJob, StoreRefusal> take(const JobIdentity& identity, ResumePolicy policy,
                                       const std::function<void(StoredChunk&&)>& found);
  Result<Contents, StoreRefusal> read();
  void append(std::string line);
  // Lost when there is no room for it.
  void append_result(std::uint64_t index, std::string line);
  Status flush();
  Status write_pending();

  const std::string directory_;
  const Clock& clock_;
  StoreObserver* const observer_;
  std::string path_;
  UniqueFd fd_;
  off_t size_ = 0;                             // whole lines on the disk
  std::string pending_;                        // lines that are not
  std::vector<std::uint64_t> pending_chunks_;  // whose records are among them
  const std::size_t max_pending_;
  std::uint64_t lost_ = 0;  // results that are not stored in this run
  bool replay_ = false;     // the job is complete: nothing is written any more
  // Of earlier runs: indices of the chunks that are done, until this run tells of each, and of
  // those that were settled otherwise. A run is never told of a chunk twice.
  std::set<std::uint64_t> stored_;
  std::set<std::uint64_t> kept_;
};

}  // namespace transcribe
