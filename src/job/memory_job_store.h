// What is read again within the run: by the json transcript at its end, and of an earlier run's
// results. Keeps a few bytes per chunk; the records lie in an unlinked temporary file once they
// exceed `spill_bytes`, so streams of days stay flat.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "job/job_store.h"

namespace transcribe {

class MemoryJobStore final : public JobStore {
 public:
  explicit MemoryJobStore(std::size_t spill_bytes = 1024 * 1024);
  ~MemoryJobStore() override;
  void record(const Event& event) override;
  Status for_each(const std::function<bool(const Outcome&)>& visit) override;
  // An error when there is none, or when it can't be read back.
  Result<Outcome> find(std::uint64_t index) const;

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe
