// The element whose requests wait for the rate that all processes share.
#include <gst/gst.h>

#include <cstdio>
#include <string>

#include "fake_service.h"
#include "job_client.h"
#include "mirror_check.h"
#include "redis_client.h"
#include "redis_server.h"
#include "sink_fixture.h"
#include "sink_story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe;
using namespace transcribe::testing;

namespace {

// All of them for a quarter of an hour and longer: nothing but the state change ends the wait.
enum Wait {
  kOwnRate,
  kOthersCameFirst,
  kHeld,        // by a Retry-After that another process was given
  kUnanswered,  // the server hangs
  kWaits,
};
constexpr std::int64_t kLong = 1000 * G_TIME_SPAN_SECOND;
// Microseconds. An answer of Redis is waited for twice as long.
constexpr std::int64_t kAtOnce = G_TIME_SPAN_SECOND;

std::string key(const char* name) { return std::string("{transcribe:rl:all}:") + name; }

// What another process has left there.
void set_far_ahead(RedisClient& redis, const char* name) {
  const RedisReply now = redis("TIME");
  const std::int64_t far = std::stoll(now.items[0].text) * G_TIME_SPAN_SECOND + kLong;
  redis("SET", key(name), std::to_string(far), "PX", "2000000");
}

}  // namespace

GST_START_TEST(test_null_while_requests_wait) {
  const int wait = __i__;
  RedisServer server;
  RedisClient redis(server.port());
  if (wait == kOthersCameFirst) set_far_ahead(redis, "tat");
  if (wait == kHeld) set_far_ahead(redis, "hold");
  FakeService service;
  const std::string rate = wait == kOwnRate ? "0.001" : "8";
  // For the last word of the job, which is not what is measured.
  const std::string flush = wait == kUnanswered ? "0" : "10000";
  auto pipeline =
      start(service, properties(server.uri(), "rate-limit-group=all requests-per-second=" + rate +
                                                  " redis-flush-timeout=" + flush));
  pipeline->wait_for("openaitranscribe/job");
  if (wait == kUnanswered) server.freeze();
  push_source(*pipeline);
  const std::size_t sent = wait == kOwnRate ? 1 : 0;
  pipeline->wait_for("openaitranscribe/chunk-queued", kChunks);
  if (sent > 0) pipeline->wait_for("openaitranscribe/result", sent);
  // Somebody has asked.
  while (wait != kUnanswered && redis("EXISTS", key("pace")).number == 0) g_thread_yield();
  ck_assert_uint_eq(pipeline->stat("in-flight"), 0);
  ck_assert_uint_eq(pipeline->stat("queued"), kChunks - sent);

  // What is said on the way to NULL is to be compared.
  gst_pipeline_set_auto_flush_bus(GST_PIPELINE(pipeline->pipeline()), FALSE);
  const std::int64_t took = pipeline->timed_state(GST_STATE_NULL);
  std::printf("# NULL, wait %d: %.1f ms\n", wait, static_cast<double>(took) / 1000);
  ck_assert_int_lt(took, kAtOnce);
  ck_assert_uint_eq(service.requests().size(), sent);
  if (wait == kUnanswered) return;
  check_mirror(*pipeline, server.port());
  ck_assert(JobClient(redis, "talk").state() == "QUEUED");

  // Nothing of the wait stays.
  redis("DEL", key("tat"), key("pace"), key("hold"));
  g_object_set(pipeline->sink(), "requests-per-second", 0.0, nullptr);
  pipeline->set_state(GST_STATE_PLAYING);
  push_source(*pipeline);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), kChunks);
  check_mirror(*pipeline, server.port());
}
GST_END_TEST

static Suite* sink_limit_suite() {
  Suite* suite = suite_create("sink_limit");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_null_while_requests_wait, 0, kWaits);
  return suite;
}

GST_CHECK_MAIN(sink_limit)
