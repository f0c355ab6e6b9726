// Slots that are kept until a result is stored.
#include <random>

#include "dispatcher_test.h"

namespace transcribe {
namespace {

Dispatcher::Config stored_config(unsigned max_parallel,
                                 std::optional<Milliseconds> patience = std::nullopt) {
  Dispatcher::Config result = config(max_parallel);
  result.store = StoreWait{patience};
  return result;
}

AttemptOutcome succeed(const Chunk&, unsigned) { return Transcription(); }

START_TEST(a_done_chunk_keeps_its_slot_until_it_is_stored) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 6);
  f.recorder.wait(Seen::kDone, 2);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  ck_assert_uint_eq(f.dispatcher->load().in_flight, 0);
  f.dispatcher->stored({1});
  f.recorder.wait(Seen::kDone, 3);
  // Again, and one that nobody knows.
  f.dispatcher->stored({1, 77});
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 3);
  f.dispatcher->stored({0, 2});
  f.recorder.wait(Seen::kDone, 5);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 5);
  auto limits = stored_config(3).limits;
  f.dispatcher->set_limits(limits, {});
  f.recorder.wait(Seen::kDone, 6);
}
END_TEST

START_TEST(a_store_that_is_away_holds_nothing_back) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 2);
  f.dispatcher->wait_for_store(false);
  f.recorder.wait(Seen::kDone, 4);
  f.submit(4, 4);
  f.recorder.wait(Seen::kDone, 8);
  // All but one: it is not back yet.
  f.dispatcher->stored({0, 1, 2, 3, 4, 5, 6});
  f.submit(8, 4);
  f.recorder.wait(Seen::kDone, 12);
  // Acknowledged before, told only now; and one that the store had from an earlier run.
  f.dispatcher->stored({7, 8, 9, 10, 11, 77});
  f.submit(12, 4);
  f.recorder.wait(Seen::kDone, 16);
  // Back, with four that are not stored.
  f.dispatcher->wait_for_store(true);
  f.submit(16);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 16);
  f.dispatcher->stored({12, 13, 14});
  f.recorder.wait(Seen::kDone, 17);
}
END_TEST

// What an earlier run stored says nothing of the store now.
START_TEST(known_chunks_end_no_outage) {
  Fixture f(stored_config(2), succeed);
  f.dispatcher->wait_for_store(false);
  f.dispatcher->stored({77});
  f.submit(0, 6);
  f.recorder.wait(Seen::kDone, 6);
}
END_TEST

START_TEST(slots_are_kept_again_once_a_store_that_failed_has_all) {
  Fixture f(stored_config(2), succeed);
  f.dispatcher->give_up_store();
  f.dispatcher->stored({77});
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 4);
  f.dispatcher->stored({0, 1, 2, 3});
  f.submit(4, 4);
  f.recorder.wait(Seen::kDone, 6);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 6);
}
END_TEST

START_TEST(a_slow_store_is_waited_for_with_patience) {
  Fixture f(stored_config(2, 2000ms), succeed);
  f.submit(0, 3);
  f.recorder.wait(Seen::kDone, 2);
  f.advance(1999ms);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  f.advance(1ms);
  f.recorder.wait(Seen::kDone, 3);
  f.dispatcher->stored({0, 1, 2});
  f.submit(3, 3);
  f.recorder.wait(Seen::kDone, 5);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 5);
}
END_TEST

// Nobody rings: the scheduler wakes by itself.
START_TEST(patience_ends_by_itself) {
  const SystemClock clock;
  const Log log;
  FakeTranscriber transcriber(succeed);
  Recorder recorder(clock);
  Dispatcher dispatcher(stored_config(1, 20ms), transcriber, recorder, clock, log);
  for (std::uint64_t i = 0; i < 2; i++) dispatcher.submit(chunk(i, clock.now()));
  const auto done = recorder.wait(Seen::kDone, 2);
  ck_assert(done[1].at - done[0].at >= 20ms);
}
END_TEST

START_TEST(a_flush_keeps_slots_of_what_is_not_stored) {
  Fixture f(stored_config(2), succeed);
  f.submit(0, 4);
  f.recorder.wait(Seen::kDone, 2);
  check_indices(f.dispatcher->flush(), {2, 3});
  f.submit(4, 2);
  f.settle();
  ck_assert_uint_eq(f.transcriber.calls().size(), 2);
  f.dispatcher->stored({0, 1});
  f.recorder.wait(Seen::kDone, 4);
}
END_TEST

// A later run sends it again anyhow.
START_TEST(a_failed_chunk_keeps_no_slot) {
  Fixture f(stored_config(1), [](const Chunk&, unsigned) {
    Failure failure = transient();
    failure.severity = Severity::kChunk;
    return failure;
  });
  f.submit(0, 3);
  f.recorder.wait(Seen::kFailed, 3);
}
END_TEST

// Never more requests on the way or unstored than slots, whatever the store does.
START_TEST(no_more_unstored_chunks_than_slots) {
  constexpr std::uint64_t kChunks = 300;
  constexpr unsigned kSlots = 4;
  Fixture f(stored_config(kSlots), succeed);
  f.submit(0, kChunks);
  std::mt19937 random(7);
  std::vector<std::uint64_t> unstored;
  std::size_t seen = 0;
  std::size_t stored = 0;
  while (stored < kChunks) {
    const auto done = f.recorder.wait(Seen::kDone, seen + (unstored.empty() ? 1 : 0));
    ck_assert_uint_le(f.transcriber.calls().size(), stored + kSlots);
    for (; seen < done.size(); seen++) unstored.push_back(done[seen].index);
    std::shuffle(unstored.begin(), unstored.end(), random);
    const std::size_t count = random() % (unstored.size() + 1);
    const std::vector<std::uint64_t> now(unstored.end() - static_cast<std::ptrdiff_t>(count),
                                         unstored.end());
    unstored.resize(unstored.size() - count);
    stored += count;
    f.dispatcher->stored(now);
  }
  ck_assert_uint_eq(f.transcriber.calls().size(), kChunks);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("dispatcher_store");
  TCase* tests = tcase_create("dispatcher_store");
  tcase_add_test(tests, a_done_chunk_keeps_its_slot_until_it_is_stored);
  tcase_add_test(tests, a_store_that_is_away_holds_nothing_back);
  tcase_add_test(tests, known_chunks_end_no_outage);
  tcase_add_test(tests, slots_are_kept_again_once_a_store_that_failed_has_all);
  tcase_add_test(tests, a_slow_store_is_waited_for_with_patience);
  tcase_add_test(tests, patience_ends_by_itself);
  tcase_add_test(tests, a_flush_keeps_slots_of_what_is_not_stored);
  tcase_add_test(tests, a_failed_chunk_keeps_no_slot);
  tcase_add_test(tests, no_more_unstored_chunks_than_slots);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
