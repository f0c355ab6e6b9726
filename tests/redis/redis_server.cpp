#include "redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

std::string program() {
  const CharPtr path(g_find_program_in_path("redis-server"));
  return path ? path.get() : "";
}

[[noreturn]] void give_up(const std::string& what, const std::string& log) {
  std::fprintf(stderr, "%s\n%s\n", what.c_str(), log.c_str());
  std::abort();
}

std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  return bound ? ntohs(address.sin_port) : std::uint16_t{0};
}

}  // namespace

bool RedisServer::available() { return !program().empty(); }

RedisServer::RedisServer() : RedisServer(Options{}) {}

RedisServer::RedisServer(Options options) : options_(std::move(options)) {
  const CharPtr directory(g_dir_make_tmp("redis-XXXXXX", nullptr));
  if (!directory) give_up("no temporary directory", "");
  directory_ = directory.get();
  if (options_.certificate.empty()) options_.certificate = TRANSCRIBE_TEST_CERTIFICATE;
  if (!options_.acl.empty()) {
    g_file_set_contents((directory_ + "/users.acl").c_str(), options_.acl.c_str(), -1, nullptr);
  }
  // Another process may take the port between finding and using it.
  for (int attempt = 0; attempt < 10; attempt++) {
    port_ = free_port();
    cluster_port_ = options_.cluster ? free_port() : 0;
    if (start(true)) return;
    reap();
  }
  give_up("redis-server does not start", log_);
}

RedisServer::~RedisServer() {
  kill(SIGKILL);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string RedisServer::uri() const {
  return (options_.tls ? "rediss://127.0.0.1:" : "redis://127.0.0.1:") + std::to_string(port_);
}

std::string RedisServer::socket_path() const { return directory_ + "/socket"; }

bool RedisServer::start(bool wait) {
  const std::string port = std::to_string(port_);
  std::vector<std::string> words = {program(),
                                    "--bind",
                                    "127.0.0.1",
                                    "--dir",
                                    directory_,
                                    "--save",
                                    "",
                                    "--repl-diskless-sync-delay",
                                    "0",
                                    "--logfile",
                                    "",
                                    "--loglevel",
                                    "notice",
                                    "--appendonly",
                                    options_.append_only ? "yes" : "no",
                                    "--enable-debug-command",
                                    "yes",
                                    "--port",
                                    options_.tls ? "0" : port};
  const auto add = [&](const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (options_.tls) {
    const std::string& pem = options_.certificate;
    add({"--tls-port", port, "--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file",
         pem, "--tls-auth-clients", options_.tls_clients ? "yes" : "no"});
  }
  if (options_.unix_socket) add({"--unixsocket", socket_path()});
  if (!options_.acl.empty()) add({"--aclfile", directory_ + "/users.acl"});
  if (options_.replica_of != 0) {
    add({"--replicaof", "127.0.0.1 " + std::to_string(options_.replica_of)});
  }
  if (options_.cluster) {
    add({"--cluster-enabled", "yes", "--cluster-port", std::to_string(cluster_port_)});
  }
  add(options_.arguments);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) give_up("no pipe", "");
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    dup2(pipe_ends[1], STDOUT_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(pipe_ends[1]);
  if (pid_ < 0) give_up("no process", "");
  log_.clear();
  log_ended_ = false;
  reader_ = std::thread([this, fd = pipe_ends[0]] { read_log(fd); });
  return wait_for_log(wait ? "Ready to accept connections" : "Server initialized");
}

void RedisServer::read_log(int fd) {
  char buffer[4096];
  for (;;) {
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex_);
    if (size <= 0) log_ended_ = true;
    if (size > 0) log_.append(buffer, static_cast<std::size_t>(size));
    changed_.notify_all();
    if (size <= 0) break;
  }
  close(fd);
}

bool RedisServer::wait_for_log(const std::string& text) {
  std::unique_lock lock(mutex_);
  const auto found = [&] { return log_.find(text) != std::string::npos; };
  changed_.wait_for(lock, kPatience, [&] { return log_ended_ || found(); });
  return found();
}

void RedisServer::reap() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
  if (reader_.joinable()) reader_.join();
}

void RedisServer::kill(int signal) {
  if (pid_ <= 0) return;
  if (signal == SIGTERM) {
    ::kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  if (signal == SIGTERM || signal == SIGKILL) {
    reap();
  } else {
    ::kill(pid_, signal);
  }
}

void RedisServer::freeze() {
  ::kill(pid_, SIGSTOP);
  waitpid(pid_, nullptr, WUNTRACED);
}

void RedisServer::restart(const std::vector<std::string>& add, bool wait) {
  options_.arguments.insert(options_.arguments.end(), add.begin(), add.end());
  reap();
  if (!start(wait)) give_up("redis-server does not start again", log_);
}

}  // namespace transcribe
