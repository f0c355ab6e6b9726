#include <glib.h>

#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conformance.h"
#include "multipart_reader.h"
#include "openai/request.h"
#include "wav_reader.h"

#include "check_main.h"

namespace {

using namespace transcribe;
namespace support = transcribe::testing;

const char* const kUrl = "https://api.openai.com/v1/audio/transcriptions";
using Fields = std::vector<std::pair<std::string, std::string>>;

void check_same(const std::string& is, const std::string& expected) {
  ck_assert_msg(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

BytesPtr make_pcm(std::size_t frames = 1600, char fill = 1) {
  const std::string pcm(frames * 2, fill);
  return BytesPtr(g_bytes_new(pcm.data(), pcm.size()));
}

std::string join(const std::vector<BytesPtr>& body) {
  std::string text;
  for (const BytesPtr& bytes : body) {
    gsize size = 0;
    const auto* data = static_cast<const char*>(g_bytes_get_data(bytes.get(), &size));
    if (size > 0) text.append(data, size);
  }
  return text;
}

HttpRequest build(const RequestSettings& settings, const ServiceSettings& service = {},
                  std::uint64_t index = 0, const std::string& prompt = {}) {
  const BytesPtr pcm = make_pcm();
  return build_request(service, settings, kUrl, pcm.get(), index, prompt, "the-key");
}

std::vector<support::Part> read_parts(const HttpRequest& request) {
  std::vector<support::Part> parts;
  check_same(support::read_multipart(request.content_type, join(request.body), parts), "");
  return parts;
}

// Everything but the file, in order.
Fields read_fields(const HttpRequest& request) {
  Fields fields;
  for (const support::Part& part : read_parts(request)) {
    if (!part.filename) fields.emplace_back(part.name, *part.content);
  }
  return fields;
}

void check_fields(const RequestSettings& settings, const Fields& expected) {
  const Fields fields = read_fields(build(settings));
  std::string text;
  for (const auto& [name, value] : fields) text += name + "=" + value + " ";
  ck_assert_msg(fields == expected, "sent: %s", text.c_str());
}

START_TEST(defaults_send_file_model_and_format) {
  check_fields({}, {{"model", "gpt-transcribe"}, {"response_format", "json"}});
}
END_TEST

START_TEST(every_setting_is_sent_in_order) {
  RequestSettings settings;
  settings.model = "whisper-1";
  settings.language = "en";
  settings.prompt = "two\r\nlines \"quoted\" --\xC3\xA9";
  settings.temperature = 0.2;
  settings.segment_timestamps = true;
  settings.word_timestamps = true;
  settings.chunking_strategy = ChunkingStrategy::kAuto;
  settings.keywords = {"GStreamer", "caps; \"x\""};
  settings.extra_fields = {{"vad", "true"}, {"known_speaker_names[]", "a"}};
  check_fields(settings, {{"model", "whisper-1"},
                          {"language", "en"},
                          {"prompt", settings.prompt},
                          {"response_format", "verbose_json"},
                          {"temperature", "0.2"},
                          {"chunking_strategy", "auto"},
                          {"keywords[]", "GStreamer"},
                          {"keywords[]", "caps; \"x\""},
                          {"timestamp_granularities[]", "segment"},
                          {"timestamp_granularities[]", "word"},
                          {"vad", "true"},
                          {"known_speaker_names[]", "a"}});
  RequestSettings other;
  other.languages = {"en", "fr"};
  other.logprobs = true;
  check_fields(other, {{"model", "gpt-transcribe"},
                       {"response_format", "json"},
                       {"languages[]", "en"},
                       {"languages[]", "fr"},
                       {"include[]", "logprobs"}});
}
END_TEST

START_TEST(translations_send_what_they_may) {
  RequestSettings settings;
  settings.task = Task::kTranslate;
  settings.model = "whisper-1";
  settings.prompt = "names";
  settings.temperature = 1;
  // What validate() refuses must not be sent either.
  settings.language = "de";
  settings.languages = {"de"};
  settings.keywords = {"x"};
  settings.logprobs = true;
  settings.chunking_strategy = ChunkingStrategy::kAuto;
  check_fields(settings, {{"model", "whisper-1"},
                          {"prompt", "names"},
                          {"response_format", "json"},
                          {"temperature", "1"}});
}
END_TEST

START_TEST(formats_are_resolved) {
  RequestSettings settings;
  ck_assert(effective_format(settings) == ResponseFormat::kJson);
  settings.word_timestamps = true;
  ck_assert(effective_format(settings) == ResponseFormat::kVerboseJson);
  settings.word_timestamps = false;
  settings.segment_timestamps = true;
  ck_assert(effective_format(settings) == ResponseFormat::kVerboseJson);
  settings.response_format = ResponseFormat::kJson;
  ck_assert(effective_format(settings) == ResponseFormat::kJson);
  const auto sent = [](ResponseFormat format) {
    RequestSettings explicitly;
    explicitly.response_format = format;
    return read_fields(build(explicitly)).at(1).second;
  };
  check_same(sent(ResponseFormat::kJson), "json");
  check_same(sent(ResponseFormat::kVerboseJson), "verbose_json");
  check_same(sent(ResponseFormat::kDiarizedJson), "diarized_json");
}
END_TEST

START_TEST(temperature_is_short_and_has_a_point) {
  for (const auto& [value, text] : std::vector<std::pair<double, std::string>>{
           {0.0, "0"}, {-0.0, "0"}, {1.0, "1"}, {0.1, "0.1"}, {0.25, "0.25"}, {0.3, "0.3"}}) {
    RequestSettings settings;
    settings.temperature = value;
    check_same(read_fields(build(settings)).at(2).second, text);
  }
}
END_TEST

START_TEST(prompt_of_the_request_replaces_the_settings) {
  RequestSettings settings;
  settings.prompt = "old";
  check_same(read_fields(build(settings, {}, 0, "new")).at(1).second, "new");
  check_same(read_fields(build(settings, {}, 0, "")).at(1).second, "old");
  settings.prompt.clear();
  settings.response_format = ResponseFormat::kDiarizedJson;
  ck_assert_uint_eq(read_fields(build(settings, {}, 0, "new")).size(), 2);
}
END_TEST

START_TEST(file_is_the_first_part_and_a_wav) {
  const BytesPtr pcm = make_pcm(16000);
  const HttpRequest request = build_request({}, {}, kUrl, pcm.get(), 0, "", "k");
  const auto parts = read_parts(request);
  ck_assert(parts.at(0).name == "file" && parts[0].filename);
  check_same(*parts[0].filename, "chunk-000001.wav");
  check_same(parts[0].content_type, "audio/wav");
  std::string error;
  const auto samples = support::read_wav(*parts[0].content, error);
  check_same(error, "");
  ck_assert(samples && samples->size() == 16000 && samples->at(7) == 0x0101);
}
END_TEST

START_TEST(file_names_count_from_one) {
  const auto name = [](std::uint64_t index) {
    return *read_parts(build({}, {}, index)).at(0).filename;
  };
  check_same(name(41), "chunk-000042.wav");
  check_same(name(999999), "chunk-1000000.wav");
}
END_TEST

START_TEST(audio_is_not_copied) {
  const BytesPtr pcm = make_pcm();
  const HttpRequest request = build_request({}, {}, kUrl, pcm.get(), 0, "", "k");
  bool found = false;
  for (const BytesPtr& bytes : request.body) {
    found = found || g_bytes_get_data(bytes.get(), nullptr) == g_bytes_get_data(pcm.get(), nullptr);
  }
  ck_assert(found);
}
END_TEST

START_TEST(size_is_known_before) {
  RequestSettings settings;
  settings.prompt = "some words";
  settings.keywords = {"a", "b"};
  for (const std::size_t frames : {1600u, 16000u}) {
    const BytesPtr pcm = make_pcm(frames);
    const auto body = build_request({}, settings, kUrl, pcm.get(), 5, "", "k").body;
    ck_assert_uint_eq(body_size(settings, frames * 2), join(body).size());
  }
}
END_TEST

std::string header(const HttpRequest& request, const char* name) {
  return find_header(request.headers, name).value_or("(none)");
}

START_TEST(headers_follow_the_settings) {
  ServiceSettings service;
  service.api_key = "sk-1";
  service.organization = "org-1";
  service.project = "proj-1";
  service.extra_headers = {{"X-Gateway", "g"}, {"X-Gateway", "h"}};
  const HttpRequest request = build({}, service);
  const Headers expected = {{"Authorization", "Bearer sk-1"},
                            {"OpenAI-Organization", "org-1"},
                            {"OpenAI-Project", "proj-1"},
                            {"Accept", "application/json"},
                            {"Idempotency-Key", "the-key"},
                            {"X-Gateway", "g"},
                            {"X-Gateway", "h"}};
  ck_assert(request.headers == expected);
  check_same(request.url, kUrl);
  ck_assert(request.content_type.starts_with("multipart/form-data; boundary="));
}
END_TEST

START_TEST(key_goes_where_the_scheme_says) {
  ServiceSettings service;
  service.api_key = "sk-1";
  service.auth_scheme = AuthScheme::kApiKey;
  check_same(header(build({}, service), "api-key"), "sk-1");
  check_same(header(build({}, service), "Authorization"), "(none)");
  service.auth_scheme = AuthScheme::kNone;
  check_same(header(build({}, service), "api-key"), "(none)");
  check_same(header(build({}, service), "Authorization"), "(none)");
  service.auth_scheme = AuthScheme::kBearer;
  service.api_key.clear();
  check_same(header(build({}, service), "Authorization"), "(none)");
  check_same(header(build({}, service), "OpenAI-Organization"), "(none)");
}
END_TEST

START_TEST(key_appears_in_its_header_only) {
  ServiceSettings service;
  service.api_key = "sk-unique-secret";
  const HttpRequest request = build({}, service);
  ck_assert(join(request.body).find("sk-unique") == std::string::npos);
  ck_assert(request.url.find("sk-unique") == std::string::npos);
}
END_TEST

// Every way of changing what shapes the answers, once.
std::vector<RequestSettings> variants() {
  std::vector<RequestSettings> list(1);
  const auto add = [&list](auto change) {
    RequestSettings settings;
    change(settings);
    list.push_back(settings);
  };
  add([](auto& s) { s.model = "whisper-1"; });
  add([](auto& s) { s.task = Task::kTranslate; });
  add([](auto& s) { s.language = "en"; });
  add([](auto& s) { s.languages = {"en"}; });
  add([](auto& s) { s.languages = {"e", "n"}; });
  add([](auto& s) { s.keywords = {"en"}; });
  add([](auto& s) { s.prompt = "en"; });
  add([](auto& s) { s.temperature = 0.0; });
  add([](auto& s) { s.temperature = 0.5; });
  add([](auto& s) { s.response_format = ResponseFormat::kVerboseJson; });
  add([](auto& s) { s.response_format = ResponseFormat::kDiarizedJson; });
  add([](auto& s) { s.segment_timestamps = true; });
  add([](auto& s) { s.word_timestamps = true; });
  add([](auto& s) { s.logprobs = true; });
  add([](auto& s) { s.chunking_strategy = ChunkingStrategy::kAuto; });
  add([](auto& s) { s.extra_fields = {{"a", "bc"}}; });
  add([](auto& s) { s.extra_fields = {{"ab", "c"}}; });
  return list;
}

START_TEST(fingerprint_tells_settings_apart) {
  std::set<std::string> seen;
  for (const RequestSettings& settings : variants()) {
    const std::string fingerprint = settings_fingerprint(settings);
    ck_assert_uint_eq(fingerprint.size(), 64);
    check_same(fingerprint, settings_fingerprint(settings));
    ck_assert_msg(seen.insert(fingerprint).second, "variant %zu looks like another", seen.size());
  }
  RequestSettings automatic, explicitly;
  explicitly.response_format = ResponseFormat::kJson;
  check_same(settings_fingerprint(automatic), settings_fingerprint(explicitly));
}
END_TEST

START_TEST(idempotency_key_is_stable_and_distinct) {
  const std::string pcm = pcm_digest(make_pcm().get()), same = pcm_digest(make_pcm().get()),
                    other = pcm_digest(make_pcm(1600, 2).get());
  const std::string key = idempotency_key("job", 1, pcm, {});
  ck_assert_uint_eq(key.size(), 64);
  check_same(idempotency_key("job", 1, same, {}), key);
  std::set<std::string> seen = {key};
  ck_assert(seen.insert(idempotency_key("job2", 1, pcm, {})).second);
  ck_assert(seen.insert(idempotency_key("job", 2, pcm, {})).second);
  ck_assert(seen.insert(idempotency_key("job", 1, other, {})).second);
  const auto settings = variants();
  for (std::size_t i = 1; i < settings.size(); i++) {
    ck_assert(seen.insert(idempotency_key("job", 1, pcm, settings[i])).second);
  }
}
END_TEST

RequestSettings random_settings(std::mt19937& random) {
  const auto coin = [&random] { return random() % 3 == 0; };
  const auto pick = [&random](auto... choices) {
    const std::vector list = {choices...};
    return list[random() % list.size()];
  };
  RequestSettings settings;
  settings.model = pick("gpt-transcribe", "whisper-1", "my own; \"model\"");
  settings.task = coin() ? Task::kTranslate : Task::kTranscribe;
  if (coin()) settings.language = "en";
  if (coin()) settings.languages = {"en", "fr"};
  if (coin()) settings.keywords = {pick("a", "<b>", "c\nd"), "e"};
  if (coin()) settings.prompt = "two\nlines";
  if (coin()) settings.temperature = pick(0.0, 0.1, 1.0, 1.5, -1.0);
  settings.response_format = pick(ResponseFormat::kAuto, ResponseFormat::kJson,
                                  ResponseFormat::kVerboseJson, ResponseFormat::kDiarizedJson);
  settings.segment_timestamps = coin();
  settings.word_timestamps = coin();
  settings.logprobs = coin();
  if (coin()) settings.chunking_strategy = ChunkingStrategy::kAuto;
  return settings;
}

// The official description as the judge: what validate() lets through is a legal request.
START_TEST(valid_settings_make_legal_requests) {
  const support::Conformance conformance;
  std::mt19937 random(42);
  ServiceSettings service;
  service.api_key = "sk-1";
  unsigned accepted = 0;
  for (unsigned i = 0; i < 4000; i++) {
    const RequestSettings settings = random_settings(random);
    if (!validate(service, settings).ok()) continue;
    accepted++;
    const HttpRequest request = build(settings, service);
    support::Request seen;
    seen.method = "POST";
    seen.path =
        settings.task == Task::kTranslate ? "/v1/audio/translations" : "/v1/audio/transcriptions";
    seen.parts = read_parts(request);
    seen.frames = 1600;
    for (const support::Violation& violation : conformance.check(seen)) {
      ck_abort_msg("%s", violation.message.c_str());
    }
  }
  ck_assert_uint_gt(accepted, 200);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("request");
  TCase* tcase = tcase_create("request");
  tcase_add_test(tcase, defaults_send_file_model_and_format);
  tcase_add_test(tcase, every_setting_is_sent_in_order);
  tcase_add_test(tcase, translations_send_what_they_may);
  tcase_add_test(tcase, formats_are_resolved);
  tcase_add_test(tcase, temperature_is_short_and_has_a_point);
  tcase_add_test(tcase, prompt_of_the_request_replaces_the_settings);
  tcase_add_test(tcase, file_is_the_first_part_and_a_wav);
  tcase_add_test(tcase, file_names_count_from_one);
  tcase_add_test(tcase, audio_is_not_copied);
  tcase_add_test(tcase, size_is_known_before);
  tcase_add_test(tcase, headers_follow_the_settings);
  tcase_add_test(tcase, key_goes_where_the_scheme_says);
  tcase_add_test(tcase, key_appears_in_its_header_only);
  tcase_add_test(tcase, fingerprint_tells_settings_apart);
  tcase_add_test(tcase, idempotency_key_is_stable_and_distinct);
  tcase_add_test(tcase, valid_settings_make_legal_requests);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
