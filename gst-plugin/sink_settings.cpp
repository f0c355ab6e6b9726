#include "sink_settings.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/glib_ptr.h"
#include "base/uri_text.h"
#include "redis/uri.h"

namespace transcribe {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::uint64_t kShortestChunk = GST_SECOND / 10;
constexpr std::size_t kLongestJobId = 128;
constexpr unsigned kLiveChunkTimeout = 60000;

Error error(std::string message) { return Error{std::move(message)}; }

std::string environment(const char* name) {
  const char* value = g_getenv(name);
  return value ? value : "";
}

std::uint64_t to_frames(std::uint64_t time) {
  return gst_util_uint64_scale_round(time, kSampleRate, GST_SECOND);
}

std::string seconds(std::uint64_t time) {
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  return std::string(g_ascii_formatd(text, sizeof text, "%g", double(time) / double(GST_SECOND))) +
         " s";
}

// Automatic sizes resolved; equal to the properties where those are set.
struct ChunkSizes {
  std::uint64_t minimum;
  std::uint64_t maximum;
};

ChunkSizes chunk_sizes(const SinkSettings& settings, bool live) {
  const std::uint64_t automatic_maximum = (live ? 10 : 28) * GST_SECOND;
  const std::uint64_t automatic_minimum = (live ? 3 : 12) * GST_SECOND;
  ChunkSizes sizes;
  sizes.maximum = settings.max_chunk_duration ? settings.max_chunk_duration : automatic_maximum;
  sizes.minimum = settings.min_chunk_duration ? settings.min_chunk_duration
                                              : std::min(automatic_minimum, sizes.maximum / 2);
  return sizes;
}

// Numbers and booleans as JSON writes them, independent of the locale.
std::optional<std::string> to_text(const GValue* value) {
  if (G_VALUE_HOLDS_BOOLEAN(value)) return g_value_get_boolean(value) ? "true" : "false";
  if (G_VALUE_HOLDS_DOUBLE(value) || G_VALUE_HOLDS_FLOAT(value)) {
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    const double number =
        G_VALUE_HOLDS_DOUBLE(value) ? g_value_get_double(value) : double(g_value_get_float(value));
    return g_ascii_dtostr(text, sizeof text, number);
  }
  GValue string = G_VALUE_INIT;
  g_value_init(&string, G_TYPE_STRING);
  std::optional<std::string> text;
  if (g_value_transform(value, &string) && g_value_get_string(&string))
    text = g_value_get_string(&string);
  g_value_unset(&string);
  return text;
}

Result<Pairs> to_pairs(const GstStructure* structure, const char* property) {
  Pairs pairs;
  const int fields = structure ? gst_structure_n_fields(structure) : 0;
  for (int i = 0; i < fields; i++) {
    const char* name = gst_structure_nth_field_name(structure, static_cast<guint>(i));
    const GValue* value = gst_structure_get_value(structure, name);
    const bool list = GST_VALUE_HOLDS_LIST(value);
    const bool many = list || GST_VALUE_HOLDS_ARRAY(value);
    const guint count = !many  ? 1
                        : list ? gst_value_list_get_size(value)
                               : gst_value_array_get_size(value);
    for (guint n = 0; n < count; n++) {
      const GValue* element = !many  ? value
                              : list ? gst_value_list_get_value(value, n)
                                     : gst_value_array_get_value(value, n);
      std::optional<std::string> text = to_text(element);
      if (!text) {
        return error(std::string(property) + ": the value of '" + name +
                     "' has no text form; use a string, a number or an array of those");
      }
      pairs.emplace_back(name, std::move(*text));
    }
  }
  return pairs;
}

// Against the automatic sizes of files: what passed before it was known that upstream is live must
// not fail afterwards.
Status check_cutting(const SinkSettings& settings) {
  const ChunkSizes sizes = chunk_sizes(settings, false);
  if (sizes.maximum < kShortestChunk) {
    return error("max-chunk-duration is " + seconds(sizes.maximum) +
                 "; services refuse audio shorter than 0.1 s. It is in nanoseconds: 30 s are "
                 "30000000000");
  }
  if (settings.split == SplitMode::kFixed) return Success{};
  if (sizes.minimum > sizes.maximum / 2) {
    return error("min-chunk-duration (" + seconds(sizes.minimum) +
                 ") may be at most half of max-chunk-duration (" + seconds(sizes.maximum) +
                 "); lower the one or raise the other");
  }
  if (settings.forced_overlap != SinkSettings().forced_overlap &&
      settings.forced_overlap >= sizes.minimum / 2) {
    return error("forced-overlap (" + seconds(settings.forced_overlap) +
                 ") must be less than half of min-chunk-duration (" + seconds(sizes.minimum) +
                 "); lower the one or raise the other");
  }
  return Success{};
}

Status check_job_id(const std::string& job_id) {
  constexpr std::string_view kMarks = "._:-";
  const auto allowed = [kMarks](char c) {
    return g_ascii_isalnum(c) || kMarks.find(c) != kMarks.npos;
  };
  if (job_id.size() > kLongestJobId || !std::all_of(job_id.begin(), job_id.end(), allowed)) {
    return error(
        "job-id may have 1 to 128 characters out of A-Z, a-z, 0-9, '.', '_', ':' and '-'; choose "
        "another one, or leave it out for an automatic one");
  }
  return Success{};
}

Status check_redis(const SinkSettings& settings) {
  if (settings.redis_uri.empty()) {
    const char* useless = nullptr;
    if (settings.redis_policy == RedisPolicy::kRequired) useless = "redis-policy=required";
    if (!settings.redis_consumer_group.empty()) useless = "redis-consumer-group";
    if (!useless) return Success{};
    return error(std::string(useless) + " needs a server: set redis-uri, or leave it out");
  }
  if (const auto uri = parse_redis_uri(settings.redis_uri); !uri) return uri.error();
  if (settings.redis_key_prefix.empty() ||
      settings.redis_key_prefix.find_first_of("{}") != std::string::npos) {
    return error(
        "redis-key-prefix may be neither empty nor hold braces, which would put the keys of a job "
        "on different cluster nodes; choose another one");
  }
  return Success{};
}

// For settings that passed check_redis().
std::optional<RedisJobSettings> redis_settings(const SinkSettings& settings) {
  if (settings.redis_uri.empty()) return std::nullopt;
  RedisJobSettings redis;
  redis.uri = *parse_redis_uri(settings.redis_uri);
  redis.tls_ca_file = settings.tls_ca_file;
  redis.key_prefix = settings.redis_key_prefix;
  redis.stream_max_length = settings.redis_stream_max_length;
  redis.retention = Milliseconds(settings.redis_retention / GST_MSECOND);
  redis.lease = Milliseconds(settings.redis_lease / GST_MSECOND);
  redis.consumer_group = settings.redis_consumer_group;
  redis.required = settings.redis_policy == RedisPolicy::kRequired;
  redis.flush_timeout = Milliseconds(settings.redis_flush_timeout);
  return redis;
}

constexpr const char* kMaxChunkMeta = "max_chunk_ns";
constexpr const char* kMinChunkMeta = "min_chunk_ns";

// What a job that is resumed was cut with, although the property leaves it to us.
std::uint64_t stored_size(const std::map<std::string, std::string>& meta, const char* name,
                          std::uint64_t fallback) {
  const auto entry = meta.find(name);
  guint64 size = 0;
  if (entry == meta.end() || !g_ascii_string_to_unsigned(entry->second.c_str(), 10, kShortestChunk,
                                                         300 * GST_SECOND, &size, nullptr))
    return fallback;
  return size;
}

Status check_proxy(const std::string& proxy) {
  if (proxy.empty()) return Success{};
  const UriPtr uri(g_uri_parse(proxy.c_str(), G_URI_FLAGS_NONE, nullptr));
  const char* host = uri ? g_uri_get_host(uri.get()) : nullptr;
  if (host && *host) return Success{};
  // The value may hold a password.
  return error("proxy is not a URI with a host; write it as http://HOST:PORT");
}

// Chunks of a job begun with other rules would differ.
constexpr const char* kCutRules = "2";

// All that decides where chunks are cut, in the properties' own words and units.
std::string cut_settings(const SinkSettings& settings) {
  const char kSeparator[] = " ";
  char threshold[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_dtostr(threshold, sizeof threshold, settings.speech_threshold);
  return std::string(kCutRules) + kSeparator + std::to_string(static_cast<int>(settings.split)) +
         kSeparator + std::to_string(settings.max_chunk_duration) + kSeparator +
         std::to_string(settings.min_chunk_duration) + kSeparator +
         std::to_string(settings.pause_duration) + kSeparator +
         std::to_string(settings.forced_overlap) + kSeparator +
         std::to_string(settings.skip_silence) + kSeparator +
         std::to_string(settings.silence_duration) + kSeparator + threshold;
}

Status check_ca_file(const std::string& path) {
  if (path.empty()) return Success{};
  if (access(path.c_str(), R_OK) != 0) {
    return error("tls-ca-file " + path + " can't be read (" + g_strerror(errno) +
                 "); give the path of a PEM file that this user may read");
  }
  return Success{};
}

std::string derived_group(const ServiceSettings& service, const std::string& model) {
  const std::string identity = service.base_url + '\n' + service.api_key + '\n' + model;
  const CharPtr digest(g_compute_checksum_for_data(
      G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(identity.data()), identity.size()));
  return "auto-" + std::string(digest.get(), 16);
}

RequestSettings request_settings(const SinkSettings& settings) {
  RequestSettings request;
  request.model = settings.model;
  request.task = settings.task;
  request.language = settings.language_code;
  request.languages = settings.languages;
  request.keywords = settings.keywords;
  request.prompt = settings.prompt;
  request.context = settings.context;
  if (settings.temperature != SinkSettings().temperature)
    request.temperature = settings.temperature;
  request.response_format = settings.response_format;
  request.segment_timestamps = settings.timestamp_granularities & kSegmentTimestamps;
  request.word_timestamps = settings.timestamp_granularities & kWordTimestamps;
  request.logprobs = settings.logprobs;
  request.chunking_strategy = settings.chunking_strategy;
  return request;
}

ServiceSettings service_settings(const SinkSettings& settings) {
  ServiceSettings service;
  service.base_url = effective_base_url(settings);
  service.api_key = effective_api_key(settings);
  service.auth_scheme = settings.auth_scheme;
  service.organization = effective_organization(settings);
  service.project = effective_project(settings);
  return service;
}

Status check_body_size(const SinkSettings& settings, const RequestSettings& request) {
  const std::uint64_t longest = chunk_sizes(settings, false).maximum + settings.forced_overlap;
  const std::size_t size = body_size(request, to_frames(longest) * kBytesPerFrame);
  if (size <= kMaxBodyBytes) return Success{};
  return error("a request of max-chunk-duration would have " + std::to_string(size) +
               " bytes, more than the " + std::to_string(kMaxBodyBytes) +
               " that services take; shorten prompt, keywords or extra-fields");
}

}  // namespace

std::string effective_base_url(const SinkSettings& settings) {
  if (!settings.base_url.empty()) return settings.base_url;
  const std::string fallback = environment("OPENAI_BASE_URL");
  return fallback.empty() ? kDefaultBaseUrl : fallback;
}

std::string effective_api_key(const SinkSettings& settings) {
  return settings.api_key.empty() ? environment("OPENAI_API_KEY") : settings.api_key;
}

std::string effective_organization(const SinkSettings& settings) {
  return settings.organization.empty() ? environment("OPENAI_ORG_ID") : settings.organization;
}

std::string effective_project(const SinkSettings& settings) {
  return settings.project.empty() ? environment("OPENAI_PROJECT_ID") : settings.project;
}

std::string effective_job_id(const SinkSettings& settings) {
  return settings.job_id.empty() ? settings.automatic_job_id : settings.job_id;
}

std::string printable_redis_uri(const SinkSettings& settings) {
  return without_password(settings.redis_uri);
}

std::string printable_proxy(const SinkSettings& settings) {
  return without_password(settings.proxy);
}

Result<EngineConfig> make_engine_config(const SinkSettings& settings, bool live) {
  EngineConfig config;
  config.service = service_settings(settings);
  config.request = request_settings(settings);
  Result<Pairs> headers = to_pairs(settings.extra_headers.get(), "extra-headers");
  if (!headers) return headers.error();
  Result<Pairs> fields = to_pairs(settings.extra_fields.get(), "extra-fields");
  if (!fields) return fields.error();
  config.service.extra_headers = std::move(*headers);
  config.request.extra_fields = std::move(*fields);

  if (Status status = check_redis(settings); !status) return status.error();
  if (Status status = check_job_id(settings.job_id); !status) return status.error();
  if (Status status = check_cutting(settings); !status) return status.error();
  if (settings.retry_delay > settings.max_retry_delay) {
    return error("retry-delay is above max-retry-delay; both are in milliseconds");
  }
  if (Status status = validate(config.service, config.request); !status) return status.error();
  if (Status status = check_body_size(settings, config.request); !status) return status.error();
  if (Status status = check_proxy(settings.proxy); !status) return status.error();
  if (Status status = check_ca_file(settings.tls_ca_file); !status) return status.error();

  config.proxy = settings.proxy;
  config.tls_ca_file = settings.tls_ca_file;
  config.user_agent = "openaitranscribe/" VERSION " GStreamer/" +
                      std::to_string(GST_VERSION_MAJOR) + "." + std::to_string(GST_VERSION_MINOR);
  config.live = make_live_settings(settings, live);
  config.rate_limit_group = settings.rate_limit_group.empty()
                                ? derived_group(config.service, config.request.model)
                                : settings.rate_limit_group;
  config.location = settings.location;
  config.location_format = settings.location_format;
  config.drop_suspect = settings.drop_suspect;
  config.redis = redis_settings(settings);
  config.journal_directory = settings.journal_directory;
  config.resume = settings.resume;
  config.cut_settings = cut_settings(settings);
  const ChunkSizes sizes = chunk_sizes(settings, false);
  config.meta = {{kMaxChunkMeta, std::to_string(sizes.maximum)},
                 {kMinChunkMeta, std::to_string(sizes.minimum)}};
  config.job_id = settings.job_id;
  if (config.job_id.empty()) config.job_id = CharPtr(g_uuid_string_random()).get();
  return config;
}

LiveSettings make_live_settings(const SinkSettings& settings, bool live) {
  LiveSettings result;
  result.limits.max_parallel = settings.max_parallel;
  result.limits.retries = settings.retries;
  result.limits.retry_delay = Milliseconds(settings.retry_delay);
  result.limits.max_retry_delay = Milliseconds(settings.max_retry_delay);
  result.limits.max_server_delay = Milliseconds(settings.max_server_delay);
  result.limits.request_timeout = Milliseconds(settings.request_timeout);
  const unsigned chunk_timeout =
      settings.chunk_timeout == 0 && live ? kLiveChunkTimeout : settings.chunk_timeout;
  result.limits.chunk_timeout = Milliseconds(chunk_timeout);
  result.rate = {settings.requests_per_second, settings.burst};
  result.on_error = settings.on_error;
  result.max_queued_chunks = settings.max_queued_chunks;
  result.leaky = settings.leaky;
  result.prompt = settings.prompt;
  return result;
}

Chunker::Config make_chunker_config(const SinkSettings& settings, bool live,
                                    const std::map<std::string, std::string>& meta) {
  ChunkSizes sizes = chunk_sizes(settings, live);
  if (!live) {
    sizes.maximum = stored_size(meta, kMaxChunkMeta, sizes.maximum);
    sizes.minimum = stored_size(meta, kMinChunkMeta, sizes.minimum);
  }
  Chunker::Config config;
  config.split = settings.split;
  config.max_frames = to_frames(sizes.maximum);
  config.min_frames = std::min(to_frames(sizes.minimum), config.max_frames / 2);
  config.first_pause = live || settings.pause_duration != 0;
  // The default of the overlap fits into every minimum: no sample lies in three chunks.
  const std::uint64_t most = std::max<std::uint64_t>(config.min_frames, 1) - 1;
  config.overlap_frames = std::min(to_frames(settings.forced_overlap), most / 2) / 2 * 2;
  config.skip_silence = settings.skip_silence;
  config.silence_frames = to_frames(settings.silence_duration);
  config.speech_threshold = settings.speech_threshold;
  config.pause_frames = to_frames(settings.pause_duration);
  if (live && settings.pause_duration == 0) config.pause_frames = to_frames(300 * GST_MSECOND);
  return config;
}

}  // namespace transcribe
