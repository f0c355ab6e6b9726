// Where the results of a job are kept until it ends (in memory), and where they survive it
// (journal, Redis). Called on the event thread only; one call at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "job/event.h"

namespace transcribe {

class JobStore {
 public:
  virtual ~JobStore() = default;
  // Every event in order, after it was folded into the job.
  virtual void record(const Event& event) = 0;
  // The settled chunks in index order; stops when `visit` returns false. Chunks that were never
  // settled are left out.
  virtual Status for_each(const std::function<bool(const Outcome&)>& visit) = 0;
};

}  // namespace transcribe
