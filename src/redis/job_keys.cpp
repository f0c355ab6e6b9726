#include "redis/job_keys.h"

namespace transcribe {

JobKeys::JobKeys(const std::string& prefix, const std::string& job_id) {
  const std::string stream = prefix + ":jobs:" + job_id;
  all.push_back(stream);
  for (const char* name :
       {"state", "meta", "progress", "error", "ctl", "chunks", "inflight", "cerr"}) {
    all.push_back("{" + stream + "}:" + name);
  }
  meta = all[2];
  chunks = all[6];
  errors = all[8];
}

}  // namespace transcribe
