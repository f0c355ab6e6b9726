// A real redis-server for one test: own directory, loopback port, no persistence unless asked for.
// It dies with the test, however that ends. Start it on the test's main thread: the kernel ends it
// with the thread that started it.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace transcribe {

class RedisServer {
 public:
  struct Options {
    bool append_only = false;
    bool unix_socket = false;  // besides the port
    bool tls = false;          // the port speaks TLS only
    bool tls_clients = false;  // and wants a certificate of its clients
    std::string certificate;   // PEM with key; default: the loopback certificate, its own authority
    std::string acl;           // lines of an ACL file
    std::uint16_t replica_of = 0;
    bool cluster = false;  // without slots; CLUSTER ADDSLOTSRANGE is the test's
    std::vector<std::string> arguments;
  };

  // False when there is no redis-server to run.
  static bool available();

  RedisServer();
  // Returns when the server accepts commands; aborts the test when it does not start.
  explicit RedisServer(Options options);
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  std::uint16_t port() const { return port_; }
  std::string uri() const;  // redis:// or rediss://
  std::string socket_path() const;
  const std::string& directory() const { return directory_; }
  // The authority that signed the server's certificate.
  const std::string& certificate() const { return options_.certificate; }
  pid_t pid() const { return pid_; }

  // SIGKILL and SIGTERM return when the process is gone; others at once.
  void kill(int signal = SIGKILL);
  void freeze();  // SIGSTOP; returns when it is stopped
  void thaw() { kill(SIGCONT); }
  // With the same port and directory. `add` stays for later restarts. Without `wait` it returns
  // as soon as the process listens, which may be while it still loads.
  void restart(const std::vector<std::string>& add = {}, bool wait = true);

  // Waits for a line of the server's log that contains `text`, beginning with the last start.
  bool wait_for_log(const std::string& text);

 private:
  bool start(bool wait);
  void read_log(int fd);
  void reap();

  Options options_;
  std::string directory_;
  std::uint16_t port_ = 0;
  std::uint16_t cluster_port_ = 0;
  pid_t pid_ = -1;
  std::thread reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string log_;
  bool log_ended_ = false;
};

}  // namespace transcribe

// The main() of a test with servers. Meson reads the skipped plan as "skipped".
#define TRANSCRIBE_REDIS_MAIN(make_suite)                \
  int main() {                                           \
    if (!transcribe::RedisServer::available()) {         \
      puts("1..0 # SKIP redis-server is not installed"); \
      return 0;                                          \
    }                                                    \
    SRunner* runner = srunner_create(make_suite());      \
    srunner_set_tap(runner, "-");                        \
    srunner_run_all(runner, CK_SILENT);                  \
    const int failures = srunner_ntests_failed(runner);  \
    srunner_free(runner);                                \
    return failures == 0 ? 0 : 1;                        \
  }
