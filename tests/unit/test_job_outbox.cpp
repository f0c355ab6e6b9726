#include <algorithm>
#include <string>
#include <vector>

#include "job/chunk_record.h"
#include "outcomes.h"
#include "redis/job_outbox.h"

#include "check_main.h"

using namespace transcribe;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};

// "begin 0 1, move PROCESSING start"; records as "{done}".
std::string text_of(const std::vector<JobCall>& calls) {
  std::string text;
  for (const JobCall& call : calls) {
    text += (text.empty() ? "" : ", ") + call.operation;
    for (const std::string& argument : call.arguments) {
      if (const auto record = from_record(argument)) {
        const char* const kKinds[] = {" {done}", " {failed}", " {skipped}"};
        text += kKinds[record->outcome.index()];
      } else {
        text += " " + argument;
      }
    }
  }
  return text;
}

struct Box {
  std::string next(TimePoint now = kNow) {
    auto calls = outbox.next(now);
    ck_assert(calls.ok());
    count = calls->size();
    return text_of(*calls);
  }
  void settle_all() { outbox.settle(std::vector<bool>(count, true)); }
  std::string send(TimePoint now = kNow) {
    const std::string text = next(now);
    settle_all();
    return text;
  }
  void add(const Event& event, std::uint64_t epoch = 1) { outbox.add(event, epoch); }
  void attempt(std::uint64_t index, unsigned number) {
    add(ChunkAttempt{make_chunk(index), number});
  }
  void start() { add(StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart}); }
  void complete() {
    add(StateChanged{JobState::kCompleted, JobState::kProcessing, JobReason::kEndOfStream});
  }
  std::string page(std::uint64_t& from) {
    auto call = outbox.page(from);
    ck_assert(call.ok());
    return text_of({*call});
  }

  JobOutbox outbox{64};
  std::size_t count = 0;
};

START_TEST(events_become_operations_in_their_order) {
  Box box;
  box.add(StateChanged{JobState::kQueued, std::nullopt, JobReason::kCreated});
  assert_text(box.next(), "");
  box.start();
  box.attempt(0, 1);
  ChunkRetry retry{make_chunk(0), 2, 1500ms, {}};
  retry.failure.reason = "network";
  box.add(retry);
  box.add(make_done(0, "hi"));
  box.add(make_failed(1));
  box.add(make_skipped(2, SkipReason::kFlushed));
  assert_text(box.send(),
              "move PROCESSING start, begin 0 1, retry 0 2 1500 0 network, "
              "done 0 {done}, fail 1 {failed}, skip 2 {skipped} flushed");
  ck_assert(!box.outbox.waits());
  ck_assert_uint_eq(box.outbox.stored().done, 1);
  ck_assert_uint_eq(box.outbox.stored().failed, 1);
  ck_assert_uint_eq(box.outbox.stored().skipped, 1);
  ck_assert(box.outbox.state() == JobState::kProcessing);
}
END_TEST

// A server that has the end must have all before it.
START_TEST(the_end_travels_alone) {
  Box box;
  box.start();
  box.add(make_done(0, "hi"));
  box.complete();
  assert_text(box.next(), "move PROCESSING start, done 0 {done}, progress 1 0");
  // The second was not carried out.
  box.outbox.settle({true, false, true});
  assert_text(box.next(), "done 0 {done}");
  ck_assert(box.outbox.ends_in("COMPLETED") && !box.outbox.ends_in("FAILED"));
  assert_text(box.outbox.missing(), "one chunk and the state COMPLETED");
  box.settle_all();
  assert_text(box.next(), "move COMPLETED eos");
  ck_assert(box.outbox.at(0).last());
  box.settle_all();
  assert_text(box.next(), "");
  assert_text(box.outbox.missing(), "");
}
END_TEST

START_TEST(nothing_follows_the_end) {
  Box box;
  box.add(StateChanged{JobState::kQueued, JobState::kProcessing, JobReason::kStopped});
  box.outbox.release();
  box.attempt(0, 1);
  box.complete();
  assert_text(box.send(), "move QUEUED stopped");
  assert_text(box.send(), "");
  Box given_back;
  given_back.outbox.release();
  assert_text(given_back.send(), "move QUEUED stopped");
  Box taken;
  taken.add(StateChanged{JobState::kFailed, JobState::kProcessing, JobReason::kTakenOver});
  assert_text(taken.send(), "");
}
END_TEST

START_TEST(progress_is_told_twice_a_second_at_most) {
  Box box;
  for (std::uint64_t i = 0; i < 5; i++) box.add(ChunkQueued{make_chunk(i), 1});
  ck_assert(box.outbox.due() && *box.outbox.due() <= kNow);
  assert_text(box.send(), "progress 5 1");
  for (std::uint64_t i = 5; i < 9; i++) box.add(ChunkQueued{make_chunk(i), 1});
  ck_assert(*box.outbox.due() == kNow + 500ms);
  assert_text(box.send(kNow + 499ms), "");
  assert_text(box.send(kNow + 500ms), "progress 9 2");
  ck_assert(!box.outbox.due());
  box.add(ChunkQueued{make_chunk(9), 1});
  box.complete();
  assert_text(box.send(kNow + 501ms), "progress 10 0");
  assert_text(box.send(kNow + 501ms), "move COMPLETED eos");
}
END_TEST

START_TEST(what_the_server_has_is_not_sent_again) {
  Box box;
  const std::string record = to_record(make_done(0, "old"), "");
  box.outbox.know(0, JobOperation::Kind::kDone, record);
  box.outbox.know(1, JobOperation::Kind::kSkip,
                  to_record(make_skipped(1, SkipReason::kFlushed), ""));
  box.outbox.know(1, JobOperation::Kind::kSkip,
                  to_record(make_skipped(1, SkipReason::kFlushed), ""));
  ck_assert_uint_eq(box.outbox.stored().skipped, 1);
  ck_assert(box.outbox.knows_done(0) && !box.outbox.knows_done(1));
  box.add(make_done(0, "new"));
  box.add(make_done(1, "new"));
  assert_text(box.next(), "done 1 {done}");
  ck_assert_uint_eq(box.outbox.stored().skipped, 0);
  box.settle_all();
  ck_assert_uint_eq(box.outbox.stored().done, 2);
  std::vector<std::string> known;
  ck_assert(box.outbox
                .for_each_known([&](const std::string& text) {
                  known.push_back(text);
                  return true;
                })
                .ok());
  ck_assert_uint_eq(known.size(), 2);
  assert_text(known[0], record);
}
END_TEST

START_TEST(records_name_their_epoch) {
  Box box;
  box.add(make_done(0, "hi"), 7);
  box.add(make_done(1, "hi"), 0);
  auto calls = box.outbox.next(kNow);
  ck_assert((*calls)[0].arguments[1].ends_with(",\"epoch\":7}"));
  ck_assert((*calls)[1].arguments[1].find("epoch") == std::string::npos);
}
END_TEST

START_TEST(an_outage_costs_only_marks) {
  Box box;
  box.add(ChunkQueued{make_chunk(0), 1});
  box.attempt(0, 3);
  box.attempt(1, 2);
  box.add(ChunkRetry{make_chunk(1), 3, 1ms, {}});
  box.attempt(2, 1);
  box.add(make_done(2, "hi"));
  box.outbox.drop_advisory();
  assert_text(box.next(TimePoint{}), "retry 1 3 1 0 , done 2 {done}");
  box.outbox.tell_again();
  assert_text(box.send(TimePoint{}),
              "begin 0 3, begin 1 2, progress 3 1, retry 1 3 1 0 , done 2 {done}");
  // The final counters are not what may get lost.
  box.complete();
  box.outbox.drop_advisory();
  box.outbox.tell_again();
  assert_text(box.send(), "progress 3 0");
}
END_TEST

START_TEST(retries_do_not_pile_up) {
  Box box;
  for (unsigned i = 1; i < 5000; i++) box.add(ChunkRetry{make_chunk(0), i, 1ms, {}});
  box.add(make_done(0, "hi"));
  ck_assert_uint_lt(box.outbox.queued(), 1100);
}
END_TEST

START_TEST(batches_are_bounded) {
  Box box;
  for (std::uint64_t i = 0; i < 100; i++) box.add(make_done(i, "hi"));
  box.send();
  ck_assert_uint_eq(box.count, 64);
  box.send();
  ck_assert_uint_eq(box.count, 36);
  const std::string large(600 * 1024, 'x');
  for (std::uint64_t i = 100; i < 110; i++) box.add(make_done(i, large));
  box.next();
  ck_assert_uint_le(box.count, 2);
}
END_TEST

START_TEST(pages_hold_what_was_stored) {
  Box box;
  for (std::uint64_t i = 0; i < 450; i++) box.add(make_done(i, "hi"));
  while (box.outbox.waits()) box.send();
  box.add(make_done(450, "not yet"));
  std::uint64_t from = 0;
  std::size_t pairs = 0, pages = 0;
  while (from != UINT64_MAX) {
    auto call = box.outbox.page(from);
    ck_assert(call.ok());
    ck_assert_uint_le(call->arguments.size(), 400);
    pairs += call->arguments.size() / 2;
    pages++;
  }
  ck_assert_uint_eq(pairs, 450);
  ck_assert_uint_eq(pages, 3);

  Box empty;
  from = 0;
  assert_text(empty.page(from), "put");
  ck_assert(from == UINT64_MAX);
}
END_TEST

// An earlier run's failed chunk that is sent again is none that the server must have.
START_TEST(what_is_sent_again_is_open) {
  Box box;
  box.outbox.know(0, JobOperation::Kind::kFail, to_record(make_failed(0), "", 1));
  box.outbox.know(1, JobOperation::Kind::kDone, to_record(make_done(1, "hi"), "", 1));
  ck_assert_uint_eq(box.outbox.stored().failed, 1);
  box.attempt(0, 1);
  ck_assert_uint_eq(box.outbox.stored().failed, 0);
  std::uint64_t from = 0;
  assert_text(box.page(from), "put 1 {done}");
  // One that the server has needs no operation, and is stored.
  box.send();
  ck_assert(box.outbox.take_stored().empty());
  box.add(make_done(1, "again"));
  ck_assert(!box.outbox.waits());
  ck_assert(box.outbox.take_stored() == std::vector<std::uint64_t>{1});
  box.add(make_done(0, "hi"));
  ck_assert(box.outbox.take_stored().empty());
  box.send();
  ck_assert(box.outbox.take_stored() == std::vector<std::uint64_t>{0});
  ck_assert(box.outbox.take_stored().empty());
}
END_TEST

START_TEST(a_state_is_told_again) {
  Box box;
  box.start();
  box.send();
  box.add(make_done(0, "hi"));
  box.outbox.start_again();
  ck_assert(box.outbox.state() == JobState::kQueued);
  assert_text(box.send(), "move PROCESSING start, done 0 {done}");
}
END_TEST

START_TEST(a_state_is_told_again_with_its_source) {
  Box box;
  ck_assert(box.outbox.source().empty());
  StateChanged change{JobState::kProcessing, JobState::kQueued, JobReason::kStart};
  change.source = "file:///a";
  box.add(change);
  assert_text(box.outbox.source(), "file:///a");
  assert_text(box.next(), "move PROCESSING start source file:///a");
  box.settle_all();
  box.outbox.start_again();
  assert_text(box.send(), "move PROCESSING start source file:///a");
  box.complete();
  assert_text(box.outbox.source(), "file:///a");
  assert_text(box.send(), "move COMPLETED eos");
}
END_TEST

START_TEST(numbers_of_operations_tell_when_the_store_has_caught_up) {
  Box box;
  box.attempt(0, 1);
  box.add(make_done(0, "hi"));
  box.add(make_done(1, "hi"));
  const auto mark = box.outbox.queued();
  box.outbox.drop_advisory();
  ck_assert_uint_eq(box.outbox.queued(), mark - 1);
  box.next();
  box.outbox.settle({true, false});
  ck_assert_uint_lt(box.outbox.carried_out(), box.outbox.queued());
  box.send();
  ck_assert_uint_eq(box.outbox.carried_out(), box.outbox.queued());
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_outbox");
  TCase* tcase = tcase_create("job_outbox");
  for (const TTest* test :
       {events_become_operations_in_their_order, the_end_travels_alone, nothing_follows_the_end,
        progress_is_told_twice_a_second_at_most, what_the_server_has_is_not_sent_again,
        records_name_their_epoch, an_outage_costs_only_marks, retries_do_not_pile_up,
        batches_are_bounded, pages_hold_what_was_stored, what_is_sent_again_is_open,
        a_state_is_told_again, a_state_is_told_again_with_its_source,
        numbers_of_operations_tell_when_the_store_has_caught_up}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
