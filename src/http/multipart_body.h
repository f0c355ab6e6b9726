// multipart/form-data (RFC 7578) around a payload that is not copied.
// One thread at a time. A body is built once per chunk and can be sent any number of times.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/glib_ptr.h"

namespace transcribe {

class MultipartBody {
 public:
  // `boundary` must not occur in any part: use random_boundary().
  explicit MultipartBody(std::string boundary);
  static std::string random_boundary();

  // Names and values are UTF-8; quotes and line ends in a name are percent-encoded as browsers do.
  void add_field(std::string_view name, std::string_view value);
  // One file part; its content is the concatenation of `content` (each is referenced, not copied).
  void add_file(std::string_view name, std::string_view filename, std::string_view content_type,
                const std::vector<GBytes*>& content);

  std::string content_type() const;
  // Closes the body: the pieces in order, with their summed size. Call once, last.
  std::vector<BytesPtr> finish();
  std::size_t size() const { return size_; }

 private:
  void append_text(std::string_view text);
  void flush_text();

  std::string boundary_;
  std::string text_;
  std::vector<BytesPtr> pieces_;
  std::size_t size_ = 0;
};

}  // namespace transcribe
