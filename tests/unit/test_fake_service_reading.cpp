// What the fake service reads: WAV files and forms.
#include "fake_service_test.h"
#include "wav_reader.h"

using namespace transcribe;
using namespace transcribe::testing;

START_TEST(wav_gives_the_samples) {
  std::string error;
  const auto samples = read_wav(wav(3, -2), error);
  ck_assert(samples.has_value());
  ck_assert(*samples == std::vector<std::int16_t>({-2, -1, 0}));
  ck_assert(read_wav(wav(0), error).has_value());
}
END_TEST

START_TEST(wav_with_one_wrong_header_byte_is_refused) {
  const std::string good = wav(10);
  for (std::size_t at = 0; at < 44; ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] + 1);
    std::string error;
    ck_assert_msg(!read_wav(bad, error), "byte %zu", at);
    ck_assert(!error.empty());
  }
}
END_TEST

START_TEST(wav_of_wrong_length_is_refused) {
  const std::string good = wav(10);
  std::string error;
  for (std::size_t size = 0; size < good.size(); ++size) {
    ck_assert_msg(!read_wav(good.substr(0, size), error), "length %zu", size);
  }
  ck_assert(!read_wav(good + '\0', error));
  // A header with the sizes of a stream whose end was not known.
  std::string streamed = good;
  streamed.replace(4, 4, "\xff\xff\xff\xff");
  streamed.replace(40, 4, "\xff\xff\xff\xff");
  ck_assert(!read_wav(streamed, error));
}
END_TEST

START_TEST(form_gives_its_parts) {
  std::vector<Part> parts;
  const auto body = Form().file("a%22b.wav", "x\r\n--edg\r\n").field("languages[]", "en").body();
  assert_text(read_multipart(Form::kType, body, parts), "");
  ck_assert_uint_eq(parts.size(), 2);
  assert_text(*parts[0].filename, "a\"b.wav");
  assert_text(parts[0].content_type, "audio/wav");
  assert_text(*parts[0].content, "x\r\n--edg\r\n");
  assert_text(parts[1].name, "languages[]");
  ck_assert(!parts[1].filename);
}
END_TEST

START_TEST(broken_forms_are_refused) {
  const std::string good = Form::good().body();
  std::vector<Part> parts;
  ck_assert(!read_multipart("text/plain", good, parts).empty());
  ck_assert(!read_multipart("multipart/form-data", good, parts).empty());
  ck_assert(!read_multipart("multipart/form-data; boundary=other", good, parts).empty());
  // "--" and the line end after the last boundary may be lost one by one; nothing else.
  for (std::size_t size = 0; size + 2 < good.size(); ++size) {
    ck_assert_msg(!read_multipart(Form::kType, good.substr(0, size), parts).empty(), "%zu", size);
  }
  ck_assert(!read_multipart(Form::kType, "--edge\r\nX: y\r\n\r\nz\r\n--edge--\r\n", parts).empty());
  ck_assert(
      !read_multipart(Form::kType, "--edge\r\nno colon\r\n\r\nz\r\n--edge--\r\n", parts).empty());
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("fake_service_reading");
  TCase* tests = tcase_create("fake_service_reading");
  tcase_add_test(tests, wav_gives_the_samples);
  tcase_add_test(tests, wav_with_one_wrong_header_byte_is_refused);
  tcase_add_test(tests, wav_of_wrong_length_is_refused);
  tcase_add_test(tests, form_gives_its_parts);
  tcase_add_test(tests, broken_forms_are_refused);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
