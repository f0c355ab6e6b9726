#include "sink_property_table.h"

#include <type_traits>

#include "sink_property_types.h"

namespace transcribe {
namespace {

constexpr std::uint64_t kSecond = GST_SECOND;
constexpr unsigned kDayMs = 24 * 3600 * 1000;

template <auto Member>
Choice choice(GType (*type)()) {
  return {type, [](const SinkSettings& settings) { return static_cast<int>(settings.*Member); },
          [](SinkSettings& settings, int value) {
            using Enum = std::remove_reference_t<decltype(settings.*Member)>;
            settings.*Member = static_cast<Enum>(value);
          }};
}

using S = SinkSettings;
constexpr Effect kLive = Effect::kPlaying;

const Property kProperties[] = {
    // Service
    {"base-url", "Base URL",
     "URL of the service up to and including /v1, without /audio/transcriptions; may carry a "
     "query; default: environment OPENAI_BASE_URL, else OpenAI",
     Text{&S::base_url, effective_base_url, kDefaultBaseUrl}},
    {"api-key", "API key",
     "Key for the service, never readable; default: environment OPENAI_API_KEY. Needed for "
     "api.openai.com and auth-scheme=api-key",
     Secret{&S::api_key}},
    {"auth-scheme", "Authentication scheme", "How the key is sent",
     choice<&S::auth_scheme>(auth_scheme_type)},
    {"organization", "Organization",
     "OpenAI-Organization header; default: environment OPENAI_ORG_ID",
     Text{&S::organization, effective_organization}},
    {"project", "Project", "OpenAI-Project header; default: environment OPENAI_PROJECT_ID",
     Text{&S::project, effective_project}},
    {"extra-headers", "Extra headers", "Further HTTP headers of every request, one per field",
     Fields{&S::extra_headers}},
    {"extra-fields", "Extra form fields",
     "Further form fields of every request, for services that need them; an array gives one field "
     "per element",
     Fields{&S::extra_fields}},
    {"proxy", "Proxy",
     "URI of the HTTP proxy; default: the system's setting; reads back without the password",
     Text{&S::proxy, printable_proxy}},
    {"tls-ca-file", "TLS CA file",
     "PEM file with the certificate authorities to trust, for the service and for rediss://; "
     "default: the system's",
     Text{&S::tls_ca_file}},
    // Request
    {"model", "Model", "Model that the service is asked for", Text{&S::model}},
    {"task", "Task", "What is asked for: the text as spoken, or in English",
     choice<&S::task>(task_type)},
    {"language-code", "Language code",
     "Spoken language (ISO 639-1, such as en); unset: the service detects it. Not together with "
     "languages",
     Text{&S::language_code}},
    {"languages", "Languages",
     "Languages that may be spoken, for models that take several (ISO 639-1). Not together with "
     "language-code",
     Texts{&S::languages}},
    {"keywords", "Keywords", "Names and terms to expect, for models that take them",
     Texts{&S::keywords}},
    {"prompt", "Prompt", "Text that guides the model: context, style, spelling", Text{&S::prompt},
     kLive},
    {"context", "Context", "What is sent as prompt", choice<&S::context>(context_type)},
    {"temperature", "Temperature",
     "Sampling temperature, 0 to 1; -1 = not sent, the service decides",
     Real{&S::temperature, -1, 1}},
    {"response-format", "Response format", "Form of the service's answer",
     choice<&S::response_format>(response_format_type)},
    {"timestamp-granularities", "Timestamp granularities",
     "Times to ask for; need response-format auto or verbose-json and a model that gives them",
     Flags{timestamp_granularities_type, &S::timestamp_granularities}},
    {"logprobs", "Log probabilities", "Ask for log probabilities, which give a confidence",
     Switch{&S::logprobs}},
    {"chunking-strategy", "Chunking strategy",
     "The service's own cutting within a chunk; diarization needs auto above 30 s",
     choice<&S::chunking_strategy>(chunking_strategy_type)},
    // Cutting
    {"max-chunk-duration", "Maximum chunk duration",
     "Longest chunk in nanoseconds; 0 = automatic: 28 s, 10 s when upstream is live",
     Duration{&S::max_chunk_duration, 0, 300 * kSecond}},
    {"min-chunk-duration", "Minimum chunk duration",
     "No cut before this in nanoseconds, except where the audio is interrupted or ends; 0 = "
     "automatic: 12 s, 3 s when upstream is live, at most half of max-chunk-duration",
     Duration{&S::min_chunk_duration, 0, 150 * kSecond}},
    {"split", "Split", "Where to cut", choice<&S::split>(split_mode_type)},
    {"pause-duration", "Pause duration",
     "Cut in the first pause that is as long, in nanoseconds; 0 = automatic: in the longest of at "
     "least 150 ms, or in the first of at least 300 ms when upstream is live",
     Duration{&S::pause_duration, 0, 10 * kSecond}},
    {"forced-overlap", "Forced overlap",
     "Audio that two chunks share where no pause was found, in nanoseconds (default 1 s, less "
     "where chunks are short)",
     Duration{&S::forced_overlap, 0, 5 * kSecond}},
    {"skip-silence", "Skip silence",
     "Do not send spans without speech longer than silence-duration; they are reported",
     Switch{&S::skip_silence}},
    {"silence-duration", "Silence duration",
     "Longest span without speech that is still sent, in nanoseconds (default 1 s)",
     Duration{&S::silence_duration, 0, 3600 * kSecond}},
    {"speech-threshold", "Speech threshold", "Level of speech above the noise floor, in dB",
     Real{&S::speech_threshold, 0, 60}},
    // Dispatch
    {"max-parallel", "Maximum parallel requests", "Requests in flight at the same time",
     Count{&S::max_parallel, 1, 64}, kLive},
    {"requests-per-second", "Requests per second",
     "Rate of requests of the rate-limit group, retries included; 0 = no limit. The lowest of the "
     "group wins",
     Real{&S::requests_per_second, 0, 1000}, kLive},
    {"burst", "Burst",
     "Requests that may start at once after idle time; the lowest of the group wins",
     Count{&S::burst, 1, 1000}, kLive},
    {"rate-limit-group", "Rate-limit group",
     "Elements of one group share one request rate, with redis-uri on all machines; default: "
     "derived from base-url, api-key and model",
     Text{&S::rate_limit_group}},
    {"retries", "Retries", "Further attempts per chunk; -1 = only chunk-timeout bounds them",
     SignedCount{&S::retries, -1, G_MAXINT}, kLive},
    {"retry-delay", "Retry delay",
     "Delay before the first retry in milliseconds; doubles with every further one, with jitter",
     Count{&S::retry_delay, 1, kDayMs}, kLive},
    {"max-retry-delay", "Maximum retry delay", "Upper bound of the retry delay in milliseconds",
     Count{&S::max_retry_delay, 1, kDayMs}, kLive},
    {"max-server-delay", "Maximum server delay",
     "Longest delay in milliseconds that the service may ask for before a retry; a longer one ends "
     "the job",
     Count{&S::max_server_delay, 0, kDayMs}, kLive},
    {"request-timeout", "Request timeout", "Deadline of one whole attempt in milliseconds",
     Count{&S::request_timeout, 1, kDayMs}, kLive},
    {"chunk-timeout", "Chunk timeout",
     "Time a chunk has from its cut to its end in milliseconds, waits and retries included; 0 = "
     "automatic: none, 60000 when upstream is live",
     Count{&S::chunk_timeout, 0, kDayMs}, kLive},
    {"on-error", "On error", "What a chunk that failed for good does to the job",
     choice<&S::on_error>(on_error_type), kLive},
    {"max-queued-chunks", "Maximum queued chunks",
     "Chunks that may wait to be sent before leaky decides",
     Count{&S::max_queued_chunks, 1, 100000}, kLive},
    {"leaky", "Leaky", "What happens to a chunk when the queue is full",
     choice<&S::leaky>(leaky_type), kLive},
    // End and output
    {"eos-timeout", "EOS timeout",
     "Longest wait for outstanding chunks at EOS in nanoseconds; what is left fails "
     "(default: 18446744073709551615 = no bound)",
     Duration{&S::eos_timeout, 0, G_MAXUINT64}},
    {"location", "Location", "Transcript file; unset: none", Text{&S::location}},
    {"location-format", "Location format", "Format of the transcript file",
     choice<&S::location_format>(location_format_type)},
    {"drop-suspect", "Drop suspect results",
     "Leave results out of the transcript that are probably none of what was said",
     Switch{&S::drop_suspect}},
    // Job
    {"job-id", "Job id",
     "Name of the job, 1 to 128 characters out of A-Z a-z 0-9 . _ : -; default: a new UUID, "
     "readable after start",
     Text{&S::job_id, effective_job_id}},
    {"redis-uri", "Redis URI",
     "Mirror of the job in Redis: redis://, rediss:// or redis+unix://; reads back without the "
     "password",
     Text{&S::redis_uri, printable_redis_uri}},
    {"redis-policy", "Redis policy", "What a missing Redis does to the job",
     choice<&S::redis_policy>(redis_policy_type)},
    {"redis-key-prefix", "Redis key prefix", "Prefix of all keys in Redis",
     Text{&S::redis_key_prefix}},
    {"redis-stream-max-length", "Redis stream maximum length",
     "Events kept in a job's stream, approximately",
     Count{&S::redis_stream_max_length, 1, G_MAXUINT}},
    {"redis-retention", "Redis retention",
     "How long a job stays in Redis after its end, in nanoseconds (default 24 h)",
     Duration{&S::redis_retention, kSecond, G_MAXINT64}},
    {"redis-lease", "Redis lease",
     "How long a job stays with an owner that gives no sign of life, in nanoseconds (default 30 s)",
     Duration{&S::redis_lease, kSecond, 3600 * kSecond}},
    {"redis-consumer-group", "Redis consumer group",
     "Consumer group to create on the job's stream; unset: none", Text{&S::redis_consumer_group}},
    {"redis-flush-timeout", "Redis flush timeout",
     "How long EOS, ERROR and stop wait for the final state to be stored, in milliseconds",
     Count{&S::redis_flush_timeout, 0, kDayMs}},
    {"journal-directory", "Journal directory",
     "Directory of job journals, to resume without Redis; unset: none",
     Text{&S::journal_directory}},
    {"resume", "Resume", "What happens with a job-id that is known already",
     choice<&S::resume>(resume_type)},
    // Report
    {"post-messages", "Post messages", "Post element messages on the bus",
     Switch{&S::post_messages}, kLive},
};

}  // namespace

std::span<const Property> sink_properties() { return kProperties; }

}  // namespace transcribe
