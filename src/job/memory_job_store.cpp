#include "job/memory_job_store.h"

#include <cstdint>
#include <type_traits>
#include <utility>

#include "job/chunk_record.h"
#include "job/record_spool.h"

namespace transcribe {

struct MemoryJobStore::Private {
  explicit Private(std::size_t spill_bytes) : spool(spill_bytes) {}

  RecordSpool spool;
  std::map<std::uint64_t, RecordSpool::Position> positions;
};

MemoryJobStore::MemoryJobStore(std::size_t spill_bytes)
    : d_(std::make_unique<Private>(spill_bytes)) {}
MemoryJobStore::~MemoryJobStore() = default;

void MemoryJobStore::record(const Event& event) {
  std::visit(
      [this](const auto& value) {
        if constexpr (std::is_constructible_v<Outcome, decltype(value)>) {
          d_->positions[value.chunk->index] = d_->spool.append(to_record(Outcome(value), ""));
        }
      },
      event);
}

Status MemoryJobStore::for_each(const std::function<bool(const Outcome&)>& visit) {
  for (const auto& [index, position] : d_->positions) {
    const auto outcome = find(index);
    if (!outcome) return outcome.error();
    if (!visit(*outcome)) break;
  }
  return Success{};
}

Result<Outcome> MemoryJobStore::find(std::uint64_t index) const {
  const std::string what = "The result of chunk " + std::to_string(index);
  const auto position = d_->positions.find(index);
  if (position == d_->positions.end()) return Error{what + " is missing"};
  std::string record;
  if (const Status read = d_->spool.read(position->second, record); !read)
    return Error{what + " could not be read back: " + read.error().message};
  auto stored = from_record(record);
  if (!stored) return Error{what + " could not be read back: " + stored.error().message};
  return std::move(stored->outcome);
}

}  // namespace transcribe
