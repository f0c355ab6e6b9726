#include <array>
#include <map>
#include <random>

#include "job/job.h"
#include "outcomes.h"

#include "check_main.h"

using namespace transcribe;

namespace {

constexpr std::array kStates{JobState::kQueued, JobState::kProcessing, JobState::kCompleted,
                             JobState::kFailed};

StateChanged to(JobState state, JobReason reason) { return {state, std::nullopt, reason}; }
const StateChanged kCreate = to(JobState::kQueued, JobReason::kCreated);
const StateChanged kBegin = to(JobState::kProcessing, JobReason::kStart);

Job job_in(JobState state) {
  Job job("job");
  job.apply(kCreate);
  if (state == JobState::kProcessing || state == JobState::kCompleted) job.apply(kBegin);
  if (state == JobState::kCompleted) job.apply(to(state, JobReason::kEndOfStream));
  if (state == JobState::kFailed) job.apply(to(state, JobReason::kError));
  return job;
}

}  // namespace

START_TEST(only_legal_moves) {
  const bool legal[4][4] = {
      {false, true, false, true},    // QUEUED
      {true, false, true, true},     // PROCESSING
      {false, false, false, false},  // COMPLETED
      {false, false, false, false},  // FAILED
  };
  for (std::size_t from = 0; from < 4; ++from) {
    for (std::size_t target = 0; target < 4; ++target) {
      ck_assert_int_eq(is_legal(kStates[from], kStates[target]), legal[from][target]);
      Job job = job_in(kStates[from]);
      ck_assert(job.state() == kStates[from]);
      const bool applied = job.apply(to(kStates[target], JobReason::kStopped));
      ck_assert_int_eq(applied, legal[from][target]);
      ck_assert(job.state() == (applied ? kStates[target] : kStates[from]));
    }
  }
}
END_TEST

START_TEST(created_first_and_once) {
  Job job("job");
  ck_assert(!job.apply(kBegin));
  ck_assert(!job.apply(to(JobState::kQueued, JobReason::kStopped)));
  ck_assert(job.apply(kCreate));
  ck_assert(!job.apply(kCreate));
  ck_assert(job.apply(kBegin));
  ck_assert(!job.apply(kCreate));
  ck_assert(job.state() == JobState::kProcessing);
}
END_TEST

START_TEST(previous_must_match) {
  Job job = job_in(JobState::kProcessing);
  ck_assert(
      !job.apply(StateChanged{JobState::kCompleted, JobState::kQueued, JobReason::kEndOfStream}));
  ck_assert(job.state() == JobState::kProcessing);
  ck_assert(job.apply(
      StateChanged{JobState::kCompleted, JobState::kProcessing, JobReason::kEndOfStream}));
}
END_TEST

START_TEST(stopped_job_goes_on) {
  Job job = job_in(JobState::kProcessing);
  ck_assert(!job.apply(to(JobState::kQueued, JobReason::kEndOfStream)));
  ck_assert(job.apply(to(JobState::kQueued, JobReason::kStopped)));
  ck_assert(job.apply(kBegin));
  ck_assert(job.apply(to(JobState::kFailed, JobReason::kChunksFailed)));
}
END_TEST

START_TEST(counts_the_life_of_a_chunk) {
  Job job = job_in(JobState::kProcessing);
  const ChunkPtr chunk = make_chunk(3, 10);
  job.apply(ChunkQueued{chunk, 320044});
  ck_assert_uint_eq(job.open(), 1);
  job.apply(ChunkAttempt{chunk, 1});
  ChunkRetry retry{chunk, 2, Nanoseconds(5), {}};
  retry.failure.http_status = 429;
  job.apply(retry);
  job.apply(ChunkAttempt{chunk, 2});
  retry.failure.http_status = 503;
  job.apply(retry);
  job.apply(ChunkAttempt{chunk, 3});
  ChunkDone done = make_done(chunk, "hello");
  done.latency = Nanoseconds(700);
  job.apply(done);

  const Counters& counters = job.counters();
  ck_assert_uint_eq(counters.submitted, 1);
  ck_assert_uint_eq(counters.requests, 3);
  ck_assert_uint_eq(counters.retries, 2);
  ck_assert_uint_eq(counters.rate_limited, 1);
  ck_assert_uint_eq(counters.bytes_sent, 3 * 320044);
  ck_assert_uint_eq(counters.completed, 1);
  ck_assert_int_eq(counters.audio_submitted.count(), 10000000000);
  ck_assert_int_eq(counters.audio_settled.count(), 10000000000);
  ck_assert_int_eq(counters.total_latency.count(), 700);
  ck_assert_int_eq(counters.max_latency.count(), 700);
  ck_assert_uint_eq(job.open(), 0);
}
END_TEST

START_TEST(resumed_has_no_latency) {
  Job job = job_in(JobState::kProcessing);
  ChunkDone done = make_done(0, "hello");
  done.latency = Nanoseconds(700);
  done.resumed = true;
  job.apply(done);
  ck_assert_uint_eq(job.counters().completed, 1);
  ck_assert_uint_eq(job.counters().resumed, 1);
  ck_assert_int_eq(job.counters().total_latency.count(), 0);
  ck_assert_int_eq(job.counters().max_latency.count(), 0);
  ck_assert_uint_eq(job.open(), 0);
}
END_TEST

START_TEST(skipped_silence_was_never_open) {
  Job job = job_in(JobState::kProcessing);
  job.apply(ChunkQueued{make_chunk(0), 1});
  job.apply(make_skipped(1, SkipReason::kSilence));
  ck_assert_uint_eq(job.open(), 1);
  job.apply(make_skipped(0, SkipReason::kFlushed));
  ck_assert_uint_eq(job.open(), 0);
  ck_assert_uint_eq(job.counters().submitted, 1);
  ck_assert_uint_eq(job.counters().skipped(), 2);
  ck_assert_int_eq(job.counters().audio_skipped.count(), 10000000000);
  ck_assert_int_eq(job.counters().audio_settled.count(), 20000000000);
}
END_TEST

// Random lives of chunks, folded, against counts taken at the source.
START_TEST(folds_random_events) {
  std::mt19937 random(static_cast<unsigned>(_i));
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  Job job = job_in(JobState::kProcessing);
  std::map<std::uint64_t, std::uint64_t> waiting;  // index → bytes
  std::uint64_t next = 0, done = 0, failed = 0, resumed = 0, requests = 0, limited = 0, bytes = 0;
  std::array<std::uint64_t, 3> skipped{};
  std::int64_t settled = 0, latency = 0, longest = 0;
  for (int step = 0; step < 2000; ++step) {
    const auto pick = [&] {
      return std::next(waiting.begin(), below(static_cast<unsigned>(waiting.size())));
    };
    switch (below(6)) {
      case 0:
      case 1:
        waiting[next] = below(1000000);
        job.apply(ChunkQueued{make_chunk(next), waiting[next]});
        ++next;
        break;
      case 2:
        if (!waiting.empty()) {
          const auto one = pick();
          ++requests;
          bytes += one->second;
          job.apply(ChunkAttempt{make_chunk(one->first), 1});
          if (below(2) != 0) {
            ChunkRetry retry{make_chunk(one->first), 2, Nanoseconds(1), {}};
            retry.failure.http_status = below(2) != 0 ? 429 : 500;
            limited += retry.failure.http_status == 429;
            job.apply(retry);
          }
        }
        break;
      case 3:
        if (!waiting.empty()) {
          const auto one = pick();
          ChunkDone event = make_done(one->first, "x");
          event.latency = Nanoseconds(below(1000));
          event.resumed = below(3) == 0;
          resumed += event.resumed;
          if (!event.resumed) {
            latency += event.latency.count();
            longest = std::max<std::int64_t>(longest, event.latency.count());
          }
          ++done;
          ++settled;
          job.apply(event);
          waiting.erase(one);
        }
        break;
      case 4:
        if (!waiting.empty()) {
          const auto one = pick();
          ++failed;
          ++settled;
          job.apply(make_failed(one->first));
          waiting.erase(one);
        }
        break;
      default: {
        const unsigned reason = below(3);
        ++skipped[reason];
        ++settled;
        if (reason == 0 || waiting.empty()) {
          job.apply(make_skipped(next++, static_cast<SkipReason>(reason)));
        } else {
          const auto one = pick();
          job.apply(make_skipped(one->first, static_cast<SkipReason>(reason)));
          waiting.erase(one);
        }
      }
    }
    ck_assert_uint_eq(job.open(), waiting.size());
  }
  const Counters& counters = job.counters();
  ck_assert_uint_eq(counters.completed, done);
  ck_assert_uint_eq(counters.failed, failed);
  ck_assert_uint_eq(counters.resumed, resumed);
  ck_assert_uint_eq(counters.requests, requests);
  ck_assert_uint_eq(counters.rate_limited, limited);
  ck_assert_uint_eq(counters.bytes_sent, bytes);
  ck_assert_uint_eq(counters.skipped_silence, skipped[0]);
  ck_assert_uint_eq(counters.skipped_queue_full, skipped[1]);
  ck_assert_uint_eq(counters.skipped_flushed, skipped[2]);
  ck_assert_int_eq(counters.audio_settled.count(), settled * 10000000000);
  ck_assert_int_eq(counters.total_latency.count(), latency);
  ck_assert_int_eq(counters.max_latency.count(), longest);
}
END_TEST

START_TEST(names) {
  ck_assert(to_string(JobState::kProcessing) == "PROCESSING");
  ck_assert(to_string(JobReason::kEndOfStream) == "eos");
  ck_assert(to_string(JobReason::kChunksFailed) == "chunks-failed");
  ck_assert(to_string(SkipReason::kQueueFull) == "queue-full");
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("job");
  TCase* tcase = tcase_create("job");
  tcase_add_test(tcase, only_legal_moves);
  tcase_add_test(tcase, created_first_and_once);
  tcase_add_test(tcase, previous_must_match);
  tcase_add_test(tcase, stopped_job_goes_on);
  tcase_add_test(tcase, counts_the_life_of_a_chunk);
  tcase_add_test(tcase, resumed_has_no_latency);
  tcase_add_test(tcase, skipped_silence_was_never_open);
  tcase_add_loop_test(tcase, folds_random_events, 0, 20);
  tcase_add_test(tcase, names);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
