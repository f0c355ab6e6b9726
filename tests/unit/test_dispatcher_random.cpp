// Failures, flushes and ends at random, on threads as they come.
#include <map>
#include <random>

#include "dispatcher_test.h"

namespace transcribe {
namespace {

// An answer for every (chunk, attempt) by its own dice, whatever the threads do.
AttemptOutcome random_answer(const Chunk& chunk, unsigned attempt) {
  std::minstd_rand random(static_cast<unsigned>(chunk.info.index * 131 + attempt));
  random.discard(3);
  Failure failure = transient();
  switch (random() % 8) {
    case 0:
      failure.retry_at_once = true;
      return failure;
    case 1:
      return busy(50us);
    case 2:
      failure.slow_down = true;
      return failure;
    case 3:
      return failure;
    case 4:
      if (random() % 2 == 0) return Transcription();
      failure.severity = Severity::kChunk;
      return failure;
    default:
      return Transcription();
  }
}

Dispatcher::Config fast_config() {
  auto settings = config(8);
  settings.limits.retry_delay = 1ms;
  settings.limits.max_retry_delay = 2ms;
  settings.limits.retries = 3;
  return settings;
}

START_TEST(random_failures_settle_each_chunk_once) {
  SystemClock clock;
  Log log;
  FakeTranscriber transcriber(random_answer);
  Recorder recorder(clock);
  Dispatcher dispatcher(fast_config(), transcriber, recorder, clock, log);
  for (std::uint64_t i = 0; i < 200; i++) dispatcher.submit(chunk(i, clock.now()));
  recorder.wait_settled(200);
  std::map<std::uint64_t, unsigned> calls;
  std::map<std::uint64_t, const void*> data;
  for (const auto& call : transcriber.calls()) {
    ck_assert_uint_eq(call.attempt, ++calls[call.index]);
    ck_assert_ptr_eq(data.try_emplace(call.index, call.pcm).first->second, call.pcm);
  }
  std::map<std::uint64_t, unsigned> settled;
  for (const Seen& event : recorder.all()) {
    if (event.kind == Seen::kAttempt) ck_assert_uint_eq(settled.count(event.index), 0);
    if (event.kind != Seen::kDone && event.kind != Seen::kFailed) continue;
    ck_assert_uint_eq(++settled[event.index], 1);
    ck_assert_uint_eq(event.attempt, calls[event.index]);
    ck_assert_uint_le(event.attempt, 4);
  }
  ck_assert_uint_eq(settled.size(), 200);
  ck_assert_uint_le(transcriber.most(), 8);
}
END_TEST

START_TEST(flushes_at_random_moments_settle_each_chunk_once) {
  SystemClock clock;
  Log log;
  FakeTranscriber transcriber(random_answer);
  Recorder recorder(clock);
  std::vector<ChunkInfo> flushed;
  {
    Dispatcher dispatcher(fast_config(), transcriber, recorder, clock, log);
    std::mt19937 random(11);
    for (std::uint64_t i = 0; i < 2000; i++) {
      const std::size_t before = transcriber.calls().size();
      dispatcher.submit(chunk(i, clock.now()));
      if (random() % 16 == 0) transcriber.wait_calls(before + 1);
      if (random() % 32 != 0) continue;
      for (const PendingChunk& left : dispatcher.flush()) flushed.push_back(left.chunk->info);
    }
    const auto infos = dispatcher.cancel();
    flushed.insert(flushed.end(), infos.begin(), infos.end());
  }
  std::map<std::uint64_t, unsigned> ends;
  for (const ChunkInfo& info : flushed) ends[info.index]++;
  for (const Seen& event : recorder.all()) {
    if (event.kind == Seen::kDone || event.kind == Seen::kFailed) ends[event.index]++;
  }
  ck_assert_uint_eq(ends.size(), 2000);
  for (const auto& [index, count] : ends) ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_hundred_lives) {
  for (int i = 0; i < 100; i++) {
    Fixture f(config(4, i % 3 == 0 ? 1 : 0));
    f.submit(0, static_cast<std::uint64_t>(i % 10));
    if (i % 10 > 0 && i % 2 == 0) f.transcriber.wait_calls(1);
    if (i % 5 == 0) f.dispatcher->flush();
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("dispatcher_random");
  TCase* tests = tcase_create("dispatcher_random");
  tcase_add_test(tests, random_failures_settle_each_chunk_once);
  tcase_add_test(tests, flushes_at_random_moments_settle_each_chunk_once);
  tcase_add_test(tests, a_hundred_lives);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
