#include "transcript/append_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

constexpr int kOpenFlags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
constexpr mode_t kMode = 0666;
// A pipe that polls writable takes this much without blocking.
constexpr std::size_t kStreamPart = 4096;
constexpr int kPatienceMs = 2000;
constexpr std::size_t kComparedAtOnce = 16 * 1024;

// The descriptor that a name like /dev/stdout stands for. Opened by name, a redirected file would
// be truncated and a socket refused.
std::optional<int> standard_fd(const std::string& location) {
  if (location == "/dev/stdout") return STDOUT_FILENO;
  if (location == "/dev/stderr") return STDERR_FILENO;
  for (const char* directory : {"/dev/fd/", "/proc/self/fd/"}) {
    guint64 number = 0;
    if (g_str_has_prefix(location.c_str(), directory) &&
        g_ascii_string_to_unsigned(location.c_str() + std::strlen(directory), 10, 0, G_MAXINT,
                                   &number, nullptr)) {
      return static_cast<int>(number);
    }
  }
  return std::nullopt;
}

bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

bool is_pipe(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
}

std::string directory_of(const std::string& path) {
  return CharPtr(g_path_get_dirname(path.c_str())).get();
}

}  // namespace

WriteError write_error(const std::string& path, int error) {
  std::string message = "Could not write the transcript to “" + path + "”: " + g_strerror(error);
  if (is_full(error)) {
    message += ". Free some space or raise the limit.";
  } else if (error == ENXIO) {
    message += ". Nobody reads this pipe: start its reader.";
  } else if (error == EAGAIN || error == EPIPE) {
    message += ". Its reader stalls or has gone.";
  } else {
    message += ". Check that the directory exists and that the file may be written.";
  }
  return {std::move(message), is_full(error)};
}

bool AppendFile::is_stream(const std::string& location) {
  if (standard_fd(location)) return true;
  struct stat info {};
  return ::stat(location.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

Status AppendFile::check(const std::string& location, bool create) {
  int error = 0;
  if (const std::optional<int> fd = standard_fd(location)) {
    const int flags = ::fcntl(*fd, F_GETFL);
    if (flags < 0) {
      error = errno;
    } else if ((flags & O_ACCMODE) == O_RDONLY) {
      error = EBADF;
    }
  } else if (is_pipe(location)) {
    if (::access(location.c_str(), W_OK) != 0) error = errno;
  } else {
    const UniqueFd file(::open(location.c_str(), kOpenFlags | (create ? O_CREAT : 0), kMode));
    if (!file && (create || errno != ENOENT)) error = errno;
    if (error == 0 && !create && !is_stream(location) &&
        ::access(directory_of(location).c_str(), W_OK | X_OK) != 0) {
      error = errno;
    }
  }
  if (error != 0) return Error{write_error(location, error).message};
  return Success{};
}

AppendFile::AppendFile(UniqueFd fd, std::string path, std::string location, bool stream)
    : fd_(std::move(fd)), path_(std::move(path)), location_(std::move(location)), stream_(stream) {}

Result<std::unique_ptr<AppendFile>, WriteError> AppendFile::open(const std::string& location) {
  UniqueFd fd;
  bool stream = true;
  if (const std::optional<int> standard = standard_fd(location)) {
    fd.reset(::fcntl(*standard, F_DUPFD_CLOEXEC, 3));
    if (!fd) return write_error(location, errno);
  } else {
    fd.reset(::open(location.c_str(), kOpenFlags | O_CREAT, kMode));
    const bool waits_for_reader = !fd && errno == ENXIO && is_pipe(location);
    if (!fd && !waits_for_reader) return write_error(location, errno);
    struct stat info {};
    stream = waits_for_reader || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode);
    if (!stream && ::ftruncate(fd.get(), 0) != 0) return write_error(location, errno);
  }
  return std::unique_ptr<AppendFile>(new AppendFile(std::move(fd), location, location, stream));
}

Result<std::unique_ptr<AppendFile>, WriteError> AppendFile::open_behind(
    const std::string& location) {
  struct stat info {};
  if (is_stream(location) || ::stat(location.c_str(), &info) != 0 || info.st_size == 0)
    return open(location);
  auto file = open(location + ".part");
  if (!file) return file;
  // Not all file systems can; the file is whole all the same.
  [[maybe_unused]] const int ignored = ::fchmod((*file)->fd_.get(), info.st_mode & 07777);
  (*file)->target_ = location;
  (*file)->target_size_ = info.st_size;
  return file;
}

WriteStatus AppendFile::take_place() {
  if (::rename(path_.c_str(), target_.c_str()) != 0) return write_error(target_, errno);
  path_ = std::move(target_);
  target_.clear();
  return Success{};
}

Result<std::unique_ptr<AppendFile>, WriteError> AppendFile::create_beside(
    const std::string& target) {
  const CharPtr path(g_build_filename(directory_of(target).c_str(), ".transcript-XXXXXX", nullptr));
  UniqueFd fd(g_mkstemp_full(path.get(), O_WRONLY | O_CLOEXEC, kMode));
  if (!fd) return write_error(target, errno);
  struct stat info {};
  if (::stat(target.c_str(), &info) == 0) {
    // Not all file systems can; the file is whole all the same.
    [[maybe_unused]] const int ignored = ::fchmod(fd.get(), info.st_mode & 07777);
  }
  return std::unique_ptr<AppendFile>(new AppendFile(std::move(fd), path.get(), target, false));
}

WriteStatus AppendFile::append(std::string record, bool patient) {
  if (!record.empty()) pending_.push_back(std::move(record));
  return flush(patient ? kPatienceMs : 0);
}

WriteStatus AppendFile::finish(bool take_its_place) {
  const WriteStatus flushed = flush(kPatienceMs);
  if (!flushed || stream_) return flushed;
  // Some file systems find out only here that there is no room.
  if (::fsync(fd_.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return write_error(location_, errno);
  }
  if (target_.empty()) return Success{};
  if (take_its_place) return take_place();
  if (target_begins_alike() && ::unlink(path_.c_str()) == 0) target_.clear();
  return Success{};
}

bool AppendFile::target_begins_alike() const {
  const UniqueFd ours(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd theirs(::open(target_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!ours || !theirs) return false;
  std::array<char, kComparedAtOnce> one;
  std::array<char, kComparedAtOnce> other;
  for (off_t at = 0; at < size_;) {
    const ssize_t read = ::pread(ours.get(), one.data(), one.size(), at);
    if (read <= 0 ||
        ::pread(theirs.get(), other.data(), static_cast<std::size_t>(read), at) != read)
      return false;
    if (std::memcmp(one.data(), other.data(), static_cast<std::size_t>(read)) != 0) return false;
    at += read;
  }
  return true;
}

WriteStatus AppendFile::flush(int patience_ms) {
  while (!pending_.empty()) {
    const WriteStatus written =
        stream_ ? write_to_stream(pending_.front(), patience_ms) : write_record(pending_.front());
    if (!written) return written;
    pending_.pop_front();
    sent_ = 0;
  }
  if (!target_.empty() && size_ >= target_size_) return take_place();
  return Success{};
}

WriteStatus AppendFile::write_record(const std::string& record) {
  std::string_view left = record;
  while (!left.empty()) {
    const off_t offset = size_ + static_cast<off_t>(record.size() - left.size());
    const ssize_t written = write_quietly_at(fd_.get(), left, offset);
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      // Should this fail too, the next try writes over the part.
      [[maybe_unused]] const int ignored = ::ftruncate(fd_.get(), size_);
      return write_error(location_, error);
    }
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  size_ += static_cast<off_t>(record.size());
  return Success{};
}

WriteStatus AppendFile::write_to_stream(const std::string& record, int patience_ms) {
  if (!fd_) fd_.reset(::open(path_.c_str(), kOpenFlags));
  if (!fd_) return write_error(location_, errno);
  while (sent_ < record.size()) {
    pollfd writable{fd_.get(), POLLOUT, 0};
    const int ready = ::poll(&writable, 1, patience_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return write_error(location_, EAGAIN);
    const ssize_t written =
        write_quietly(fd_.get(), std::string_view(record).substr(sent_, kStreamPart));
    if (written <= 0) {
      const int error = written < 0 ? errno : EAGAIN;
      if (error == EPIPE && is_pipe(path_)) {
        // The next reader begins with a whole record.
        fd_.reset();
        sent_ = 0;
      }
      return write_error(location_, error);
    }
    sent_ += static_cast<std::size_t>(written);
  }
  return Success{};
}

}  // namespace transcribe
