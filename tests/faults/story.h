// What the tests of faults and ends ask of the messages on the bus: the story of a job, one word
// each, in the order in which it was told.
#pragma once

#include <string>
#include <vector>

#include "sink_fixture.h"

// ck_assert_str_eq() for strings, which may be temporary.
#define assert_text(actual, expected)                                                \
  do {                                                                               \
    const std::string actual_text(actual), expected_text(expected);                  \
    ck_assert_msg(actual_text == expected_text, "%s is \"%s\", not \"%s\"", #actual, \
                  actual_text.c_str(), expected_text.c_str());                       \
  } while (0)

namespace transcribe::testing {

inline constexpr std::size_t kSecond = 16000;  // frames
// One chunk per second of audio, one request after the other, quick retries.
inline constexpr const char* kOneByOne =
    "split=fixed max-chunk-duration=1000000000 max-parallel=1 retry-delay=20 max-retry-delay=40 ";

// "job:STATE:REASON", "progress:START", "result:N", "text:N", "chunk-queued:N", "chunk-retry:N",
// "chunk-failed:N", "chunk-skipped:N:REASON" (N is the chunk-index), "complete:STATE:REASON",
// "warning:CODE", "error:CODE", "eos"; other messages are left out.
std::vector<std::string> story(const SinkPipeline& pipeline);
std::string joined(const std::vector<std::string>& words);

struct Ending {
  const char* state;  // of the job
  const char* reason;
  const char* progress;           // COMPLETE, ERROR
  const char* last;               // "eos", or the code of the ERROR as in code_name()
  const char* warning = nullptr;  // directly before `complete`
};
// Goes to READY and checks: these were the last messages, in the order job, PROGRESS, WARNING,
// complete, EOS or ERROR; nothing came later; START once before the first CONTINUE, one CONTINUE
// per settled chunk; results and failures in chunk order, each chunk settled at most once.
void check_ending(SinkPipeline& pipeline, const Ending& ending);
// Every job is mirrored in Redis (tests/redis/with_redis.py).
bool is_mirrored();
// Then Redis says what the bus said of a job that has ended or was stopped. check_ending() looks,
// too.
void check_mirrored(SinkPipeline& pipeline);
// The job's counters agree with the messages, and every chunk was settled when `all` is set.
void check_counters(const SinkPipeline& pipeline, bool all);

// "NOT_AUTHORIZED" and so on; with the domain where that is not RESOURCE.
std::string code_name(const GError* error);

// Pushes this many seconds of noise and the end.
void push_seconds(SinkPipeline& pipeline, unsigned seconds);

}  // namespace transcribe::testing
