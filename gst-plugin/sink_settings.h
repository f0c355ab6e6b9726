// The element's properties: their storage, their GObject side, and what the engine makes of them.
//
// Nothing here locks: the element keeps its SinkSettings guarded and copies them when it starts.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "audio/chunker.h"
#include "base/result.h"
#include "engine.h"

namespace transcribe {

inline constexpr const char* kDefaultBaseUrl = "https://api.openai.com/v1";

enum class RedisPolicy { kBestEffort, kRequired };

// Bits of timestamp-granularities.
inline constexpr unsigned kSegmentTimestamps = 1u << 0;
inline constexpr unsigned kWordTimestamps = 1u << 1;

// One member per property, in the property's unit: media time in ns, network time in ms. The
// initialisers are the properties' defaults; an empty string is a property that is not set.
struct SinkSettings {
  std::string base_url;
  std::string api_key;  // secret
  AuthScheme auth_scheme = AuthScheme::kBearer;
  std::string organization;
  std::string project;
  std::shared_ptr<const GstStructure> extra_headers;
  std::shared_ptr<const GstStructure> extra_fields;
  std::string proxy;  // may hold a password
  std::string tls_ca_file;

  std::string model = "gpt-transcribe";
  Task task = Task::kTranscribe;
  std::string language_code;
  std::vector<std::string> languages;
  std::vector<std::string> keywords;
  std::string prompt;
  Context context = Context::kStatic;
  double temperature = -1;
  ResponseFormat response_format = ResponseFormat::kAuto;
  unsigned timestamp_granularities = 0;
  bool logprobs = false;
  ChunkingStrategy chunking_strategy = ChunkingStrategy::kNone;

  std::uint64_t max_chunk_duration = 0;
  std::uint64_t min_chunk_duration = 0;
  SplitMode split = SplitMode::kPause;
  std::uint64_t pause_duration = 0;
  std::uint64_t forced_overlap = GST_SECOND;
  bool skip_silence = true;
  std::uint64_t silence_duration = GST_SECOND;
  double speech_threshold = 8;

  unsigned max_parallel = 8;
  double requests_per_second = 8;
  unsigned burst = 1;
  std::string rate_limit_group;
  int retries = 5;
  unsigned retry_delay = 500;
  unsigned max_retry_delay = 30000;
  unsigned max_server_delay = 120000;
  unsigned request_timeout = 300000;
  unsigned chunk_timeout = 0;
  OnError on_error = OnError::kContinue;
  unsigned max_queued_chunks = 16;
  Leaky leaky = Leaky::kNo;

  std::uint64_t eos_timeout = GST_CLOCK_TIME_NONE;

  std::string location;
  TranscriptFormat location_format = TranscriptFormat::kAuto;
  bool drop_suspect = false;

  std::string job_id;
  // What job-id reads back while it is not set; the element puts it here at start.
  std::string automatic_job_id;
  std::string redis_uri;  // may hold a password
  RedisPolicy redis_policy = RedisPolicy::kBestEffort;
  std::string redis_key_prefix = "transcribe";
  unsigned redis_stream_max_length = 10000;
  std::uint64_t redis_retention = 24 * 3600 * GST_SECOND;
  std::uint64_t redis_lease = 30 * GST_SECOND;
  std::string redis_consumer_group;
  unsigned redis_flush_timeout = 10000;
  std::string journal_directory;
  ResumePolicy resume = ResumePolicy::kAuto;

  bool post_messages = true;
};

// The property's value, else its environment default, else what it means to leave it out.
std::string effective_base_url(const SinkSettings& settings);
std::string effective_api_key(const SinkSettings& settings);
std::string effective_organization(const SinkSettings& settings);
std::string effective_project(const SinkSettings& settings);
std::string effective_job_id(const SinkSettings& settings);
std::string printable_redis_uri(const SinkSettings& settings);
std::string printable_proxy(const SinkSettings& settings);

// The one property that the element answers itself.
inline constexpr guint kPropertyStats = 1;

// Installs all properties of the element, `stats` included, and marks their types as plugin API.
void install_sink_properties(GObjectClass* klass);
// False: no such property (or not one that can be set or read). api-key never reads back,
// redis-uri and proxy without their passwords, base-url, organization and project with their
// environment defaults. NULL strings restore the default.
bool set_sink_property(SinkSettings& settings, guint id, const GValue* value);
bool get_sink_property(const SinkSettings& settings, guint id, GValue* value);
// True for those that take effect while the element plays: hand make_live_settings() to the engine.
bool is_live_property(guint id);

// Validates everything but whether files can be written; the message names the property and the
// remedy. `live`: upstream is live (false while that is not known yet; what passed once passes for
// live, too). Without a job-id the id is a new UUID.
Result<EngineConfig> make_engine_config(const SinkSettings& settings, bool live);

// For settings that passed make_engine_config(). A minimum that was accepted for files is reduced
// to half the maximum when the automatic maximum of a live source is shorter.
LiveSettings make_live_settings(const SinkSettings& settings, bool live);
// `meta`: what the job was created with (EngineConfig::meta); files keep its automatic sizes.
Chunker::Config make_chunker_config(const SinkSettings& settings, bool live,
                                    const std::map<std::string, std::string>& meta = {});

}  // namespace transcribe
