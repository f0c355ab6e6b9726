// What goes over the wire for which properties, and in which order answers come out.
#include <gst/gst.h>

#include <algorithm>
#include <clocale>
#include <set>

#include "requests_test.h"

using namespace transcribe::testing;

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
  tcase_add_test(tests, test_prompt_changed_between_attempts);
  tcase_add_test(tests, test_prompt_of_a_format_without_one);
  tcase_add_test(tests, test_context);
  tcase_add_test(tests, test_prompt_while_playing);
  tcase_add_test(tests, test_model_changes_at_the_next_start);
  tcase_add_test(tests, test_numbers_where_the_point_is_a_comma);
  tcase_add_test(tests, test_environment);
  tcase_add_test(tests, test_idempotency_keys);
  tcase_add_test(tests, test_connections_are_kept);
  tcase_add_test(tests, test_reversed_replies);
  return suite;
}
GST_CHECK_MAIN(requests);
