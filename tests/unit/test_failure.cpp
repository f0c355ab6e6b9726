#include <glib.h>

#include <random>
#include <string>
#include <vector>

#include "openai/failure.h"

#include "check_main.h"

namespace {

using namespace transcribe;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kUrl = "https://api.example.com/v1/audio/transcriptions";
const WallTime kNow{seconds(1700000000)};  // Tue, 14 Nov 2023 22:13:20 GMT

void check_same(const std::string& is, const std::string& expected) {
  ck_assert_msg(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

void check_contains(const std::string& text, const std::string& part) {
  ck_assert_msg(text.find(part) != std::string::npos, "'%s' lacks '%s'", text.c_str(),
                part.c_str());
}

Failure classify(unsigned status, const std::string& body = {}, Headers headers = {}) {
  return classify_response(HttpResponse{status, std::move(headers), body}, kUrl, kNow);
}

std::string error_body(const std::string& type, const std::string& code,
                       const std::string& param = {}) {
  const auto quoted = [](const std::string& text) {
    return text.empty() ? std::string("null") : '"' + text + '"';
  };
  return R"({"error":{"message":"words of the server","type":)" + quoted(type) +
         ",\"param\":" + quoted(param) + ",\"code\":" + quoted(code) + "}}";
}

struct Row {
  unsigned status;
  std::string body;
  Severity severity;
  Cause cause;
  std::string in_message;
};

const std::vector<Row>& rows() {
  using enum Severity;
  using enum Cause;
  static const std::vector<Row> kRows = {
      {301, "", kJob, kSettings, "base-url"},
      {302, "", kJob, kSettings, "base-url"},
      {304, "", kJob, kSettings, "base-url"},
      {307, "", kJob, kSettings, "base-url"},
      {308, "", kJob, kSettings, "base-url"},
      {400, error_body("invalid_request_error", "invalid_value", "file"), kChunk, kWrite, "chunk"},
      {400, error_body("invalid_request_error", "audio_too_short"), kChunk, kWrite, "words of"},
      {400, error_body("invalid_request_error", ""), kChunk, kWrite, "words of the server"},
      {400, error_body("invalid_request_error", "unsupported_value", "response_format"), kJob,
       kSettings, "Check response-format, timestamp-granularities (with response-format=auto"},
      {400, error_body("invalid_request_error", "invalid_value", "model"), kJob, kSettings,
       "model"},
      {400, error_body("invalid_request_error", "", "language"), kJob, kSettings, "language-code"},
      {400, error_body("x", "", "languages[0]"), kJob, kSettings, "languages"},
      {400, error_body("x", "", "timestamp_granularities[]"), kJob, kSettings,
       "timestamp-granularities"},
      {400, error_body("x", "", "include[0]"), kJob, kSettings, "logprobs"},
      {400, error_body("x", "", "chunking_strategy"), kJob, kSettings, "chunking-strategy"},
      {400, error_body("x", "", "something_else"), kChunk, kWrite, ""},
      {401, error_body("invalid_request_error", "invalid_api_key"), kJob, kNotAuthorized,
       "OPENAI_API_KEY"},
      {401, "", kJob, kNotAuthorized, "api-key"},
      {402, "", kJob, kNotAuthorized, "billing"},
      {403, R"({"detail":"Invalid API key"})", kJob, kNotAuthorized, "Invalid API key"},
      {404, error_body("invalid_request_error", "model_not_found"), kJob, kNotFound, "model"},
      {404, "File Not Found (/v1)", kJob, kNotFound, kUrl},
      {404, "", kJob, kNotFound, "up to and including /v1"},
      {405, "", kChunk, kWrite, ""},
      {407, "", kJob, kNotAuthorized, "Set proxy with"},
      {408, "", kRetry, kWrite, ""},
      {409, "", kRetry, kWrite, ""},
      {410, "", kChunk, kWrite, ""},
      {413, error_body("server_error", ""), kChunk, kWrite, "max-chunk-duration"},
      {415, R"({"detail":"Unsupported audio"})", kChunk, kWrite, "Unsupported audio"},
      {422, R"({"detail":[{"loc":["body","file"],"msg":"bad"}]})", kChunk, kWrite, "file: bad"},
      {422, R"({"detail":[{"loc":["body","model"],"msg":"Field required","type":"missing"}]})",
       kJob, kSettings, "model: Field required"},
      {424, error_body("model_error", ""), kChunk, kWrite, ""},
      {425, "", kRetry, kWrite, ""},
      {429, error_body("requests", "rate_limit_exceeded"), kRetry, kBusy, "requests-per-second"},
      {429, error_body("tokens", "rate_limit_exceeded"), kRetry, kBusy, "max-parallel"},
      {429, error_body("rate_limit_error", "slow_down"), kRetry, kBusy, "requests-per-second"},
      {429, "", kRetry, kBusy, "rate limit"},
      {429, error_body("whatever", "unknown"), kRetry, kBusy, ""},
      {429, error_body("insufficient_quota", "insufficient_quota"), kJob, kNotAuthorized,
       "billing"},
      {429, error_body("insufficient_quota", ""), kJob, kNotAuthorized, "billing"},
      {429, error_body("x", "insufficient_quota"), kJob, kNotAuthorized, "billing"},
      {429, error_body("x", "credit_balance_exhausted"), kJob, kNotAuthorized, "billing"},
      {429, error_body("x", "organization_spend_limit_exceeded"), kJob, kNotAuthorized, "billing"},
      {429, error_body("x", "project_spend_limit_exceeded"), kJob, kNotAuthorized, "billing"},
      {429, error_body("x", "organization_usage_limit_exceeded"), kJob, kNotAuthorized, "billing"},
      {429, error_body("billing_not_active", ""), kJob, kNotAuthorized, "billing"},
      {431, "", kChunk, kWrite, ""},
      {498, error_body("x", "capacity_exceeded"), kRetry, kWrite, ""},
      {499, "", kChunk, kWrite, ""},
      {500, error_body("server_error", ""), kRetry, kWrite, "words of the server"},
      {500, error_body("insufficient_quota", ""), kRetry, kWrite, ""},
      {501, "", kRetry, kWrite, "Check base-url"},
      {502, "<html><h1>Bad gateway</h1></html>", kRetry, kWrite, "HTTP 502)"},
      {503, error_body("service_unavailable_error", "server_is_overloaded"), kRetry, kBusy, ""},
      {504, "", kRetry, kWrite, ""},
      {520, "", kRetry, kWrite, ""},
      {524, "", kRetry, kWrite, ""},
      {103, "", kRetry, kWrite, ""},
  };
  return kRows;
}

START_TEST(every_status_has_its_meaning) {
  for (const Row& row : rows()) {
    const Failure failure = classify(row.status, row.body);
    ck_assert_msg(failure.severity == row.severity, "severity of %u %s", row.status,
                  row.body.c_str());
    ck_assert_msg(failure.cause == row.cause, "cause of %u %s", row.status, row.body.c_str());
    check_contains(failure.message, row.in_message);
    check_contains(failure.message, "HTTP " + std::to_string(row.status));
    ck_assert_uint_eq(failure.http_status, row.status);
    check_same(failure.reason, row.status == 413 ? "too-large" : "http-status");
  }
}
END_TEST

START_TEST(task_is_named_where_it_decides) {
  const std::string translations = "https://api.example.com/v1/audio/translations";
  for (const unsigned status : {404U, 501U}) {
    const HttpResponse response{status, {}, ""};
    check_contains(classify_response(response, translations, kNow).message, " and task.");
    const std::string other = classify_response(response, kUrl, kNow).message;
    ck_assert_msg(other.find("task") == std::string::npos, "%s", other.c_str());
    ck_assert_msg(other.find("later") == std::string::npos, "%s", other.c_str());
  }
}
END_TEST

START_TEST(x_should_retry_overrides_all_but_job_wide_errors) {
  for (const Row& row : rows()) {
    const bool job = row.severity == Severity::kJob;
    const auto severity = [&row](const char* value) {
      return classify(row.status, row.body, {{"X-Should-Retry", value}}).severity;
    };
    ck_assert(severity("true") == (job ? Severity::kJob : Severity::kRetry));
    ck_assert(severity("false") == (job ? Severity::kJob : Severity::kChunk));
    ck_assert(severity("maybe") == row.severity);
  }
}
END_TEST

START_TEST(reads_the_error_object) {
  const Failure failure = classify(400, error_body("invalid_request_error", "bad", "file"),
                                   {{"x-request-id", "req_42"}});
  check_same(failure.error_type, "invalid_request_error");
  check_same(failure.error_code, "bad");
  check_same(failure.error_param, "file");
  check_same(failure.error_message, "words of the server");
  check_same(failure.request_id, "req_42");
}
END_TEST

START_TEST(reads_every_shape_of_error) {
  struct Shape {
    std::string body, message, code;
  };
  const std::vector<Shape> shapes = {
      {R"({"error":{"message":"m","code":400}})", "m", "400"},
      {R"({"error":{"message":"m","type":"t","param":null,"code":null},"usage":{}})", "m", ""},
      {R"({"error":"plain words"})", "plain words", ""},
      {R"({"detail":"not here"})", "not here", ""},
      {R"({"detail":{"message":"inside","code":"c"}})", "inside", "c"},
      {R"({"detail":[{"loc":["body","x"],"msg":"one"},{"loc":["body","y",0],"msg":"two"}]})",
       "x: one; y: two", ""},
      {R"({"object":"error","message":"vllm","type":"BadRequestError","code":400})", "vllm", "400"},
      {R"({"statusCode":401,"message":"Access denied"})", "Access denied", ""},
      {R"({"type":"https://x/errors#U","title":"t","status":422,"detail":"why"})", "why", ""},
      {"Invalid request", "Invalid request", ""},
      {"500 Internal Server Error\nstof", "500 Internal Server Error stof", ""},
      {" <html>\r\n\t<b>x</b>  \n</html>\n", "<html> <b>x</b> </html>", ""},
      {"", "", ""},
      {"{}", "{}", ""},
      {"[]", "[]", ""},
      {"{\"error\":", "{\"error\":", ""},
      {R"({"error":{"message":"line one\n  line two"}})", "line one line two", ""},
  };
  for (const Shape& shape : shapes) {
    const Failure failure = classify(500, shape.body);
    check_same(failure.error_message, shape.message);
    check_same(failure.error_code, shape.code);
  }
}
END_TEST

START_TEST(code_without_message_is_kept) {
  const Failure failure = classify(429, R"({"error":{"code":"insufficient_quota"}})");
  ck_assert(failure.severity == Severity::kJob);
  check_contains(failure.message, "insufficient_quota");
}
END_TEST

START_TEST(unreadable_bodies_are_cut_at_512_bytes_of_valid_utf8) {
  std::string wide;
  for (int i = 0; i < 1000; i++) wide += "\xE2\x82\xAC";  // 3 bytes each
  std::string binary;
  for (int i = 0; i < 4096; i++) binary += static_cast<char>(i * 7);
  for (const std::string& body :
       {std::string(10000, 'x'), wide, "x" + wide, "xy" + wide, binary, std::string(5000, '\0'),
        "{\"error\":{\"message\":\"" + wide + "\"}}", std::string(70, '[') + wide}) {
    const Failure failure = classify(502, body);
    ck_assert_uint_le(failure.error_message.size(), 512);
    ck_assert_uint_gt(failure.error_message.size(), 500);
    ck_assert(
        g_utf8_validate_len(failure.error_message.data(), failure.error_message.size(), nullptr));
  }
  check_same(classify(502, std::string(10000, 'x')).error_message, std::string(512, 'x'));
}
END_TEST

START_TEST(html_stays_out_of_the_message) {
  const Failure failure = classify(502, "<html><h1>Bad gateway</h1></html>");
  ck_assert(failure.message.find('<') == std::string::npos);
  check_contains(failure.error_message, "Bad gateway");
}
END_TEST

START_TEST(redirects_name_their_target_without_its_query) {
  const Failure failure =
      classify(308, "", {{"Location", "https://user:pw@other.example/v1/x?key=sekret#f"}});
  check_contains(failure.message, "https://other.example/v1/x");
  for (const char* secret : {"sekret", "pw", "user"}) {
    ck_assert(failure.message.find(secret) == std::string::npos);
  }
  ck_assert(classify(301, "", {{"Location", "/elsewhere?key=sekret"}}).message.find("sekret") ==
            std::string::npos);
}
END_TEST

START_TEST(reads_the_servers_delay) {
  struct Case {
    Headers headers;
    std::optional<Nanoseconds> delay;
  };
  const std::vector<Case> cases = {
      {{}, std::nullopt},
      {{{"Retry-After", "2"}}, seconds(2)},
      {{{"retry-after", "0"}}, seconds(0)},
      {{{"Retry-After", " 3 "}}, seconds(3)},
      {{{"Retry-After", "1.5"}}, milliseconds(1500)},
      {{{"Retry-After", "86400"}}, seconds(86400)},
      {{{"Retry-After", "-5"}}, std::nullopt},
      {{{"Retry-After", "soon"}}, std::nullopt},
      {{{"Retry-After", "1m"}}, std::nullopt},
      {{{"Retry-After", "1.2.3"}}, std::nullopt},
      {{{"Retry-After", "."}}, std::nullopt},
      {{{"Retry-After", "nan"}}, std::nullopt},
      {{{"Retry-After", "inf"}}, std::nullopt},
      {{{"Retry-After", "0x10"}}, std::nullopt},
      {{{"Retry-After", ""}}, std::nullopt},
      {{{"Retry-After", "Tue, 14 Nov 2023 22:14:20 GMT"}}, seconds(60)},
      {{{"Retry-After", "Tuesday, 14-Nov-23 22:14:20 GMT"}}, seconds(60)},
      {{{"Retry-After", "Tue Nov 14 22:14:20 2023"}}, seconds(60)},
      {{{"Retry-After", "Tue, 14 Nov 2023 22:13:00 GMT"}}, seconds(0)},
      {{{"retry-after-ms", "250"}, {"retry-after", "9"}}, milliseconds(250)},
      {{{"retry-after", "9"}, {"Retry-After-Ms", "250.5"}}, std::chrono::microseconds(250500)},
      {{{"x-ms-retry-after-ms", "750"}, {"retry-after", "9"}}, milliseconds(750)},
      {{{"x-ms-retry-after-ms", "750"}, {"retry-after-ms", "5"}}, milliseconds(5)},
      {{{"retry-after-ms", "junk"}, {"retry-after", "9"}}, seconds(9)},
      {{{"retry-after-ms", "-1"}, {"x-ms-retry-after-ms", "4"}}, milliseconds(4)},
  };
  for (const Case& item : cases) {
    const auto delay = server_delay(item.headers, kNow);
    const char* value = item.headers.empty() ? "" : item.headers[0].second.c_str();
    ck_assert_msg(delay == item.delay, "'%s' gave %lld ns", value,
                  delay ? static_cast<long long>(delay->count()) : -1);
  }
}
END_TEST

START_TEST(endless_delays_stay_long) {
  for (const char* value : {"99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"}) {
    const auto delay = server_delay({{"Retry-After", value}}, kNow);
    ck_assert(delay && *delay >= std::chrono::hours(24 * 365));
  }
}
END_TEST

START_TEST(delays_go_with_what_time_may_mend) {
  const Headers headers = {{"Retry-After", "2"}};
  ck_assert(classify(500, "", headers).server_delay == Nanoseconds(seconds(2)));
  ck_assert(classify(429, "", headers).server_delay == Nanoseconds(seconds(2)));
  ck_assert(!classify(401, "", headers).server_delay);
  ck_assert(!classify(400, "", headers).server_delay);
  ck_assert(!classify(400, "", {headers[0], {"x-should-retry", "false"}}).server_delay);
  ck_assert(!classify(429, error_body("insufficient_quota", ""), headers).server_delay);
}
END_TEST

START_TEST(group_is_held_and_slowed_where_it_should) {
  const Headers delay = {{"Retry-After", "2"}};
  ck_assert(classify(429).hold_group);
  ck_assert(classify(429, "", delay).hold_group);
  ck_assert(classify(503, "", delay).hold_group);
  ck_assert(!classify(503).hold_group);
  ck_assert(!classify(500, "", delay).hold_group);
  const Headers final_delay = {{"Retry-After", "2"}, {"x-should-retry", "false"}};
  for (const unsigned status : {429U, 503U}) {
    const Failure failure = classify(status, "", final_delay);
    ck_assert(failure.severity == Severity::kChunk && failure.hold_group);
    ck_assert(failure.server_delay == Nanoseconds(seconds(2)));
  }
  ck_assert(!classify(401, "", delay).hold_group);
  ck_assert(classify(429, error_body("rate_limit_error", "slow_down")).slow_down);
  ck_assert(!classify(429, error_body("requests", "rate_limit_exceeded")).slow_down);
}
END_TEST

START_TEST(tells_whether_the_service_may_have_worked) {
  ck_assert(classify(500).maybe_processed && classify(504).maybe_processed);
  ck_assert(!classify(503).maybe_processed && !classify(429).maybe_processed);
  ck_assert(!classify(400).maybe_processed);
}
END_TEST

START_TEST(every_transport_fault_has_its_meaning) {
  struct Case {
    TransportFault fault;
    bool connected;
    Severity severity;
    Cause cause;
    std::string reason, in_message;
  };
  const std::vector<Case> cases = {
      {TransportFault::kDeadline, true, Severity::kRetry, Cause::kWrite, "timeout",
       "request-timeout"},
      {TransportFault::kDeadline, false, Severity::kRetry, Cause::kWrite, "timeout",
       "request-timeout"},
      {TransportFault::kNetwork, true, Severity::kRetry, Cause::kWrite, "network", "network"},
      {TransportFault::kNetwork, false, Severity::kRetry, Cause::kConnect, "refused", "base-url"},
      {TransportFault::kNotFound, false, Severity::kRetry, Cause::kNotFound, "network", "base-url"},
      {TransportFault::kTls, false, Severity::kRetry, Cause::kConnect, "tls", "tls-ca-file"},
      {TransportFault::kInvalid, false, Severity::kJob, Cause::kSettings, "network", "proxy"},
  };
  for (const Case& item : cases) {
    TransportError error;
    error.fault = item.fault;
    error.connected = item.connected;
    error.message = "words of\n the system";
    const Failure failure = classify_transport(error, kUrl);
    ck_assert(failure.severity == item.severity && failure.cause == item.cause);
    check_same(failure.reason, item.reason);
    check_contains(failure.message, item.in_message);
    check_contains(failure.message, kUrl);
    check_contains(failure.message, "words of the system");
    ck_assert_uint_eq(failure.http_status, 0);
    ck_assert(failure.maybe_processed == item.connected);
    ck_assert(!failure.retry_at_once);
  }
}
END_TEST

START_TEST(lost_idle_connection_is_retried_at_once) {
  TransportError error;
  error.connected = true;
  error.reused_connection = true;
  ck_assert(classify_transport(error, kUrl).retry_at_once);
  error.fault = TransportFault::kDeadline;
  ck_assert(!classify_transport(error, kUrl).retry_at_once);
}
END_TEST

START_TEST(broken_answers_are_retried) {
  const Failure failure = broken_response(
      HttpResponse{200, {{"x-request-id", "r"}}, R"({"error":{"message":"boom","code":5}})"},
      "it carries an error");
  ck_assert(failure.severity == Severity::kRetry && failure.cause == Cause::kRead);
  check_same(failure.reason, "invalid-response");
  check_same(failure.error_message, "boom");
  check_same(failure.error_code, "5");
  check_same(failure.request_id, "r");
  ck_assert_uint_eq(failure.http_status, 200);
  ck_assert(failure.maybe_processed);
  check_contains(failure.message, "it carries an error");
  check_same(broken_response(HttpResponse{200, {}, "<html>\n"}, "no").error_message, "<html>");
}
END_TEST

START_TEST(mutated_errors_never_break_the_promises) {
  std::mt19937 random(7);
  const std::vector<std::string> samples = {
      error_body("a", "b", "c"), R"({"detail":[{"loc":["body","x",0],"msg":"one","type":"t"}]})",
      R"({"error":"plain"})", R"({"error":{"code":400,"message":"x"}})"};
  for (unsigned i = 0; i < 3000; i++) {
    std::string body = samples[i % samples.size()];
    for (unsigned edits = 1 + random() % 4; edits > 0; edits--) {
      const std::size_t at = random() % (body.size() + 1);
      if (random() % 2 == 0) {
        body.insert(at, 1, static_cast<char>(random()));
      } else {
        body.erase(at, 1 + random() % 8);
      }
    }
    const unsigned status = 300 + random() % 300;
    const Failure failure = classify(status, body);
    for (const std::string& text : {failure.message, failure.error_message, failure.error_code,
                                    failure.error_type, failure.error_param}) {
      ck_assert(g_utf8_validate_len(text.data(), text.size(), nullptr));
      ck_assert(text.find('\n') == std::string::npos);
    }
    ck_assert(status < 500 || failure.severity == Severity::kRetry);
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("failure");
  TCase* tcase = tcase_create("failure");
  tcase_add_test(tcase, every_status_has_its_meaning);
  tcase_add_test(tcase, task_is_named_where_it_decides);
  tcase_add_test(tcase, x_should_retry_overrides_all_but_job_wide_errors);
  tcase_add_test(tcase, reads_the_error_object);
  tcase_add_test(tcase, reads_every_shape_of_error);
  tcase_add_test(tcase, code_without_message_is_kept);
  tcase_add_test(tcase, unreadable_bodies_are_cut_at_512_bytes_of_valid_utf8);
  tcase_add_test(tcase, html_stays_out_of_the_message);
  tcase_add_test(tcase, redirects_name_their_target_without_its_query);
  tcase_add_test(tcase, reads_the_servers_delay);
  tcase_add_test(tcase, endless_delays_stay_long);
  tcase_add_test(tcase, delays_go_with_what_time_may_mend);
  tcase_add_test(tcase, group_is_held_and_slowed_where_it_should);
  tcase_add_test(tcase, tells_whether_the_service_may_have_worked);
  tcase_add_test(tcase, every_transport_fault_has_its_meaning);
  tcase_add_test(tcase, lost_idle_connection_is_retried_at_once);
  tcase_add_test(tcase, broken_answers_are_retried);
  tcase_add_test(tcase, mutated_errors_never_break_the_promises);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
