#include "redis/job_owner.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sstream>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

std::string read_file(const std::string& path) {
  CharPtr text;
  if (!g_file_get_contents(path.c_str(), out(text), nullptr, nullptr)) return "";
  return text.get();
}

struct ProcessStat {
  char state = '?';
  std::uint64_t started = 0;
};

// The name in the second field may hold anything, so the fields are counted from its end.
std::optional<ProcessStat> read_stat(const std::string& process) {
  const std::string text = read_file("/proc/" + process + "/stat");
  const auto end = text.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(end + 1));
  ProcessStat stat;
  fields >> stat.state;
  std::string skipped;
  for (int i = 4; i < 22; i++) fields >> skipped;
  fields >> stat.started;
  if (!fields) return std::nullopt;
  return stat;
}

std::string boot_name() {
  std::string boot = read_file("/proc/sys/kernel/random/boot_id");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  const CharPtr space(g_file_read_link("/proc/self/ns/pid", nullptr));
  // Without both, no process is known to be on the same machine.
  return boot.empty() || !space ? "" : boot + "/" + space.get();
}

}  // namespace

JobOwner JobOwner::here() {
  JobOwner owner;
  owner.host = g_get_host_name();
  std::replace(owner.host.begin(), owner.host.end(), ' ', '_');
  owner.boot = boot_name();
  owner.process = static_cast<std::uint64_t>(getpid());
  if (const auto stat = read_stat("self")) owner.started = stat->started;
  return owner;
}

std::optional<JobOwner> JobOwner::parse(const std::string& text) {
  std::istringstream fields(text);
  JobOwner owner;
  std::string rest;
  fields >> owner.host >> owner.boot >> owner.process >> owner.started;
  if (!fields || fields >> rest) return std::nullopt;
  return owner;
}

std::string JobOwner::text() const {
  return host + " " + (boot.empty() ? "-" : boot) + " " + std::to_string(process) + " " +
         std::to_string(started);
}

bool JobOwner::is_dead() const {
  const JobOwner me = here();
  // Clones of one machine's snapshot have one boot id.
  if (me.boot.empty() || boot != me.boot || host != me.host || process == 0) return false;
  if (::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) return true;
  const auto stat = read_stat(std::to_string(process));
  if (!stat) return false;
  // A zombie writes nothing any more.
  return stat->started != started || stat->state == 'Z' || stat->state == 'X';
}

std::string worker_name(const std::string& job_id) {
  const JobOwner owner = JobOwner::here();
  return owner.host + ":" + std::to_string(owner.process) + ":" + job_id;
}

std::string describe_owner(const std::string& text) {
  const auto owner = JobOwner::parse(text);
  if (!owner) return text.empty() ? "nobody" : text;
  return "process " + std::to_string(owner->process) + " on " + owner->host;
}

}  // namespace transcribe
