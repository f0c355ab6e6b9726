#include <set>
#include <string>

#include "http/multipart_body.h"

// Last: see check_main.h.
#include "check_main.h"

namespace transcribe {
namespace {

std::string joined(const std::vector<BytesPtr>& pieces) {
  std::string text;
  for (const BytesPtr& piece : pieces) {
    gsize size = 0;
    const auto* data = static_cast<const char*>(g_bytes_get_data(piece.get(), &size));
    if (size > 0) text.append(data, size);
  }
  return text;
}

START_TEST(fields_and_a_file_are_framed) {
  const BytesPtr head(g_bytes_new_static("RIFF", 4));
  const BytesPtr samples(g_bytes_new_static("\r\n--\0x", 6));
  MultipartBody body("B");
  body.add_file("file", "chunk-000001.wav", "audio/wav", {head.get(), samples.get()});
  body.add_field("model", "gpt-transcribe");
  body.add_field("languages[]", "en");
  body.add_field("languages[]", "fr");
  const auto pieces = body.finish();
  const std::string expected =
      std::string(
          "--B\r\n"
          "Content-Disposition: form-data; name=\"file\"; filename=\"chunk-000001.wav\"\r\n"
          "Content-Type: audio/wav\r\n"
          "\r\n"
          "RIFF\r\n--") +
      '\0' +
      "x\r\n"
      "--B\r\n"
      "Content-Disposition: form-data; name=\"model\"\r\n"
      "\r\n"
      "gpt-transcribe\r\n"
      "--B\r\n"
      "Content-Disposition: form-data; name=\"languages[]\"\r\n"
      "\r\n"
      "en\r\n"
      "--B\r\n"
      "Content-Disposition: form-data; name=\"languages[]\"\r\n"
      "\r\n"
      "fr\r\n"
      "--B--\r\n";
  ck_assert(joined(pieces) == expected);
  ck_assert_uint_eq(body.size(), expected.size());
  ck_assert(body.content_type() == "multipart/form-data; boundary=B");
}
END_TEST

START_TEST(content_is_referenced_not_copied) {
  const std::string payload(1 << 20, 'a');
  const BytesPtr bytes(g_bytes_new_static(payload.data(), payload.size()));
  MultipartBody body("B");
  body.add_file("file", "a.wav", "audio/wav", {bytes.get(), bytes.get()});
  const auto pieces = body.finish();
  ck_assert_uint_eq(pieces.size(), 4);
  ck_assert_ptr_eq(pieces[1].get(), bytes.get());
  ck_assert_ptr_eq(pieces[2].get(), bytes.get());
}
END_TEST

START_TEST(content_outlives_the_callers_reference) {
  MultipartBody body("B");
  {
    const BytesPtr bytes(g_bytes_new("samples", 7));
    body.add_file("file", "a.wav", "audio/wav", {bytes.get()});
  }
  ck_assert(joined(body.finish()).find("\r\n\r\nsamples\r\n") != std::string::npos);
}
END_TEST

START_TEST(names_cannot_break_out_of_their_header) {
  MultipartBody body("B");
  body.add_field("a\"; filename=\"x\r\nEvil: 1", "v");
  body.add_file("f", "q\"\r\n.wav", "audio/wav", {});
  const std::string text = joined(body.finish());
  ck_assert(text.find("name=\"a%22; filename=%22x%0D%0AEvil: 1\"\r\n") != std::string::npos);
  ck_assert(text.find("filename=\"q%22%0D%0A.wav\"\r\n") != std::string::npos);
}
END_TEST

START_TEST(values_and_utf8_names_go_out_as_they_are) {
  MultipartBody body("B");
  body.add_field("prompt", "Z\xc3\xbcrich \"quoted\"\r\nsecond line");
  body.add_field("n\xc3\xa4me", "");
  const std::string text = joined(body.finish());
  ck_assert(text.find("\r\n\r\nZ\xc3\xbcrich \"quoted\"\r\nsecond line\r\n--B\r\n") !=
            std::string::npos);
  ck_assert(text.find("name=\"n\xc3\xa4me\"\r\n\r\n\r\n--B--\r\n") != std::string::npos);
}
END_TEST

START_TEST(size_is_known_before_the_end) {
  MultipartBody body("B");
  ck_assert_uint_eq(body.size(), 0);
  body.add_field("a", "b");
  const std::size_t before = body.size();
  const auto pieces = body.finish();
  ck_assert_uint_eq(body.size(), before + 7);
  ck_assert_uint_eq(joined(pieces).size(), body.size());
}
END_TEST

START_TEST(boundaries_differ_and_need_no_quotes) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string boundary = MultipartBody::random_boundary();
    ck_assert_uint_ge(boundary.size(), 32);
    ck_assert_uint_le(boundary.size(), 70);
    for (const char c : boundary) ck_assert(g_ascii_isalnum(c) || c == '-');
    seen.insert(boundary);
  }
  ck_assert_uint_eq(seen.size(), 100);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("multipart_body");
  TCase* tcase = tcase_create("body");
  tcase_add_test(tcase, fields_and_a_file_are_framed);
  tcase_add_test(tcase, content_is_referenced_not_copied);
  tcase_add_test(tcase, content_outlives_the_callers_reference);
  tcase_add_test(tcase, names_cannot_break_out_of_their_header);
  tcase_add_test(tcase, values_and_utf8_names_go_out_as_they_are);
  tcase_add_test(tcase, size_is_known_before_the_end);
  tcase_add_test(tcase, boundaries_differ_and_need_no_quotes);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
