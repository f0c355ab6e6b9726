#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "job/chunk_record.h"
#include "outcomes.h"

#include "check_main.h"

using namespace transcribe;

namespace {

ChunkDone rich_done() {
  auto chunk = make_chunk(7);
  chunk->payload.begin -= kSampleRate;
  chunk->payload.end += 123;
  chunk->time.stream_time = Nanoseconds(1);
  chunk->time.running_time = Nanoseconds(0);
  chunk->time.stream_rate = 0.1;
  chunk->reason = CutReason::kForced;
  chunk->mask = {3, 0, 4294967295u};
  auto transcription = std::make_shared<Transcription>();
  transcription->text = "Hello, world.";
  transcription->language = "english";
  transcription->confidence = 0.1;
  transcription->request_id = "req_1";
  transcription->raw = "the body";
  transcription->segments.push_back({Nanoseconds(0), Nanoseconds(1500000001), " Hello,", "A \"B\"",
                                     0.3, -0.1234567890123, 1e-300, 2.0});
  transcription->segments.push_back({Nanoseconds(5), Nanoseconds(4), "", "", {}, {}, {}, {}});
  transcription->words.push_back({Nanoseconds(-1), Nanoseconds(17), "Hello", 1.0});
  transcription->words.push_back({Nanoseconds(20), Nanoseconds(30), "world", {}});
  ChunkDone done;
  done.chunk = chunk;
  done.transcription = transcription;
  done.attempts = 3;
  done.latency = Nanoseconds(1234567891);
  done.resumed = true;
  done.suspect = {Suspicion::kCompression, Suspicion::kSilence};
  done.dropped = true;
  return done;
}

ChunkFailed rich_failed() {
  ChunkFailed failed = make_failed(9, 429);
  failed.failure.severity = Severity::kJob;
  failed.failure.cause = Cause::kNotAuthorized;
  failed.failure.error_type = "insufficient_quota";
  failed.failure.error_code = "code";
  failed.failure.error_param = "param";
  failed.failure.error_message = "You \"ran\" out\r\nof money";
  failed.failure.request_id = "req_2";
  failed.failure.server_delay = Nanoseconds(1500000000);
  failed.failure.hold_group = true;
  failed.failure.slow_down = true;
  failed.failure.retry_at_once = true;
  failed.failure.maybe_processed = true;
  return failed;
}

void assert_same(const ChunkInfo& a, const ChunkInfo& b) {
  ck_assert_uint_eq(a.index, b.index);
  ck_assert(a.core == b.core);
  ck_assert(a.payload == b.payload);
  ck_assert(a.time.timestamp == b.time.timestamp);
  ck_assert(a.time.stream_time == b.time.stream_time);
  ck_assert(a.time.running_time == b.time.running_time);
  ck_assert(a.time.stream_rate == b.time.stream_rate);
  ck_assert(a.reason == b.reason);
  ck_assert(a.mask == b.mask);
}

std::string round_trip(const std::string& text) {
  const auto stored = from_record(to_record(make_done(0, text), ""));
  ck_assert(stored.ok());
  return std::get<ChunkDone>(stored->outcome).transcription->text;
}

}  // namespace

START_TEST(done_round_trips) {
  const ChunkDone done = rich_done();
  const std::string record = to_record(done, "abc123");
  ck_assert(record.find('\n') == std::string::npos);
  const auto stored = from_record(record);
  ck_assert_msg(stored.ok(), "%s", stored.ok() ? "" : stored.error().message.c_str());
  ck_assert_str_eq(stored->sha256.c_str(), "abc123");
  const auto& again = std::get<ChunkDone>(stored->outcome);
  assert_same(*done.chunk, *again.chunk);
  ck_assert_uint_eq(again.attempts, 3);
  ck_assert_int_eq(again.latency.count(), 1234567891);
  ck_assert(again.resumed);
  ck_assert(again.suspect == done.suspect);
  ck_assert(again.dropped);
  const Transcription& a = *done.transcription;
  const Transcription& b = *again.transcription;
  ck_assert_str_eq(a.text.c_str(), b.text.c_str());
  ck_assert_str_eq(a.language.c_str(), b.language.c_str());
  ck_assert_str_eq(a.request_id.c_str(), b.request_id.c_str());
  ck_assert(a.confidence == b.confidence);
  ck_assert(b.raw.empty());
  ck_assert_uint_eq(b.segments.size(), a.segments.size());
  for (std::size_t i = 0; i < a.segments.size(); ++i) {
    ck_assert(a.segments[i].start == b.segments[i].start);
    ck_assert(a.segments[i].end == b.segments[i].end);
    ck_assert(a.segments[i].text == b.segments[i].text);
    ck_assert(a.segments[i].speaker == b.segments[i].speaker);
    ck_assert(a.segments[i].confidence == b.segments[i].confidence);
    ck_assert(a.segments[i].avg_logprob == b.segments[i].avg_logprob);
    ck_assert(a.segments[i].no_speech_prob == b.segments[i].no_speech_prob);
    ck_assert(a.segments[i].compression_ratio == b.segments[i].compression_ratio);
  }
  ck_assert_uint_eq(b.words.size(), a.words.size());
  for (std::size_t i = 0; i < a.words.size(); ++i) {
    ck_assert(a.words[i].start == b.words[i].start);
    ck_assert(a.words[i].end == b.words[i].end);
    ck_assert(a.words[i].text == b.words[i].text);
    ck_assert(a.words[i].confidence == b.words[i].confidence);
  }
  ck_assert(to_record(stored->outcome, stored->sha256) == record);
}
END_TEST

START_TEST(failed_round_trips) {
  const ChunkFailed failed = rich_failed();
  const std::string record = to_record(failed, "");
  const auto stored = from_record(record);
  ck_assert(stored.ok());
  const auto& again = std::get<ChunkFailed>(stored->outcome);
  assert_same(*failed.chunk, *again.chunk);
  ck_assert_uint_eq(again.attempts, 6);
  const Failure& a = failed.failure;
  const Failure& b = again.failure;
  ck_assert(a.severity == b.severity && a.cause == b.cause && a.reason == b.reason);
  ck_assert(a.message == b.message && a.http_status == b.http_status);
  ck_assert(a.error_type == b.error_type && a.error_code == b.error_code);
  ck_assert(a.error_param == b.error_param && a.error_message == b.error_message);
  ck_assert(a.request_id == b.request_id && a.server_delay == b.server_delay);
  ck_assert(b.hold_group && b.slow_down && b.retry_at_once && b.maybe_processed);
  ck_assert(to_record(stored->outcome, "") == record);
}
END_TEST

START_TEST(all_names_round_trip) {
  for (int i = 0; i <= static_cast<int>(Cause::kStore); ++i) {
    ChunkFailed failed = make_failed(0);
    failed.failure.cause = static_cast<Cause>(i);
    failed.failure.severity = static_cast<Severity>(i % 3);
    const auto stored = from_record(to_record(failed, ""));
    ck_assert(stored.ok());
    ck_assert(std::get<ChunkFailed>(stored->outcome).failure.cause == failed.failure.cause);
    ck_assert(std::get<ChunkFailed>(stored->outcome).failure.severity == failed.failure.severity);
  }
  for (const SkipReason reason :
       {SkipReason::kSilence, SkipReason::kQueueFull, SkipReason::kFlushed}) {
    const auto stored = from_record(to_record(make_skipped(2, reason), ""));
    ck_assert(stored.ok());
    ck_assert(std::get<ChunkSkipped>(stored->outcome).reason == reason);
  }
  for (int i = 0; i <= static_cast<int>(CutReason::kEndOfStream); ++i) {
    auto chunk = make_chunk(0);
    chunk->reason = static_cast<CutReason>(i);
    const auto stored = from_record(to_record(make_done(chunk, ""), ""));
    ck_assert(stored.ok());
    ck_assert(chunk_of(stored->outcome).reason == chunk->reason);
  }
}
END_TEST

START_TEST(hostile_texts_survive) {
  for (const char* text :
       {"", "\"", "\\", "\\\"", "\r\n", "a\tb\fc\bd\ve", "\x01\x1f\x7f", "\xe2\x80\xa8\xe2\x80\xa9",
        "</script>", "{}[]'/*", "\xf0\x9f\x98\x80", "\xef\xbf\xbd", "\\ud800"}) {
    ck_assert(round_trip(text) == text);
  }
  std::string large;
  while (large.size() < 1024 * 1024) large += "[{\"\\\n\xe2\x80\xa8\xe4\xbd\xa0";
  ck_assert(round_trip(large) == large);
}
END_TEST

// What the service's numbers may be is not for the store to stumble over.
START_TEST(odd_values_can_be_read_back) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = "broken \xff utf-8";
  transcription->confidence = NAN;
  transcription->segments.push_back({Nanoseconds::min(),
                                     Nanoseconds::max(),
                                     "x",
                                     "",
                                     std::numeric_limits<double>::infinity(),
                                     {},
                                     {},
                                     {}});
  ChunkDone done = make_done(0, "");
  done.transcription = transcription;
  const auto stored = from_record(to_record(done, ""));
  ck_assert(stored.ok());
  const auto& again = *std::get<ChunkDone>(stored->outcome).transcription;
  ck_assert_str_eq(again.text.c_str(), "broken \xef\xbf\xbd utf-8");
  ck_assert(!again.confidence);
  ck_assert(!again.segments[0].confidence);

  done.transcription = nullptr;
  ck_assert(from_record(to_record(done, "")).ok());
}
END_TEST

START_TEST(unknown_members_are_ignored) {
  std::string record = to_record(make_done(0, "hi"), "");
  record.insert(1, "\"suspect\":[\"loop\"],\"epoch\":3,\"seam\":{\"a\":[1,[2]]},");
  ck_assert(from_record(record).ok());
}
END_TEST

START_TEST(other_things_are_refused) {
  const std::string good = to_record(make_done(0, "hi"), "");
  const auto with = [&](const std::string& what, const std::string& instead) {
    std::string record = good;
    const auto at = record.find(what);
    ck_assert(at != std::string::npos);
    return record.replace(at, what.size(), instead);
  };
  const std::string refused[] = {
      "",
      " ",
      "null",
      "[]",
      "{}",
      "1",
      "\"v\"",
      good.substr(0, good.size() - 1),
      "x = " + good,
      "/* \" */" + good,
      std::string(100000, '['),
      "{\"a\":" + std::string(100000, '['),
      with("\"v\":1", "\"v\":2"),
      with("\"v\":1", "\"v\":\"1\""),
      with("\"index\":0", "\"index\":-1"),
      with("\"index\":0", "\"index\":99999999999999999999"),
      with("\"index\":0", "\"index\":[]"),
      with("\"frames\":160000", "\"frames\":9223372036854775807"),
      with("\"pts_ns\":0", "\"pts_ns\":9223372036854775807"),
      with("\"pts_ns\":0,", ""),
      with("\"pts_ns\":0", "\"pts_ns\":0,\"payload_start\":1,\"payload_frames\":1"),
      with("\"pts_ns\":0", "\"pts_ns\":0,\"mask\":[1,-1]"),
      with("\"pts_ns\":0", "\"pts_ns\":0,\"mask\":[\"1\"]"),
      with("\"pause\"", "\"lunch\""),
      with("\"done\"", "\"undone\""),
      with("\"done\"", "\"failed\""),
      with("\"done\"", "\"skipped\""),
      with("\"hi\"", "7"),
      with("\"hi\"", "null"),
      with("\"hi\"", "\"\xff\""),
      with("\"hi\"", "\"hi\",\"segments\":{}"),
      with("\"hi\"", "\"hi\",\"segments\":[1]"),
      with("\"hi\"", "\"hi\",\"words\":[{\"start_ns\":0}]"),
      with("\"hi\"", "\"hi\",\"confidence\":1e999"),
      with("\"hi\"", "\"hi\",\"resumed\":1"),
      with("\"hi\"", "\"hi\",\"suspect\":\"silence\""),
      with("\"hi\"", "\"hi\",\"suspect\":[1]"),
      with("\"latency_ms\":0", "\"latency_ms\":1e300"),
  };
  ck_assert(from_record(good).ok());
  for (const std::string& record : refused) {
    const auto stored = from_record(record);
    ck_assert_msg(!stored.ok(), "taken: %.200s", record.c_str());
    ck_assert(!stored.error().message.empty());
  }
}
END_TEST

// Whatever happens to a record, reading it ends in a value that can be written again or an error.
START_TEST(mutated_records_do_no_harm) {
  std::mt19937 random(static_cast<unsigned>(_i) + 1);
  const std::string records[] = {to_record(rich_done(), "ab"), to_record(rich_failed(), "cd"),
                                 to_record(make_skipped(3, SkipReason::kFlushed), "")};
  constexpr std::string_view kBytes = "{}[]\",:\\0123456789.eE+-ntfu/*' \n\xff\xe2\x80";
  int taken = 0;
  for (int round = 0; round < 1000; ++round) {
    std::string record = records[random() % 3];
    for (auto edits = random() % 4 + 1; edits > 0 && !record.empty(); --edits) {
      const std::size_t at = random() % record.size();
      const char byte = kBytes[random() % kBytes.size()];
      switch (random() % 5) {
        case 0:
          record[at] = byte;
          break;
        case 1:
          record.insert(at, 1, byte);
          break;
        case 2:
          record.erase(at, random() % 8 + 1);
          break;
        case 3:
          record.resize(at);
          break;
        default:
          record.insert(at,
                        record.substr(record.size() - random() % record.size() - 1, random() % 60));
      }
    }
    const auto stored = from_record(record);
    if (!stored) continue;
    ++taken;
    ck_assert_msg(from_record(to_record(stored->outcome, stored->sha256)).ok(), "%s",
                  record.c_str());
  }
  ck_assert_int_gt(taken, 0);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("chunk_record");
  TCase* tcase = tcase_create("chunk_record");
  tcase_add_test(tcase, done_round_trips);
  tcase_add_test(tcase, failed_round_trips);
  tcase_add_test(tcase, all_names_round_trip);
  tcase_add_test(tcase, hostile_texts_survive);
  tcase_add_test(tcase, odd_values_can_be_read_back);
  tcase_add_test(tcase, unknown_members_are_ignored);
  tcase_add_test(tcase, other_things_are_refused);
  tcase_add_loop_test(tcase, mutated_records_do_no_harm, 0, 10);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
