#include "openai/request.h"

#include <charconv>
#include <iterator>
#include <string_view>

#include "audio/wav_writer.h"
#include "http/multipart_body.h"

namespace transcribe {
namespace {

using Checksum = Handle<GChecksum, g_checksum_free>;

const char* wire_name(ResponseFormat format) {
  switch (format) {
    case ResponseFormat::kVerboseJson:
      return "verbose_json";
    case ResponseFormat::kDiarizedJson:
      return "diarized_json";
    case ResponseFormat::kAuto:
    case ResponseFormat::kJson:
      break;
  }
  return "json";
}

// The shortest form that reads back the same, in every locale with a point.
std::string format_number(double value) {
  char buffer[32];
  const auto end = std::to_chars(std::begin(buffer), std::end(buffer), value + 0.0).ptr;
  return std::string(buffer, end);
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// Scalars, then arrays, then what the user added.
Fields make_fields(const RequestSettings& request, const std::string& prompt) {
  const ResponseFormat format = effective_format(request);
  const bool transcribes = request.task == Task::kTranscribe;
  Fields fields;
  const auto add = [&fields](const char* name, std::string value) {
    fields.emplace_back(name, std::move(value));
  };
  add("model", request.model);
  if (transcribes && !request.language.empty()) add("language", request.language);
  if (takes_prompt(request) && !prompt.empty()) add("prompt", prompt);
  add("response_format", wire_name(format));
  if (request.temperature) add("temperature", format_number(*request.temperature));
  if (transcribes) {
    if (request.chunking_strategy == ChunkingStrategy::kAuto) add("chunking_strategy", "auto");
    for (const std::string& language : request.languages) add("languages[]", language);
    for (const std::string& keyword : request.keywords) add("keywords[]", keyword);
    if (request.segment_timestamps) add("timestamp_granularities[]", "segment");
    if (request.word_timestamps) add("timestamp_granularities[]", "word");
    if (request.logprobs) add("include[]", "logprobs");
  }
  fields.insert(fields.end(), request.extra_fields.begin(), request.extra_fields.end());
  return fields;
}

Headers make_headers(const ServiceSettings& service, const std::string& idempotency_key) {
  Headers headers;
  if (!service.api_key.empty()) {
    if (service.auth_scheme == AuthScheme::kBearer) {
      headers.emplace_back("Authorization", "Bearer " + service.api_key);
    } else if (service.auth_scheme == AuthScheme::kApiKey) {
      headers.emplace_back("api-key", service.api_key);
    }
  }
  if (!service.organization.empty()) {
    headers.emplace_back("OpenAI-Organization", service.organization);
  }
  if (!service.project.empty()) headers.emplace_back("OpenAI-Project", service.project);
  headers.emplace_back("Accept", "application/json");
  if (!idempotency_key.empty()) headers.emplace_back("Idempotency-Key", idempotency_key);
  headers.insert(headers.end(), service.extra_headers.begin(), service.extra_headers.end());
  return headers;
}

// The services choose the decoder by the extension.
std::string file_name(std::uint64_t chunk_index) {
  std::string number = std::to_string(chunk_index + 1);
  if (number.size() < 6) number.insert(0, 6 - number.size(), '0');
  return "chunk-" + number + ".wav";
}

MultipartBody make_body(const RequestSettings& request, GBytes* pcm, std::uint64_t chunk_index,
                        const std::string& prompt, std::size_t pcm_bytes) {
  const auto header = wav_header(static_cast<std::uint32_t>(pcm_bytes));
  const BytesPtr header_bytes(g_bytes_new(header.data(), header.size()));
  MultipartBody body(MultipartBody::random_boundary());
  body.add_file("file", file_name(chunk_index), "audio/wav", {header_bytes.get(), pcm});
  for (const auto& [name, value] : make_fields(request, prompt)) body.add_field(name, value);
  return body;
}

// Every part with its length before it: no two lists of parts give the same bytes.
class Digest {
 public:
  Digest() : checksum_(g_checksum_new(G_CHECKSUM_SHA256)) {}

  void add(const void* data, std::size_t size) {
    const std::string length = std::to_string(size) + ":";
    update(length.data(), length.size());
    update(data, size);
  }
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::string hex() { return g_checksum_get_string(checksum_.get()); }

 private:
  void update(const void* data, std::size_t size) {
    if (size == 0) return;
    g_checksum_update(checksum_.get(), static_cast<const guchar*>(data), static_cast<gssize>(size));
  }

  Checksum checksum_;
};

}  // namespace

// One that was set while running is left out where the service would refuse it.
bool takes_prompt(const RequestSettings& settings) {
  return settings.context != Context::kNone &&
         effective_format(settings) != ResponseFormat::kDiarizedJson;
}

ResponseFormat effective_format(const RequestSettings& settings) {
  if (settings.response_format != ResponseFormat::kAuto) return settings.response_format;
  return settings.segment_timestamps || settings.word_timestamps ? ResponseFormat::kVerboseJson
                                                                 : ResponseFormat::kJson;
}

HttpRequest build_request(const ServiceSettings& service, const RequestSettings& request,
                          const std::string& url, GBytes* pcm, std::uint64_t chunk_index,
                          const std::string& prompt, const std::string& idempotency_key) {
  MultipartBody body = make_body(request, pcm, chunk_index,
                                 prompt.empty() ? request.prompt : prompt, g_bytes_get_size(pcm));
  HttpRequest result;
  result.url = url;
  result.headers = make_headers(service, idempotency_key);
  result.content_type = body.content_type();
  result.body = body.finish();
  return result;
}

std::size_t body_size(const RequestSettings& request, std::size_t pcm_bytes) {
  const BytesPtr no_pcm(g_bytes_new(nullptr, 0));
  MultipartBody body = make_body(request, no_pcm.get(), 0, request.prompt, 0);
  body.finish();
  return body.size() + pcm_bytes;
}

std::string settings_fingerprint(const RequestSettings& request) {
  Digest digest;
  digest.add(request.task == Task::kTranslate ? "translate" : "transcribe");
  for (const auto& [name, value] : make_fields(request, request.prompt)) {
    digest.add(name);
    digest.add(value);
  }
  if (request.context == Context::kPrevious) digest.add("context=previous");
  return digest.hex();
}

std::string idempotency_key(const std::string& job_id, std::uint64_t chunk_index,
                            const std::string& pcm_sha256, const RequestSettings& request,
                            bool without_prompt) {
  Digest digest;
  digest.add(job_id);
  digest.add(std::to_string(chunk_index));
  digest.add(pcm_sha256);
  digest.add(settings_fingerprint(request));
  if (without_prompt) digest.add("without prompt");
  return digest.hex();
}

}  // namespace transcribe
