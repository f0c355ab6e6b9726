// What goes over the wire for which properties, in which order answers come out, and what must
// never show anywhere.
#include <gst/gst.h>

#include <algorithm>
#include <clocale>
#include <cstring>
#include <mutex>
#include <set>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kSecond = 16000;
const char* const kFixed = "split=fixed max-chunk-duration=1000000000 ";
const char* const kKey = "sk-test-0123456789abcdef";

using Strings = std::vector<std::string>;

void begin(PadFeed& feed) {
  feed.play();
  feed.caps(SinkPipeline::kMono16k);
  feed.plain_segment();
}

// Full chunks, one after the other.
void seconds(PadFeed& feed, unsigned count) {
  static unsigned seed = 0;
  for (unsigned i = 0; i < count; i++) feed.samples(noise(kSecond, ++seed), GST_CLOCK_TIME_NONE);
}

void run_pipeline(const std::string& url, const std::string& properties, unsigned chunks = 1) {
  PadFeed feed(url, kFixed + properties);
  begin(feed);
  seconds(feed, chunks);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
}

FakeService::Options lenient() {
  FakeService::Options options;
  options.check = false;
  return options;
}

// The one request that these properties give, to a service that holds it against the description.
Request request_for(const std::string& properties) {
  FakeService service;
  run_pipeline(service.url(), properties);
  for (const std::string& violation : service.violations())
    ck_abort_msg("%s: %s", properties.c_str(), violation.c_str());
  ck_assert_uint_eq(service.requests().size(), 1);
  return service.requests()[0];
}

std::string root_of(const FakeService& service) {
  return "http://127.0.0.1:" + std::to_string(service.port());
}

void assert_text(const std::string& found, const std::string& wanted) {
  ck_assert_str_eq(found.c_str(), wanted.c_str());
}

void assert_fields(const Request& request, const char* name, const Strings& wanted) {
  const Strings found = request.fields(name);
  std::string text;
  for (const std::string& value : found) text += " '" + value + "'";
  ck_assert_msg(found == wanted, "%s is%s", name, text.c_str());
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

std::string read_file(const std::string& path) {
  char* content = nullptr;
  gsize length = 0;
  ck_assert(g_file_get_contents(path.c_str(), &content, &length, nullptr));
  std::string text(content, length);
  g_free(content);
  return text;
}

class Directory {
 public:
  Directory() {
    char* path = g_dir_make_tmp("requests-XXXXXX", nullptr);
    path_ = path;
    g_free(path);
  }
  ~Directory() {
    char* command = g_strdup_printf("rm -r %s", path_.c_str());
    g_spawn_command_line_sync(command, nullptr, nullptr, nullptr, nullptr);
    g_free(command);
  }
  const std::string& path() const { return path_; }
  Strings files() const {
    Strings list;
    GDir* dir = g_dir_open(path_.c_str(), 0, nullptr);
    while (const char* name = g_dir_read_name(dir)) list.push_back(path_ + "/" + name);
    g_dir_close(dir);
    return list;
  }

 private:
  std::string path_;
};

}  // namespace

GST_START_TEST(test_defaults_on_the_wire) {
  const Request request = request_for("");
  assert_text(request.method, "POST");
  assert_text(request.path, "/v1/audio/transcriptions");
  assert_text(request.query, "");
  std::set<std::string> names;
  for (const Part& part : request.parts) names.insert(part.name);
  ck_assert((names == std::set<std::string>{"file", "model", "response_format"}));
  assert_fields(request, "model", {"gpt-transcribe"});
  assert_fields(request, "response_format", {"json"});
  ck_assert(request.file() != nullptr);
  assert_text(request.file()->filename.value_or(""), "chunk-000001.wav");
  assert_text(request.file()->content_type, "audio/wav");
  assert_text(request.header("Accept"), "application/json");
  ck_assert(g_str_has_prefix(request.header("User-Agent").c_str(), "openaitranscribe/"));
  for (const char* name : {"Authorization", "api-key", "OpenAI-Organization", "OpenAI-Project"})
    assert_text(request.header(name), "");
  ck_assert_uint_ge(request.header("Idempotency-Key").size(), 32);
}
GST_END_TEST;

GST_START_TEST(test_form_fields) {
  struct Case {
    const char* properties;
    const char* field;
    Strings values;
  };
  const std::vector<Case> cases = {
      {"model=whisper-1", "model", {"whisper-1"}},
      {"language-code=de", "language", {"de"}},
      {"languages=<en,fr>", "languages[]", {"en", "fr"}},
      {"keywords=\"<\\\"Ada Lovelace\\\",GStreamer>\"",
       "keywords[]",
       {"Ada Lovelace", "GStreamer"}},
      {"prompt=\"Zwölf Boxkämpfer, \\\"laut\\\"\"", "prompt", {"Zwölf Boxkämpfer, \"laut\""}},
      {"temperature=0", "temperature", {"0"}},
      {"temperature=0.25", "temperature", {"0.25"}},
      {"temperature=1", "temperature", {"1"}},
      {"temperature=-1", "temperature", {}},
      {"response-format=json", "response_format", {"json"}},
      {"model=whisper-1 response-format=verbose-json", "response_format", {"verbose_json"}},
      {"model=gpt-4o-transcribe-diarize response-format=diarized-json",
       "response_format",
       {"diarized_json"}},
      {"model=whisper-1 timestamp-granularities=word", "timestamp_granularities[]", {"word"}},
      {"model=whisper-1 timestamp-granularities=word", "response_format", {"verbose_json"}},
      {"model=whisper-1 timestamp-granularities=segment+word",
       "timestamp_granularities[]",
       {"segment", "word"}},
      {"logprobs=true", "include[]", {"logprobs"}},
      {"logprobs=true", "response_format", {"json"}},
      {"chunking-strategy=auto", "chunking_strategy", {"auto"}},
      {"chunking-strategy=none", "chunking_strategy", {}},
      {"task=translate model=whisper-1 prompt=hint temperature=0.5", "prompt", {"hint"}},
      {"task=translate model=whisper-1 prompt=hint temperature=0.5", "temperature", {"0.5"}},
  };
  for (const Case& test : cases)
    assert_fields(request_for(test.properties), test.field, test.values);
}
GST_END_TEST;

GST_START_TEST(test_translation) {
  const Request request = request_for("task=translate model=whisper-1");
  assert_text(request.path, "/v1/audio/translations");
}
GST_END_TEST;

GST_START_TEST(test_extra_fields) {
  FakeService service(lenient());
  run_pipeline(service.url(),
               "extra-fields=\"f,vad_filter=true,beam_size=(int)5,hotwords=<alpha,beta>\"");
  const Request request = service.requests()[0];
  assert_fields(request, "vad_filter", {"true"});
  assert_fields(request, "beam_size", {"5"});
  assert_fields(request, "hotwords", {"alpha", "beta"});
}
GST_END_TEST;

GST_START_TEST(test_headers) {
  struct Case {
    std::string properties;
    const char* header;
    std::string value;
  };
  const std::string key = std::string("api-key=") + kKey + " ";
  const std::vector<Case> cases = {
      {key, "Authorization", std::string("Bearer ") + kKey},
      {key, "api-key", ""},
      {key + "auth-scheme=bearer", "Authorization", std::string("Bearer ") + kKey},
      {key + "auth-scheme=api-key", "api-key", kKey},
      {key + "auth-scheme=api-key", "Authorization", ""},
      {key + "auth-scheme=none", "Authorization", ""},
      {key + "auth-scheme=none", "api-key", ""},
      {"organization=org-1", "OpenAI-Organization", "org-1"},
      {"project=proj-1", "OpenAI-Project", "proj-1"},
      {"extra-headers=\"h,X-Team=blue,X-Number=(int)3\"", "X-Team", "blue"},
      {"extra-headers=\"h,X-Team=blue,X-Number=(int)3\"", "X-Number", "3"},
      {"auth-scheme=none extra-headers=\"h,Authorization=(string)\\\"Basic abc\\\"\"",
       "Authorization", "Basic abc"},
  };
  for (const Case& test : cases)
    assert_text(request_for(test.properties).header(test.header), test.value);
}
GST_END_TEST;

GST_START_TEST(test_urls) {
  struct Case {
    const char* suffix;
    const char* path;
    const char* query;
  };
  const char* const kPath = "/v1/audio/transcriptions";
  const char* const kAzure = "/openai/deployments/speech/audio/transcriptions";
  for (const Case& test :
       {Case{"/v1", kPath, ""}, Case{"/v1/", kPath, ""}, Case{"/v1//", kPath, ""},
        Case{"/v1/audio/transcriptions", kPath, ""}, Case{"/v1/audio/transcriptions/", kPath, ""},
        Case{"/v1/audio/translations", kPath, ""},
        Case{"/openai/deployments/speech?api-version=2025-03-01-preview", kAzure,
             "api-version=2025-03-01-preview"},
        Case{"/openai/deployments/speech/?api-version=1&x=%20y", kAzure, "api-version=1&x=%20y"}}) {
    FakeService service;
    run_pipeline(root_of(service) + test.suffix, "");
    ck_assert_msg(service.violations().empty(), "%s", test.suffix);
    assert_text(service.requests()[0].path, test.path);
    assert_text(service.requests()[0].query, test.query);
  }
}
GST_END_TEST;

// A server at the root has no /v1.
GST_START_TEST(test_url_without_a_path) {
  FakeService service(lenient());
  run_pipeline(root_of(service), "");
  run_pipeline(root_of(service) + "/", "");
  for (const Request& request : service.requests())
    assert_text(request.path, "/audio/transcriptions");
}
GST_END_TEST;

// What is sent again is the same request.
GST_START_TEST(test_prompt_changed_between_attempts) {
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer = request.attempt == 1 ? Answer::error(503) : Answer();
    answer.gate = std::to_string(request.number);
    return answer;
  });
  PadFeed feed(service.url(), std::string(kFixed) + "prompt=first retry-delay=1");
  begin(feed);
  seconds(feed, 1);
  ck_assert(service.wait_for_requests(1, std::chrono::seconds(20)));
  g_object_set(feed.pipeline().sink(), "prompt", "second", nullptr);
  for (const char* number : {"0", "1"}) service.open_gate(number);
  ck_assert(service.wait_for_answers(2, std::chrono::seconds(20)));
  for (const char* number : {"2", "3"}) service.open_gate(number);
  seconds(feed, 1);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 4);
  for (unsigned i = 0; i < 4; i += 2) {
    assert_fields(requests[i], "prompt", {i == 0 ? "first" : "second"});
    assert_fields(requests[i + 1], "prompt", {i == 0 ? "first" : "second"});
    ck_assert_uint_eq(requests[i + 1].attempt, 2);
    assert_text(requests[i + 1].header("Idempotency-Key"), requests[i].header("Idempotency-Key"));
  }
}
GST_END_TEST;

// The format has no prompt: refused at the start, and told when it comes later.
GST_START_TEST(test_prompt_of_a_format_without_one) {
  FakeService service;
  PadFeed feed(service.url(), std::string(kFixed) +
                                  "model=gpt-4o-transcribe-diarize response-format=diarized-json");
  begin(feed);
  for (const char* prompt : {"", "first", "second"}) {
    seconds(feed, 1);
    g_object_set(feed.pipeline().sink(), "prompt", prompt, nullptr);
  }
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  const auto warnings = feed.pipeline().warnings();
  ck_assert_uint_eq(warnings.size(), 1);
  ck_assert_msg(contains(warnings[0], "prompt") && contains(warnings[0], "diarized-json"), "%s",
                warnings[0].c_str());
  for (const Request& request : service.requests()) assert_fields(request, "prompt", {});
  ck_assert(service.violations().empty());
}
GST_END_TEST;

// What each value of `context` sends with three chunks, one request at a time.
GST_START_TEST(test_context) {
  const struct {
    const char* context;
    std::vector<Strings> prompts;
  } cases[] = {
      {"", {{"Names"}, {"Names"}, {"Names"}}},
      {"context=none", {{}, {}, {}}},
      {"context=static", {{"Names"}, {"Names"}, {"Names"}}},
      {"context=previous", {{"Names"}, {"Names said1"}, {"Names said1 said2"}}},
  };
  for (const auto& one : cases) {
    FakeService service;
    service.answer_with([](const Request& request) {
      Answer answer;
      answer.body = R"({"text":"said)" + std::to_string(*request.chunk) + "\"}";
      return answer;
    });
    run_pipeline(service.url(), std::string("max-parallel=1 prompt=Names ") + one.context, 3);
    const auto chunks = sent_chunks(service);
    ck_assert_uint_eq(chunks.size(), one.prompts.size());
    for (std::size_t i = 0; i < chunks.size(); i++)
      assert_fields(chunks[i], "prompt", one.prompts[i]);
  }
}
GST_END_TEST;

GST_START_TEST(test_prompt_while_playing) {
  FakeService service;
  PadFeed feed(service.url(), std::string(kFixed) + "prompt=first");
  begin(feed);
  const char* const kPrompts[] = {"second", "", "third"};
  seconds(feed, 1);
  for (unsigned i = 0; i < 3; i++) {
    ck_assert(service.wait_for_answers(i + 1, std::chrono::seconds(20)));
    g_object_set(feed.pipeline().sink(), "prompt", kPrompts[i], nullptr);
    seconds(feed, 1);
  }
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  const auto chunks = sent_chunks(service);
  ck_assert_uint_eq(chunks.size(), 4);
  assert_fields(chunks[0], "prompt", {"first"});
  assert_fields(chunks[1], "prompt", {"second"});
  assert_fields(chunks[2], "prompt", {});
  assert_fields(chunks[3], "prompt", {"third"});
}
GST_END_TEST;

// What can't change while playing is as it was at the start.
GST_START_TEST(test_model_changes_at_the_next_start) {
  FakeService service;
  PadFeed feed(service.url(), std::string(kFixed) + "model=whisper-1");
  begin(feed);
  seconds(feed, 1);
  g_object_set(feed.pipeline().sink(), "model", "gpt-4o-transcribe", nullptr);
  seconds(feed, 1);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  for (const Request& request : service.requests()) assert_fields(request, "model", {"whisper-1"});
}
GST_END_TEST;

namespace {

// A language that writes 0,25: installed, or made for the test. False: not on this system.
bool set_comma_locale(const Directory& directory) {
  const std::string path = directory.path() + "/de_DE.UTF-8";
  if (std::setlocale(LC_ALL, "de_DE.UTF-8") == nullptr) {
    const std::string command = "localedef -i de_DE -f UTF-8 " + path;
    g_spawn_command_line_sync(command.c_str(), nullptr, nullptr, nullptr, nullptr);
    g_setenv("LOCPATH", directory.path().c_str(), TRUE);
    if (std::setlocale(LC_ALL, "de_DE.UTF-8") == nullptr) return false;
  }
  char text[8];
  g_snprintf(text, sizeof text, "%.2f", 0.25);
  ck_assert_str_eq(text, "0,25");
  return true;
}

}  // namespace

GST_START_TEST(test_numbers_where_the_point_is_a_comma) {
  FakeService service(lenient());
  const Directory directory;
  PadFeed feed(service.url(), kFixed);
  g_object_set(feed.pipeline().sink(), "temperature", 0.25, nullptr);
  GstStructure* fields = gst_structure_new("f", "threshold", G_TYPE_DOUBLE, 0.5, nullptr);
  g_object_set(feed.pipeline().sink(), "extra-fields", fields, nullptr);
  gst_structure_free(fields);
  if (!set_comma_locale(directory)) g_printerr("no locale with a comma on this system\n");
  begin(feed);
  seconds(feed, 1);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  std::setlocale(LC_ALL, "C");
  assert_fields(service.requests()[0], "temperature", {"0.25"});
  assert_fields(service.requests()[0], "threshold", {"0.5"});
}
GST_END_TEST;

GST_START_TEST(test_environment) {
  FakeService service;
  g_setenv("OPENAI_BASE_URL", service.url().c_str(), TRUE);
  g_setenv("OPENAI_API_KEY", kKey, TRUE);
  g_setenv("OPENAI_ORG_ID", "org-env", TRUE);
  g_setenv("OPENAI_PROJECT_ID", "proj-env", TRUE);
  run_pipeline("", "");
  run_pipeline("", "api-key=sk-other-key organization=org-set project=proj-set");
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 2);
  assert_text(requests[0].header("Authorization"), std::string("Bearer ") + kKey);
  assert_text(requests[0].header("OpenAI-Organization"), "org-env");
  assert_text(requests[0].header("OpenAI-Project"), "proj-env");
  assert_text(requests[1].header("Authorization"), "Bearer sk-other-key");
  assert_text(requests[1].header("OpenAI-Organization"), "org-set");
  assert_text(requests[1].header("OpenAI-Project"), "proj-set");

  FakeService other;
  run_pipeline(other.url(), "");
  ck_assert_uint_eq(other.requests().size(), 1);
  ck_assert_uint_eq(service.requests().size(), 2);
}
GST_END_TEST;

GST_START_TEST(test_idempotency_keys) {
  FakeService service;
  service.answer_with(
      [](const Request& request) { return request.attempt < 3 ? Answer::error(503) : Answer(); });
  const auto run = [&](const std::string& job_id, unsigned seed) {
    const std::size_t before = service.requests().size();
    PadFeed feed(service.url(),
                 std::string(kFixed) + "retry-delay=1 max-retry-delay=1 job-id=" + job_id);
    begin(feed);
    for (unsigned i = 0; i < 3; i++) feed.samples(noise(kSecond, seed), GST_CLOCK_TIME_NONE);
    ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
    std::map<std::uint64_t, std::set<std::string>> keys;
    const auto requests = service.requests();
    for (std::size_t i = before; i < requests.size(); i++)
      keys[*requests[i].chunk].insert(requests[i].header("Idempotency-Key"));
    return keys;
  };
  const auto keys = run("one", 1);
  ck_assert_uint_eq(service.requests().size(), 9);
  ck_assert_uint_eq(keys.size(), 3);
  std::set<std::string> all;
  for (const auto& [chunk, own] : keys) {
    ck_assert_uint_eq(own.size(), 1);  // over three attempts
    all.insert(*own.begin());
  }
  ck_assert_uint_eq(all.size(), 3);  // though the audio is the same
  // Started again with the same audio, with other audio, and as another job.
  ck_assert(run("one", 1) == keys);
  ck_assert(run("one", 2) != keys);
  ck_assert(run("two", 1) != keys);
}
GST_END_TEST;

GST_START_TEST(test_connections_are_kept) {
  FakeService service;
  run_pipeline(service.url(), "max-parallel=3", 50);
  ck_assert_uint_eq(service.requests().size(), 50);
  ck_assert_uint_le(service.connections(), 3);
  ck_assert_uint_le(service.max_in_flight(), 3);
}
GST_END_TEST;

GST_START_TEST(test_reversed_replies) {
  constexpr unsigned kChunks = 8;
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    answer.gate = std::to_string(*request.chunk);
    return answer;
  });
  const Directory directory;
  const std::string path = directory.path() + "/talk.txt";
  PadFeed feed(service.url(), std::string(kFixed) + "max-parallel=8 location=" + path);
  begin(feed);
  seconds(feed, kChunks);
  ck_assert(service.wait_for_requests(kChunks, std::chrono::seconds(20)));
  for (unsigned chunk = kChunks; chunk > 1; chunk--) {
    service.open_gate(std::to_string(chunk));
    ck_assert(service.wait_for_answers(kChunks + 1 - chunk, std::chrono::seconds(20)));
  }
  feed.pipeline().collect();
  ck_assert_uint_eq(feed.pipeline().count("openaitranscribe/result"), 0);
  ck_assert_uint_eq(feed.pipeline().count("openaitranscribe/text"), 0);
  service.open_gate("1");
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);

  std::string lines;
  std::string joined;
  for (const char* name : {"openaitranscribe/result", "openaitranscribe/text"}) {
    const auto messages = feed.pipeline().named(name);
    ck_assert_uint_eq(messages.size(), kChunks);
    for (unsigned i = 0; i < kChunks; i++) {
      ck_assert_uint_eq(uint64_field(messages[i], "chunk-index"), i);
      ck_assert_uint_eq(uint64_field(messages[i], "timestamp"), i * GST_SECOND);
    }
  }
  for (unsigned i = 1; i <= kChunks; i++) {
    lines += "chunk " + std::to_string(i) + "\n";
    joined += (i > 1 ? " chunk " : "chunk ") + std::to_string(i);
  }
  assert_text(feed.pipeline().transcript(), joined);
  assert_text(read_file(path), lines);
}
GST_END_TEST;

namespace {

const std::string kUnused =
    "identity openaitranscribesink name=sink base-url=http://127.0.0.1:1/v1 ";

void assert_refused(SinkPipeline& pipeline, const char* named, const char* what) {
  ck_assert_msg(pipeline.try_state(GST_STATE_READY) == GST_STATE_CHANGE_FAILURE, "%s", what);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  const GError* error = pipeline.error();
  ck_assert_msg(g_error_matches(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS), "%s: %s",
                what, error->message);
  ck_assert_msg(contains(error->message, named), "%s: %s", what, error->message);
  for (const char* secret : {"sk-line", "word@", ":word"})
    ck_assert_msg(!contains(error->message, secret), "%s", error->message);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 0);
}

}  // namespace

GST_START_TEST(test_what_is_wrong_is_refused) {
  struct Case {
    const char* properties;
    const char* named;
  };
  const std::vector<Case> cases = {
      {"language-code=en languages=<fr>", "languages"},
      {"keywords=<\"a<b\">", "keywords"},
      {"temperature=-0.5", "temperature"},
      {"task=translate language-code=en", "language-code"},
      {"task=translate languages=<en>", "languages"},
      {"task=translate keywords=<en>", "keywords"},
      {"task=translate timestamp-granularities=word", "timestamp-granularities"},
      {"task=translate logprobs=true", "logprobs"},
      {"task=translate chunking-strategy=auto", "chunking-strategy"},
      {"task=translate response-format=diarized-json", "response-format"},
      {"timestamp-granularities=word response-format=json", "timestamp-granularities"},
      {"timestamp-granularities=word response-format=diarized-json", "timestamp-granularities"},
      {"logprobs=true response-format=verbose-json", "logprobs"},
      {"logprobs=true timestamp-granularities=word", "logprobs"},
      {"prompt=x response-format=diarized-json", "prompt"},
      {"auth-scheme=api-key", "api-key"},
      {"base-url=https://api.openai.com/v1", "api-key"},
      {"base-url=ftp://127.0.0.1/v1", "base-url"},
      {"base-url=127.0.0.1:8000", "base-url"},
      {"base-url=http:///v1", "base-url"},
      {"base-url=http://user:word@127.0.0.1/v1", "base-url"},
      {"base-url=http://127.0.0.1/v1#there", "base-url"},
      {"base-url=\"http://127.0.0.1/a b\"", "base-url"},
      {"api-key=\"sk-line\nend\"", "api-key"},
      {"organization=\"a\nb\"", "organization"},
      {"project=\"a\nb\"", "project"},
      {"extra-headers=\"h,Host=x\"", "extra-headers"},
      {"extra-headers=\"h,Authorization=x\"", "extra-headers"},
      {"extra-headers=\"h,OpenAI-Project=x\"", "project"},
      {"extra-fields=\"f,file=x\"", "extra-fields"},
      {"extra-fields=\"f,stream=true\"", "extra-fields"},
      {"extra-fields=\"f,model=x\"", "model"},
      {"proxy=nonsense", "proxy"},
      {"tls-ca-file=/nonexistent/ca.pem", "tls-ca-file"},
      {"max-chunk-duration=1000", "max-chunk-duration"},
      {"min-chunk-duration=20000000000", "min-chunk-duration"},
      {"max-chunk-duration=8000000000 forced-overlap=3000000000", "forced-overlap"},
      {"retry-delay=5000 max-retry-delay=100", "retry-delay"},
      {"job-id=\"a b\"", "job-id"},
      {"redis-uri=http://:word@127.0.0.1", "redis-uri"},
      {"redis-uri=redis://127.0.0.1 redis-key-prefix=a{b", "redis-key-prefix"},
      {"redis-policy=required", "redis-policy"},
      {"redis-consumer-group=g", "redis-consumer-group"},
      {"journal-directory=/proc/none", "journal-directory"},
  };
  for (const Case& test : cases) {
    SinkPipeline pipeline(kUnused + test.properties);
    assert_refused(pipeline, test.named, test.properties);
  }
  // What the parser can't write.
  SinkPipeline pipeline(kUnused);
  g_object_set(pipeline.sink(), "model", "", nullptr);
  assert_refused(pipeline, "model", "an empty model");
}
GST_END_TEST;

GST_START_TEST(test_starts_once_it_is_put_right) {
  FakeService service;
  PadFeed feed(service.url(), "split=fixed language-code=en languages=<fr>");
  ck_assert_int_eq(feed.pipeline().try_state(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
  feed.pipeline().set_state(GST_STATE_NULL);
  g_object_set(feed.pipeline().sink(), "language-code", nullptr, nullptr);
  feed.pipeline().collect();
  begin(feed);
  seconds(feed, 1);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
  assert_fields(service.requests()[0], "languages[]", {"fr"});
}
GST_END_TEST;

GST_START_TEST(test_key_over_plain_http) {
  const auto warnings_for = [](const char* properties) {
    SinkPipeline pipeline(std::string("identity openaitranscribesink name=sink ") + properties);
    pipeline.set_state(GST_STATE_READY);
    pipeline.collect();
    return pipeline.warnings();
  };
  const std::string key = std::string(" api-key=") + kKey;
  const auto warnings = warnings_for(("base-url=http://192.0.2.1/v1" + key).c_str());
  ck_assert_uint_eq(warnings.size(), 1);
  ck_assert(contains(warnings[0], "base-url"));
  ck_assert(!contains(warnings[0], kKey));
  ck_assert(warnings_for("base-url=http://192.0.2.1/v1").empty());
  ck_assert(warnings_for(("base-url=http://127.0.0.1/v1" + key).c_str()).empty());
  ck_assert(warnings_for(("base-url=http://localhost:80/v1" + key).c_str()).empty());
  ck_assert(warnings_for(("base-url=https://192.0.2.1/v1" + key).c_str()).empty());
  ck_assert(warnings_for(("auth-scheme=none base-url=http://192.0.2.1/v1" + key).c_str()).empty());
}
GST_END_TEST;

namespace {

struct DebugText {
  std::mutex mutex;
  std::string all;
  std::size_t ours = 0;
};

void collect_debug(GstDebugCategory* category, GstDebugLevel, const gchar*, const gchar*, gint,
                   GObject*, GstDebugMessage* message, gpointer data) {
  auto* text = static_cast<DebugText*>(data);
  const std::string line = gst_debug_message_get(message);  // may log itself
  const std::lock_guard<std::mutex> lock(text->mutex);
  text->all += line + '\n';
  if (strcmp(gst_debug_category_get_name(category), "openaitranscribesink") == 0) text->ours++;
}

void assert_no_key(const std::string& text, const char* where) {
  const std::size_t at = text.find(std::string(kKey, 8));  // not even its beginning
  if (at == std::string::npos) return;
  const std::size_t begin = at > 120 ? at - 120 : 0;
  ck_abort_msg("the key shows in %s: …%s…", where, text.substr(begin, 300).c_str());
}

std::string text_of(const SinkPipeline& pipeline) {
  std::string text;
  for (const Seen& seen : pipeline.messages()) {
    char* line = nullptr;
    if (const GstStructure* structure = gst_message_get_structure(seen.message)) {
      line = gst_structure_to_string(structure);
      text += line;
      g_free(line);
    }
    GError* error = nullptr;
    if (GST_MESSAGE_TYPE(seen.message) == GST_MESSAGE_ERROR) {
      gst_message_parse_error(seen.message, &error, &line);
    } else if (GST_MESSAGE_TYPE(seen.message) == GST_MESSAGE_WARNING) {
      gst_message_parse_warning(seen.message, &error, &line);
    }
    if (error == nullptr) continue;
    text += std::string(error->message) + (line != nullptr ? line : "");
    g_free(line);
    g_error_free(error);
  }
  return text;
}

std::string readable_properties(GstElement* element) {
  std::string text;
  guint count = 0;
  GParamSpec** specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(element), &count);
  for (guint i = 0; i < count; i++) {
    if ((specs[i]->flags & G_PARAM_READABLE) == 0) continue;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, specs[i]->value_type);
    g_object_get_property(G_OBJECT(element), specs[i]->name, &value);
    const bool unset = G_VALUE_HOLDS_BOXED(&value) && g_value_get_boxed(&value) == nullptr;
    char* line = unset ? g_strdup("") : gst_value_serialize(&value);
    if (line == nullptr) line = g_strdup_value_contents(&value);
    text += line;
    g_free(line);
    g_value_unset(&value);
  }
  g_free(specs);
  return text;
}

std::string dot_of(GstElement* pipeline) {
  char* dot = gst_debug_bin_to_dot_data(GST_BIN(pipeline), GST_DEBUG_GRAPH_SHOW_VERBOSE);
  std::string text = dot;
  g_free(dot);
  return text;
}

// A service that tells everybody what it was told: in errors that are tried again, in one that
// fails its chunk, and in the last that ends the job.
Answer tell_the_key(const Request& request) {
  const std::string message =
      "Incorrect API key provided: " + request.header("Authorization") + request.header("api-key");
  if (*request.chunk == 1 && request.attempt == 1) return Answer::error(503, "", "", message);
  if (*request.chunk == 3) {
    // Where a long text is cut, in the middle of the key.
    Answer answer = Answer::error(422, kKey, kKey, std::string(500, 'x') + kKey, kKey);
    answer.headers = {{"x-request-id", std::string(120, 'x') + kKey}};
    return answer;
  }
  if (*request.chunk == 5) return Answer::error(401, kKey, kKey, message, kKey);
  Answer answer;
  answer.headers = {{"x-request-id", "req-1"}};
  return answer;
}

}  // namespace

GST_START_TEST(test_key_shows_nowhere) {
  DebugText debug;
  gst_debug_set_active(TRUE);
  gst_debug_remove_log_function(nullptr);  // the default one
  // In brackets: the macro of this name is no valid C++.
  (gst_debug_add_log_function)(collect_debug, &debug, nullptr);
  for (const char* scheme : {"bearer", "api-key"}) {
    FakeService service;
    service.answer_with(tell_the_key);
    const Directory directory;
    const std::string path = directory.path() + "/talk.jsonl";
    // After the parser, which logs the whole line.
    PadFeed feed(service.url(), std::string(kFixed) + "max-parallel=1 retry-delay=1 auth-scheme=" +
                                    scheme + " location=" + path);
    gst_debug_set_threshold_from_string("*:6", TRUE);
    GstElement* sink = feed.pipeline().sink();
    g_object_set(sink, "api-key", kKey, nullptr);
    begin(feed);
    seconds(feed, 3);
    ck_assert(service.wait_for_answers(4, std::chrono::seconds(20)));
    const std::string dot = dot_of(feed.pipeline().pipeline());
    ck_assert(contains(dot, "auth-scheme") || contains(dot, "requests-per-second"));
    assert_no_key(dot, "the graph");
    for (unsigned i = 0; i < 2; i++) {
      GstBuffer* buffer = gst_buffer_new_allocate(nullptr, 2 * kSecond, nullptr);
      gst_buffer_memset(buffer, 0, 0, 2 * kSecond);
      feed.push(buffer);
    }
    ck_assert_int_eq(feed.end(), GST_MESSAGE_ERROR);
    assert_no_key(text_of(feed.pipeline()), "a message");
    assert_no_key(readable_properties(sink), "a property");
    assert_no_key(dot_of(feed.pipeline().pipeline()), "the graph");
    feed.pipeline().set_state(GST_STATE_NULL);
    assert_no_key(read_file(path), "the transcript");
    gst_debug_set_threshold_from_string("*:0", TRUE);
    ck_assert(contains(text_of(feed.pipeline()), "Incorrect API key"));
  }
  gst_debug_remove_log_function_by_data(&debug);
  ck_assert_uint_gt(debug.ours, 10);
  ck_assert(contains(debug.all, "POST http"));
  assert_no_key(debug.all, "the debug log");
}
GST_END_TEST;

GST_START_TEST(test_proxy_password_shows_nowhere) {
  DebugText debug;
  gst_debug_set_active(TRUE);
  gst_debug_remove_log_function(nullptr);
  (gst_debug_add_log_function)(collect_debug, &debug, nullptr);
  PadFeed feed("http://service.example/v1", std::string(kFixed) + "retries=0");
  gst_debug_set_threshold_from_string("*:6", TRUE);
  GstElement* sink = feed.pipeline().sink();
  // Nobody listens there.
  const std::string proxy = std::string("http://user:") + kKey + "@127.0.0.1:1";
  g_object_set(sink, "proxy", proxy.c_str(), nullptr);
  char* back = nullptr;
  g_object_get(sink, "proxy", &back, nullptr);
  assert_text(back, "http://user@127.0.0.1:1");
  g_free(back);
  begin(feed);
  seconds(feed, 1);
  assert_no_key(dot_of(feed.pipeline().pipeline()), "the graph");
  ck_assert_int_eq(feed.end(), GST_MESSAGE_ERROR);
  assert_no_key(text_of(feed.pipeline()), "a message");
  assert_no_key(readable_properties(sink), "a property");
  feed.pipeline().set_state(GST_STATE_NULL);
  gst_debug_set_threshold_from_string("*:0", TRUE);
  gst_debug_remove_log_function_by_data(&debug);
  ck_assert_uint_gt(debug.ours, 0);
  assert_no_key(debug.all, "the debug log");
}
GST_END_TEST;

GST_START_TEST(test_key_is_write_only) {
  PadFeed feed("", std::string("api-key=") + kKey);
  GParamSpec* spec =
      g_object_class_find_property(G_OBJECT_GET_CLASS(feed.pipeline().sink()), "api-key");
  ck_assert(spec != nullptr);
  ck_assert_uint_eq(spec->flags & G_PARAM_READABLE, 0);
  ck_assert_uint_ne(spec->flags & G_PARAM_WRITABLE, 0);
}
GST_END_TEST;

// A program that is not instrumented can't load an instrumented plugin.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
GST_START_TEST(test_key_and_gst_launch) {
  FakeService service;
  service.answer_with([](const Request& request) {
    return request.attempt == 1 ? tell_the_key(request) : Answer();
  });
  const Directory directory;
  char** environment = g_get_environ();
  environment = g_environ_setenv(environment, "OPENAI_API_KEY", kKey, TRUE);
  environment = g_environ_setenv(environment, "GST_DEBUG", "*:6", TRUE);
  environment = g_environ_setenv(environment, "GST_DEBUG_NO_COLOR", "1", TRUE);
  environment =
      g_environ_setenv(environment, "GST_DEBUG_DUMP_DOT_DIR", directory.path().c_str(), TRUE);
  const std::string url = "base-url=" + service.url();
  const char* const arguments[] = {"gst-launch-1.0",
                                   "-v",
                                   "-m",
                                   "audiotestsrc",
                                   "samplesperbuffer=4410",
                                   "num-buffers=20",
                                   "!",
                                   "openaitranscribesink",
                                   "split=fixed",
                                   "max-chunk-duration=1000000000",
                                   "requests-per-second=0",
                                   "retry-delay=1",
                                   url.c_str(),
                                   nullptr};
  char* out = nullptr;
  char* err = nullptr;
  int status = 0;
  GError* error = nullptr;
  ck_assert_msg(g_spawn_sync(nullptr, const_cast<char**>(arguments), environment,
                             G_SPAWN_SEARCH_PATH, nullptr, nullptr, &out, &err, &status, &error),
                "%s", error != nullptr ? error->message : "");
  g_strfreev(environment);
  ck_assert_msg(status == 0, "%s", out);
  ck_assert(contains(out, "openaitranscribe/text"));
  ck_assert(contains(err, "openaitranscribesink"));
  assert_no_key(out, "what gst-launch says");
  assert_no_key(err, "GST_DEBUG");
  ck_assert(!directory.files().empty());
  for (const std::string& file : directory.files()) assert_no_key(read_file(file), "a dot file");
  ck_assert_uint_ge(service.requests().size(), 2);
  assert_text(service.requests()[0].header("Authorization"), std::string("Bearer ") + kKey);
  g_free(out);
  g_free(err);
}
GST_END_TEST;
#endif

static Suite* requests_suite(void) {
  Suite* suite = suite_create("requests");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_defaults_on_the_wire);
  tcase_add_test(tests, test_form_fields);
  tcase_add_test(tests, test_translation);
  tcase_add_test(tests, test_extra_fields);
  tcase_add_test(tests, test_headers);
  tcase_add_test(tests, test_urls);
  tcase_add_test(tests, test_url_without_a_path);
  tcase_add_test(tests, test_prompt_of_a_format_without_one);
  tcase_add_test(tests, test_context);
  tcase_add_test(tests, test_prompt_while_playing);
  tcase_add_test(tests, test_prompt_changed_between_attempts);
  tcase_add_test(tests, test_model_changes_at_the_next_start);
  tcase_add_test(tests, test_numbers_where_the_point_is_a_comma);
  tcase_add_test(tests, test_environment);
  tcase_add_test(tests, test_idempotency_keys);
  tcase_add_test(tests, test_connections_are_kept);
  tcase_add_test(tests, test_reversed_replies);
  tcase_add_test(tests, test_what_is_wrong_is_refused);
  tcase_add_test(tests, test_starts_once_it_is_put_right);
  tcase_add_test(tests, test_key_over_plain_http);
  tcase_add_test(tests, test_key_shows_nowhere);
  tcase_add_test(tests, test_proxy_password_shows_nowhere);
  tcase_add_test(tests, test_key_is_write_only);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  tcase_add_test(tests, test_key_and_gst_launch);
#endif
  return suite;
}
GST_CHECK_MAIN(requests);
