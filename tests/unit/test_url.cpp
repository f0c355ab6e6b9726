#include <glib.h>

#include <string>
#include <vector>

#include "openai/request.h"

#include "check_main.h"

namespace {

using namespace transcribe;

void check_same(const std::string& is, const std::string& expected) {
  ck_assert_msg(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

std::string endpoint(const std::string& base_url, Task task = Task::kTranscribe) {
  const auto url = endpoint_url(base_url, task);
  ck_assert_msg(url.ok(), "refused: %s", base_url.c_str());
  return *url;
}

START_TEST(path_is_joined_exactly_once) {
  const std::string openai = "https://api.openai.com/v1/audio/transcriptions";
  for (const char* base :
       {"https://api.openai.com/v1", "https://api.openai.com/v1/", "https://api.openai.com/v1//",
        "https://api.openai.com/v1/audio/transcriptions",
        "https://api.openai.com/v1/audio/transcriptions/",
        "https://api.openai.com/v1/audio/translations", "HTTPS://api.openai.com/v1"}) {
    check_same(endpoint(base), openai);
  }
  check_same(endpoint("https://api.openai.com/v1", Task::kTranslate),
             "https://api.openai.com/v1/audio/translations");
  check_same(endpoint("https://api.openai.com/v1/audio/transcriptions", Task::kTranslate),
             "https://api.openai.com/v1/audio/translations");
  check_same(endpoint("http://host"), "http://host/audio/transcriptions");
  check_same(endpoint("http://host/"), "http://host/audio/transcriptions");
  check_same(endpoint("http://host/audio/transcriptions"), "http://host/audio/transcriptions");
}
END_TEST

START_TEST(query_is_kept) {
  check_same(endpoint("https://r.openai.azure.com/openai/deployments/d?api-version=2024-06-01"),
             "https://r.openai.azure.com/openai/deployments/d/audio/"
             "transcriptions?api-version=2024-06-01");
  check_same(endpoint("https://h/v1/?a=%2F&b=c%20d"),
             "https://h/v1/audio/transcriptions?a=%2F&b=c%20d");
  check_same(endpoint("https://h/v1/audio/transcriptions?a=/audio/transcriptions"),
             "https://h/v1/audio/transcriptions?a=/audio/transcriptions");
}
END_TEST

START_TEST(hosts_and_ports_are_kept) {
  check_same(endpoint("http://[::1]:8080/v1"), "http://[::1]:8080/v1/audio/transcriptions");
  check_same(endpoint("http://127.0.0.1:1/v1"), "http://127.0.0.1:1/v1/audio/transcriptions");
  check_same(endpoint("http://h/a%20b/v1"), "http://h/a%20b/v1/audio/transcriptions");
}
END_TEST

START_TEST(bad_urls_are_refused_without_quoting_them) {
  for (const char* url :
       {"", "sekret", "sekret.example/v1", "ftp://sekret/v1", "file:///sekret", "https://",
        "https:///sekret", "https://sekret:99999/v1", "https://user:sekret@host/v1",
        "https://sekret@host/v1", "https://host/v1#sekret", "https://ho st/sekret",
        "https://host/sekret\n", "https://host/\tsekret", "https://[::1/sekret", "http:sekret",
        "https://host/%zz?sekret"}) {
    const auto result = endpoint_url(url, Task::kTranscribe);
    ck_assert_msg(!result.ok(), "accepted: %s", url);
    const std::string& message = result.error().message;
    ck_assert(message.find("base-url") != std::string::npos);
    ck_assert_msg(message.find("sekret") == std::string::npos, "%s", message.c_str());
  }
}
END_TEST

START_TEST(printable_url_holds_no_secret) {
  check_same(printable_url("https://user:pw@h:8/v1/x?key=sekret#f"), "https://h:8/v1/x");
  check_same(printable_url("http://[::1]:8080/v1?k"), "http://[::1]:8080/v1");
  for (const char* url : {"", "sekret", "https://sekret:99999/", "https://h/%zz?sekret"}) {
    ck_assert(printable_url(url).find("sekret") == std::string::npos);
  }
}
END_TEST

START_TEST(loopback_is_recognised) {
  for (const char* url :
       {"http://localhost/v1", "http://LOCALHOST:80", "http://localhost./", "http://a.localhost/",
        "http://127.0.0.1:5/", "http://127.9.9.9/", "http://[::1]/v1"}) {
    ck_assert_msg(is_loopback(url), "%s", url);
  }
  for (const char* url : {"http://localhost.example/", "http://10.0.0.1/", "http://[::2]/",
                          "http://example.com/localhost", "http://mylocalhost/", "nonsense", ""}) {
    ck_assert_msg(!is_loopback(url), "%s", url);
  }
}
END_TEST

START_TEST(openai_is_recognised) {
  for (const char* url : {"https://api.openai.com/v1", "https://API.OpenAI.com",
                          "https://api.openai.com./v1", "https://eu.api.openai.com/v1"}) {
    ck_assert_msg(is_openai(url), "%s", url);
  }
  for (const char* url : {"https://openai.com", "https://api.openai.com.evil.example/v1",
                          "https://myapi.openai.com.example", "https://notapi.openai.com/v1",
                          "https://h/api.openai.com", ""}) {
    ck_assert_msg(!is_openai(url), "%s", url);
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("url");
  TCase* tcase = tcase_create("url");
  tcase_add_test(tcase, path_is_joined_exactly_once);
  tcase_add_test(tcase, query_is_kept);
  tcase_add_test(tcase, hosts_and_ports_are_kept);
  tcase_add_test(tcase, bad_urls_are_refused_without_quoting_them);
  tcase_add_test(tcase, printable_url_holds_no_secret);
  tcase_add_test(tcase, loopback_is_recognised);
  tcase_add_test(tcase, openai_is_recognised);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
