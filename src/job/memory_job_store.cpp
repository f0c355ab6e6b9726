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
  std::string record;
  for (const auto& [index, position] : d_->positions) {
    const Status read = d_->spool.read(position, record);
    if (!read) return read;
    const Result<StoredChunk> stored = from_record(record);
    if (!stored) {
      return Error{"Could not read back the result of chunk " + std::to_string(index) + ": " +
                   stored.error().message + "."};
    }
    if (!visit(stored->outcome)) break;
  }
  return Success{};
}

std::optional<Outcome> MemoryJobStore::find(std::uint64_t index) const {
  const auto position = d_->positions.find(index);
  std::string record;
  if (position == d_->positions.end() || !d_->spool.read(position->second, record))
    return std::nullopt;
  auto stored = from_record(record);
  if (!stored) return std::nullopt;
  return std::move(stored->outcome);
}

}  // namespace transcribe
