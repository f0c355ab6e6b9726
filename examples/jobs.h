// The commands of transcribe on jobs in Redis.
#pragma once

#include <optional>
#include <string>

#include "transcription.h"

struct JobOptions {
  std::string redis_uri;  // empty: REDIS_URL
  std::string key_prefix = "transcribe";
  std::string tls_ca_file;
};

// What to do beside, or instead of, transcribing. At most one.
struct JobCommand {
  enum class Kind { kNone, kList, kStatus, kFollow, kCancel, kRetryFailed };
  Kind kind = Kind::kNone;
  std::string id;
};

// kList to kCancel, to their end. Texts to stdout, problems to stderr.
ExitCode run_job_command(const JobCommand& command, const JobOptions& options, bool quiet);

// Whether there is something to send again; else what to say, and the exit code.
struct Retry {
  ExitCode code = kComplete;
  std::string message{};  // empty: go on
  std::string media{};    // the job's source, a file's name or a URI; where none is given
  std::string output{};   // the job's transcript; empty: not on this machine
};
Retry look_at_retry(const std::string& id, const JobOptions& options, bool has_media);

// With REDIS_URL; empty: neither is given.
std::string wanted_redis_uri(const JobOptions& options);
