#include <string>

#include "job/source_uri.h"

#include "check_main.h"

using namespace transcribe;

namespace {

START_TEST(whole_sources_stay_as_they_are) {
  for (const char* uri : {"file:///music/talk.ogg", "file:///a%20b/%3F%23.ogg", "file:///a?b#c@d",
                          "file:///who@home/x:1/talk.ogg", "file:///ends?...", "FILE:///Talk.ogg",
                          "http://example.org/talk.ogg", "https://example.org:8443/a/b%20c;d=e,f",
                          "http://example.org/@me/talk@2x.ogg", "http://[::1]:8080/talk.ogg",
                          "http://example.org/\xc3\xa4.ogg", "rtsp://camera/stream", "cdda://3",
                          "v4l2:///dev/video0", "resource:///org/talk.ogg"}) {
    assert_text(source_text(uri), uri);
    ck_assert_msg(is_whole_source(uri), "%s", uri);
  }
}
END_TEST

START_TEST(secrets_are_left_out) {
  const struct {
    const char* uri;
    const char* text;
  } cases[] = {
      {"http://user:secret@example.org/talk.ogg", "http://example.org/talk.ogg?..."},
      {"http://secret@example.org:81", "http://example.org:81?..."},
      {"http://user:s@cret@example.org/talk.ogg", "http://example.org/talk.ogg?..."},
      {"http://@example.org/talk.ogg", "http://example.org/talk.ogg?..."},
      {"https://example.org/talk.ogg?token=secret", "https://example.org/talk.ogg?..."},
      {"https://example.org/talk.ogg#secret", "https://example.org/talk.ogg?..."},
      {"https://example.org/talk.ogg#a?secret", "https://example.org/talk.ogg?..."},
      {"https://example.org/talk.ogg?", "https://example.org/talk.ogg?..."},
      {"https://example.org?secret", "https://example.org?..."},
      {"https://example.org/?mail=me@here", "https://example.org/?..."},
      {"HTTP://u:secret@[::1]:80/x?y#z", "HTTP://[::1]:80/x?..."},
      {"rtsp://u:p%40secret@camera/stream?key", "rtsp://camera/stream?..."},
      {"mms:talk?secret", "mms:talk?..."},
  };
  for (const auto& c : cases) {
    assert_text(source_text(c.uri), c.text);
    ck_assert_msg(!is_whole_source(c.text), "%s", c.text);
    // Once is enough.
    assert_text(source_text(c.text), c.text);
  }
}
END_TEST

// Where the host begins is then anybody's guess.
START_TEST(what_may_be_a_part_of_a_password_is_not_kept) {
  for (const char* uri :
       {"http://user:1/secret@example.org/talk.ogg", "http://user:1?secret@example.org/talk.ogg",
        "http://user:1#secret@example.org/talk.ogg", "http://user:p@1/secret@example.org/talk.ogg",
        "http://user:se/cret@example.org/talk.ogg", "http://user:se?cret@example.org/talk.ogg",
        "file://user:secret@example.org/talk.ogg"})
    assert_text(source_text(uri), "");
}
END_TEST

START_TEST(what_leads_nowhere_is_not_kept) {
  for (const char* uri : {"", "talk.ogg", "/music/talk.ogg", "://x", "1http://x/y", "appsrc://",
                          "appsrc:", "file:", "file://", "fd://0", "FD://3",
                          "data:audio/wav;base64,UklGRg==", "http://example.org:x/y",
                          "http://example.org/%zz", "http://[::1/x"})
    assert_text(source_text(uri), "");
}
END_TEST

START_TEST(hostile_texts_are_not_kept) {
  const std::string file = "file:///";
  const std::string web = "http://example.org/";
  for (const std::string& head : {file, web}) {
    for (const std::string& tail :
         {std::string("a\0b", 3), std::string("a\nb"), std::string("\x1b[2J"), std::string("\x7f"),
          std::string("\xff\xfe"), std::string("\xc3(")}) {
      assert_text(source_text(head + tail), "");
      ck_assert(!is_whole_source(head + tail));
    }
    assert_text(source_text(head + std::string(kMaxSource, 'a')), "");
    const std::string longest = head + std::string(kMaxSource - head.size(), 'a');
    assert_text(source_text(longest), longest);
    assert_text(source_text(longest + "a"), "");
  }
  // What is cut off counts only by its mark.
  const std::string query = "?" + std::string(1000000, 'q');
  assert_text(source_text(web + query), web + "?...");
  const std::string most = web + std::string(kMaxSource - web.size() - 4, 'a');
  ck_assert_uint_eq(source_text(most + query).size(), kMaxSource);
  assert_text(source_text(most + "a" + query), "");
  for (const char* text : {"", "talk.ogg", "--output=x", "://"}) ck_assert(!is_whole_source(text));
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("source_uri");
  TCase* tcase = tcase_create("source_uri");
  for (const TTest* test : {whole_sources_stay_as_they_are, secrets_are_left_out,
                            what_may_be_a_part_of_a_password_is_not_kept,
                            what_leads_nowhere_is_not_kept, hostile_texts_are_not_kept}) {
    tcase_add_test(tcase, test);
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
