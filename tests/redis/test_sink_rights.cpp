// What the element needs to be allowed at a server, and what of its password anybody sees.
#include <gio/gio.h>
#include <gst/gst.h>

#include <cstring>
#include <memory>
#include <string>

#include "documented_rights.h"
#include "fake_service.h"
#include "job_client.h"
#include "mirror_check.h"
#include "redis_server.h"
#include "sink_fixture.h"
#include "sink_story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe;
using namespace transcribe::testing;

namespace {

GMutex log_lock;
void keep_line(GstDebugCategory*, GstDebugLevel, const gchar*, const gchar*, gint, GObject*,
               GstDebugMessage* message, gpointer text) {
  g_mutex_lock(&log_lock);
  g_string_append(static_cast<GString*>(text), gst_debug_message_get(message));
  g_mutex_unlock(&log_lock);
}

std::string with_user(std::string uri, const std::string& user) {
  return uri.insert(std::strlen("redis://"), user + "@");
}

void assert_no_message_has(const SinkPipeline& pipeline, const char* secret) {
  for (const Seen& seen : pipeline.messages()) {
    const GstStructure* structure = gst_message_get_structure(seen.message);
    char* text = structure != nullptr ? gst_structure_to_string(structure) : g_strdup("");
    ck_assert(std::strstr(text, secret) == nullptr);
    g_free(text);
  }
}

}  // namespace

// The server writes down each command that it refuses.
GST_START_TEST(test_the_documented_rights_are_enough) {
  const RedisServer server;
  RedisClient admin(server.port());
  const auto rights = documented_rights();
  ck_assert(!rights.empty());
  ck_assert(admin.command(rights).text == "OK");
  const std::string uri = with_user(server.uri(), "transcribe:PASSWORD");
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    if (*request.chunk == 3 && request.attempt == 1) answer.status = 503;
    if (*request.chunk == 5 && request.attempt <= 2) answer.status = 413;
    return answer;
  });
  const std::string more = "redis-consumer-group=readers requests-per-second=1000 on-error=ignore ";
  {
    auto pipeline = start(service, properties(uri, more));
    push_source(*pipeline);
    while (pipeline->stat("chunks-completed") < 2) g_thread_yield();
    pipeline->set_state(GST_STATE_READY);
  }
  // A job of a process that is no more.
  JobClient dead(admin, "dead");
  dead.lease = "1";
  dead.create();
  {
    auto pipeline = start(service, properties(uri, more));
    admin("SCRIPT", "FLUSH");
    push_source(*pipeline);
    ck_assert(pipeline->wait() == GST_MESSAGE_EOS);
    check_mirror(*pipeline, server.port());
  }
  auto again = run(service, properties(uri, more + "resume=retry-failed"));
  check_mirror(*again, server.port());
  ck_assert_msg(admin("ACL", "LOG").items.empty(), "%s", admin("ACL", "LOG").str().c_str());
}
GST_END_TEST

GST_START_TEST(test_password_shows_nowhere) {
  RedisServer::Options options;
  options.acl = "user default on >swordfish ~* &* +@all\n";
  RedisServer server(std::move(options));
  FakeService service;
  std::string uri = with_user(server.uri(), ":swordfish");
  GString* const log = g_string_new(nullptr);
  (gst_debug_add_log_function)(keep_line, log, nullptr);
  gst_debug_set_threshold_from_string("openaitranscribe*:6", TRUE);
  {
    auto pipeline = start(service, properties(uri));
    push_source(*pipeline);
    pipeline->wait_for("openaitranscribe/result");
    RedisClient other(server.port());
    ck_assert(other("AUTH", "swordfish").text == "OK");
    const std::string clients = other("CLIENT", "LIST").text;
    ck_assert(clients.find("name=") != std::string::npos);
    ck_assert(clients.find("swordfish") == std::string::npos);
    ck_assert(pipeline->wait() == GST_MESSAGE_EOS);
    assert_no_message_has(*pipeline, "swordfish");
    char* dot = gst_debug_bin_to_dot_data(GST_BIN(pipeline->pipeline()), GST_DEBUG_GRAPH_SHOW_ALL);
    ck_assert(std::strstr(dot, "swordfish") == nullptr);
    g_free(dot);
    for (const auto& text : {JobClient(other, "talk").dump(), other("KEYS", "*").str()})
      ck_assert(text.find("swordfish") == std::string::npos);
    server.kill();
  }
  {
    auto pipeline =
        run(service, properties(uri, "redis-policy=required job-id=other"), GST_MESSAGE_ERROR);
    ck_assert(std::strstr(pipeline->error()->message, "swordfish") == nullptr);
    assert_no_message_has(*pipeline, "swordfish");
  }
  server.restart();
  uri.replace(uri.find("swordfish"), std::strlen("swordfish"), "herring");
  {
    auto pipeline =
        run(service, properties(uri, "redis-policy=required job-id=third"), GST_MESSAGE_ERROR);
    ck_assert(std::strstr(pipeline->error()->message, "herring") == nullptr);
    assert_no_message_has(*pipeline, "herring");
  }
  (gst_debug_remove_log_function)(keep_line);
  gst_debug_set_default_threshold(GST_LEVEL_NONE);
  ck_assert_uint_gt(log->len, 0);
  ck_assert(std::strstr(log->str, "swordfish") == nullptr);
  ck_assert(std::strstr(log->str, "herring") == nullptr);
  g_string_free(log, TRUE);
}
GST_END_TEST

static Suite* sink_rights_suite() {
  Suite* suite = suite_create("sink_rights");
  TCase* tests = tcase_create("sink_rights");
  suite_add_tcase(suite, tests);
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, test_the_documented_rights_are_enough);
  tcase_add_test(tests, test_password_shows_nowhere);
  return suite;
}

GST_CHECK_MAIN(sink_rights)
