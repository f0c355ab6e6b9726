#include "job/record_spool.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#include <algorithm>
#include <cerrno>

#include "base/glib_ptr.h"

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

}  // namespace

RecordSpool::Position RecordSpool::append(std::string_view record) {
  const Position position = {in_file_ + in_memory_.size(), record.size()};
  in_memory_ += record;
  if (in_memory_.size() > spill_at_) spill();
  return position;
}

void RecordSpool::spill() {
  if (!file_) file_ = open_unlinked_file();
  std::size_t written = 0;
  while (file_ && written < in_memory_.size()) {
    const ssize_t size = write_quietly_at(file_.get(), std::string_view(in_memory_).substr(written),
                                          static_cast<off_t>(in_file_ + written));
    if (size <= 0) break;
    written += static_cast<std::size_t>(size);
  }
  in_file_ += written;
  in_memory_.erase(0, written);
  // A full disk is not asked again with every record.
  spill_at_ = in_memory_.size() + spill_bytes_;
}

Status RecordSpool::read(const Position& position, std::string& record) const {
  record.resize(position.length);
  std::uint64_t done = 0;
  while (done < position.length && position.offset + done < in_file_) {
    const std::uint64_t from_file =
        std::min(position.length - done, in_file_ - position.offset - done);
    const ssize_t size = ::pread(file_.get(), record.data() + done, from_file,
                                 static_cast<off_t>(position.offset + done));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      return Error{std::string("The temporary file in ") + g_get_tmp_dir() + " can't be read: " +
                   (size < 0 ? g_strerror(errno) : "it was cut short") + "; check that disk"};
    }
    done += static_cast<std::uint64_t>(size);
  }
  if (done < position.length) {
    in_memory_.copy(record.data() + done, position.length - done,
                    position.offset + done - in_file_);
  }
  return Success{};
}

}  // namespace transcribe
