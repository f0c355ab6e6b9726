#include <string>

#include "base/uri_text.h"
#include "redis/uri.h"

#include "check_main.h"

namespace transcribe {
namespace {

using Transport = RedisUri::Transport;

RedisUri parsed(const char* text) {
  const auto uri = parse_redis_uri(text);
  ck_assert_msg(uri.ok(), "%s: %s", text, uri.ok() ? "" : uri.error().message.c_str());
  return *uri;
}

START_TEST(defaults) {
  const RedisUri uri = parsed("redis://localhost");
  ck_assert(uri.transport == Transport::kTcp);
  assert_text(uri.host, "localhost");
  ck_assert_uint_eq(uri.port, 6379);
  ck_assert_uint_eq(uri.database, 0);
  ck_assert(uri.user.empty());
  ck_assert(!uri.password);
  assert_text(uri.address(), "localhost:6379");
  ck_assert_uint_eq(parsed("redis://localhost/").database, 0);
}
END_TEST

START_TEST(every_part) {
  const RedisUri uri = parsed("rediss://some:se%2Fc%40r%3Aet@redis.example:7000/12");
  ck_assert(uri.transport == Transport::kTls);
  assert_text(uri.host, "redis.example");
  ck_assert_uint_eq(uri.port, 7000);
  ck_assert_uint_eq(uri.database, 12);
  assert_text(uri.user, "some");
  assert_text(*uri.password, "se/c@r:et");
}
END_TEST

START_TEST(user_and_password_may_each_be_missing) {
  assert_text(*parsed("redis://:p@h").password, "p");
  ck_assert(parsed("redis://:p@h").user.empty());
  assert_text(parsed("redis://u@h").user, "u");
  ck_assert(!parsed("redis://u@h").password);
  assert_text(*parsed("redis://u:@h").password, "");
  ck_assert(!parsed("redis://:@h").password);
  assert_text(*parsed("redis://:a:b@h").password, "a:b");
}
END_TEST

START_TEST(ipv6_address) {
  const RedisUri uri = parsed("redis://[::1]:6380/1");
  assert_text(uri.host, "::1");
  ck_assert_uint_eq(uri.port, 6380);
  assert_text(uri.address(), "[::1]:6380");
}
END_TEST

START_TEST(unix_socket) {
  const RedisUri uri = parsed("redis+unix://u:p@/run/my%20redis/a.sock?db=3");
  ck_assert(uri.transport == Transport::kUnix);
  assert_text(uri.path, "/run/my redis/a.sock");
  assert_text(uri.user, "u");
  assert_text(*uri.password, "p");
  ck_assert_uint_eq(uri.database, 3);
  assert_text(uri.address(), "/run/my redis/a.sock");
  ck_assert_uint_eq(parsed("redis+unix:///run/a.sock").database, 0);
}
END_TEST

START_TEST(refused_with_a_reason_that_tells_no_secret) {
  const char* const texts[] = {
      "",
      "localhost",
      "localhost:6379",
      "http://:secret@host",
      "redis:",
      "redis://",
      "redis://:secret@",
      "redis://:secret@host:0",
      "redis://:secret@host:65536",
      "redis://:secret@host:port",
      "redis://:secret@host/x",
      "redis://:secret@host/-1",
      "redis://:secret@host/0/1",
      "redis://:secret@host/99999999999",
      "redis://:secret@host?db=1",
      "redis://:secret@host#1",
      "redis://u:sec#secret@host",
      "redis://u:secret/secret@host",
      "redis://u:secret?secret@host",
      "redis://u:%zzsecret@host",
      "redis://u:%00secret@host",
      "redis+unix://",
      "redis+unix:///",
      "redis+unix://run/redis.sock",
      "redis+unix://:secret@host/run/redis.sock",
      "redis+unix://:secret@/run/redis.sock?db=",
      "redis+unix://:secret@/run/redis.sock?db=x",
      "redis+unix://:secret@/run/redis.sock?password=secret",
  };
  for (const char* text : texts) {
    const auto uri = parse_redis_uri(text);
    ck_assert_msg(!uri.ok(), "taken: %s", text);
    const std::string& message = uri.error().message;
    ck_assert_msg(message.rfind("redis-uri ", 0) == 0, "%s", message.c_str());
    ck_assert_msg(message.find("secret") == std::string::npos, "%s", message.c_str());
  }
}
END_TEST

START_TEST(a_nul_byte_is_refused) {
  ck_assert(!parse_redis_uri(std::string("redis://host\0:1", 15)).ok());
}
END_TEST

START_TEST(printable_form_has_no_password) {
  const struct {
    const char* uri;
    const char* shown;
  } cases[] = {
      {"", ""},
      {"redis://localhost", "redis://localhost"},
      {"redis://:secret@host:1/2", "redis://host:1/2"},
      {"redis://user:secret@host", "redis://user@host"},
      {"redis://user@host", "redis://user@host"},
      {"rediss://u:se/cr@et@host/0", "rediss://u@host/0"},
      {"rediss://u:se://cr@host", "rediss://u@host"},
      {"redis+unix://:secret@/run/redis.sock", "redis+unix:///run/redis.sock"},
      {"u:secret@host", "u@host"},
      {":secret@", ""},
  };
  for (const auto& c : cases) assert_text(without_password(c.uri), c.shown);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_uri");
  TCase* tests = tcase_create("redis_uri");
  tcase_add_test(tests, defaults);
  tcase_add_test(tests, every_part);
  tcase_add_test(tests, user_and_password_may_each_be_missing);
  tcase_add_test(tests, ipv6_address);
  tcase_add_test(tests, unix_socket);
  tcase_add_test(tests, refused_with_a_reason_that_tells_no_secret);
  tcase_add_test(tests, a_nul_byte_is_refused);
  tcase_add_test(tests, printable_form_has_no_password);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
