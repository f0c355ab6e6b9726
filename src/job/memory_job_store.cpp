#include "job/memory_job_store.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/file_io.h"
#include "base/glib_ptr.h"
#include "job/chunk_record.h"

namespace transcribe {
namespace {

UniqueFd open_unlinked_file() {
  UniqueFd fd(::open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  const CharPtr path(g_build_filename(g_get_tmp_dir(), "transcribe-XXXXXX", nullptr));
  fd.reset(g_mkstemp_full(path.get(), O_RDWR | O_CLOEXEC, 0600));
  if (fd) g_unlink(path.get());
  return fd;
}

struct Position {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

}  // namespace

// The records form one sequence of bytes: its first part lies in the file, the rest in memory.
struct MemoryJobStore::Private {
  explicit Private(std::size_t spill) : spill_bytes(spill), spill_at(spill) {}

  void append(std::uint64_t index, const std::string& record);
  void spill();
  Status read(const Position& position, std::string& record) const;

  const std::size_t spill_bytes;
  std::size_t spill_at;
  std::map<std::uint64_t, Position> positions;
  UniqueFd file;
  std::uint64_t in_file = 0;
  std::string in_memory;
};

void MemoryJobStore::Private::append(std::uint64_t index, const std::string& record) {
  positions[index] = {in_file + in_memory.size(), record.size()};
  in_memory += record;
  if (in_memory.size() > spill_at) spill();
}

void MemoryJobStore::Private::spill() {
  if (!file) file = open_unlinked_file();
  std::size_t written = 0;
  while (file && written < in_memory.size()) {
    const ssize_t size = write_quietly_at(file.get(), std::string_view(in_memory).substr(written),
                                          static_cast<off_t>(in_file + written));
    if (size <= 0) break;
    written += static_cast<std::size_t>(size);
  }
  in_file += written;
  in_memory.erase(0, written);
  // A full disk is not asked again with every record.
  spill_at = in_memory.size() + spill_bytes;
}

Status MemoryJobStore::Private::read(const Position& position, std::string& record) const {
  record.resize(position.length);
  std::uint64_t done = 0;
  while (done < position.length && position.offset + done < in_file) {
    const std::uint64_t from_file =
        std::min(position.length - done, in_file - position.offset - done);
    const ssize_t size = ::pread(file.get(), record.data() + done, from_file,
                                 static_cast<off_t>(position.offset + done));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      return Error{std::string("Could not read the results back from the temporary file in ") +
                   g_get_tmp_dir() + ": " + (size < 0 ? g_strerror(errno) : "it was cut short") +
                   ". Check that disk."};
    }
    done += static_cast<std::uint64_t>(size);
  }
  if (done < position.length) {
    in_memory.copy(record.data() + done, position.length - done, position.offset + done - in_file);
  }
  return Success{};
}

MemoryJobStore::MemoryJobStore(std::size_t spill_bytes)
    : d_(std::make_unique<Private>(spill_bytes)) {}
MemoryJobStore::~MemoryJobStore() = default;

void MemoryJobStore::record(const Event& event) {
  std::visit(
      [this](const auto& value) {
        if constexpr (std::is_constructible_v<Outcome, decltype(value)>) {
          d_->append(value.chunk->index, to_record(Outcome(value), ""));
        }
      },
      event);
}

Status MemoryJobStore::for_each(const std::function<bool(const Outcome&)>& visit) {
  std::string record;
  for (const auto& [index, position] : d_->positions) {
    const Status read = d_->read(position, record);
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
  if (position == d_->positions.end() || !d_->read(position->second, record)) return std::nullopt;
  auto stored = from_record(record);
  if (!stored) return std::nullopt;
  return std::move(stored->outcome);
}

}  // namespace transcribe
