// Two stores of one job: the first owns it, results are the union of both.
#pragma once

#include <memory>

#include "job/persistent_store.h"

namespace transcribe {

class PairedStore final : public PersistentStore {
 public:
  PairedStore(std::unique_ptr<PersistentStore> owner, std::unique_ptr<PersistentStore> second);

  // The first that refuses refuses for both. State and meta are the owner's, where it has the job.
  Result<OpenedJob, StoreRefusal> open(
      const JobIdentity& identity, ResumePolicy policy,
      const std::function<void(StoredChunk&&)>& found,
      const std::function<void(const std::string&)>& waiting) override;
  void cancel_open() override;
  void stop_waiting() override;
  using PersistentStore::record;
  Status record(std::span<const Event> events) override;
  Status finish() override;

 private:
  const std::unique_ptr<PersistentStore> owner_;
  const std::unique_ptr<PersistentStore> second_;
};

}  // namespace transcribe
