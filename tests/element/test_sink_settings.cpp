#include <gst/gst.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/glib_ptr.h"
#include "sink_settings.h"

// Last: see check_main.h.
#include "check_main.h"

namespace {

using namespace transcribe;

// An object with the element's properties and nothing else.
struct Holder {
  GObject parent;
  SinkSettings* settings;
};
struct HolderClass {
  GObjectClass parent_class;
};
G_DEFINE_TYPE(Holder, holder, G_TYPE_OBJECT)

void holder_init(Holder* self) { self->settings = new SinkSettings; }

void holder_finalize(GObject* object) {
  delete reinterpret_cast<Holder*>(object)->settings;
  G_OBJECT_CLASS(holder_parent_class)->finalize(object);
}

void holder_set(GObject* object, guint id, const GValue* value, GParamSpec*) {
  ck_assert(set_sink_property(*reinterpret_cast<Holder*>(object)->settings, id, value));
}

void holder_get(GObject* object, guint id, GValue* value, GParamSpec*) {
  if (id == kPropertyStats) return;
  ck_assert(get_sink_property(*reinterpret_cast<Holder*>(object)->settings, id, value));
}

void holder_class_init(HolderClass* klass) {
  auto* object_class = reinterpret_cast<GObjectClass*>(klass);
  object_class->finalize = holder_finalize;
  object_class->set_property = holder_set;
  object_class->get_property = holder_get;
  install_sink_properties(object_class);
}

using HolderPtr = ObjectPtr<GObject>;
HolderPtr make_holder() { return HolderPtr(G_OBJECT(g_object_new(holder_get_type(), nullptr))); }
SinkSettings& settings_of(const HolderPtr& holder) {
  return *reinterpret_cast<Holder*>(holder.get())->settings;
}

// As gst-launch and gst_util_set_object_arg() do: text to value.
void set_text(const HolderPtr& holder, const char* name, const char* text) {
  gst_util_set_object_arg(holder.get(), name, text);
}

std::string read_string(const HolderPtr& holder, const char* name) {
  char* text = nullptr;
  g_object_get(holder.get(), name, &text, nullptr);
  const CharPtr owned(text);
  return text ? text : "(null)";
}

std::vector<GParamSpec*> list_properties() {
  const HolderPtr holder = make_holder();
  guint count = 0;
  GParamSpec** specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(holder.get()), &count);
  std::vector<GParamSpec*> result(specs, specs + count);
  g_free(specs);
  return result;
}

SinkSettings usable() {
  SinkSettings settings;
  settings.api_key = "sk-secret";
  return settings;
}

EngineConfig config_of(const SinkSettings& settings, bool live = false) {
  auto config = make_engine_config(settings, live);
  ck_assert_msg(config.ok(), "%s", config ? "" : config.error().message.c_str());
  return *config;
}

void setup() {
  gst_init(nullptr, nullptr);
  for (const char* name :
       {"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"})
    g_unsetenv(name);
}

START_TEST(every_default_reads_back_as_the_spec_says) {
  const HolderPtr holder = make_holder();
  for (GParamSpec* spec : list_properties()) {
    if (!(spec->flags & G_PARAM_READABLE) || G_IS_PARAM_SPEC_BOXED(spec) ||
        GST_IS_PARAM_SPEC_ARRAY_LIST(spec))
      continue;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, spec->value_type);
    g_object_get_property(holder.get(), spec->name, &value);
    ck_assert_msg(g_param_value_defaults(spec, &value), "%s", spec->name);
    g_value_unset(&value);
  }
}
END_TEST

START_TEST(every_property_says_what_it_does_and_when) {
  const auto specs = list_properties();
  ck_assert_uint_eq(specs.size(), 59);
  std::set<std::string> nicks;
  for (GParamSpec* spec : specs) {
    const std::string blurb = g_param_spec_get_blurb(spec);
    ck_assert_msg(nicks.insert(g_param_spec_get_nick(spec)).second, "%s", spec->name);
    ck_assert_msg(spec->name == std::string("stats") || blurb.ends_with('.'), "%s", spec->name);
    if (spec->flags & G_PARAM_WRITABLE) {
      const bool playing = spec->flags & GST_PARAM_MUTABLE_PLAYING;
      ck_assert_msg(playing != bool(spec->flags & GST_PARAM_MUTABLE_READY), "%s", spec->name);
      ck_assert(playing == (blurb.find("while playing") != std::string::npos));
      ck_assert(playing == bool(is_live_property(spec->param_id)));
    }
    const bool time = spec->value_type == G_TYPE_UINT64;
    ck_assert_msg(!time || blurb.find("nanoseconds") != std::string::npos, "%s", spec->name);
  }
}
END_TEST

START_TEST(the_key_is_never_readable) {
  GObjectClass* klass = G_OBJECT_GET_CLASS(make_holder().get());
  GParamSpec* spec = g_object_class_find_property(klass, "api-key");
  ck_assert(!(spec->flags & G_PARAM_READABLE));
  GValue value = G_VALUE_INIT;
  g_value_init(&value, G_TYPE_STRING);
  ck_assert(!get_sink_property(usable(), spec->param_id, &value));
  ck_assert_ptr_null(g_value_get_string(&value));
  g_value_unset(&value);
}
END_TEST

// What the service takes and nothing else; GObject refuses the rest.
START_TEST(temperature_is_what_the_service_takes) {
  GObjectClass* klass = G_OBJECT_GET_CLASS(make_holder().get());
  GParamSpec* spec = g_object_class_find_property(klass, "temperature");
  ck_assert_double_eq(G_PARAM_SPEC_DOUBLE(spec)->minimum, -1);
  ck_assert_double_eq(G_PARAM_SPEC_DOUBLE(spec)->maximum, 1);
  SinkSettings settings = usable();
  for (const double allowed : {-1.0, 0.0, 1.0}) {
    settings.temperature = allowed;
    ck_assert(make_engine_config(settings, false).ok());
  }
}
END_TEST

START_TEST(unknown_ids_are_refused) {
  SinkSettings settings;
  GValue value = G_VALUE_INIT;
  g_value_init(&value, G_TYPE_STRING);
  for (const guint id : {0u, kPropertyStats, kPropertyStats + 59, 10000u}) {
    ck_assert(!set_sink_property(settings, id, &value));
    ck_assert(!get_sink_property(settings, id, &value));
    ck_assert(!is_live_property(id));
  }
  g_value_unset(&value);
}
END_TEST

START_TEST(every_value_that_is_set_reads_back) {
  const HolderPtr holder = make_holder();
  for (GParamSpec* spec : list_properties()) {
    if (!(spec->flags & G_PARAM_WRITABLE) || !(spec->flags & G_PARAM_READABLE)) continue;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, spec->value_type);
    if (G_IS_PARAM_SPEC_STRING(spec)) g_value_set_string(&value, "x");
    if (G_IS_PARAM_SPEC_BOOLEAN(spec))
      g_value_set_boolean(&value, !G_PARAM_SPEC_BOOLEAN(spec)->default_value);
    if (G_IS_PARAM_SPEC_UINT(spec))
      g_value_set_uint(&value, G_PARAM_SPEC_UINT(spec)->default_value + 1);
    if (G_IS_PARAM_SPEC_INT(spec)) g_value_set_int(&value, G_PARAM_SPEC_INT(spec)->minimum);
    if (G_IS_PARAM_SPEC_UINT64(spec))
      g_value_set_uint64(&value, G_PARAM_SPEC_UINT64(spec)->minimum + 1);
    if (G_IS_PARAM_SPEC_DOUBLE(spec)) g_value_set_double(&value, 0.5);
    if (G_IS_PARAM_SPEC_ENUM(spec)) g_value_set_enum(&value, 1);
    if (G_IS_PARAM_SPEC_FLAGS(spec)) g_value_set_flags(&value, 3);
    if (spec->value_type == GST_TYPE_STRUCTURE)
      g_value_take_boxed(&value, gst_structure_new("s", "a", G_TYPE_INT, 1, nullptr));
    if (spec->value_type == GST_TYPE_ARRAY) gst_value_deserialize(&value, "<x,y>");
    g_object_set_property(holder.get(), spec->name, &value);
    GValue back = G_VALUE_INIT;
    g_value_init(&back, spec->value_type);
    g_object_get_property(holder.get(), spec->name, &back);
    ck_assert_msg(gst_value_compare(&value, &back) == GST_VALUE_EQUAL, "%s", spec->name);
    g_value_unset(&value);
    g_value_unset(&back);
  }
}
END_TEST

START_TEST(null_strings_restore_the_default) {
  const HolderPtr holder = make_holder();
  g_object_set(holder.get(), "model", "whisper-1", "redis-key-prefix", "x", "base-url",
               "http://a/v1", "prompt", "p", "api-key", "k", nullptr);
  g_object_set(holder.get(), "model", nullptr, "redis-key-prefix", nullptr, "base-url", nullptr,
               "prompt", nullptr, "api-key", nullptr, nullptr);
  ck_assert(read_string(holder, "model") == "gpt-transcribe");
  ck_assert(read_string(holder, "redis-key-prefix") == "transcribe");
  ck_assert(read_string(holder, "base-url") == "https://api.openai.com/v1");
  ck_assert(read_string(holder, "prompt") == "(null)");
  ck_assert(settings_of(holder).api_key.empty());
}
END_TEST

START_TEST(environment_gives_defaults) {
  const HolderPtr holder = make_holder();
  g_setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1", TRUE);
  g_setenv("OPENAI_API_KEY", "sk-env", TRUE);
  g_setenv("OPENAI_ORG_ID", "org-env", TRUE);
  g_setenv("OPENAI_PROJECT_ID", "proj-env", TRUE);
  ck_assert(read_string(holder, "base-url") == "http://127.0.0.1:8000/v1");
  ck_assert(read_string(holder, "organization") == "org-env");
  const ServiceSettings service = config_of(settings_of(holder)).service;
  ck_assert_str_eq(service.base_url.c_str(), "http://127.0.0.1:8000/v1");
  ck_assert_str_eq(service.api_key.c_str(), "sk-env");
  ck_assert_str_eq(service.organization.c_str(), "org-env");
  ck_assert_str_eq(service.project.c_str(), "proj-env");

  g_object_set(holder.get(), "base-url", "http://localhost/v1", "api-key", "sk-own", "organization",
               "org-own", "project", "proj-own", nullptr);
  const ServiceSettings own = config_of(settings_of(holder)).service;
  ck_assert_str_eq(own.base_url.c_str(), "http://localhost/v1");
  ck_assert_str_eq(own.api_key.c_str(), "sk-own");
  ck_assert_str_eq(own.organization.c_str(), "org-own");
  ck_assert_str_eq(own.project.c_str(), "proj-own");
  // As some shells leave it.
  g_setenv("OPENAI_BASE_URL", "", TRUE);
  ck_assert(read_string(make_holder(), "base-url") == kDefaultBaseUrl);
}
END_TEST

START_TEST(text_sets_arrays_flags_and_structures) {
  const HolderPtr holder = make_holder();
  set_text(holder, "languages", "<en,fr>");
  set_text(holder, "keywords", "<42,\"two words\">");
  set_text(holder, "timestamp-granularities", "segment+word");
  set_text(holder, "extra-headers", "headers,X-Trace=abc");
  set_text(holder, "auth-scheme", "api-key");
  set_text(holder, "on-error", "ignore");
  const SinkSettings& settings = settings_of(holder);
  ck_assert((settings.languages == std::vector<std::string>{"en", "fr"}));
  ck_assert((settings.keywords == std::vector<std::string>{"42", "two words"}));
  ck_assert_uint_eq(settings.timestamp_granularities, kSegmentTimestamps | kWordTimestamps);
  ck_assert_str_eq(gst_structure_get_string(settings.extra_headers.get(), "X-Trace"), "abc");
  ck_assert(settings.auth_scheme == AuthScheme::kApiKey);
  ck_assert(settings.on_error == OnError::kIgnore);
  // A copy shares nothing that a later change could touch.
  const SinkSettings copy = settings;
  g_object_set(holder.get(), "extra-headers", nullptr, nullptr);
  ck_assert(settings_of(holder).extra_headers == nullptr);
  ck_assert_str_eq(gst_structure_get_string(copy.extra_headers.get(), "X-Trace"), "abc");
}
END_TEST

START_TEST(redis_uri_hides_the_password) {
  const struct {
    const char* uri;
    const char* shown;
  } cases[] = {
      {"redis://localhost", "redis://localhost"},
      {"redis://:secret@host:1/2", "redis://host:1/2"},
      {"redis://user:secret@host", "redis://user@host"},
      {"redis://user@host", "redis://user@host"},
      {"rediss://u:se/cr@et@host/0", "rediss://u@host/0"},
      {"redis+unix://:secret@/run/redis.sock", "redis+unix:///run/redis.sock"},
      {"u:secret@host", "u@host"},
  };
  for (const auto& c : cases) {
    SinkSettings settings;
    settings.redis_uri = c.uri;
    ck_assert(printable_redis_uri(settings) == c.shown);
    ck_assert(printable_redis_uri(settings).find("secret") == std::string::npos);
  }
}
END_TEST

START_TEST(defaults_make_the_documented_configuration) {
  const EngineConfig config = config_of(usable());
  ck_assert_str_eq(config.service.base_url.c_str(), "https://api.openai.com/v1");
  ck_assert_str_eq(config.request.model.c_str(), "gpt-transcribe");
  ck_assert(!config.request.temperature);
  ck_assert(!config.request.segment_timestamps && !config.request.word_timestamps);
  ck_assert_uint_eq(config.live.limits.max_parallel, 8);
  ck_assert_int_eq(config.live.limits.retries, 5);
  ck_assert(config.live.limits.request_timeout == Milliseconds(300000));
  ck_assert(config.live.limits.chunk_timeout == Milliseconds(0));
  ck_assert((config.live.rate == RateLimit{8.0, 1}));
  ck_assert_uint_eq(config.live.max_queued_chunks, 16);
  ck_assert(config.location.empty());
  ck_assert(g_str_has_prefix(config.user_agent.c_str(), "openaitranscribe/"));
}
END_TEST

START_TEST(request_properties_reach_the_request) {
  SinkSettings settings = usable();
  settings.model = "whisper-1";
  settings.language_code = "en";
  settings.prompt = "p";
  settings.temperature = 0;
  settings.timestamp_granularities = kWordTimestamps;
  settings.location_format = TranscriptFormat::kVtt;
  const EngineConfig config = config_of(settings);
  ck_assert_str_eq(config.request.model.c_str(), "whisper-1");
  ck_assert_str_eq(config.request.language.c_str(), "en");
  ck_assert_str_eq(config.live.prompt.c_str(), "p");
  ck_assert(config.request.temperature && *config.request.temperature == 0.0);
  ck_assert(config.request.word_timestamps && !config.request.segment_timestamps);
  ck_assert(config.location_format == TranscriptFormat::kVtt);
}
END_TEST

START_TEST(extra_fields_become_text) {
  SinkSettings settings = usable();
  const auto parse = [](const char* text) {
    return std::shared_ptr<const GstStructure>(
        gst_structure_from_string(text, nullptr),
        [](const GstStructure* s) { gst_structure_free(const_cast<GstStructure*>(s)); });
  };
  settings.extra_fields = parse("f, a=x, b=(int)-5, c=true, d=0.25, e=<x,y>, f={(int)1,(int)2}");
  const Headers expected = {{"a", "x"}, {"b", "-5"}, {"c", "true"}, {"d", "0.25"},
                            {"e", "x"}, {"e", "y"},  {"f", "1"},    {"f", "2"}};
  ck_assert(config_of(settings).request.extra_fields == expected);
  settings.extra_headers = parse("h, X-A=one");
  ck_assert((config_of(settings).service.extra_headers == Headers{{"X-A", "one"}}));

  GstStructure* bad = gst_structure_new("f", "x", G_TYPE_OBJECT, nullptr, nullptr);
  settings.extra_fields = std::shared_ptr<const GstStructure>(
      bad, [](const GstStructure* s) { gst_structure_free(const_cast<GstStructure*>(s)); });
  const auto refused = make_engine_config(settings, false);
  ck_assert(!refused.ok());
  ck_assert_ptr_nonnull(std::strstr(refused.error().message.c_str(), "extra-fields"));
}
END_TEST

START_TEST(what_is_wrong_is_named) {
  struct Case {
    const char* named;
    std::function<void(SinkSettings&)> set;
    bool live = false;
  };
  const std::vector<Case> cases = {
      {"api-key", [](SinkSettings& s) { s.api_key = ""; }},
      {"base-url", [](SinkSettings& s) { s.base_url = "ftp://x"; }},
      {"language-code",
       [](SinkSettings& s) {
         s.language_code = "en";
         s.languages = {"fr"};
       }},
      {"proxy", [](SinkSettings& s) { s.proxy = "nonsense"; }},
      {"tls-ca-file", [](SinkSettings& s) { s.tls_ca_file = "/nonexistent/ca.pem"; }},
      {"job-id", [](SinkSettings& s) { s.job_id = "a b"; }},
      {"job-id", [](SinkSettings& s) { s.job_id = "\xc3\xa4"; }},
      {"job-id", [](SinkSettings& s) { s.job_id = std::string(1, '\0'); }},
      {"job-id", [](SinkSettings& s) { s.job_id = std::string(129, 'a'); }},
      {"max-chunk-duration", [](SinkSettings& s) { s.max_chunk_duration = 28; }},
      {"min-chunk-duration", [](SinkSettings& s) { s.min_chunk_duration = 15 * GST_SECOND; }},
      {"min-chunk-duration",
       [](SinkSettings& s) {
         s.max_chunk_duration = 8 * GST_SECOND;
         s.min_chunk_duration = 5 * GST_SECOND;
       },
       true},
      {"forced-overlap",
       [](SinkSettings& s) {
         s.max_chunk_duration = 8 * GST_SECOND;
         s.forced_overlap = 2 * GST_SECOND;
       }},
      {"retry-delay", [](SinkSettings& s) { s.max_retry_delay = 100; }},
      {"prompt", [](SinkSettings& s) { s.prompt = std::string(kMaxBodyBytes, 'a'); }},
      {"redis-uri", [](SinkSettings& s) { s.redis_uri = "http://:secret@host"; }},
      {"redis-policy", [](SinkSettings& s) { s.redis_policy = RedisPolicy::kRequired; }},
      {"redis-consumer-group", [](SinkSettings& s) { s.redis_consumer_group = "g"; }},
  };
  for (const Case& c : cases) {
    SinkSettings settings = usable();
    c.set(settings);
    const auto config = make_engine_config(settings, c.live);
    ck_assert_msg(!config.ok(), "%s", c.named);
    const std::string& message = config.error().message;
    ck_assert_msg(message.find(c.named) != std::string::npos, "%s: %s", c.named, message.c_str());
    ck_assert(message.find("secret") == std::string::npos);
  }
}
END_TEST

START_TEST(job_ids) {
  SinkSettings settings = usable();
  const std::string first = config_of(settings).job_id;
  ck_assert(g_uuid_string_is_valid(first.c_str()));
  ck_assert(config_of(settings).job_id != first);
  for (const std::string& id :
       {std::string("a"), std::string("A-Z_0.9:x"), std::string(128, 'z')}) {
    settings.job_id = id;
    ck_assert(config_of(settings).job_id == id);
  }
  settings.job_id.clear();
  settings.automatic_job_id = first;
  ck_assert(effective_job_id(settings) == first);
}
END_TEST

START_TEST(rate_limit_group_depends_on_who_is_billed) {
  SinkSettings settings = usable();
  const auto group = [&settings] { return config_of(settings).rate_limit_group; };
  const std::string first = group();
  ck_assert_uint_eq(first.size(), std::string("auto-").size() + 16);
  ck_assert(g_str_has_prefix(first.c_str(), "auto-"));
  settings.prompt = "has no part in it";
  ck_assert(group() == first);
  settings.model = "whisper-1";
  const std::string other_model = group();
  settings.api_key = "sk-other";
  const std::string other_key = group();
  settings.base_url = "http://127.0.0.1/v1";
  const std::set<std::string> all = {first, other_model, other_key, group()};
  ck_assert_uint_eq(all.size(), 4);
  settings.rate_limit_group = "mine";
  ck_assert(group() == "mine");
}
END_TEST

std::uint64_t frames(double seconds) { return static_cast<std::uint64_t>(seconds * 16000); }

START_TEST(chunk_sizes) {
  SinkSettings settings;
  Chunker::Config config = make_chunker_config(settings, false);
  ck_assert_uint_eq(config.max_frames, frames(28));
  ck_assert_uint_eq(config.min_frames, frames(12));
  ck_assert_uint_eq(config.pause_frames, 0);
  ck_assert_uint_eq(config.overlap_frames, frames(1));
  ck_assert_double_eq(config.speech_threshold, 8);
  ck_assert(!config.first_pause);
  ck_assert(config.split == SplitMode::kPause);

  config = make_chunker_config(settings, true);
  ck_assert_uint_eq(config.max_frames, frames(10));
  ck_assert_uint_eq(config.min_frames, frames(3));
  ck_assert_uint_eq(config.pause_frames, frames(0.3));
  ck_assert_uint_eq(config.overlap_frames, frames(1));
  ck_assert(config.first_pause);

  settings.max_chunk_duration = 5 * GST_SECOND;
  ck_assert_uint_eq(make_chunker_config(settings, false).min_frames, frames(2.5));
  ck_assert_uint_eq(make_chunker_config(settings, true).max_frames, frames(5));
  ck_assert_uint_eq(make_chunker_config(settings, true).min_frames, frames(2.5));
  settings.min_chunk_duration = GST_SECOND;
  ck_assert_uint_eq(make_chunker_config(settings, false).min_frames, frames(1));
  settings.pause_duration = GST_SECOND / 2;
  ck_assert_uint_eq(make_chunker_config(settings, false).pause_frames, frames(0.5));
  // The first one that is as long, whether the source calls itself live or not (RTMP, HLS).
  ck_assert(make_chunker_config(settings, false).first_pause);
  ck_assert_uint_eq(make_chunker_config(settings, true).pause_frames, frames(0.5));
  settings.split = SplitMode::kFixed;
  ck_assert(make_chunker_config(settings, false).split == SplitMode::kFixed);

  // Accepted before it was known that upstream is live.
  SinkSettings long_minimum = usable();
  long_minimum.min_chunk_duration = 14 * GST_SECOND;
  ck_assert(make_engine_config(long_minimum, false).ok());
  ck_assert(make_engine_config(long_minimum, true).ok());
  ck_assert_uint_eq(make_chunker_config(long_minimum, true).min_frames, frames(5));
}
END_TEST

START_TEST(overlap_fits_into_short_chunks) {
  SinkSettings settings = usable();
  settings.max_chunk_duration = 2 * GST_SECOND;
  ck_assert_uint_eq(make_chunker_config(settings, false).overlap_frames, frames(0.5) - 2);
  settings.max_chunk_duration = GST_SECOND / 10;
  ck_assert_uint_eq(make_chunker_config(settings, true).overlap_frames, frames(0.025) - 2);
  settings.min_chunk_duration = 1;
  ck_assert_uint_eq(make_chunker_config(settings, true).overlap_frames, 0);

  settings = usable();
  settings.forced_overlap = 3 * GST_SECOND;
  ck_assert(make_engine_config(settings, true).ok());
  ck_assert_uint_eq(make_chunker_config(settings, false).overlap_frames, frames(3));
  // Accepted before it was known that upstream is live, with its shorter minimum.
  ck_assert_uint_eq(make_chunker_config(settings, true).overlap_frames, frames(1.5) - 2);
  settings.forced_overlap = 0;
  ck_assert_uint_eq(make_chunker_config(settings, false).overlap_frames, 0);
}
END_TEST

// A job is resumed with the settings that decide where chunks are cut, all of them.
START_TEST(cut_settings_tell_what_decides_the_cuts) {
  std::vector<std::string> texts{make_engine_config(usable(), false)->cut_settings};
  const auto changed = [&](const std::function<void(SinkSettings&)>& change) {
    SinkSettings settings = usable();
    change(settings);
    texts.push_back(make_engine_config(settings, false)->cut_settings);
  };
  changed([](SinkSettings& s) { s.max_chunk_duration = 20 * GST_SECOND; });
  changed([](SinkSettings& s) { s.min_chunk_duration = 5 * GST_SECOND; });
  changed([](SinkSettings& s) { s.split = SplitMode::kFixed; });
  changed([](SinkSettings& s) { s.pause_duration = GST_SECOND; });
  changed([](SinkSettings& s) { s.forced_overlap = 2 * GST_SECOND; });
  changed([](SinkSettings& s) { s.skip_silence = false; });
  changed([](SinkSettings& s) { s.silence_duration = 2 * GST_SECOND; });
  changed([](SinkSettings& s) { s.speech_threshold = 8.25; });
  std::sort(texts.begin(), texts.end());
  ck_assert(std::adjacent_find(texts.begin(), texts.end()) == texts.end());
}
END_TEST

START_TEST(short_chunks_need_no_other_setting) {
  SinkSettings settings = usable();
  settings.max_chunk_duration = GST_SECOND / 10;
  ck_assert(make_engine_config(settings, false).ok());
  settings.max_chunk_duration = 300 * GST_SECOND;
  settings.forced_overlap = 5 * GST_SECOND;
  ck_assert(make_engine_config(settings, true).ok());
  settings.split = SplitMode::kFixed;
  settings.max_chunk_duration = GST_SECOND;
  settings.min_chunk_duration = GST_SECOND;
  ck_assert(make_engine_config(settings, false).ok());
}
END_TEST

START_TEST(live_settings) {
  SinkSettings settings;
  settings.retry_delay = 7;
  settings.max_retry_delay = 8;
  settings.max_server_delay = 9;
  settings.request_timeout = 10;
  settings.retries = -1;
  settings.max_parallel = 3;
  settings.requests_per_second = 0;
  settings.burst = 4;
  settings.on_error = OnError::kAbort;
  settings.leaky = Leaky::kUpstream;
  settings.max_queued_chunks = 2;
  settings.prompt = "q";
  const LiveSettings live = make_live_settings(settings, true);
  ck_assert(live.limits.retry_delay == Milliseconds(7));
  ck_assert(live.limits.max_retry_delay == Milliseconds(8));
  ck_assert(live.limits.max_server_delay == Milliseconds(9));
  ck_assert(live.limits.request_timeout == Milliseconds(10));
  ck_assert(live.limits.chunk_timeout == Milliseconds(60000));
  ck_assert_int_eq(live.limits.retries, -1);
  ck_assert_uint_eq(live.limits.max_parallel, 3);
  ck_assert((live.rate == RateLimit{0, 4}));
  ck_assert(live.on_error == OnError::kAbort);
  ck_assert(live.leaky == Leaky::kUpstream);
  ck_assert_uint_eq(live.max_queued_chunks, 2);
  ck_assert_str_eq(live.prompt.c_str(), "q");
  settings.chunk_timeout = 5;
  ck_assert(make_live_settings(settings, true).limits.chunk_timeout == Milliseconds(5));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("sink_settings");
  TCase* cases = tcase_create("sink_settings");
  tcase_add_checked_fixture(cases, setup, nullptr);
  tcase_add_test(cases, every_default_reads_back_as_the_spec_says);
  tcase_add_test(cases, every_property_says_what_it_does_and_when);
  tcase_add_test(cases, the_key_is_never_readable);
  tcase_add_test(cases, temperature_is_what_the_service_takes);
  tcase_add_test(cases, unknown_ids_are_refused);
  tcase_add_test(cases, every_value_that_is_set_reads_back);
  tcase_add_test(cases, null_strings_restore_the_default);
  tcase_add_test(cases, environment_gives_defaults);
  tcase_add_test(cases, text_sets_arrays_flags_and_structures);
  tcase_add_test(cases, redis_uri_hides_the_password);
  tcase_add_test(cases, defaults_make_the_documented_configuration);
  tcase_add_test(cases, request_properties_reach_the_request);
  tcase_add_test(cases, extra_fields_become_text);
  tcase_add_test(cases, what_is_wrong_is_named);
  tcase_add_test(cases, job_ids);
  tcase_add_test(cases, rate_limit_group_depends_on_who_is_billed);
  tcase_add_test(cases, chunk_sizes);
  tcase_add_test(cases, short_chunks_need_no_other_setting);
  tcase_add_test(cases, overlap_fits_into_short_chunks);
  tcase_add_test(cases, cut_settings_tell_what_decides_the_cuts);
  tcase_add_test(cases, live_settings);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
