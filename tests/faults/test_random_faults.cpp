// Faults mixed at random over 200 chunks, eight at a time: nothing is lost, nothing comes twice.
// What happens to an attempt depends on the seed, the chunk and the attempt alone.
#include <gst/gst.h>

#include <map>
#include <random>
#include <set>

#include "fake_service.h"
#include "story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::uint64_t kChunks = 200;
constexpr std::size_t kChunkFrames = 1600;
// Chunks before this one succeed in the end, so that the job is not given up as hopeless.
constexpr std::uint64_t kFirstHopeless = 20;

unsigned draw(unsigned seed, std::uint64_t chunk, unsigned attempt) {
  std::seed_seq mix{seed, static_cast<unsigned>(chunk), attempt};
  return std::mt19937(mix)();
}

bool is_hopeless(unsigned seed, std::uint64_t chunk) {
  return chunk >= kFirstHopeless && draw(seed, chunk, 0) % 12 == 0;
}

Answer fault(unsigned kind, const Request& request) {
  Answer answer;
  switch (kind) {
    case 0:
      return Answer::error(408);
    case 1:
      return Answer::error(409);
    case 2:
      return Answer::error(500);
    case 3:
      answer.status = 502;
      answer.body = "<html>Bad Gateway</html>";
      return answer;
    case 4:
      answer = Answer::error(503);
      answer.close = true;
      return answer;
    case 5:
      answer = Answer::error(429, "rate_limit_exceeded");
      answer.headers = {{"retry-after-ms", "3"}};
      return answer;
    case 6:
      answer.reset = Reset::kAfterBody;
      return answer;
    case 7:
      answer.cut_body_after = 3;
      return answer;
    case 8:
      answer.body = R"({"text":"chunk)";
      return answer;
    case 9:
      answer.raw = "no HTTP\r\n\r\n";
      return answer;
    case 10:
      answer.body = R"({"error":{"message":"sorry"}})";
      return answer;
    case 11:
      // They take their time, so few do.
      if (request.chunk.value_or(0) % 4 != 0) return Answer::error(498);
      answer.hang = true;
      return answer;
    default:
      return answer;
  }
}
constexpr unsigned kFaults = 12;

Answer decide(unsigned seed, const Request& request) {
  const std::uint64_t chunk = *request.chunk;
  const unsigned number = draw(seed, chunk, request.attempt);
  const bool last = request.attempt > 1 + draw(seed, chunk, 1000) % 3;
  if (is_hopeless(seed, chunk) && last) return Answer::error(chunk % 2 == 0 ? 400 : 413);
  Answer answer;
  if (number % 100 < 40) answer = fault(number / 100 % kFaults, request);
  if (number % 7 == 0) answer.close_idle = std::chrono::milliseconds(1);
  if (answer.delay.count() == 0) answer.delay = std::chrono::milliseconds(number / 1000 % 8);
  return answer;
}

// A hopeless chunk may have been lucky before it came to that.
bool succeeds(unsigned seed, std::uint64_t chunk) {
  if (!is_hopeless(seed, chunk)) return true;
  const unsigned tries = 1 + draw(seed, chunk, 1000) % 3;
  for (unsigned attempt = 1; attempt <= tries; attempt++) {
    if (draw(seed, chunk, attempt) % 100 >= 40) return true;
  }
  return false;
}

std::uint64_t index_of(const GstStructure* structure) {
  return uint64_field(structure, "chunk-index");
}

void check_requests(const FakeService& service, const std::vector<std::int16_t>& samples) {
  std::map<std::uint64_t, std::string> keys;
  std::set<std::string> all;
  for (const Request& request : service.requests()) {
    ck_assert(request.violations.empty() && request.chunk);
    const std::string key = request.header("Idempotency-Key");
    const auto [known, fresh] = keys.emplace(*request.chunk, key);
    ck_assert(fresh ? all.insert(key).second : known->second == key);
    const std::size_t begin = (*request.chunk - 1) * kChunkFrames;
    const std::vector<std::int16_t> expected(
        samples.begin() + static_cast<std::ptrdiff_t>(begin),
        samples.begin() + static_cast<std::ptrdiff_t>(begin + kChunkFrames));
    ck_assert(request.samples && *request.samples == expected);
  }
  ck_assert_uint_eq(keys.size(), kChunks);
  ck_assert_uint_le(service.max_in_flight(), 8);
}

void run(unsigned seed) {
  g_print("seed %u\n", seed);
  FakeService service;
  service.answer_with([seed](const Request& request) { return decide(seed, request); });
  auto pipeline = SinkPipeline::with_source(
      service.url(),
      "split=fixed max-chunk-duration=100000000 max-parallel=8 retries=-1 retry-delay=4 "
      "max-retry-delay=16 request-timeout=2000");
  pipeline.set_state(GST_STATE_PLAYING);
  const auto samples = noise(kChunks * kChunkFrames, seed);
  pipeline.push(samples, 0);
  pipeline.end_of_stream();
  const GstMessageType end = pipeline.wait();

  std::string expected;
  std::set<std::uint64_t> hopeless;
  for (std::uint64_t chunk = 1; chunk <= kChunks; chunk++) {
    if (succeeds(seed, chunk)) {
      expected += (expected.empty() ? "chunk " : " chunk ") + std::to_string(chunk);
    } else {
      hopeless.insert(chunk - 1);
    }
  }
  // A few seeds have none.
  ck_assert_int_eq(end, hopeless.empty() ? GST_MESSAGE_EOS : GST_MESSAGE_ERROR);
  if (hopeless.empty()) {
    check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  } else {
    check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "WRITE"});
  }
  check_counters(pipeline, true);
  assert_text(pipeline.transcript(), expected);
  assert_text(string_field(pipeline.named("openaitranscribe/complete")[0], "text"), expected);

  std::set<std::uint64_t> settled;
  for (const GstStructure* failed : pipeline.named("openaitranscribe/chunk-failed")) {
    ck_assert(hopeless.count(index_of(failed)) == 1 && settled.insert(index_of(failed)).second);
  }
  for (const GstStructure* result : pipeline.named("openaitranscribe/result")) {
    ck_assert(hopeless.count(index_of(result)) == 0 && settled.insert(index_of(result)).second);
    assert_text(string_field(result, "text"), "chunk " + std::to_string(index_of(result) + 1));
  }
  ck_assert_uint_eq(settled.size(), kChunks);
  check_requests(service, samples);
  // Kept connections that the server had just closed: nothing arrived there.
  std::size_t lost = 0;
  for (const GstStructure* retry : pipeline.named("openaitranscribe/chunk-retry"))
    lost += string_field(retry, "reason") == "network";
  ck_assert_uint_le(service.requests().size(), pipeline.stat("requests"));
  ck_assert_uint_ge(service.requests().size() + lost, pipeline.stat("requests"));
  ck_assert_uint_eq(pipeline.stat("requests"), kChunks + pipeline.stat("retries"));
}

}  // namespace

GST_START_TEST(test_random_faults) { run(static_cast<unsigned>(__i__)); }
GST_END_TEST;

static Suite* random_faults_suite(void) {
  Suite* suite = suite_create("random_faults");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 120);
  suite_add_tcase(suite, tests);
  const char* full = g_getenv("TRANSCRIBE_FULL");
  tcase_add_loop_test(tests, test_random_faults, 1, full != nullptr && *full != '\0' ? 41 : 5);
  return suite;
}
GST_CHECK_MAIN(random_faults);
