// What the tests of a connection share. Include it after the standard headers.
#pragma once

#include <dirent.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "redis/connection.h"
#include "redis_server.h"

// Last: see check_main.h.
#include "check_main.h"

namespace transcribe {

using Steady = std::chrono::steady_clock;

inline constexpr Milliseconds kLong{30000};             // nothing may come near it
inline constexpr Milliseconds kEver{24 * 3600 * 1000};  // longer than any test
inline constexpr Milliseconds kShort{300};              // for what never comes
inline constexpr Milliseconds kSlack{10000};            // generous for "soon" on a busy machine

inline const Cancellation kNever;

inline Connection::Settings settings_for(const std::string& uri) {
  Connection::Settings settings;
  const auto parsed = parse_redis_uri(uri);
  ck_assert_msg(parsed.ok(), "%s", parsed.ok() ? "" : parsed.error().message.c_str());
  settings.uri = *parsed;
  settings.timeout = kLong;
  return settings;
}

inline std::unique_ptr<Connection> open(const Connection::Settings& settings) {
  auto connection = Connection::open(settings, kNever);
  ck_assert_msg(connection.ok(), "%s", connection.ok() ? "" : connection.error().message.c_str());
  return std::move(*connection);
}

inline std::unique_ptr<Connection> open(const std::string& uri) { return open(settings_for(uri)); }

inline Reply call(Connection& connection, const Command& command) {
  auto reply = connection.call(command, kLong, kNever);
  ck_assert_msg(reply.ok(), "%s: %s", command[0].c_str(),
                reply.ok() ? "" : reply.error().message.c_str());
  return std::move(*reply);
}

inline void assert_fault(const RedisError& error, RedisFault fault) {
  ck_assert_msg(error.fault == fault, "%s instead of %s: %s", to_string(error.fault),
                to_string(fault), error.message.c_str());
}

inline RedisError assert_call_fails(Connection& connection, const Command& command,
                                    RedisFault fault, Milliseconds timeout = kLong) {
  auto reply = connection.call(command, timeout, kNever);
  ck_assert_msg(!reply.ok(), "%s was answered", command[0].c_str());
  assert_fault(reply.error(), fault);
  return reply.error();
}

inline RedisError assert_open_fails(const Connection::Settings& settings, RedisFault fault) {
  auto connection = Connection::open(settings, kNever);
  ck_assert_msg(!connection.ok(), "connected");
  assert_fault(connection.error(), fault);
  return connection.error();
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline unsigned open_descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  unsigned count = 0;
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

inline bool full_tier() {
  const char* value = g_getenv("TRANSCRIBE_FULL");
  return value && *value;
}

template <typename Function>
Milliseconds time_of(Function function) {
  const auto start = Steady::now();
  function();
  return std::chrono::duration_cast<Milliseconds>(Steady::now() - start);
}

// Cancels from another thread after `delay`. Give what it cancels kEver: then only the cancel ends
// it, whatever that costs on a busy machine, or the watchdog of the tests.
class CancelLater {
 public:
  explicit CancelLater(Milliseconds delay)
      : thread_([this, delay] {
          std::this_thread::sleep_for(delay);
          cancellation_.cancel();
        }) {}
  ~CancelLater() { thread_.join(); }
  CancelLater(const CancelLater&) = delete;
  CancelLater& operator=(const CancelLater&) = delete;
  const Cancellation& get() const { return cancellation_; }

 private:
  Cancellation cancellation_;
  std::thread thread_;
};

using Cases = std::vector<const TTest*>;

inline void add_cases(Suite* suite, const char* name, const Cases& tests) {
  TCase* tcase = tcase_create(name);
  for (const TTest* test : tests) tcase_add_test(tcase, test);
  suite_add_tcase(suite, tcase);
}

}  // namespace transcribe
