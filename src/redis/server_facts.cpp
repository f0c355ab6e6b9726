#include "redis/server_facts.h"

namespace transcribe {

ServerFacts parse_info(std::string_view info) {
  ServerFacts facts;
  while (!info.empty()) {
    const auto end = info.find('\n');
    std::string_view line = info.substr(0, end);
    info.remove_prefix(end == info.npos ? info.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const auto colon = line.find(':');
    if (colon == line.npos) continue;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = line.substr(colon + 1);
    if (name == "redis_version") facts.version = value;
    if (name == "role") facts.role = value;
    if (name == "run_id") facts.run_id = value;
    if (name == "maxmemory_policy") facts.maxmemory_policy = value;
    if (name == "aof_enabled") facts.appends_to_file = value == "1";
    if (name == "loading") facts.loading = value == "1";
    if (name == "cluster_enabled") facts.cluster = value == "1";
  }
  return facts;
}

std::vector<std::string> durability_warnings(const ServerFacts& facts) {
  std::vector<std::string> warnings;
  if (facts.version.empty()) return warnings;
  if (!facts.appends_to_file) {
    warnings.push_back(
        "Redis keeps no append-only file: jobs are lost when the server is killed. Set "
        "\"appendonly yes\" on the server");
  }
  if (!facts.maxmemory_policy.empty() && facts.maxmemory_policy != "noeviction") {
    warnings.push_back("Redis may evict jobs when its memory is full (maxmemory-policy " +
                       facts.maxmemory_policy +
                       "). Set \"maxmemory-policy noeviction\" on the server");
  }
  if (facts.role == "slave") {
    warnings.push_back("this Redis is a replica and takes no writes; name its master in redis-uri");
  }
  return warnings;
}

}  // namespace transcribe
