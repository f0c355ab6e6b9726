#include "redis/job_keys.h"

namespace transcribe {

JobKeys::JobKeys(const std::string& prefix, const std::string& job_id) {
  stream = prefix + ":jobs:" + job_id;
  all.push_back(stream);
  for (const char* name :
       {"state", "meta", "progress", "error", "ctl", "chunks", "inflight", "cerr"}) {
    all.push_back("{" + stream + "}:" + name);
  }
  state = all[1];
  meta = all[2];
  progress = all[3];
  error = all[4];
  control = all[5];
  chunks = all[6];
  errors = all[8];
}

}  // namespace transcribe
