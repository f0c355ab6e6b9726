// A live stream of days: what is held does not grow.
#include <glib.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "audio/chunker.h"
#include "counted_memory.h"
#include "mirrors.h"
#include "overlaps.h"
#include "silent_observer.h"

#include "check_main.h"

using namespace transcribe;

namespace {

constexpr std::uint64_t kChunkSeconds = 10;
// The begin of the transcript is kept for the last message: 1 MiB, which these fill.
constexpr std::uint64_t kLongTexts = 12;
constexpr std::size_t kLongText = 100000;
constexpr std::uint64_t kSettled = 100;

bool in_full() {
  const char* full = g_getenv("TRANSCRIBE_FULL");
  return full != nullptr && *full != '\0';
}

// Chunk i of an endless stream; all cuts are forced.
std::shared_ptr<ChunkInfo> endless_chunk(std::uint64_t index) {
  auto chunk = make_chunk(index, kChunkSeconds);
  const std::uint64_t shared = kSampleRate / 2;
  if (index > 0) chunk->payload.begin -= shared;
  chunk->payload.end += shared;
  chunk->mask = {20, 480, 30, 570};
  chunk->reason = CutReason::kForced;
  return chunk;
}

// About `bytes` of text; its first and last words are its neighbours', too.
std::string endless_text(std::uint64_t index, std::size_t bytes) {
  const auto shared = [](std::uint64_t cut) {
    const std::string number = std::to_string(cut);
    return "s" + number + " w" + number + " h" + number;
  };
  std::string text = shared(index);
  for (std::size_t i = 0; text.size() + 40 < bytes; ++i)
    text += " some" + std::to_string(i) + (i % 9 == 8 ? "." : "");
  return text + " " + shared(index + 1);
}

// In one segment, of a speaker.
ChunkDone endless_result(std::uint64_t index) {
  ChunkDone done = heard(endless_chunk(index), index < kLongTexts ? std::string(kLongText, 'x')
                                                                  : endless_text(index, 1000));
  auto transcription = std::make_shared<Transcription>(*done.transcription);
  Segment segment;
  segment.end = frames_to_time(done.chunk->payload.frames());
  segment.text = transcription->text;
  segment.speaker = "somebody whose name has its own memory";
  transcription->segments.push_back(std::move(segment));
  done.transcription = std::move(transcription);
  return done;
}

class Counter final : public SilentObserver {
 public:
  std::uint64_t pieces = 0;
  std::uint64_t bytes = 0;

  void on_released(const Released& released, const Counters&) noexcept override {
    if (!released.text) return;
    ++pieces;
    bytes += released.text->text.size();
  }
};

}  // namespace

// Seven days of 1 kB texts through everything that follows the job on its event thread.
START_TEST(seven_days) {
  const CharPtr directory(g_dir_make_tmp("long-stream-XXXXXX", nullptr));
  const std::string file = std::string(directory.get()) + "/talk.srt";
  const std::uint64_t chunks = in_full() ? 7 * 24 * 3600 / kChunkSeconds : 4 * kSettled;
  Counter counter;
  {
    const SystemClock clock;
    Mirrors mirrors(counter, nullptr, clock);
    ck_assert(mirrors.open_file(file, TranscriptFormat::kAuto, "job").ok());
    std::size_t settled = 0;
    std::size_t most = 0;
    for (std::uint64_t i = 0; i < chunks; ++i) {
      Event event = endless_result(i);
      mirrors.store({&event, 1});
      mirrors.tell(event, Counters());
      if (i == kSettled) settled = testing::held_bytes;
      if (i > kSettled) most = std::max(most, testing::held_bytes);
    }
    ck_assert_uint_gt(settled, 1024 * 1024);
    ck_assert_uint_le(most, settled + 8 * 1024);
    mirrors.close(mirrors.tell_end({}, {}));
  }
  ck_assert_uint_ge(counter.pieces, chunks - kLongTexts);
  // Shared words once: about 40 of 1000 bytes are the neighbour's.
  const std::uint64_t long_texts = kLongTexts * kLongText;
  ck_assert_uint_lt(counter.bytes, long_texts + chunks * 985);
  ck_assert_uint_gt(counter.bytes, long_texts + (chunks - kLongTexts) * 900);
  unlink(file.c_str());
  rmdir(directory.get());
}
END_TEST

START_TEST(a_hundred_thousand_chunks) {
  const std::uint64_t chunks = in_full() ? 100000 : 3000;
  Joiner joiner;
  std::size_t held = 0;
  std::uint64_t words = 0;
  std::uint64_t expected = 3;
  const auto count = [&](const std::vector<Released>& released) {
    for (const Released& one : released) {
      if (one.text) words += one.text->tokens.size();
    }
  };
  for (std::uint64_t i = 0; i < chunks; ++i) {
    const std::string text = endless_text(i, 200);
    // The three words of a cut are there once.
    expected += tokenize(text).size() - 3;
    count(joiner.add(heard(endless_chunk(i), text)));
    if (i == 100) held = testing::held_bytes;
  }
  ck_assert_uint_le(testing::held_bytes, held + 1024);
  count(joiner.finish());
  ck_assert_uint_eq(words, expected);
}
END_TEST

// While nobody speaks the chunker holds the padding of the next core, however long that is.
START_TEST(hours_of_silence) {
  const std::uint64_t minutes = in_full() ? 6 * 60 : 6;
  Chunker::Config config;
  config.overlap_frames = kSampleRate;
  config.skip_silence = true;
  std::uint64_t pieces = 0;
  Chunker chunker(config, [&](AudioPiece&&) { ++pieces; });
  std::vector<std::int16_t> minute(60 * kSampleRate);
  std::uint32_t random = 1;
  for (auto& sample : minute) {
    random = random * 1664525 + 1013904223;
    sample = static_cast<std::int16_t>(static_cast<int>(random >> 25) - 64);
  }
  std::size_t settled = 0;
  for (std::uint64_t i = 0; i < minutes; ++i) {
    chunker.push(minute);
    if (i == 1) settled = testing::held_bytes;
    if (i > 1) ck_assert_uint_le(testing::held_bytes, settled + 1024);
  }
  ck_assert_uint_eq(pieces, 0);
  ck_assert_uint_eq(chunker.unsettled(), minutes * minute.size());
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("long_stream");
  TCase* tcase = tcase_create("long_stream");
  tcase_add_test(tcase, seven_days);
  tcase_add_test(tcase, a_hundred_thousand_chunks);
  tcase_add_test(tcase, hours_of_silence);
  suite_add_tcase(suite, tcase);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
