// Settings that can't be right are refused before anything is sent.
#include <gst/gst.h>

#include "requests_test.h"

using namespace transcribe::testing;

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

// What is a place as it should be, only that nothing can be written there: at once, and at the next
// start.
GST_START_TEST(test_places_that_can_not_be_written) {
  for (const char* property : {"journal-directory", "location"}) {
    SinkPipeline pipeline(kUnused + property + "=/proc/none/here");
    ck_assert_int_eq(pipeline.try_state(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
    ck_assert(g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE));
    ck_assert_msg(contains(pipeline.error()->message, property), "%s", pipeline.error()->message);
  }
  for (const char* property : {"journal-directory", "location"}) {
    SinkPipeline pipeline(kUnused);
    pipeline.set_state(GST_STATE_READY);
    g_object_set(pipeline.sink(), property, "/proc/none/here", nullptr);
    ck_assert_int_eq(pipeline.try_state(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
    ck_assert(g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE));
    ck_assert_uint_eq(pipeline.count("openaitranscribe/job"), 0);
  }
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

static Suite* refusals_suite(void) {
  Suite* suite = suite_create("refusals");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_what_is_wrong_is_refused);
  tcase_add_test(tests, test_places_that_can_not_be_written);
  tcase_add_test(tests, test_starts_once_it_is_put_right);
  return suite;
}
GST_CHECK_MAIN(refusals);
