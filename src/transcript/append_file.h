// A file that grows by whole records.
//
// Regular files: a record is one write at a known offset; when it comes short the file is cut back
// to the last whole record. Only a kill inside the system call can leave the beginning of a
// record: no kernel promises more. Pipes, terminals and /dev/stdout: bytes in order, never
// blocking; what the reader does not take is kept.
//
// What could not be written is kept in memory and tried again with the next record.
// One thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "base/file_io.h"
#include "transcript/writer.h"

namespace transcribe {

class AppendFile {
 public:
  // The file as it is needed by a writer; never truncates, creates only when `create`.
  static Status check(const std::string& location, bool create);
  // Truncates a regular file. A named pipe that nobody reads yet is opened with a later record.
  static Result<std::unique_ptr<AppendFile>, WriteError> open(const std::string& location);
  // For a regular file that holds something: writes to LOCATION.part, which takes the file's place
  // once it is at least as long, or at finish(). Else as open().
  static Result<std::unique_ptr<AppendFile>, WriteError> open_behind(const std::string& location);
  // A new file with the final file's rights in the same directory; `path()` is its name.
  static Result<std::unique_ptr<AppendFile>, WriteError> create_beside(const std::string& target);
  // True when `location` is there and is no regular file.
  static bool is_stream(const std::string& location);

  // `patient`: a reader that takes nothing is given two seconds.
  WriteStatus append(std::string record, bool patient = false);
  // What is left (patient), and that it has reached the disk.
  // `take_its_place`: of the file that this one grows behind, even if it is shorter. Else it stays
  // beside that file; or goes, when that file begins with the same.
  WriteStatus finish(bool take_its_place = true);

  const std::string& path() const { return path_; }

 private:
  AppendFile(UniqueFd fd, std::string path, std::string location, bool stream);
  WriteStatus flush(int patience_ms);
  WriteStatus take_place();
  bool target_begins_alike() const;
  WriteStatus write_record(const std::string& record);
  WriteStatus write_to_stream(const std::string& record, int patience_ms);

  UniqueFd fd_;
  std::string path_;
  std::string location_;  // as the user knows it, for messages
  const bool stream_;
  std::deque<std::string> pending_;
  off_t size_ = 0;  // of the whole records in a regular file
  // Whose place this file takes once it has this size; empty: nobody's.
  std::string target_;
  off_t target_size_ = 0;
  std::size_t sent_ = 0;  // of the first pending record into a stream
};

WriteError write_error(const std::string& path, int error);

}  // namespace transcribe
