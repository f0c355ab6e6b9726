// Whose job it is: other owners and users of a job that the element has in Redis, or wants.
#include <gst/gst.h>

#include <cstring>
#include <memory>
#include <string>

#include "fake_service.h"
#include "job_client.h"
#include "mirror_check.h"
#include "redis_server.h"
#include "sink_fixture.h"
#include "sink_story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe;
using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

Answer gated(const char* gate) {
  Answer answer;
  answer.gate = gate;
  return answer;
}

bool is_busy(const SinkPipeline& pipeline) {
  return g_error_matches(pipeline.error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY);
}

std::unique_ptr<SinkPipeline> start_live(const FakeService& service,
                                         const std::string& properties) {
  auto pipeline =
      std::make_unique<SinkPipeline>(SinkPipeline::with_source(service.url(), properties));
  g_object_set(pipeline->source(), "is-live", TRUE, nullptr);
  ck_assert_int_ne(pipeline->try_state(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
  return pipeline;
}

// The job is begun, and then somebody else's for ten minutes.
void claim(JobClient& other, FakeService& service, const std::string& uri) {
  service.answer_with([](const Request&) { return gated("never"); });
  start_live(service, properties(uri))->wait_for("openaitranscribe/job");
  other.fingerprint = other.field("meta", "fp");
  other.lease = "600000";
  ck_assert_msg(other.create().rfind("RESUMED", 0) == 0, "%s", other.dump().c_str());
}

// Takes the job over inside the message that announces its end.
GstBusSyncReply steal(GstBus*, GstMessage* message, gpointer port) noexcept {
  if (!gst_message_has_name(message, "openaitranscribe/complete")) return GST_BUS_PASS;
  RedisClient redis(static_cast<std::uint16_t>(GPOINTER_TO_UINT(port)));
  JobClient thief(redis, "talk", "thief");
  thief.fingerprint = thief.field("meta", "fp");
  const std::string answer = thief.create("auto", thief.field("ctl", "owner"));
  ck_assert_msg(answer.rfind("RESUMED", 0) == 0, "%s", answer.c_str());
  return GST_BUS_PASS;
}

}  // namespace

GST_START_TEST(test_taken_over) {
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request&) { return gated("later"); });
  auto pipeline = start(service, properties(server.uri(), "redis-lease=1000000000"));
  push_source(*pipeline);
  ck_assert(service.wait_for_requests(2, 20s));
  RedisClient redis(server.port());
  JobClient thief(redis, "talk", "thief");
  thief.fingerprint = thief.field("meta", "fp");
  ck_assert(thief.create("auto", thief.field("ctl", "owner")).rfind("RESUMED", 0) == 0);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY));
  ck_assert_uint_eq(pipeline->count("openaitranscribe/complete"), 0);
  ck_assert_uint_eq(pipeline->warnings().size(), 0);
  const std::string stored = thief.dump();
  const std::size_t requests = service.requests().size();
  service.open_gate("later");
  pipeline->set_state(GST_STATE_NULL);
  ck_assert_uint_eq(service.requests().size(), requests);
  ck_assert(thief.dump() == stored);
}
GST_END_TEST

GST_START_TEST(test_cancelled) {
  const RedisServer server;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk > 1 ? gated("never") : Answer(); });
  auto pipeline = start(service, properties(server.uri(), "redis-lease=1000000000"));
  push_source(*pipeline);
  pipeline->wait_for("openaitranscribe/result");
  RedisClient redis(server.port());
  JobClient user(redis, "talk", "");
  ck_assert(user("cancel", {"enough"}).rfind("OK", 0) == 0);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert(std::strstr(pipeline->error()->message, "enough") != nullptr);
  check_mirror(*pipeline, server.port());
  ck_assert(user.field("meta", "reason") == "cancelled");
}
GST_END_TEST

// The claim outlasts eos-timeout.
GST_START_TEST(test_live_drain_does_not_wait_for_an_owner) {
  const RedisServer server;
  FakeService service;
  RedisClient redis(server.port());
  JobClient other(redis, "talk");
  claim(other, service, server.uri());
  const std::string stored = other.dump();
  auto pipeline = start_live(service, properties(server.uri(), "eos-timeout=50000000"));
  push_source(*pipeline);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert_msg(is_busy(*pipeline), "%s", pipeline->error()->message);
  ck_assert(std::strstr(pipeline->error()->message, "raise eos-timeout") != nullptr);
  ck_assert_uint_eq(service.requests().size(), 0);
  pipeline->set_state(GST_STATE_NULL);
  ck_assert(other.dump() == stored);
}
GST_END_TEST

// It is not the service that holds the stream back.
GST_START_TEST(test_live_source_held_back_by_an_owner) {
  const RedisServer server;
  FakeService service;
  RedisClient redis(server.port());
  JobClient other(redis, "talk");
  claim(other, service, server.uri());
  auto pipeline = start_live(service, properties(server.uri(), "max-queued-chunks=1"));
  push_source(*pipeline);
  ck_assert_int_eq(pipeline->wait(GST_MESSAGE_WARNING), GST_MESSAGE_WARNING);
  ck_assert(std::strstr(pipeline->warnings().at(0).c_str(), "store") != nullptr);
  ck_assert(std::strstr(pipeline->warnings().at(0).c_str(), "service") == nullptr);
  pipeline->set_state(GST_STATE_NULL);
}
GST_END_TEST

GST_START_TEST(test_taken_over_while_the_end_is_stored) {
  const RedisServer server;
  FakeService service;
  auto pipeline = std::make_unique<SinkPipeline>(
      SinkPipeline::with_source(service.url(), properties(server.uri())));
  GstBus* bus = gst_element_get_bus(pipeline->pipeline());
  gst_bus_set_sync_handler(bus, steal, GUINT_TO_POINTER(server.port()), nullptr);
  pipeline->set_state(GST_STATE_PLAYING);
  push_source(*pipeline);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert_msg(is_busy(*pipeline), "%s", pipeline->error()->message);
  gst_bus_set_sync_handler(bus, nullptr, nullptr, nullptr);
  gst_object_unref(bus);
  RedisClient redis(server.port());
  JobClient thief(redis, "talk", "thief");
  const std::string stored = thief.dump();
  pipeline->set_state(GST_STATE_NULL);
  ck_assert(thief.dump() == stored);
  ck_assert(thief.state() != "COMPLETED");
}
GST_END_TEST

static Suite* sink_owner_suite() {
  Suite* suite = suite_create("sink_owner");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_taken_over);
  tcase_add_test(tests, test_cancelled);
  tcase_add_test(tests, test_live_drain_does_not_wait_for_an_owner);
  tcase_add_test(tests, test_live_source_held_back_by_an_owner);
  tcase_add_test(tests, test_taken_over_while_the_end_is_stored);
  return suite;
}

GST_CHECK_MAIN(sink_owner)
