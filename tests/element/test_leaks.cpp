// Jobs with every kind of end. With GST_TRACERS=leaks GStreamer warns, when gst-check shuts it
// down, of what is still alive, and gst-check fails on a warning.
#include <gst/gst.h>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kSecond = 16000;

Answer answer(unsigned status) { return status == 200 ? Answer() : Answer::error(status); }

void whole_job(unsigned status) {
  FakeService service;
  service.answer_with([status](const Request&) { return answer(status); });
  auto pipeline = SinkPipeline::with_source(service.url(),
                                            "split=fixed max-chunk-duration=1000000000 retries=0");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(3 * kSecond + 100), 0);
  pipeline.end_of_stream();
  pipeline.wait();
}

void stopped_job() {
  FakeService service;
  service.answer_with([](const Request&) {
    Answer gated;
    gated.gate = "never";
    return gated;
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(), "split=fixed max-chunk-duration=1000000000 max-queued-chunks=1");
  for (const GstState end : {GST_STATE_READY, GST_STATE_NULL}) {
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(noise(20 * kSecond), 0);
    pipeline.wait_for("openaitranscribe/chunk-queued", 2);
    gst_element_send_event(pipeline.source(), gst_event_new_flush_start());
    gst_element_send_event(pipeline.source(), gst_event_new_flush_stop(TRUE));
    pipeline.push(noise(20 * kSecond), 0);
    pipeline.set_state(end);
  }
}

}  // namespace

GST_START_TEST(test_leaks) {
  for (const unsigned status : {200u, 400u, 401u, 503u}) whole_job(status);
  stopped_job();
}
GST_END_TEST;

static Suite* leaks_suite(void) {
  Suite* suite = suite_create("leaks");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_leaks);
  return suite;
}
GST_CHECK_MAIN(leaks);
