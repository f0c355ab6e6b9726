#include "redis_client.h"

#include <hiredis.h>

#include <cstdio>
#include <cstdlib>

namespace transcribe {
namespace {

constexpr timeval kTimeout{20, 0};

RedisReply convert(const redisReply& reply) {
  RedisReply result;
  switch (reply.type) {
    case REDIS_REPLY_STRING:
      result.kind = RedisReply::Kind::kText;
      break;
    case REDIS_REPLY_STATUS:
      result.kind = RedisReply::Kind::kStatus;
      break;
    case REDIS_REPLY_ERROR:
      result.kind = RedisReply::Kind::kError;
      break;
    case REDIS_REPLY_INTEGER:
      result.kind = RedisReply::Kind::kNumber;
      result.number = reply.integer;
      result.text = std::to_string(reply.integer);
      return result;
    case REDIS_REPLY_ARRAY:
      result.kind = RedisReply::Kind::kList;
      for (std::size_t i = 0; i < reply.elements; i++) {
        result.items.push_back(convert(*reply.element[i]));
      }
      return result;
    default:
      return result;
  }
  result.text.assign(reply.str, static_cast<std::size_t>(reply.len));
  return result;
}

}  // namespace

std::string RedisReply::str() const {
  if (kind == Kind::kNil) return "-";
  if (kind != Kind::kList) return text;
  std::string result;
  for (const RedisReply& item : items) {
    if (!result.empty()) result += ' ';
    result += item.kind == Kind::kList ? "[" + item.str() + "]" : item.str();
  }
  return result;
}

void RedisClient::Free::operator()(redisContext* context) const { redisFree(context); }

RedisClient::RedisClient(std::uint16_t port)
    : context_(redisConnectWithTimeout("127.0.0.1", port, kTimeout)) {
  redisSetTimeout(context_.get(), kTimeout);
}

RedisClient::RedisClient(const std::string& socket_path)
    : context_(redisConnectUnixWithTimeout(socket_path.c_str(), kTimeout)) {
  redisSetTimeout(context_.get(), kTimeout);
}

RedisReply RedisClient::command(const std::vector<std::string>& words) {
  std::vector<const char*> argv;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    argv.push_back(word.data());
    sizes.push_back(word.size());
  }
  redisReply* reply = nullptr;
  if (context_->err == 0) {
    reply = static_cast<redisReply*>(
        redisCommandArgv(context_.get(), static_cast<int>(argv.size()), argv.data(), sizes.data()));
  }
  RedisReply result;
  if (reply == nullptr) {
    result.kind = RedisReply::Kind::kError;
    result.text = std::string("connection: ") + context_->errstr;
    return result;
  }
  result = convert(*reply);
  freeReplyObject(reply);
  return result;
}

std::string RedisClient::load(std::string_view script) {
  const RedisReply reply = command({"SCRIPT", "LOAD", std::string(script)});
  if (reply.is_error()) {
    std::fprintf(stderr, "%s\n", reply.text.c_str());
    std::abort();
  }
  return reply.text;
}

}  // namespace transcribe
