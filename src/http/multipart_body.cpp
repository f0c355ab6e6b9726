#include "http/multipart_body.h"

namespace transcribe {
namespace {

std::string quoted(std::string_view name) {
  std::string result = "\"";
  for (const char c : name) {
    if (c == '"')
      result += "%22";
    else if (c == '\r')
      result += "%0D";
    else if (c == '\n')
      result += "%0A";
    else
      result += c;
  }
  return result + '"';
}

}  // namespace

MultipartBody::MultipartBody(std::string boundary) : boundary_(std::move(boundary)) {}

std::string MultipartBody::random_boundary() {
  const CharPtr uuid(g_uuid_string_random());
  std::string boundary = uuid.get();
  std::erase(boundary, '-');
  return "transcribe-" + boundary;
}

void MultipartBody::add_field(std::string_view name, std::string_view value) {
  append_text("--" + boundary_ + "\r\nContent-Disposition: form-data; name=" + quoted(name) +
              "\r\n\r\n");
  append_text(value);
  append_text("\r\n");
}

void MultipartBody::add_file(std::string_view name, std::string_view filename,
                             std::string_view content_type, const std::vector<GBytes*>& content) {
  append_text("--" + boundary_ + "\r\nContent-Disposition: form-data; name=" + quoted(name) +
              "; filename=" + quoted(filename) + "\r\nContent-Type: ");
  append_text(content_type);
  append_text("\r\n\r\n");
  flush_text();
  for (GBytes* bytes : content) {
    size_ += g_bytes_get_size(bytes);
    pieces_.push_back(share(bytes));
  }
  append_text("\r\n");
}

std::string MultipartBody::content_type() const {
  return "multipart/form-data; boundary=" + boundary_;
}

std::vector<BytesPtr> MultipartBody::finish() {
  append_text("--" + boundary_ + "--\r\n");
  flush_text();
  return std::move(pieces_);
}

void MultipartBody::append_text(std::string_view text) {
  text_ += text;
  size_ += text.size();
}

void MultipartBody::flush_text() {
  pieces_.emplace_back(g_bytes_new(text_.data(), text_.size()));
  text_.clear();
}

}  // namespace transcribe
