// The request contract of POST {base}/audio/transcriptions and /audio/translations (OpenAI API
// description 2.3.0) and its Azure and compatible variants. Pure: builds, sends nothing.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audio/chunk.h"
#include "base/result.h"
#include "http/message.h"

namespace transcribe {

enum class AuthScheme { kBearer, kApiKey, kNone };
enum class Task { kTranscribe, kTranslate };
enum class ResponseFormat { kAuto, kJson, kVerboseJson, kDiarizedJson };
enum class ChunkingStrategy { kNone, kAuto };
// What goes into the field `prompt`: nothing, the setting, or the setting and the end of the
// transcript so far (prompt_context.h).
enum class Context { kNone, kStatic, kPrevious };

// Upper bound of a whole request body that OpenAI accepts.
inline constexpr std::size_t kMaxBodyBytes = 26214400;

struct ServiceSettings {
  std::string base_url = "https://api.openai.com/v1";
  std::string api_key;  // secret: goes into one header and nowhere else
  AuthScheme auth_scheme = AuthScheme::kBearer;
  std::string organization;
  std::string project;
  Headers extra_headers;
};

struct RequestSettings {
  std::string model = "gpt-transcribe";
  Task task = Task::kTranscribe;
  std::string language;
  std::vector<std::string> languages;
  std::vector<std::string> keywords;
  std::string prompt;
  Context context = Context::kStatic;
  std::optional<double> temperature;
  ResponseFormat response_format = ResponseFormat::kAuto;
  bool segment_timestamps = false;
  bool word_timestamps = false;
  bool logprobs = false;
  ChunkingStrategy chunking_strategy = ChunkingStrategy::kNone;
  std::vector<std::pair<std::string, std::string>> extra_fields;
};

// kAuto resolved: verbose_json when timestamps are asked for, else json.
ResponseFormat effective_format(const RequestSettings& settings);

// What the services would refuse, found before the first byte is sent. The message names the
// property (by its name in the element) and what to do.
Status validate(const ServiceSettings& service, const RequestSettings& request);

// Joins the task's path to the base URL exactly once and keeps the query; understands base URLs
// that already end in the path. Fails on anything but http and https.
Result<std::string> endpoint_url(const std::string& base_url, Task task);
// The same without user info and query: for messages and logs.
std::string printable_url(const std::string& url);

// True for a host that only this machine can reach (loopback); plain http to others leaks the key.
bool is_loopback(const std::string& url);
bool is_openai(const std::string& base_url);

// False: the prompt is left out, whatever it is.
bool takes_prompt(const RequestSettings& settings);

// One body per chunk, valid for all its attempts. `prompt` replaces the settings' when given.
// The parts hold references on `pcm`; nothing of it is copied.
HttpRequest build_request(const ServiceSettings& service, const RequestSettings& request,
                          const std::string& url, GBytes* pcm, std::uint64_t chunk_index,
                          const std::string& prompt, const std::string& idempotency_key);

// Size of the body that build_request would make for `pcm_bytes` of audio.
std::size_t body_size(const RequestSettings& request, std::size_t pcm_bytes);

// Hex SHA-256 of job id, chunk index, the PCM's digest and the request settings (without carried
// context): the same for all attempts of a chunk, in this run and in a resumed one, but for those
// that leave the prompt out. OpenAI does not promise to honour it; proxies and compatible servers
// may.
std::string idempotency_key(const std::string& job_id, std::uint64_t chunk_index,
                            const std::string& pcm_sha256, const RequestSettings& request,
                            bool without_prompt = false);
// Hex SHA-256 of everything that shapes the answers (not the key, not the URL's secrets).
std::string settings_fingerprint(const RequestSettings& request);

}  // namespace transcribe
