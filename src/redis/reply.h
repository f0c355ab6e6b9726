// A reply of Redis as a value, and the reader that makes replies out of bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "redis/fault.h"

struct redisReader;

namespace transcribe {

struct Reply {
  enum class Type { kNil, kStatus, kInteger, kBulk, kArray, kError };
  Type type = Type::kNil;
  std::int64_t integer = 0;
  std::string text;  // status, bulk, error; any bytes
  std::vector<Reply> elements;

  bool is_error() const { return type == Type::kError; }
  bool is_nil() const { return type == Type::kNil; }
};

// One command, its name first; arguments hold any bytes.
using Command = std::vector<std::string>;

// Appends `command` in the protocol's form.
void append_command(std::string& bytes, const Command& command);

// Turns the bytes of one connection into replies, however they are cut. One thread at a time.
class ReplyReader {
 public:
  ReplyReader();
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  // Appends the replies that are complete. After an error (these bytes are no Redis protocol)
  // the reader is of no more use.
  RedisResult<Success> feed(std::string_view bytes, std::vector<Reply>& replies);
  // Whether a part of a reply is still here.
  bool has_rest() const;

 private:
  std::unique_ptr<redisReader, void (*)(redisReader*)> reader_;
};

}  // namespace transcribe
