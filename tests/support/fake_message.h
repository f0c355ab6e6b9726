// What the fake service saw and what it shall do about it: plain values, copied freely.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace transcribe::testing {

using Headers = std::vector<std::pair<std::string, std::string>>;
// The value of the first header of that name, whatever the case; empty: there is none.
std::string find_header(const Headers& headers, const std::string& name);

struct Part {
  std::string name;
  std::optional<std::string> filename;
  std::string content_type;
  std::shared_ptr<const std::string> content;  // null when the service does not keep audio
};

enum class End {
  kOpen,        // not yet ended
  kAnswered,    // the last byte of a whole answer was sent
  kFault,       // the script cut, reset or spoiled it
  kClientGone,  // the client closed the connection first
  kStopped,     // the service was stopped
};

struct Request {
  std::size_t number = 0;      // from 0, by the time the head was complete
  std::size_t connection = 0;  // from 0, by the time of accept
  // g_get_monotonic_time(), in microseconds; 0: not yet.
  std::int64_t arrival = 0;   // first byte of the head
  std::int64_t received = 0;  // last byte of the body
  std::int64_t ended = 0;
  std::size_t in_flight = 0;  // requests between head and end, this one included
  End end = End::kOpen;
  unsigned status = 0;  // of the answer; 0: none was sent

  std::string method;
  std::string path;
  std::string query;
  Headers headers;
  std::size_t body_bytes = 0;
  std::vector<Part> parts;
  // 1 for the first request with this Idempotency-Key (without one: with this file name), and so
  // on.
  unsigned attempt = 0;

  std::optional<std::uint64_t> chunk;                        // N of the file name chunk-N.wav
  std::shared_ptr<const std::vector<std::int16_t>> samples;  // null: no valid WAV, or not kept
  std::size_t frames = 0;
  std::string sha256;     // of the samples' bytes
  std::string wav_error;  // why the file is no valid WAV

  std::string body_error;               // why the body is no valid form
  std::vector<std::string> violations;  // of the API description

  std::string header(const std::string& name) const { return find_header(headers, name); }
  // Values of all parts of that exact name (`languages[]`); for one part, its value or "".
  std::vector<std::string> fields(const std::string& name) const;
  std::string field(const std::string& name) const;
  const Part* file() const;
};

enum class Reset { kNone, kBeforeBody, kAfterBody };

// Happens in this order: delay, gate, then hang, reset, raw or an HTTP answer.
struct Answer {
  unsigned status = 200;
  Headers headers;                  // Content-Type here replaces the default one
  std::optional<std::string> body;  // none: a valid answer in the format that was asked for
  bool before_body = false;         // decide on the head, answer without reading the body, close
  std::chrono::milliseconds delay{0};
  std::string gate;   // hold until FakeService::open_gate() of that name
  bool hang = false;  // never answer
  Reset reset = Reset::kNone;
  std::string raw;             // sent instead of HTTP, then the connection closes
  std::size_t drip_bytes = 0;  // body bytes per drip_interval; 0: all at once
  std::chrono::milliseconds drip_interval{10};
  std::optional<std::size_t> cut_body_after;  // close after so many bytes; Content-Length says all
  bool close = false;                         // close the connection after the answer
  std::chrono::milliseconds close_idle{0};    // close it when idle for so long; 0: never

  // An answer in OpenAI's error shape; empty code and param become null.
  static Answer error(unsigned status, const std::string& code = {}, const std::string& type = {},
                      const std::string& message = "scripted error", const std::string& param = {});
  bool decided_on_head() const { return before_body || reset == Reset::kBeforeBody; }
};

// What a request gets when the script has no body for it: `text` is "chunk N" by the file name, or
// "audio SHA" with the first 8 digits. Sets the content type.
std::string default_body(const Request& request, std::string& content_type);
std::string default_text(const Request& request);

}  // namespace transcribe::testing
