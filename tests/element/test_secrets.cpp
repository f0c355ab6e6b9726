// The API key, and the password of a proxy, show nowhere.
#include <gst/gst.h>

#include <cstring>
#include <mutex>

#include "requests_test.h"

using namespace transcribe::testing;

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
  ck_assert_uint_eq(warnings_for(("base-url=HTTP://192.0.2.1/v1" + key).c_str()).size(), 1);
  ck_assert(warnings_for("base-url=http://192.0.2.1/v1").empty());
  ck_assert(warnings_for(("base-url=Http://LOCALHOST/v1" + key).c_str()).empty());
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

static Suite* secrets_suite(void) {
  Suite* suite = suite_create("secrets");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_key_over_plain_http);
  tcase_add_test(tests, test_key_shows_nowhere);
  tcase_add_test(tests, test_proxy_password_shows_nowhere);
  tcase_add_test(tests, test_key_is_write_only);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  tcase_add_test(tests, test_key_and_gst_launch);
#endif
  return suite;
}
GST_CHECK_MAIN(secrets);
