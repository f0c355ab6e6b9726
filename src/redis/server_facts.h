// What INFO says about a server, as far as it matters for jobs that must survive. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace transcribe {

struct ServerFacts {
  std::string version;           // empty: INFO was refused or says nothing
  std::string role;              // "master" or "slave"
  std::string run_id;            // another one: the server was started anew
  std::string maxmemory_policy;  // empty: not said
  bool appends_to_file = false;  // aof_enabled
  bool loading = false;
  bool cluster = false;
};

// `info`: the text of one INFO, or several joined.
ServerFacts parse_info(std::string_view info);

// What the user should know before trusting this server with jobs; each a sentence that says what
// to do. None when the facts are unknown.
std::vector<std::string> durability_warnings(const ServerFacts& facts);

}  // namespace transcribe
