// The sink end to end: what goes in comes out as requests, messages and EOS.
#include <gst/gst.h>

#include <cstring>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kSecond = 16000;
const char* const kFixed = "split=fixed max-chunk-duration=1000000000";

std::vector<std::int16_t> sent_samples(const FakeService& service) {
  std::map<std::uint64_t, std::vector<std::int16_t>> chunks;
  for (const Request& request : service.requests()) chunks[*request.chunk] = *request.samples;
  std::vector<std::int16_t> all;
  for (const auto& [index, samples] : chunks) all.insert(all.end(), samples.begin(), samples.end());
  return all;
}

}  // namespace

GST_START_TEST(test_transcribes_in_order) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PLAYING);
  const auto samples = noise(5 * kSecond + 2345);
  pipeline.push(samples, 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert(service.violations().empty());
  ck_assert_uint_eq(service.requests().size(), 6);
  ck_assert(sent_samples(service) == samples);
  const std::string transcript = pipeline.transcript();
  ck_assert_str_eq(transcript.c_str(), "chunk 1 chunk 2 chunk 3 chunk 4 chunk 5 chunk 6");

  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 6);
  for (std::size_t i = 0; i < results.size(); i++) {
    ck_assert_uint_eq(uint64_field(results[i], "chunk-index"), i);
    ck_assert_uint_eq(uint64_field(results[i], "timestamp"), i * GST_SECOND);
    ck_assert_uint_eq(uint64_field(results[i], "stream-time"), i * GST_SECOND);
    ck_assert_uint_eq(uint64_field(results[i], "running-time"), i * GST_SECOND);
    ck_assert_uint_eq(uint_field(results[i], "attempts"), 1);
  }
  ck_assert_uint_eq(uint64_field(results[0], "duration"), GST_SECOND);
  const auto complete = pipeline.named("openaitranscribe/complete");
  ck_assert_uint_eq(complete.size(), 1);
  ck_assert(string_field(complete[0], "text") == transcript);
  ck_assert(string_field(complete[0], "state") == "COMPLETED");
  ck_assert_uint_eq(uint64_field(complete[0], "chunks-completed"), 6);
  // The last element message before EOS.
  const auto& messages = pipeline.messages();
  ck_assert_str_eq(messages[messages.size() - 2].name.c_str(), "openaitranscribe/complete");

  const auto jobs = pipeline.named("openaitranscribe/job");
  ck_assert_uint_eq(jobs.size(), 3);
  ck_assert(string_field(jobs[0], "state") == "QUEUED");
  ck_assert(string_field(jobs[1], "state") == "PROCESSING");
  ck_assert(string_field(jobs[2], "state") == "COMPLETED");
  ck_assert_uint_eq(pipeline.stat("chunks-completed"), 6);
}
GST_END_TEST;

GST_START_TEST(test_empty_stream) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 0);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), 1);
  const auto jobs = pipeline.named("openaitranscribe/job");
  ck_assert_uint_eq(jobs.size(), 3);
  ck_assert(string_field(jobs[2], "state") == "COMPLETED");
}
GST_END_TEST;

GST_START_TEST(test_one_sample_is_padded) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push({1234}, 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 1);
  const auto samples = *service.requests()[0].samples;
  ck_assert_uint_eq(samples.size(), 1600);
  ck_assert_int_eq(samples[0], 1234);
  ck_assert_int_eq(samples[1], 0);
}
GST_END_TEST;

GST_START_TEST(test_exact_chunk_and_one_more) {
  FakeService service;
  for (const std::size_t extra : {0, 1}) {
    auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
    const std::size_t before = service.requests().size();
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.push(noise(kSecond + extra), 0);
    pipeline.end_of_stream();
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    ck_assert_uint_eq(service.requests().size() - before, 1 + extra);
  }
}
GST_END_TEST;

GST_START_TEST(test_no_request_before_playing) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PAUSED);
  pipeline.push(noise(3 * kSecond), 0);
  ck_assert_int_eq(gst_element_get_state(pipeline.pipeline(), nullptr, nullptr, kWatchdog),
                   GST_STATE_CHANGE_SUCCESS);
  pipeline.collect();
  ck_assert_uint_eq(service.requests().size(), 0);
  ck_assert_uint_eq(pipeline.count("progress"), 0);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 3);
}
GST_END_TEST;

GST_START_TEST(test_second_run) {
  FakeService service;
  for (const GstState between : {GST_STATE_READY, GST_STATE_NULL}) {
    auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
    std::string first_id;
    for (int run = 0; run < 2; run++) {
      const std::size_t before = service.requests().size();
      pipeline.set_state(GST_STATE_PLAYING);
      pipeline.push(noise(2 * kSecond + 5), 0);
      pipeline.end_of_stream();
      ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
      ck_assert_uint_eq(service.requests().size() - before, 3);
      ck_assert_uint_eq(pipeline.count("openaitranscribe/complete"), run + 1);
      const std::string id =
          string_field(pipeline.named("openaitranscribe/complete").back(), "job-id");
      ck_assert(id != first_id);
      first_id = id;
      pipeline.set_state(between);
    }
  }
}
GST_END_TEST;

GST_START_TEST(test_split_now) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), "split=fixed");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  // Room for the samples to arrive: a chunk is cut as soon as there are some.
  while (service.requests().empty()) {
    g_signal_emit_by_name(pipeline.sink(), "split-now");
    g_thread_yield();
  }
  pipeline.push(noise(kSecond, 2), GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(sent_samples(service).size(), 2 * kSecond);
}
GST_END_TEST;

GST_START_TEST(test_back_pressure) {
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "go";
    return answer;
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kFixed) + " max-parallel=2 max-queued-chunks=3");
  pipeline.set_state(GST_STATE_PLAYING);
  for (unsigned i = 0; i < 20; i++) pipeline.push(noise(kSecond, i), i * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert(service.wait_for_requests(2, std::chrono::seconds(20)));
  pipeline.wait_for("openaitranscribe/chunk-queued", 5);
  pipeline.collect();
  ck_assert_uint_le(pipeline.count("openaitranscribe/chunk-queued"), 6);
  ck_assert_uint_eq(service.max_in_flight(), 2);
  service.open_gate("go");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), 20);
  ck_assert_uint_eq(service.max_in_flight(), 2);
}
GST_END_TEST;

GST_START_TEST(test_data_without_caps) {
  SinkPipeline pipeline(
      "fakesrc num-buffers=3 format=time sizetype=fixed sizemax=3200 ! openaitranscribesink "
      "name=sink base-url=http://127.0.0.1:1/v1");
  pipeline.set_state(GST_STATE_PLAYING);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline.error(), GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT));
}
GST_END_TEST;

// Three bad chunks that happen to be answered first are no reason to give up the job.
GST_START_TEST(test_rejections_behind_the_first_chunks) {
  FakeService service;
  service.answer_with([](const Request& request) {
    if (*request.chunk >= 4 && *request.chunk <= 6)
      return Answer::error(415, "unsupported", "invalid_request_error", "bad", "file");
    Answer answer;
    answer.gate = "go";
    return answer;
  });
  auto pipeline =
      SinkPipeline::with_source(service.url(), std::string(kFixed) + " on-error=ignore");
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(10 * kSecond), 0);
  pipeline.end_of_stream();
  ck_assert(service.wait_for_answers(3, std::chrono::seconds(20)));
  while (pipeline.stat("chunks-failed") < 3) g_thread_yield();
  service.open_gate("go");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 7);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), 3);
}
GST_END_TEST;

GST_START_TEST(test_queries) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kFixed);
  pipeline.set_state(GST_STATE_PLAYING);
  // Buffers without a duration: the position is the last timestamp.
  pipeline.push(noise(2 * kSecond), 0);
  pipeline.push(noise(kSecond), 2 * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  gint64 position = -1;
  ck_assert(gst_element_query_position(pipeline.sink(), GST_FORMAT_TIME, &position));
  ck_assert_int_eq(position, 2 * GST_SECOND);
  GstQuery* latency = gst_query_new_latency();
  ck_assert(gst_element_query(pipeline.pipeline(), latency));
  gboolean live = TRUE;
  gst_query_parse_latency(latency, &live, nullptr, nullptr);
  ck_assert(!live);
  gst_query_unref(latency);
  GstQuery* seeking = gst_query_new_seeking(GST_FORMAT_TIME);
  gboolean seekable = TRUE;
  if (gst_element_query(pipeline.sink(), seeking))
    gst_query_parse_seeking(seeking, nullptr, &seekable, nullptr, nullptr);
  ck_assert(!seekable);
  gst_query_unref(seeking);
}
GST_END_TEST;

namespace {

// `percent` of each PROGRESS in order; -1: it has none.
std::vector<int> percents(const SinkPipeline& pipeline) {
  std::vector<int> found;
  for (const Seen& seen : pipeline.messages()) {
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_PROGRESS) continue;
    int percent = -1;
    gst_structure_get_int(seen.structure, "percent", &percent);
    found.push_back(percent);
  }
  return found;
}

}  // namespace

GST_START_TEST(test_percent_where_the_duration_is_known) {
  const bool known = __i__ == 1;
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), std::string(kFixed) + " max-parallel=1");
  if (known) g_object_set(pipeline.source(), "duration", guint64{4 * GST_SECOND}, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(2 * kSecond), 0);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  // START, two times CONTINUE, COMPLETE.
  const auto expected =
      known ? std::vector<int>{0, 25, 50, 100} : std::vector<int>{-1, -1, -1, 100};
  const auto found = percents(pipeline);
  ck_assert_uint_eq(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); i++) ck_assert_int_eq(found[i], expected[i]);
}
GST_END_TEST;

static Suite* sink_suite(void) {
  Suite* suite = suite_create("sink");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_transcribes_in_order);
  tcase_add_test(tests, test_empty_stream);
  tcase_add_test(tests, test_one_sample_is_padded);
  tcase_add_test(tests, test_exact_chunk_and_one_more);
  tcase_add_test(tests, test_no_request_before_playing);
  tcase_add_test(tests, test_second_run);
  tcase_add_test(tests, test_split_now);
  tcase_add_test(tests, test_back_pressure);
  tcase_add_test(tests, test_data_without_caps);
  tcase_add_test(tests, test_rejections_behind_the_first_chunks);
  tcase_add_test(tests, test_queries);
  tcase_add_loop_test(tests, test_percent_where_the_duration_is_known, 0, 2);
  return suite;
}
GST_CHECK_MAIN(sink);
