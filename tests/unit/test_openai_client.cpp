#include <glib.h>

#include <string>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "fake_service.h"
#include "openai/client.h"
#include "short_deadline.h"

#include "check_main.h"

namespace {

using namespace transcribe;
namespace fake = transcribe::testing;

const char* const kKey = "sk-unique-secret-0123456789";
constexpr Milliseconds kLong{20000};

void check_same(const std::string& is, const std::string& expected) {
  ck_assert_msg(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

class MemoryLog final : public Log {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel, const std::string& text) const override { *text_.lock() += text + "\n"; }
  std::string text() const { return *text_.lock(); }

 private:
  mutable Guarded<std::string> text_;
};

Chunk make_chunk(std::uint64_t index, std::size_t frames = 1600) {
  Chunk chunk;
  chunk.info.index = index;
  chunk.info.core = {0, frames};
  chunk.info.payload = {0, frames};
  const std::string pcm(frames * kBytesPerFrame, static_cast<char>(index + 1));
  chunk.pcm.reset(g_bytes_new(pcm.data(), pcm.size()));
  chunk.info.sha256 = pcm_digest(chunk.pcm.get());
  return chunk;
}

struct Fixture {
  Fixture() {
    config.service.base_url = service.url();
    config.service.api_key = kKey;
    config.http.user_agent = "transcribe/1";
    config.job_id = "job-1";
  }

  OpenAiClient& client() {
    if (!client_) {
      auto created = OpenAiClient::create(config, clock, log);
      ck_assert_msg(created.ok(), "%s", created.ok() ? "" : created.error().message.c_str());
      client_ = std::move(*created);
    }
    return *client_;
  }
  AttemptOutcome send(const Chunk& chunk, Milliseconds timeout = kLong) {
    return client().transcribe(chunk, 1, timeout, cancellation);
  }
  Transcription succeed(const Chunk& chunk) {
    AttemptOutcome outcome = send(chunk);
    if (const Failure* failure = std::get_if<Failure>(&outcome)) {
      ck_abort_msg("failed: %s", failure->message.c_str());
    }
    return std::get<Transcription>(outcome);
  }
  Failure fails(const Chunk& chunk, Milliseconds timeout = kLong) {
    AttemptOutcome outcome = send(chunk, timeout);
    ck_assert(std::holds_alternative<Failure>(outcome));
    return std::get<Failure>(outcome);
  }
  void answer(fake::Answer answer) {
    service.answer_with([answer](const fake::Request&) { return answer; });
  }
  fake::Request last_request() {
    const auto requests = service.requests();
    ck_assert(!requests.empty());
    return requests.back();
  }
  void check_legal() {
    for (const std::string& violation : service.violations()) ck_abort_msg("%s", violation.c_str());
  }

  fake::FakeService service;
  OpenAiClient::Config config;
  SystemClock clock;
  MemoryLog log;
  Cancellation cancellation;

 private:
  std::unique_ptr<OpenAiClient> client_;
};

fake::Answer json_answer(const std::string& body) {
  fake::Answer answer;
  answer.body = body;
  return answer;
}

START_TEST(chunk_becomes_text) {
  Fixture fixture;
  const Transcription result = fixture.succeed(make_chunk(4));
  const fake::Request request = fixture.last_request();
  check_same(result.text, fake::default_text(request));
  ck_assert(request.chunk == 5u && request.frames == 1600);
  check_same(request.path, "/v1/audio/transcriptions");
  check_same(request.header("Authorization"), "Bearer " + std::string(kKey));
  check_same(request.header("Accept"), "application/json");
  check_same(request.header("User-Agent"), "transcribe/1");
  check_same(request.field("model"), "gpt-transcribe");
  fixture.check_legal();
}
END_TEST

START_TEST(verbose_answer_is_read_and_cut_at_the_payload) {
  Fixture fixture;
  fixture.config.request.segment_timestamps = true;
  fixture.config.request.word_timestamps = true;
  fake::Answer answer = json_answer(
      R"({"text":"a b","language":"en","duration":30,"segments":[{"text":"a b","start":0,"end":30}],)"
      R"("words":[{"word":"a","start":0.01,"end":0.05},{"word":"b","start":5,"end":6}]})");
  answer.headers = {{"x-request-id", "req_9"}};
  fixture.answer(answer);
  const Transcription result = fixture.succeed(make_chunk(0));
  check_same(result.request_id, "req_9");
  ck_assert(result.segments.at(0).end == Milliseconds(100));
  ck_assert(result.words.at(0).end == Milliseconds(50));
  ck_assert(result.words.at(1).start == Milliseconds(100));
  fixture.check_legal();
}
END_TEST

START_TEST(idempotency_key_belongs_to_the_chunk) {
  std::vector<std::string> keys;
  for (int run = 0; run < 2; run++) {
    Fixture fixture;
    fixture.answer(fake::Answer::error(500));
    const Chunk first = make_chunk(0);
    fixture.fails(first);
    fixture.fails(first);
    fixture.fails(make_chunk(1));
    for (const auto& request : fixture.service.requests()) {
      keys.push_back(request.header("Idempotency-Key"));
    }
  }
  ck_assert_uint_eq(keys.size(), 6);
  ck_assert_uint_eq(keys[0].size(), 64);
  for (const int same : {1, 3, 4}) check_same(keys[same], keys[0]);
  ck_assert(keys[2] != keys[0]);
  check_same(keys[5], keys[2]);
}
END_TEST

START_TEST(prompt_belongs_to_the_chunk) {
  Fixture fixture;
  fixture.config.request.prompt = "of the settings";
  Chunk chunk = make_chunk(0);
  const auto sent = [&](const std::string& prompt) {
    chunk.prompt = prompt;
    fixture.succeed(chunk);
    return fixture.last_request();
  };
  check_same(sent("first").field("prompt"), "first");
  const std::string key = fixture.last_request().header("Idempotency-Key");
  check_same(sent("first").header("Idempotency-Key"), key);
  ck_assert(sent("second").header("Idempotency-Key") != key);
  check_same(fixture.last_request().field("prompt"), "second");
  ck_assert(sent("").fields("prompt").empty());
  fixture.check_legal();
}
END_TEST

// Says what it is told to.
class FixedContext final : public PromptContext {
 public:
  std::string before(const ChunkInfo&) override { return text; }
  std::string text;
};

START_TEST(context_goes_behind_the_prompt) {
  Fixture fixture;
  FixedContext context;
  fixture.config.request.context = Context::kPrevious;
  fixture.config.context = &context;
  Chunk chunk = make_chunk(0);
  fixture.succeed(chunk);
  ck_assert(fixture.last_request().fields("prompt").empty());
  const std::string key = fixture.last_request().header("Idempotency-Key");
  context.text = "said before";
  fixture.succeed(chunk);
  check_same(fixture.last_request().field("prompt"), "said before");
  // What was carried is not a setting.
  check_same(fixture.last_request().header("Idempotency-Key"), key);
  chunk.prompt = "Names";
  fixture.succeed(chunk);
  check_same(fixture.last_request().field("prompt"), "Names said before");
  fixture.check_legal();
}
END_TEST

START_TEST(no_context_means_no_prompt) {
  Fixture fixture;
  fixture.config.request.context = Context::kNone;
  Chunk chunk = make_chunk(0);
  chunk.prompt = "Names";
  fixture.succeed(chunk);
  ck_assert(fixture.last_request().fields("prompt").empty());
}
END_TEST

constexpr int kEndsOfEcho = 4;

// An answer that is the prompt again is kept; the next attempt has no prompt, and a better answer
// counts, or the first after all.
START_TEST(echo_is_sent_again_without_prompt) {
  Fixture fixture;
  FixedContext context;
  context.text = "said before";
  // In every second round there is only the prompt.
  const bool previous = _i < kEndsOfEcho;
  fixture.config.request.context = previous ? Context::kPrevious : Context::kStatic;
  if (previous) fixture.config.context = &context;
  fixture.config.is_echo = [previous](const std::string& answer, const std::string& prompt) {
    return answer == "echo" && prompt == (previous ? "Names said before" : "Names");
  };
  Chunk chunk = make_chunk(7);
  chunk.prompt = "Names";
  fixture.answer(json_answer(R"({"text": "echo"})"));
  const Failure failure = fixture.fails(chunk);
  ck_assert(failure.severity == Severity::kRetry && failure.answer);
  check_same(failure.reason, "prompt-echo");
  check_same(failure.answer->text, "echo");
  ck_assert(failure.answer->is_echo);
  const std::string key = fixture.last_request().header("Idempotency-Key");
  Transcription answer;
  switch (_i % kEndsOfEcho) {
    case 0:
      fixture.answer(json_answer(R"({"text": "better"})"));
      answer = fixture.succeed(chunk);
      check_same(answer.text, "better");
      ck_assert(!answer.is_echo);
      break;
    case 1:
      // Said without a prompt it is no echo.
      answer = fixture.succeed(chunk);
      check_same(answer.text, "echo");
      ck_assert(!answer.is_echo);
      break;
    case 2:
      fixture.answer(fake::Answer::error(503, "overloaded"));
      answer = fixture.succeed(chunk);
      check_same(answer.text, "echo");
      ck_assert(answer.is_echo);
      break;
    case 3:
      fixture.answer(fake::Answer::error(401, "invalid_api_key"));
      ck_assert(fixture.fails(chunk).severity == Severity::kJob);
      break;
  }
  ck_assert(fixture.last_request().fields("prompt").empty());
  ck_assert(fixture.last_request().header("Idempotency-Key") != key);
}
END_TEST

// No prompt is sent, so none can come back.
START_TEST(no_prompt_no_echo) {
  Fixture fixture;
  fixture.config.is_echo = [](const std::string&, const std::string&) { return true; };
  Chunk chunk = make_chunk(7);
  fixture.succeed(chunk);
  chunk.prompt = "Names";
  ck_assert(fixture.fails(chunk).answer != nullptr);
  Fixture without;
  without.config.is_echo = fixture.config.is_echo;
  without.config.request.context = Context::kNone;
  without.succeed(chunk);
}
END_TEST

START_TEST(azure_urls_and_keys_work) {
  Fixture fixture;
  const std::string root = fixture.service.url().substr(0, fixture.service.url().rfind("/v1"));
  fixture.config.service.base_url = root + "/openai/deployments/my-model?api-version=2024-06-01";
  fixture.config.service.auth_scheme = AuthScheme::kApiKey;
  fixture.succeed(make_chunk(0));
  const fake::Request request = fixture.last_request();
  check_same(request.path, "/openai/deployments/my-model/audio/transcriptions");
  check_same(request.query, "api-version=2024-06-01");
  check_same(request.header("api-key"), kKey);
  check_same(request.header("Authorization"), "");
  fixture.check_legal();
}
END_TEST

START_TEST(translations_go_to_their_path) {
  Fixture fixture;
  fixture.config.request.task = Task::kTranslate;
  fixture.config.request.model = "whisper-1";
  fixture.succeed(make_chunk(0));
  check_same(fixture.last_request().path, "/v1/audio/translations");
  fixture.check_legal();
}
END_TEST

START_TEST(what_is_too_large_is_not_sent) {
  Fixture fixture;
  const std::size_t overhead = body_size(fixture.config.request, 0);
  const std::size_t frames = (kMaxBodyBytes - overhead) / kBytesPerFrame;
  fixture.succeed(make_chunk(0, frames));
  ck_assert(!fixture.client().refuse(make_chunk(0, frames)));
  const Failure failure = fixture.client().refuse(make_chunk(1, frames + 1)).value();
  ck_assert(failure.severity == Severity::kChunk);
  check_same(failure.reason, "too-large");
  ck_assert(failure.message.find("max-chunk-duration") != std::string::npos);
  ck_assert(!failure.maybe_processed);
  // The prompt counts.
  Chunk chunk = make_chunk(2, frames - 100);
  ck_assert(!fixture.client().refuse(chunk));
  chunk.prompt = std::string(300, 'x');
  ck_assert(fixture.client().refuse(chunk).has_value());
  ck_assert_uint_eq(fixture.service.requests().size(), 1);
  fixture.check_legal();
}
END_TEST

START_TEST(errors_are_classified) {
  Fixture fixture;
  fake::Answer busy = fake::Answer::error(429, "rate_limit_exceeded", "requests");
  busy.headers = {{"Retry-After", "2"}};
  fixture.answer(busy);
  const Failure failure = fixture.fails(make_chunk(0));
  ck_assert(failure.severity == Severity::kRetry && failure.cause == Cause::kBusy);
  ck_assert(failure.hold_group && failure.server_delay == Nanoseconds(std::chrono::seconds(2)));
  fixture.answer(fake::Answer::error(429, "insufficient_quota"));
  ck_assert(fixture.fails(make_chunk(0)).severity == Severity::kJob);
  fake::Answer moved;
  moved.status = 308;
  moved.headers = {{"Location", "https://other.example/v1"}};
  moved.body = "";
  fixture.answer(moved);
  ck_assert(fixture.fails(make_chunk(0)).severity == Severity::kJob);
}
END_TEST

START_TEST(answers_without_text_are_broken) {
  Fixture fixture;
  for (const char* body :
       {"", "{\"text\":\"cut", "<html>", "{}", "{\"error\":{\"message\":\"x\"}}"}) {
    fixture.answer(json_answer(body));
    const Failure failure = fixture.fails(make_chunk(0));
    ck_assert(failure.severity == Severity::kRetry && failure.cause == Cause::kRead);
    check_same(failure.reason, "invalid-response");
  }
  fake::Answer cut = json_answer("{\"text\":\"a long enough text\"}");
  cut.cut_body_after = 10;
  fixture.answer(cut);
  ck_assert(fixture.fails(make_chunk(0)).severity == Severity::kRetry);
  fixture.answer(json_answer("{\"text\":\"\"}"));
  check_same(fixture.succeed(make_chunk(0)).text, "");
}
END_TEST

START_TEST(deadline_ends_an_attempt) {
  Fixture fixture;
  fake::Answer hanging;
  hanging.hang = true;
  fixture.answer(hanging);
  const Failure failure = fixture.fails(make_chunk(0), short_deadline());
  check_same(failure.reason, "timeout");
  ck_assert(failure.severity == Severity::kRetry && failure.maybe_processed);
  ck_assert(failure.message.find("request-timeout") != std::string::npos);
}
END_TEST

START_TEST(cancel_ends_an_attempt) {
  Fixture fixture;
  fake::Answer hanging;
  hanging.hang = true;
  fixture.answer(hanging);
  std::thread canceller([&fixture] {
    fixture.service.wait_for_requests(1, kLong);
    fixture.cancellation.cancel();
  });
  const AttemptOutcome outcome = fixture.send(make_chunk(0));
  canceller.join();
  ck_assert(std::holds_alternative<Cancelled>(outcome));
  ck_assert(std::holds_alternative<Cancelled>(fixture.send(make_chunk(1))));
  ck_assert_uint_eq(fixture.service.requests().size(), 1);
}
END_TEST

START_TEST(refused_connection_is_told_apart) {
  Fixture fixture;
  fixture.service.set_listening(false);
  const Failure failure = fixture.fails(make_chunk(0));
  check_same(failure.reason, "refused");
  ck_assert(failure.cause == Cause::kConnect && !failure.maybe_processed);
}
END_TEST

// A server that repeats everything it was told must not bring the secrets into messages or logs.
START_TEST(secrets_stay_inside) {
  Fixture fixture;
  const std::string root = fixture.service.url().substr(0, fixture.service.url().rfind("/v1"));
  fixture.config.service.base_url = root + "/openai/v1?api-version=2024-06-01&code=query-secret-1";
  fixture.config.service.extra_headers = {{"X-Token", "header-secret-2"}};
  fixture.answer(fake::Answer::error(
      401, kKey, "header-secret-2",
      "Incorrect API key provided: " + std::string(kKey) +
          ", X-Token: header-secret-2, at /x?api-version=2024-06-01&code=query-secret-1"));
  const Failure failure = fixture.fails(make_chunk(0));
  ck_assert(failure.severity == Severity::kJob);
  ck_assert(failure.message.find("Incorrect API key provided: ***") != std::string::npos);
  const std::string told = failure.message + failure.error_message + failure.error_type +
                           failure.error_code + failure.request_id + fixture.log.text();
  for (const char* secret : {kKey, "header-secret-2", "query-secret-1"}) {
    ck_assert_msg(told.find(secret) == std::string::npos, "%s", told.c_str());
  }
  ck_assert(fixture.log.text().find("HTTP 401") != std::string::npos);
}
END_TEST

START_TEST(short_keys_do_not_spoil_messages) {
  Fixture fixture;
  fixture.config.service.api_key = "x";
  fixture.answer(fake::Answer::error(400, "", "", "next text: x, 'x'"));
  check_same(fixture.fails(make_chunk(0)).error_message, "next text: ***, '***'");
}
END_TEST

START_TEST(bad_settings_are_refused) {
  Fixture fixture;
  fixture.config.request.model.clear();
  ck_assert(!OpenAiClient::create(fixture.config, fixture.clock, fixture.log).ok());
  fixture.config.request.model = "m";
  fixture.config.service.base_url = "nonsense";
  ck_assert(!OpenAiClient::create(fixture.config, fixture.clock, fixture.log).ok());
}
END_TEST

START_TEST(many_at_once_get_their_own_answers) {
  Fixture fixture;
  OpenAiClient& client = fixture.client();
  std::vector<std::string> texts(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < texts.size(); i++) {
    threads.emplace_back([&, i] {
      const auto outcome = client.transcribe(make_chunk(i), 1, kLong, fixture.cancellation);
      if (const auto* result = std::get_if<Transcription>(&outcome)) texts[i] = result->text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < texts.size(); i++) {
    check_same(texts[i], "chunk " + std::to_string(i + 1));
  }
  fixture.check_legal();
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("openai_client");
  TCase* tcase = tcase_create("openai_client");
  tcase_add_test(tcase, chunk_becomes_text);
  tcase_add_test(tcase, verbose_answer_is_read_and_cut_at_the_payload);
  tcase_add_test(tcase, idempotency_key_belongs_to_the_chunk);
  tcase_add_test(tcase, prompt_belongs_to_the_chunk);
  tcase_add_test(tcase, context_goes_behind_the_prompt);
  tcase_add_test(tcase, no_context_means_no_prompt);
  tcase_add_loop_test(tcase, echo_is_sent_again_without_prompt, 0, 2 * kEndsOfEcho);
  tcase_add_test(tcase, no_prompt_no_echo);
  tcase_add_test(tcase, azure_urls_and_keys_work);
  tcase_add_test(tcase, translations_go_to_their_path);
  tcase_add_test(tcase, what_is_too_large_is_not_sent);
  tcase_add_test(tcase, errors_are_classified);
  tcase_add_test(tcase, answers_without_text_are_broken);
  tcase_add_test(tcase, deadline_ends_an_attempt);
  tcase_add_test(tcase, cancel_ends_an_attempt);
  tcase_add_test(tcase, refused_connection_is_told_apart);
  tcase_add_test(tcase, secrets_stay_inside);
  tcase_add_test(tcase, short_keys_do_not_spoil_messages);
  tcase_add_test(tcase, bad_settings_are_refused);
  tcase_add_test(tcase, many_at_once_get_their_own_answers);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
