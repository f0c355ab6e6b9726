#include "job/paired_store.h"

#include <algorithm>
#include <set>
#include <utility>

namespace transcribe {

namespace {

Status both(const Status& first, const Status& second) {
  if (first.ok()) return second;
  if (second.ok()) return first;
  return Error{first.error().message + " " + second.error().message};
}

}  // namespace

PairedStore::PairedStore(std::unique_ptr<PersistentStore> owner,
                         std::unique_ptr<PersistentStore> second)
    : owner_(std::move(owner)), second_(std::move(second)) {}

Result<OpenedJob, StoreRefusal> PairedStore::open(
    const JobIdentity& identity, ResumePolicy policy,
    const std::function<void(StoredChunk&&)>& found,
    const std::function<void(const std::string&)>& waiting) {
  // The order in which a store found them is kept; of two records the owner's counts.
  std::set<std::uint64_t> known;
  const auto once = [&](StoredChunk&& chunk) {
    if (known.insert(chunk_of(chunk.outcome).index).second) found(std::move(chunk));
  };
  // First of all: the owner may forget the job at once.
  if (auto refusal = second_->claim(identity)) return std::move(*refusal);
  auto first = owner_->open(identity, policy, once, waiting);
  if (!first) {
    static_cast<void>(second_->finish());
    return first;
  }
  // Where the owner has the job, its word counts: the second may have an older end.
  const bool decided = first->resumed && policy == ResumePolicy::kAuto;
  auto second =
      second_->open(identity, decided ? ResumePolicy::kRetryFailed : policy, once, waiting);
  if (!second) {
    // It was taken for nothing: another run may have it.
    static_cast<void>(
        owner_->record(StateChanged{JobState::kQueued, JobState::kQueued, JobReason::kStopped}));
    static_cast<void>(owner_->finish());
    return second;
  }
  OpenedJob& opened = first->resumed ? *first : *second;
  std::vector<Outcome> others;
  for (OpenedJob* half : {&*first, &*second}) {
    for (Outcome& other : half->others)
      if (known.insert(chunk_of(other).index).second) others.push_back(std::move(other));
  }
  opened.others = std::move(others);
  opened.next_index = std::max(first->next_index, second->next_index);
  return opened;
}

void PairedStore::cancel_open() {
  owner_->cancel_open();
  second_->cancel_open();
}

void PairedStore::stop_waiting() {
  owner_->stop_waiting();
  second_->stop_waiting();
}

Status PairedStore::record(std::span<const Event> events) {
  const Status first = owner_->record(events);
  return both(first, second_->record(events));
}

Status PairedStore::finish() {
  const Status first = owner_->finish();
  return both(first, second_->finish());
}

}  // namespace transcribe
