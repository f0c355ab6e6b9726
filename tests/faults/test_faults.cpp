// Every fault alone: how often is it tried, what is told, what becomes of the job.
#include <gst/gst.h>

#include <cstring>
#include <functional>
#include <set>

#include "fake_service.h"
#include "story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr const char* kRequestId = "req-of-the-fault";
constexpr unsigned kChunks = 4;
// The fault strikes the second of four chunks. With retries=2.
constexpr std::uint64_t kStruck = 2;
constexpr unsigned kTries = 3;

enum class Meaning {
  kTransient,  // is tried again
  kChunk,      // ends the chunk
  kJob,        // ends the job
};

struct Fault {
  std::string name;
  Meaning meaning;
  const char* code;    // of the ERROR
  const char* reason;  // in messages and details
  Answer answer;
  const char* type = "";  // error-type and error-code as told
  const char* word = "";
  const char* properties = "";
  // Of the messages; -1: that of the answer.
  int status = -1;
};

Answer http(unsigned status, const std::string& body = "{}", const Headers& headers = {}) {
  Answer answer;
  answer.status = status;
  answer.body = body;
  answer.headers = headers;
  return answer;
}

Answer with(Answer answer, const std::string& name, const std::string& value) {
  answer.headers.emplace_back(name, value);
  return answer;
}

Fault openai(Meaning meaning, unsigned status, const char* code, const char* type, const char* word,
             const char* param = "") {
  return {std::to_string(status) + " " + word + " " + param,
          meaning,
          code,
          status == 413 ? "too-large" : "http-status",
          Answer::error(status, word, type, "scripted", param),
          type,
          word};
}

Fault network(const char* name, Answer answer, const char* reason, const char* properties = "") {
  return {name, Meaning::kTransient, "WRITE", reason, std::move(answer), "", "", properties, 0};
}

Fault broken(const char* name, const std::string& body) {
  return {name, Meaning::kTransient, "READ", "invalid-response", http(200, body)};
}

std::vector<Fault> make_faults() {
  const Meaning transient = Meaning::kTransient;
  const Meaning chunk = Meaning::kChunk;
  const Meaning job = Meaning::kJob;
  const char* type = "server_error";
  const char* invalid = "invalid_request_error";
  std::vector<Fault> faults = {
      openai(transient, 408, "WRITE", type, "timeout"),
      openai(transient, 409, "WRITE", type, "conflict"),
      openai(transient, 425, "WRITE", type, "too_early"),
      openai(transient, 498, "WRITE", type, "capacity_exceeded"),
      openai(transient, 429, "BUSY", "requests", "rate_limit_exceeded"),
      openai(transient, 429, "BUSY", "tokens", "slow_down"),
      openai(transient, 500, "WRITE", type, ""),
      openai(transient, 503, "BUSY", type, "overloaded"),
      openai(transient, 504, "WRITE", type, ""),
      {"502 HTML", transient, "WRITE", "http-status",
       http(502, "<html><body><h1>502 Bad Gateway</h1></body></html>",
            {{"Content-Type", "text/html"}})},
      {"500 without a body", transient, "WRITE", "http-status", http(500, "")},

      openai(chunk, 400, "WRITE", invalid, "invalid_value", "file"),
      openai(chunk, 400, "WRITE", invalid, "audio_too_short"),
      openai(chunk, 413, "WRITE", invalid, ""),
      openai(chunk, 415, "WRITE", invalid, "unsupported_format"),
      openai(chunk, 422, "WRITE", invalid, "unprocessable"),

      openai(job, 400, "SETTINGS", invalid, "invalid_value", "model"),
      openai(job, 422, "SETTINGS", invalid, "invalid_value", "language"),
      openai(job, 401, "NOT_AUTHORIZED", invalid, "invalid_api_key"),
      openai(job, 402, "NOT_AUTHORIZED", invalid, "payment_required"),
      openai(job, 403, "NOT_AUTHORIZED", invalid, "unsupported_country_region_territory"),
      openai(job, 404, "NOT_FOUND", invalid, "model_not_found"),
      openai(job, 407, "NOT_AUTHORIZED", invalid, "proxy"),
      {"404 HTML", job, "NOT_FOUND", "http-status", http(404, "<html>Not Found</html>")},
      {"401 with a challenge", job, "NOT_AUTHORIZED", "http-status",
       with(http(401), "WWW-Authenticate", "Basic realm=\"x\"")},
      {"302", job, "SETTINGS", "http-status",
       with(http(302), "Location", "https://elsewhere.example/v1/audio/transcriptions")},
      {"308", job, "SETTINGS", "http-status", with(http(308), "Location", "/v2")},

      // Longer than max-server-delay.
      {"429 a long delay", job, "BUSY", "server-delay",
       with(Answer::error(429, "rate_limit_exceeded", "requests"), "Retry-After", "121"),
       "requests", "rate_limit_exceeded"},
      {"503 a long delay", job, "BUSY", "server-delay", with(http(503), "retry-after-ms", "301"),
       "", "", "max-server-delay=300"},

      // The server's own word; job-wide errors beat it.
      {"400 x-should-retry", transient, "WRITE", "http-status",
       with(http(400), "x-should-retry", "true")},
      {"503 x-should-retry: false", chunk, "BUSY", "http-status",
       with(http(503), "x-should-retry", "false")},
      {"401 x-should-retry", job, "NOT_AUTHORIZED", "http-status",
       with(http(401), "x-should-retry", "true")},

      broken("cut JSON", R"({"text":"chu)"),
      broken("HTML in a 200", "<html><body>Welcome</body></html>"),
      broken("JSON without text", R"({"result":"chunk 2"})"),
      broken("empty body", ""),
      broken("a text that is null", R"({"text":null})"),
      {"an error in a 200", transient, "READ", "invalid-response",
       http(200, R"({"error":{"message":"no","type":"server_error","code":"oops"}})"),
       "server_error", "oops"},
  };
  for (const char* money :
       {"insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "billing_hard_limit_reached", "billing_not_active"}) {
    faults.push_back(openai(job, 429, "NOT_AUTHORIZED", "insufficient_quota", money));
  }

  Answer answer;
  answer.reset = Reset::kBeforeBody;
  faults.push_back(network("reset before the body", answer, "network"));
  answer = Answer();
  answer.reset = Reset::kAfterBody;
  faults.push_back(network("reset after the body", answer, "network"));
  answer = Answer();
  answer.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"te";
  faults.push_back(network("connection lost in the answer", answer, "network"));
  // Here libsoup takes the end of the connection for the end of the answer.
  answer = Answer();
  answer.cut_body_after = 5;
  faults.push_back({"last answer cut", Meaning::kTransient, "READ", "invalid-response", answer});
  answer = Answer();
  answer.raw = "SSH-2.0-OpenSSH_9.2p1\r\n\r\n";
  faults.push_back(network("garbage instead of HTTP", answer, "network"));
  answer = Answer();
  answer.hang = true;
  faults.push_back(network("hang", answer, "timeout", "request-timeout=1500"));
  answer = Answer();
  answer.drip_bytes = 1;
  answer.drip_interval = std::chrono::milliseconds(200);
  faults.push_back(network("dripping answer", answer, "timeout", "request-timeout=1500"));
  return faults;
}

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = make_faults();
  return all;
}

// Strikes the first `times` attempts of a chunk. Every answer closes its connection, so that the
// requests do not depend on whether one was kept.
void strike(FakeService& service, const Fault& fault, std::size_t times) {
  Answer answer = fault.answer;
  if (answer.raw.empty() && answer.reset == Reset::kNone) {
    answer.headers.emplace_back("x-request-id", kRequestId);
  }
  answer.close = true;
  if (answer.decided_on_head()) {
    // The chunk is not known yet, but the second request is the second chunk's first.
    const auto struck = std::make_shared<std::string>();
    service.answer_head_with([=](const Request& request) -> std::optional<Answer> {
      const std::string key = request.header("Idempotency-Key");
      if (request.number == kStruck - 1) *struck = key;
      if (key != *struck || request.attempt > times) return {};
      return answer;
    });
  }
  service.answer_with([=](const Request& request) {
    Answer normal;
    normal.close = true;
    const bool struck = request.chunk == kStruck && request.attempt <= times;
    return struck && !answer.decided_on_head() ? answer : normal;
  });
}

unsigned told_status(const Fault& fault) {
  return fault.status < 0 ? fault.answer.status : static_cast<unsigned>(fault.status);
}

// Attempts of one chunk are one request to the server: same key, same bytes; others differ.
void check_keys(const FakeService& service) {
  std::map<std::string, std::string> audio_of;
  std::map<std::string, unsigned> attempts;
  for (const Request& request : service.requests()) {
    const std::string key = request.header("Idempotency-Key");
    ck_assert(!key.empty());
    ck_assert_uint_eq(request.attempt, ++attempts[key]);
    if (request.sha256.empty()) continue;  // reset before its body
    const auto [known, fresh] = audio_of.emplace(key, request.sha256);
    ck_assert(fresh || known->second == request.sha256);
  }
  std::set<std::string> audios;
  for (const auto& [key, audio] : audio_of) ck_assert(audios.insert(audio).second);
  ck_assert(service.violations().empty());
}

SinkPipeline play(const FakeService& service, const std::string& properties,
                  unsigned seconds = kChunks) {
  auto pipeline = SinkPipeline::with_source(service.url(), kOneByOne + properties);
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, seconds);
  pipeline.wait();
  return pipeline;
}

void check_retry(const GstStructure* retry, const Fault& fault, unsigned attempt) {
  ck_assert_uint_eq(uint64_field(retry, "chunk-index"), kStruck - 1);
  ck_assert_uint_eq(uint64_field(retry, "timestamp"), (kStruck - 1) * GST_SECOND);
  ck_assert_uint_eq(uint_field(retry, "attempt"), attempt);
  ck_assert_uint_eq(uint_field(retry, "http-status-code"), told_status(fault));
  assert_text(string_field(retry, "reason"), fault.reason);
  // 20 ms and 40 ms, the lower half of which is left to chance.
  const guint64 delay = uint64_field(retry, "delay");
  const guint64 most = (attempt == 2 ? 20 : 40) * GST_MSECOND;
  ck_assert_uint_ge(delay, most / 2);
  ck_assert_uint_le(delay, most);
}

void check_error(const SinkPipeline& pipeline, const Fault& fault, unsigned attempts) {
  assert_text(code_name(pipeline.error()), fault.code);
  const GstStructure* details = pipeline.error_details();
  ck_assert(details != nullptr);
  ck_assert_uint_eq(uint_field(details, "http-status-code"), told_status(fault));
  ck_assert_uint_eq(uint_field(details, "attempts"), attempts);
  ck_assert_uint_eq(uint64_field(details, "chunk-index"), kStruck - 1);
  assert_text(string_field(details, "reason"), fault.reason);
  assert_text(string_field(details, "error-type"), fault.type);
  assert_text(string_field(details, "error-code"), fault.word);
  const bool answered = told_status(fault) != 0 && fault.answer.raw.empty();
  assert_text(string_field(details, "request-id"), answered ? kRequestId : "");
  if (told_status(fault) != 0 && told_status(fault) != 200) {
    const std::string status = std::to_string(told_status(fault));
    ck_assert_msg(std::strstr(pipeline.error()->message, status.c_str()) != nullptr, "%s",
                  pipeline.error()->message);
  }
}

}  // namespace

GST_START_TEST(test_for_good) {
  const Fault& fault = faults()[static_cast<std::size_t>(__i__)];
  g_print("for good: %s\n", fault.name.c_str());
  FakeService service;
  strike(service, fault, SIZE_MAX / 2);
  auto pipeline = play(service, std::string("retries=2 ") + fault.properties);

  const bool job_wide = fault.meaning == Meaning::kJob;
  const unsigned tries = fault.meaning == Meaning::kTransient ? kTries : 1;
  check_ending(pipeline, {"FAILED", job_wide ? "error" : "chunks-failed", "ERROR", fault.code});
  check_counters(pipeline, !job_wide);
  check_error(pipeline, fault, tries);
  check_keys(service);
  ck_assert_uint_eq(service.requests().size(), job_wide ? kStruck : kChunks - 1 + tries);

  const auto retries = pipeline.named("openaitranscribe/chunk-retry");
  ck_assert_uint_eq(retries.size(), tries - 1);
  for (unsigned i = 0; i < retries.size(); i++) check_retry(retries[i], fault, i + 2);

  const auto failed = pipeline.named("openaitranscribe/chunk-failed");
  ck_assert_uint_eq(failed.size(), job_wide ? 0 : 1);
  const std::string transcript = pipeline.transcript();
  if (job_wide) {
    assert_text(transcript, "chunk 1");
    return;
  }
  assert_text(transcript, "chunk 1 chunk 3 chunk 4");
  ck_assert_uint_eq(uint64_field(failed[0], "chunk-index"), kStruck - 1);
  ck_assert_uint_eq(uint64_field(failed[0], "timestamp"), GST_SECOND);
  ck_assert_uint_eq(uint64_field(failed[0], "duration"), GST_SECOND);
  ck_assert_uint_eq(uint_field(failed[0], "http-status-code"), told_status(fault));
  ck_assert_uint_eq(uint_field(failed[0], "attempts"), tries);
  assert_text(string_field(failed[0], "reason"), fault.reason);
  assert_text(string_field(failed[0], "error-type"), fault.type);
  assert_text(string_field(failed[0], "error-code"), fault.word);
  ck_assert(!string_field(failed[0], "error-message").empty());
}
GST_END_TEST;

GST_START_TEST(test_once) {
  const Fault& fault = faults()[static_cast<std::size_t>(__i__)];
  if (fault.meaning != Meaning::kTransient) return;
  g_print("once: %s\n", fault.name.c_str());
  FakeService service;
  strike(service, fault, 1);
  auto pipeline = play(service, fault.properties);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
  check_keys(service);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 2 chunk 3 chunk 4");
  ck_assert_uint_eq(service.requests().size(), kChunks + 1);
  const auto results = pipeline.named("openaitranscribe/result");
  for (std::size_t i = 0; i < results.size(); i++) {
    ck_assert_uint_eq(uint_field(results[i], "attempts"), i == kStruck - 1 ? 2 : 1);
  }
  const auto retries = pipeline.named("openaitranscribe/chunk-retry");
  ck_assert_uint_eq(retries.size(), 1);
  check_retry(retries[0], fault, 2);
}
GST_END_TEST;

GST_START_TEST(test_server_delay) {
  const gint64 now = g_get_real_time() / G_USEC_PER_SEC;
  const auto date = [&](gint64 from_now) {
    GDateTime* time = g_date_time_new_from_unix_utc(now + from_now);
    char* text = g_date_time_format(time, "%a, %d %b %Y %H:%M:%S GMT");
    const std::string copy = text;
    g_free(text);
    g_date_time_unref(time);
    return copy;
  };
  struct Case {
    Headers headers;
    unsigned least;  // ms
    unsigned most;
  };
  // Without a usable delay: our own, 10 to 20 ms.
  const std::vector<Case> cases = {
      {{{"retry-after-ms", "130"}}, 130, 130},
      {{{"Retry-After-MS", "130.5"}}, 130, 131},
      {{{"x-ms-retry-after-ms", "90"}}, 90, 90},
      {{{"Retry-After", "1"}}, 1000, 1000},
      {{{"Retry-After", "0.25"}}, 250, 250},
      {{{"retry-after-ms", "120"}, {"Retry-After", "60"}}, 120, 120},
      // Made when the job begins, in whole seconds.
      {{{"Retry-After", date(5)}}, 1000, 5000},
      {{{"Retry-After", date(-100)}}, 10, 20},
      {{{"Retry-After", "0"}}, 10, 20},
      {{{"Retry-After", "soon"}}, 10, 20},
      {{{"Retry-After", "-5"}}, 10, 20},
      {{}, 10, 20},
  };
  const Case& one = cases.at(static_cast<std::size_t>(__i__));
  FakeService service;
  service.answer_with([&](const Request& request) {
    Answer answer;
    if (request.chunk == kStruck && request.attempt == 1) {
      answer = Answer::error(429, "rate_limit_exceeded", "requests");
      answer.headers = one.headers;
    }
    return answer;
  });
  auto pipeline = play(service, "");
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_keys(service);
  const auto retries = pipeline.named("openaitranscribe/chunk-retry");
  ck_assert_uint_eq(retries.size(), 1);
  const guint64 delay = uint64_field(retries[0], "delay");
  ck_assert_uint_ge(delay, one.least * GST_MSECOND);
  ck_assert_uint_le(delay, one.most * GST_MSECOND);
  ck_assert_uint_eq(pipeline.stat("rate-limited"), 1);
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), kChunks + 1);
  // Nothing else is sent in the meantime.
  ck_assert_int_ge(requests[2].arrival - requests[1].ended, static_cast<gint64>(delay / 1000) - 2);
}
GST_END_TEST;
constexpr int kDelayCases = 12;

GST_START_TEST(test_slow_down_lowers_the_rate) {
  FakeService service;
  service.answer_with([](const Request& request) {
    return request.chunk == kStruck && request.attempt == 1 ? Answer::error(429, "slow_down")
                                                            : Answer();
  });
  auto pipeline = play(service, "requests-per-second=20", 8);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size(), 9);
  // 20/s before; then half of it.
  const auto apart = [&](std::size_t from, std::size_t to) {
    return static_cast<double>(requests[to].arrival - requests[from].arrival) /
           static_cast<double>(to - from);
  };
  ck_assert(apart(3, 8) >= 90000);
}
GST_END_TEST;

GST_START_TEST(test_refused) {
  const bool comes_back = __i__ == 1;
  FakeService service;
  service.set_listening(false);
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kOneByOne) + (comes_back ? "retries=200" : "retries=2"));
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, 2);
  if (comes_back) {
    pipeline.wait_for("openaitranscribe/chunk-retry", 2);
    service.set_listening(true);
    ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
    check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
    const std::string transcript = pipeline.transcript();
    assert_text(transcript, "chunk 1 chunk 2");
    return;
  }
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "OPEN_WRITE"});
  check_counters(pipeline, true);
  ck_assert_uint_eq(uint_field(pipeline.error_details(), "http-status-code"), 0);
  ck_assert_uint_eq(uint_field(pipeline.error_details(), "attempts"), kTries);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), 2);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-retry"), 4);
  for (const GstStructure* retry : pipeline.named("openaitranscribe/chunk-retry")) {
    assert_text(string_field(retry, "reason"), "refused");
  }
  ck_assert_uint_eq(service.requests().size(), 0);
}
GST_END_TEST;

// A kept connection that the server has closed costs no waiting: the back-off here would outlast
// the test.
GST_START_TEST(test_lost_idle_connection) {
  FakeService service;
  service.answer_head_with([](const Request& request) -> std::optional<Answer> {
    if (request.number != 1) return {};
    Answer answer;
    answer.reset = Reset::kBeforeBody;
    return answer;
  });
  auto pipeline =
      SinkPipeline::with_source(service.url(),
                                "split=fixed max-chunk-duration=1000000000 max-parallel=1 "
                                "retry-delay=3600000 max-retry-delay=3600000");
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, 4);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
  check_keys(service);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 2 chunk 3 chunk 4");
  ck_assert_uint_eq(service.requests().size(), 5);
  ck_assert_uint_eq(service.connections(), 2);
}
GST_END_TEST;

GST_START_TEST(test_server_closes_idle_connections) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(),
                                            "split=fixed max-chunk-duration=1000000000 "
                                            "retry-delay=3600000 max-retry-delay=3600000");
  pipeline.set_state(GST_STATE_PLAYING);
  for (unsigned i = 0; i < 12; i++) {
    pipeline.push(noise(kSecond, i + 1), i * GST_SECOND);
    pipeline.wait_for("openaitranscribe/result", i + 1);
    if (i % 3 == 2) service.close_idle_connections();
  }
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
  check_keys(service);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), 12);
}
GST_END_TEST;

GST_START_TEST(test_empty_text_is_a_result) {
  FakeService service;
  service.answer_with([](const Request& request) {
    return request.chunk == kStruck ? http(200, R"({"text":""})") : Answer();
  });
  auto pipeline = play(service, "");
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  check_counters(pipeline, true);
  ck_assert_uint_eq(service.requests().size(), kChunks);
  const auto results = pipeline.named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), kChunks);
  assert_text(string_field(results[1], "text"), "");
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 3 chunk 4");
}
GST_END_TEST;

GST_START_TEST(test_first_three_rejected_alike) {
  for (const char* on_error : {"continue", "ignore", "abort"}) {
    FakeService service;
    service.answer_with([](const Request&) { return Answer::error(415, "unsupported_format"); });
    auto pipeline = play(service, std::string("on-error=") + on_error, 8);
    const bool abort = std::strcmp(on_error, "abort") == 0;
    check_ending(pipeline, {"FAILED", "error", "ERROR", "WRITE"});
    check_counters(pipeline, false);
    ck_assert_uint_eq(service.requests().size(), abort ? 1 : 3);
    ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), abort ? 1 : 3);
    const GstStructure* details = pipeline.error_details();
    ck_assert_uint_eq(uint_field(details, "http-status-code"), 415);
    assert_text(string_field(details, "error-code"), "unsupported_format");
    ck_assert_uint_eq(uint64_field(details, "chunk-index"), abort ? 0 : 2);
    assert_text(string_field(details, "reason"), abort ? "http-status" : "rejected");
  }
}
GST_END_TEST;

GST_START_TEST(test_rejections_that_differ_do_not_end_the_job) {
  for (int other = 0; other < 3; other++) {
    FakeService service;
    service.answer_with([other](const Request& request) {
      if (request.chunk != 2) return Answer::error(415, "unsupported_format");
      if (other == 0) return Answer();
      if (other == 1) return Answer::error(415, "another_code");
      return Answer::error(400, "unsupported_format");
    });
    auto pipeline = play(service, "", 6);
    check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "WRITE"});
    check_counters(pipeline, true);
    ck_assert_uint_eq(service.requests().size(), 6);
    ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), other == 0 ? 5 : 6);
  }
}
GST_END_TEST;

// A size that is only known to be too much once the prompt was changed in the middle.
GST_START_TEST(test_body_too_large) {
  FakeService service;
  auto pipeline = SinkPipeline::with_source(service.url(), kOneByOne);
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.push(noise(kSecond), 0);
  pipeline.wait_for("openaitranscribe/result", 1);
  const std::string prompt(26214400, 'x');
  g_object_set(pipeline.sink(), "prompt", prompt.c_str(), nullptr);
  pipeline.push(noise(kSecond), GST_SECOND);
  pipeline.wait_for("openaitranscribe/chunk-failed", 1);
  g_object_set(pipeline.sink(), "prompt", nullptr, nullptr);
  pipeline.push(noise(kSecond), 2 * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "WRITE"});
  check_counters(pipeline, true);
  const auto failed = pipeline.named("openaitranscribe/chunk-failed");
  ck_assert_uint_eq(failed.size(), 1);
  assert_text(string_field(failed[0], "reason"), "too-large");
  ck_assert_uint_eq(uint_field(failed[0], "http-status-code"), 0);
  ck_assert_uint_eq(uint_field(failed[0], "attempts"), 0);
  ck_assert_uint_eq(service.requests().size(), 2);
  ck_assert_uint_eq(pipeline.stat("requests"), 2);
  const std::string transcript = pipeline.transcript();
  assert_text(transcript, "chunk 1 chunk 3");
}
GST_END_TEST;

// Eight requests fly when one of them tells that none can succeed.
GST_START_TEST(test_no_request_after_a_job_wide_error) {
  const bool is_head = __i__ == 1;
  FakeService service;
  const auto no_key = [] { return Answer::error(401, "invalid_api_key"); };
  if (is_head) {
    service.answer_head_with([=](const Request& request) -> std::optional<Answer> {
      if (request.number != 7) return {};
      Answer answer = no_key();
      answer.before_body = true;
      return answer;
    });
  }
  service.answer_with([=](const Request& request) {
    Answer answer;
    answer.hang = true;
    if (!is_head && request.chunk == 5) {
      answer = no_key();
      answer.gate = "all here";
    }
    return answer;
  });
  auto pipeline = SinkPipeline::with_source(
      service.url(), "split=fixed max-chunk-duration=1000000000 max-parallel=8");
  pipeline.set_state(GST_STATE_PLAYING);
  push_seconds(pipeline, 40);
  if (!is_head) ck_assert(service.wait_for_requests(8, std::chrono::seconds(20)));
  service.open_gate("all here");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  const std::size_t seen = service.requests().size();
  ck_assert_uint_eq(seen, 8);
  check_ending(pipeline, {"FAILED", "error", "ERROR", "NOT_AUTHORIZED"});
  check_counters(pipeline, false);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-retry"), 0);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/chunk-failed"), 0);
  ck_assert(service.wait_for_answers(seen, std::chrono::seconds(10)));
  ck_assert_uint_eq(service.requests().size(), seen);
}
GST_END_TEST;

static Suite* faults_suite(void) {
  Suite* suite = suite_create("faults");
  TCase* each = tcase_create("each");
  tcase_set_timeout(each, 60);
  suite_add_tcase(suite, each);
  const int count = static_cast<int>(faults().size());
  tcase_add_loop_test(each, test_for_good, 0, count);
  tcase_add_loop_test(each, test_once, 0, count);
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_loop_test(tests, test_server_delay, 0, kDelayCases);
  tcase_add_test(tests, test_slow_down_lowers_the_rate);
  tcase_add_loop_test(tests, test_refused, 0, 2);
  tcase_add_test(tests, test_lost_idle_connection);
  tcase_add_test(tests, test_server_closes_idle_connections);
  tcase_add_test(tests, test_empty_text_is_a_result);
  tcase_add_test(tests, test_first_three_rejected_alike);
  tcase_add_test(tests, test_rejections_that_differ_do_not_end_the_job);
  tcase_add_test(tests, test_body_too_large);
  tcase_add_loop_test(tests, test_no_request_after_a_job_wide_error, 0, 2);
  return suite;
}
GST_CHECK_MAIN(faults);
