// Why an attempt failed and what follows from it: the error taxonomy of the service. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "http/message.h"

namespace transcribe {

struct Transcription;

// What the attempt's failure means for the chunk and the job.
enum class Severity {
  kRetry,  // transient: try again within the budget
  kChunk,  // this chunk can't be transcribed
  kJob,    // no chunk can: end the job at once
};

// The cause in the terms of the element's error codes.
enum class Cause {
  kNotAuthorized,  // 401, 402, 403, 407, money 429s
  kNotFound,       // 404, unknown host
  kBusy,           // 429, 503, too long a server delay
  kConnect,        // refused, TLS
  kWrite,          // timeout, reset, 5xx, other 4xx
  kRead,           // an answer that is no transcription
  kSettings,       // the request itself is wrong: a request field, 3xx
  kTimeBudget,     // chunk-timeout or eos-timeout
  kRejectedAlike,  // the first chunks were all rejected alike
  kStore,          // job store
  kCancelled,      // by a user, through the job store
};

struct Failure {
  Severity severity = Severity::kRetry;
  Cause cause = Cause::kWrite;
  // For people: what happened and what they can do. Holds no secret.
  std::string message;
  // Short machine word, as in messages: "http-status", "network", "timeout", "tls", "refused",
  // "invalid-response", "too-large", "chunk-timeout", "eos-timeout", "server-delay", "rejected",
  // "prompt-echo".
  std::string reason;
  unsigned http_status = 0;  // 0: no answer
  std::string error_type;
  std::string error_code;
  std::string error_param;
  std::string error_message;  // the server's own words, or the start of its body
  std::string request_id;
  // The server's own wish; never shortened, may be longer than ours.
  std::optional<Nanoseconds> server_delay;
  bool hold_group = false;  // the delay concerns every request of the rate-limit group (429, 503)
  bool slow_down = false;   // lower the group's rate
  bool retry_at_once = false;    // lost idle connection: no backoff
  bool maybe_processed = false;  // the body was sent: the service may have billed it
  // An answer in doubt: it counts where none that is better follows.
  std::shared_ptr<const Transcription> answer;
};

// For status 300 and up (and 1xx that ended there). `url` is printable_url(). `wall_now` dates
// Retry-After.
Failure classify_response(const HttpResponse& response, const std::string& url, WallTime wall_now);
Failure classify_transport(const TransportError& error, const std::string& url);
// A 2xx whose body parse_response() refused.
Failure broken_response(const HttpResponse& response, const std::string& why);

// `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` in seconds (fractions allowed) or as an
// HTTP date, in this order; absent when none can be read.
std::optional<Nanoseconds> server_delay(const Headers& headers, WallTime wall_now);

}  // namespace transcribe
