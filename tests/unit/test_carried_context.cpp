#include <string>
#include <vector>

#include "transcript/carried_context.h"

#include "check_main.h"

namespace {

using namespace transcribe;

ChunkPtr make_chunk(std::uint64_t index) {
  auto chunk = std::make_shared<ChunkInfo>();
  chunk->index = index;
  chunk->core = {index * 10 * kSampleRate, (index + 1) * 10 * kSampleRate};
  chunk->payload = chunk->core;
  chunk->time.timestamp = frames_to_time(chunk->core.begin);
  return chunk;
}

Released done(std::uint64_t index, const std::string& text, const std::string& language = "") {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  transcription->language = language;
  Released released{ChunkDone{make_chunk(index), transcription, 1}, std::nullopt};
  if (!text.empty()) {
    released.text.emplace();
    released.text->text = text;
  }
  return released;
}

Released skipped(std::uint64_t index, SkipReason reason) {
  return {ChunkSkipped{make_chunk(index), reason}, std::nullopt};
}

Released failed(std::uint64_t index) {
  return {ChunkFailed{make_chunk(index), Failure{}, 1}, std::nullopt};
}

START_TEST(tail_goes_with_the_next_chunk) {
  CarriedContext context;
  assert_text(context.before(*make_chunk(0)), "");
  context.add(done(0, "One two."));
  assert_text(context.before(*make_chunk(1)), "One two.");
  context.add(done(1, " Three."));
  assert_text(context.before(*make_chunk(2)), "One two. Three.");
}
END_TEST

// All attempts of a chunk are the same request, whatever came meanwhile.
START_TEST(decided_once) {
  CarriedContext context;
  context.add(done(0, "One."));
  assert_text(context.before(*make_chunk(1)), "One.");
  assert_text(context.before(*make_chunk(2)), "");
  context.add(done(1, " Two."));
  assert_text(context.before(*make_chunk(2)), "");
  assert_text(context.before(*make_chunk(3)), "");
  context.add(done(2, " Three."));
  assert_text(context.before(*make_chunk(3)), "");
  context.add(done(3, " Four."));
  assert_text(context.before(*make_chunk(4)), "One. Two. Three. Four.");
}
END_TEST

START_TEST(starts_anew) {
  CarriedContext context;
  context.add(done(0, "One.", "en"));
  switch (_i) {
    case 0:
      context.add(failed(1));
      break;
    case 1:
      context.add(skipped(1, SkipReason::kFlushed));
      break;
    case 2:
      context.add(skipped(1, SkipReason::kQueueFull));
      break;
    case 3:
      for (std::uint64_t i = 1; i <= 4; i++) context.add(skipped(i, SkipReason::kSilence));
      assert_text(context.before(*make_chunk(5)), "");
      return;
    case 4:
      for (std::uint64_t i = 1; i <= 4; i++) context.add(done(i, ""));
      context.add(done(5, "Two."));
      assert_text(context.before(*make_chunk(6)), "Two.");
      return;
    case 5:
      context.add(done(1, "Zwei.", "de"));
      assert_text(context.before(*make_chunk(2)), "Zwei.");
      return;
  }
  assert_text(context.before(*make_chunk(2)), "");
  context.add(done(2, "Three."));
  assert_text(context.before(*make_chunk(3)), "Three.");
}
END_TEST

START_TEST(a_suspect_result_is_no_context) {
  CarriedContext context;
  context.add(done(0, "One."));
  Released suspect = done(1, " Thank you for watching.");
  std::get<ChunkDone>(*suspect.outcome).suspect = {Suspicion::kSilence};
  context.add(suspect);
  assert_text(context.before(*make_chunk(2)), "");
  context.add(done(2, " Three."));
  assert_text(context.before(*make_chunk(3)), "Three.");
}
END_TEST

// What a service repeats of its prompt would be repeated for ever.
START_TEST(an_echo_is_no_context) {
  CarriedContext context;
  context.add(done(0, "One."));
  Released echo = done(1, " One.");
  auto transcription = std::make_shared<Transcription>();
  transcription->text = "One.";
  transcription->is_echo = true;
  std::get<ChunkDone>(*echo.outcome).transcription = transcription;
  context.add(echo);
  assert_text(context.before(*make_chunk(2)), "");
}
END_TEST

// A hole has no samples: the position goes on, the time jumps.
START_TEST(silence_is_counted_in_time) {
  const int seconds = std::vector<int>{29, 31, 3600, -1}[_i];
  CarriedContext context;
  context.add(done(0, "One."));
  ChunkInfo later = *make_chunk(1);
  later.time.timestamp += std::chrono::seconds(seconds);
  assert_text(context.before(later), _i == 0 ? "One." : "");
  Released released = done(1, " Two.");
  std::get<ChunkDone>(*released.outcome).chunk = std::make_shared<ChunkInfo>(later);
  context.add(released);
  ChunkInfo next = *make_chunk(2);
  next.time.timestamp += std::chrono::seconds(seconds);
  assert_text(context.before(next), _i == 0 ? "One. Two." : "Two.");
}
END_TEST

// A live job that goes on after a restart: what was said before it is hours old, whatever the
// new pipeline's time is.
START_TEST(another_run_starts_anew) {
  CarriedContext context;
  context.add(done(0, "One."));
  context.add(done(1, " Two."));
  Released rest;
  rest.text.emplace();
  rest.text->text = " three";
  context.add(rest);
  ChunkInfo first = *make_chunk(0);
  first.index = 2;
  if (_i == 1) first.time.timestamp = std::chrono::seconds(20);
  assert_text(context.before(first), "");
}
END_TEST

// What becomes final with the silence that follows it.
START_TEST(text_with_a_silence) {
  CarriedContext context;
  context.add(done(0, "One"));
  Released silence = skipped(1, SkipReason::kSilence);
  silence.text.emplace();
  silence.text->text = " two.";
  context.add(silence);
  assert_text(context.before(*make_chunk(2)), "One two.");
}
END_TEST

START_TEST(short_silence_is_bridged) {
  CarriedContext context;
  context.add(done(0, "One.", "en"));
  context.add(skipped(1, SkipReason::kSilence));
  context.add(done(2, "", ""));
  assert_text(context.before(*make_chunk(3)), "One.");
}
END_TEST

// What becomes final later belongs to the transcript, too.
START_TEST(text_without_an_outcome) {
  CarriedContext context;
  context.add(done(0, "One"));
  Released rest;
  rest.text.emplace();
  rest.text->text = " two.";
  context.add(rest);
  assert_text(context.before(*make_chunk(1)), "One two.");
}
END_TEST

START_TEST(tail_has_whole_words) {
  std::string text;
  while (text.size() < 1000) text += "word" + std::to_string(text.size()) + " ";
  const std::string tail = last_words(text);
  ck_assert_int_le(g_utf8_strlen(tail.c_str(), -1), kContextCharacters);
  ck_assert_int_gt(g_utf8_strlen(tail.c_str(), -1), kContextCharacters - 12);
  ck_assert(text.ends_with(" " + tail));
  ck_assert(tail.starts_with("word"));
  assert_text(last_words("short"), "short");
  assert_text(last_words(""), "");
  // Exactly as long; a space right before the cut.
  assert_text(last_words(std::string(200, 'a')), std::string(200, 'a'));
  assert_text(last_words("b " + std::string(200, 'a')), std::string(200, 'a'));
  // Without spaces: characters, not bytes.
  std::string chinese;
  for (int i = 0; i < 300; i++) chinese += "語";
  ck_assert_int_eq(g_utf8_strlen(last_words(chinese).c_str(), -1), kContextCharacters);
}
END_TEST

START_TEST(echoes) {
  const std::string prompt = "It was a dark night, and the rain fell in torrents.";
  ck_assert(echoes_prompt("the rain fell in torrents. Then", prompt) == true);
  ck_assert(echoes_prompt("The rain fell in TORRENTS", prompt));
  ck_assert(echoes_prompt("a dark night", prompt));
  ck_assert(echoes_prompt(prompt, prompt));
  ck_assert(echoes_prompt(prompt + " More.", prompt));
  // Two words, and the end of a prompt that is only touched.
  ck_assert(!echoes_prompt("dark night", prompt));
  ck_assert(!echoes_prompt("in torrents. And then it stopped", prompt));
  ck_assert(!echoes_prompt("a dark morning", prompt));
  ck_assert(!echoes_prompt("", prompt));
  ck_assert(!echoes_prompt("something else was said here", ""));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("carried_context");
  TCase* tests = tcase_create("general");
  tcase_add_test(tests, tail_goes_with_the_next_chunk);
  tcase_add_test(tests, decided_once);
  tcase_add_loop_test(tests, starts_anew, 0, 6);
  tcase_add_test(tests, a_suspect_result_is_no_context);
  tcase_add_test(tests, an_echo_is_no_context);
  tcase_add_loop_test(tests, silence_is_counted_in_time, 0, 4);
  tcase_add_loop_test(tests, another_run_starts_anew, 0, 2);
  tcase_add_test(tests, text_with_a_silence);
  tcase_add_test(tests, short_silence_is_bridged);
  tcase_add_test(tests, text_without_an_outcome);
  tcase_add_test(tests, tail_has_whole_words);
  tcase_add_test(tests, echoes);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
