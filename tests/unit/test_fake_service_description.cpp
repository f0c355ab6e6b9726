// The fake service holds requests against the official description of the API.
#include "fake_service_test.h"

using namespace transcribe;
using namespace transcribe::testing;

struct Case {
  const char* name;
  std::string body;
  const char* path = "/v1/audio/transcriptions";
  unsigned status = 400;
};

std::vector<Case> violating_cases() {
  const auto good = [] { return Form::good(); };
  const auto model = [] { return Form().field("model", "m"); };
  return {
      {"unknown field", good().field("seed", "1").body()},
      {"unknown array", good().field("seeds[]", "1").body()},
      {"array without brackets", good().field("languages", "en").body()},
      {"scalar with brackets", good().field("language[]", "en").body()},
      {"array with a key", good().field("languages[a]", "en").body()},
      {"scalar twice", good().field("prompt", "a").field("prompt", "b").body()},
      {"no file", model().body()},
      {"no model", Form().file("a.wav", wav(1600)).body()},
      {"file without a name", Form(model()).file("", wav(1600)).body()},
      {"file without an extension", Form(model()).file("audio", wav(1600)).body()},
      {"file with nothing but an extension", Form(model()).file(".wav", wav(1600)).body()},
      {"file as a plain field", Form(model()).field("file", wav(1600)).body()},
      {"two files", good().file("b.wav", wav(1600)).body()},
      {"broken WAV", Form(model()).file("a.wav", wav(1600) + "x").body()},
      {"shorter than 0.1 s", Form(model()).file("a.wav", wav(1599)).body()},
      {"wrong format", good().field("response_format", "xml").body()},
      {"wrong granularity", good()
                                .field("response_format", "verbose_json")
                                .field("timestamp_granularities[]", "line")
                                .body()},
      {"wrong include", good().field("include[]", "words").body()},
      {"wrong chunking", good().field("chunking_strategy", "server_vad").body()},
      {"unknown chunking key", good().field("chunking_strategy[kind]", "x").body()},
      {"wrong chunking type", good().field("chunking_strategy[type]", "x").body()},
      {"fractional milliseconds",
       good().field("chunking_strategy[prefix_padding_ms]", "1.5").body()},
      {"wrong number", good().field("temperature", "warm").body()},
      {"number with a comma", good().field("temperature", "0,5").body()},
      {"number with a tail", good().field("temperature", "0.5s").body()},
      {"empty number", good().field("temperature", "").body()},
      {"infinite number", good().field("temperature", "inf").body()},
      {"wrong boolean", good().field("stream", "yes").body()},
      {"not UTF-8", good().field("prompt", "\xff").body()},
      {"too many speakers", good()
                                .field("known_speaker_names[]", "a")
                                .field("known_speaker_names[]", "b")
                                .field("known_speaker_names[]", "c")
                                .field("known_speaker_names[]", "d")
                                .field("known_speaker_names[]", "e")
                                .body()},
      {"language and languages", good().field("language", "en").field("languages[]", "fr").body()},
      {"granularities in json", good().field("timestamp_granularities[]", "word").body()},
      {"logprobs in verbose_json",
       good().field("response_format", "verbose_json").field("include[]", "logprobs").body()},
      {"keyword of two lines", good().field("keywords[]", "a\nb").body()},
      {"keyword with a tag", good().field("keywords[]", "<b>").body()},
      {"no form", "{}"},
      {"language of a translation", good().field("language", "en").body(),
       "/v1/audio/translations"},
      {"diarized translation", good().field("response_format", "diarized_json").body(),
       "/v1/audio/translations"},
      {"doubled path", good().body(), "/v1/audio/transcriptions/audio/transcriptions", 404},
      {"doubled version", good().body(), "/v1/v1/audio/transcriptions", 404},
      {"no version", good().body(), "/audio/transcriptions", 404},
      {"other endpoint", good().body(), "/v1/audio/speech", 404},
      {"no deployment", good().body(), "/openai/deployments//audio/transcriptions?api-version=1",
       404},
      {"no api-version", good().body(), "/openai/deployments/d/audio/transcriptions", 404},
  };
}

START_TEST(each_violation_is_refused_and_recorded) {
  const auto cases = violating_cases();
  const auto& one = cases[static_cast<std::size_t>(_i)];
  FakeService service;
  const auto reply = ask(service, http(one.body, {}, one.path));
  ck_assert_msg(reply.status == one.status, "%s: %u %s", one.name, reply.status,
                reply.body.c_str());
  const auto node = parse(reply.body);
  ck_assert(node);
  JsonObject* error = json_object_get_object_member(json_node_get_object(node.get()), "error");
  for (const char* name : {"message", "type", "param", "code"}) {
    ck_assert_msg(json_object_has_member(error, name), "%s: %s", one.name, name);
  }
  ck_assert_msg(service.violations().size() == 1, "%s: %zu", one.name, service.violations().size());
  ck_assert_uint_eq(service.requests()[0].violations.size(), 1);
}
END_TEST

START_TEST(what_is_allowed_passes) {
  const auto good = [] { return Form::good(); };
  const std::vector<Case> cases = {
      {"all scalars", good()
                          .field("language", "en")
                          .field("prompt", "Ärger \"x\"\r\ny")
                          .field("temperature", "0.25")
                          .field("response_format", "json")
                          .field("stream", "false")
                          .field("chunking_strategy", "auto")
                          .body()},
      {"arrays", good()
                     .field("languages[]", "en")
                     .field("languages[]", "fr")
                     .field("keywords[]", "GStreamer")
                     .field("include[]", "logprobs")
                     .body()},
      {"vad", good()
                  .field("chunking_strategy[type]", "server_vad")
                  .field("chunking_strategy[threshold]", "0.5")
                  .field("chunking_strategy[prefix_padding_ms]", "300")
                  .body()},
      {"free model", Form().field("model", "my-model").file("a.wav", wav(1600)).body()},
      {"Azure", Form().file("a.wav", wav(1600)).body(),
       "/openai/deployments/d/audio/transcriptions?api-version=2025-04-01"},
      {"newer Azure", good().body(), "/openai/v1/audio/transcriptions?api-version=preview"},
      {"translation", good().field("prompt", "p").field("temperature", "0").body(),
       "/v1/audio/translations"},
  };
  FakeService service;
  for (const auto& one : cases) {
    const auto reply = ask(service, http(one.body, {}, one.path));
    ck_assert_msg(reply.status == 200, "%s: %s", one.name, reply.body.c_str());
  }
  ck_assert(service.violations().empty());
}
END_TEST

START_TEST(the_size_limit_is_exact) {
  FakeService service;
  const std::size_t around = Form().file("a.wav", wav(0)).field("model", "m").body().size();
  const std::size_t frames = (26214400 - around) / 2;
  const auto largest = [&](std::size_t more) {
    return Form().file("a.wav", wav(frames + more)).field("model", "m").body();
  };
  ck_assert_uint_eq(ask(service, http(largest(0))).status, 200);
  ck_assert_uint_eq(ask(service, http(largest(1))).status, 400);
  ck_assert_uint_eq(service.violations().size(), 1);
}
END_TEST

START_TEST(methods_other_than_post_are_refused) {
  FakeService service;
  ck_assert_uint_eq(ask(service, "GET /v1/audio/transcriptions HTTP/1.1\r\n\r\n").status, 405);
  ck_assert_uint_eq(service.violations().size(), 1);
}
END_TEST

START_TEST(a_compatible_server_takes_everything) {
  FakeService::Options options;
  options.check = false;
  FakeService service(options);
  const auto reply =
      ask(service, http(Form::good(5).field("temperature_inc", "0.2").body(), {}, "/inference"));
  ck_assert_uint_eq(reply.status, 200);
  assert_text(text_of(reply.body), "chunk 5");
  ck_assert_uint_eq(ask(service, http("no form at all")).status, 200);
  ck_assert(service.violations().empty());
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fake_service_description");
  TCase* tests = tcase_create("fake_service_description");
  tcase_add_loop_test(tests, each_violation_is_refused_and_recorded, 0,
                      static_cast<int>(violating_cases().size()));
  tcase_add_test(tests, what_is_allowed_passes);
  tcase_add_test(tests, the_size_limit_is_exact);
  tcase_add_test(tests, methods_other_than_post_are_refused);
  tcase_add_test(tests, a_compatible_server_takes_everything);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
