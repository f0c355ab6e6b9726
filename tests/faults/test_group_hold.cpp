// A 429 with a delay holds every request of the rate-limit group, whichever element sends it.
#include <gst/gst.h>

#include <algorithm>

#include "fake_service.h"
#include "story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr unsigned kChunksEach = 16;
constexpr std::int64_t kHold = 2 * G_TIME_SPAN_SECOND;
// What was on its way before the answer was read.
constexpr std::int64_t kGrace = 100 * G_TIME_SPAN_MILLISECOND;

SinkPipeline start(const FakeService& service, const std::string& properties) {
  auto pipeline = SinkPipeline::with_source(
      service.url(),
      "split=fixed max-chunk-duration=1000000000 requests-per-second=20 " + properties);
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, kChunksEach);
  return pipeline;
}

struct Arrivals {
  std::int64_t refused_at = 0;  // end of the 429
  std::size_t held = 0;         // within the hold
  std::size_t later = 0;
};

// `refused` is the number of the request that gets the status.
Arrivals run(const std::string& first, const std::string& second, std::size_t refused,
             unsigned status) {
  FakeService service;
  service.answer_with([=](const Request& request) {
    Answer answer;
    if (request.number == refused) {
      answer = Answer::error(status, "rate_limit_exceeded");
      answer.headers = {{"Retry-After", "2"}};
    }
    return answer;
  });
  auto one = start(service, first);
  auto two = start(service, second);
  for (SinkPipeline* pipeline : {&one, &two}) {
    ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
    check_ending(*pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
    ck_assert_uint_eq(pipeline->count("openaitranscribe/result"), kChunksEach);
  }
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 2 * kChunksEach + 1);
  Arrivals arrivals;
  arrivals.refused_at = requests[refused].ended;
  for (const Request& request : requests) {
    const std::int64_t after = request.arrival - arrivals.refused_at;
    if (after > kGrace && after < kHold) arrivals.held++;
    if (after >= kHold) arrivals.later++;
  }
  ck_assert_uint_eq(
      one.count("openaitranscribe/chunk-retry") + two.count("openaitranscribe/chunk-retry"), 1);
  return arrivals;
}

}  // namespace

GST_START_TEST(test_both_elements_are_held) {
  constexpr std::size_t kLate = 12;
  const Arrivals arrivals = run("", "", kLate, __i__ == 0 ? 429 : 503);
  ck_assert_uint_eq(arrivals.held, 0);
  ck_assert_uint_ge(arrivals.later, 2 * kChunksEach - kLate - 4);
}
GST_END_TEST;

GST_START_TEST(test_another_group_is_not_held) {
  // The first of all: the other element has nearly all its requests before it.
  const Arrivals arrivals = run("rate-limit-group=a", "rate-limit-group=b", 0, 429);
  ck_assert_uint_gt(arrivals.held, 5);
}
GST_END_TEST;

static Suite* group_hold_suite(void) {
  Suite* suite = suite_create("group_hold");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_both_elements_are_held, 0, is_mirrored() ? 1 : 2);
  tcase_add_test(tests, test_another_group_is_not_held);
  return suite;
}
GST_CHECK_MAIN(group_hold);
