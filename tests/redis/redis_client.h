// Plain synchronous Redis commands for tests, over a connection of their own. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct redisContext;

namespace transcribe {

struct RedisReply {
  enum class Kind { kNil, kText, kStatus, kNumber, kList, kError };

  Kind kind = Kind::kNil;
  std::string text;  // of kText, kStatus and kError; the digits of kNumber
  std::int64_t number = 0;
  std::vector<RedisReply> items;

  bool is_error() const { return kind == Kind::kError; }
  bool is_nil() const { return kind == Kind::kNil; }
  // Lists as "a b [c d]", for comparisons and messages; nil is "-".
  std::string str() const;
};

class RedisClient {
 public:
  explicit RedisClient(std::uint16_t port);
  explicit RedisClient(const std::string& socket_path);

  // A broken connection answers kError; then make a new client.
  RedisReply command(const std::vector<std::string>& words);
  template <typename... Words>
  RedisReply operator()(const Words&... words) {
    return command({std::string(words)...});
  }
  // SCRIPT LOAD; returns the digest.
  std::string load(std::string_view script);

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };
  std::unique_ptr<redisContext, Free> context_;
};

}  // namespace transcribe
