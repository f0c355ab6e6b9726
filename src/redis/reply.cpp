#include "redis/reply.h"

#include <hiredis.h>

#include <cstdlib>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

// Places a reply into the array it belongs to. Arrays grow with what really arrives: a count that
// lies must not allocate.
void* place(const redisReadTask* task, Reply reply) {
  if (!task->parent) return new Reply(std::move(reply));
  auto* parent = static_cast<Reply*>(task->parent->obj);
  parent->elements.push_back(std::move(reply));
  return &parent->elements.back();
}

void* create_string(const redisReadTask* task, char* text, size_t size) noexcept {
  Reply reply;
  reply.type = task->type == REDIS_REPLY_ERROR    ? Reply::Type::kError
               : task->type == REDIS_REPLY_STATUS ? Reply::Type::kStatus
                                                  : Reply::Type::kBulk;
  reply.text.assign(text, size);
  return place(task, std::move(reply));
}

void* create_array(const redisReadTask* task, int) noexcept {
  Reply reply;
  reply.type = Reply::Type::kArray;
  return place(task, std::move(reply));
}

void* create_integer(const redisReadTask* task, long long value) noexcept {
  Reply reply;
  reply.type = Reply::Type::kInteger;
  reply.integer = value;
  return place(task, std::move(reply));
}

void* create_nil(const redisReadTask* task) noexcept { return place(task, Reply()); }

// Only ever called for the outermost reply.
void free_reply(void* reply) noexcept { delete static_cast<Reply*>(reply); }

redisReplyObjectFunctions functions = {create_string, create_array, create_integer, create_nil,
                                       free_reply};

}  // namespace

void append_command(std::string& bytes, const Command& command) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  for (const std::string& argument : command) {
    texts.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  char* formatted = nullptr;
  const int size = redisFormatCommandArgv(&formatted, static_cast<int>(command.size()),
                                          texts.data(), sizes.data());
  // Negative only when there is no memory left.
  g_return_if_fail(size >= 0);
  const Handle<char, std::free> owner(formatted);
  bytes.append(formatted, static_cast<std::size_t>(size));
}

ReplyReader::ReplyReader() : reader_(redisReaderCreateWithFunctions(&functions), redisReaderFree) {}

ReplyReader::~ReplyReader() = default;

RedisResult<Success> ReplyReader::feed(std::string_view bytes, std::vector<Reply>& replies) {
  int status = redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
  while (status == REDIS_OK) {
    void* object = nullptr;
    status = redisReaderGetReply(reader_.get(), &object);
    if (status != REDIS_OK || !object) break;
    const std::unique_ptr<Reply> reply(static_cast<Reply*>(object));
    replies.push_back(std::move(*reply));
  }
  if (status == REDIS_OK) return Success{};
  return RedisError{RedisFault::kLost,
                    std::string("what answers does not speak the protocol of Redis (") +
                        reader_->errstr + "); check host and port in redis-uri"};
}

bool ReplyReader::has_rest() const {
  return reader_->pos < reader_->len || (reader_->ridx >= 0 && reader_->rstack[0].type >= 0);
}

}  // namespace transcribe
