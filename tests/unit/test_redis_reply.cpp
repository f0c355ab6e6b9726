#include <string>
#include <vector>

#include "redis/reply.h"

#include "check_main.h"

namespace transcribe {
namespace {

using Type = Reply::Type;
using namespace std::string_literals;

std::vector<Reply> read(std::string_view bytes, std::size_t step) {
  ReplyReader reader;
  std::vector<Reply> replies;
  for (std::size_t at = 0; at < bytes.size(); at += step)
    ck_assert(reader.feed(bytes.substr(at, step), replies).ok());
  ck_assert(!reader.has_rest());
  return replies;
}

START_TEST(every_type_however_it_is_cut) {
  const std::string bytes =
      "+OK\r\n-ERR no\r\n:-42\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n"
      "*4\r\n$4\r\na\0\r\n\r\n:7\r\n*2\r\n+x\r\n*1\r\n$1\r\ny\r\n-ERR inner\r\n"s;
  for (std::size_t step = 1; step <= bytes.size(); step++) {
    const auto replies = read(bytes, step);
    ck_assert_uint_eq(replies.size(), 8);
    ck_assert(replies[0].type == Type::kStatus && replies[0].text == "OK");
    ck_assert(replies[1].type == Type::kError && replies[1].text == "ERR no");
    ck_assert(replies[1].is_error());
    ck_assert(replies[2].type == Type::kInteger && replies[2].integer == -42);
    ck_assert(replies[3].is_nil() && replies[4].is_nil());
    ck_assert(replies[5].type == Type::kBulk && replies[5].text.empty());
    ck_assert(replies[6].type == Type::kArray && replies[6].elements.empty());
    const Reply& array = replies[7];
    ck_assert(array.type == Type::kArray);
    ck_assert_uint_eq(array.elements.size(), 4);
    ck_assert(array.elements[0].text == "a\0\r\n"s);
    ck_assert_int_eq(array.elements[1].integer, 7);
    ck_assert(array.elements[2].elements[1].elements[0].text == "y");
    ck_assert(array.elements[3].is_error() && array.elements[3].text == "ERR inner");
  }
}
END_TEST

START_TEST(a_megabyte_with_every_byte) {
  std::string text(1024 * 1024, '\0');
  for (std::size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(i * 7);
  const auto replies = read("$1048576\r\n" + text + "\r\n+OK\r\n", 65536);
  ck_assert_uint_eq(replies.size(), 2);
  ck_assert(replies[0].text == text);
  ck_assert(replies[1].text == "OK");
}
END_TEST

START_TEST(a_rest_is_noticed) {
  for (const char* bytes :
       {"+", "$5\r\nab", "*2\r\n", "*2\r\n:1\r\n", "+OK\r\n+", "+OK\r\n*1\r\n"}) {
    ReplyReader reader;
    std::vector<Reply> replies;
    ck_assert(reader.feed(bytes, replies).ok());
    ck_assert_msg(reader.has_rest(), "%s", bytes);
  }
}
END_TEST

START_TEST(what_is_no_protocol_is_refused) {
  const std::string nested = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n";
  for (const std::string& bytes :
       {"HTTP/1.1 400 Bad Request\r\n"s, "\x15\x03\x03\0\x02"s, "%1\r\n+a\r\n+b\r\n"s, ":x\r\n"s,
        "$-2\r\n"s, "*-2\r\n"s, "*99999999999\r\n"s, "+OK\r\nx"s, nested}) {
    ReplyReader reader;
    std::vector<Reply> replies;
    const auto result = reader.feed(bytes, replies);
    ck_assert_msg(!result.ok(), "taken: %s", bytes.c_str());
    ck_assert(result.error().fault == RedisFault::kLost);
    ck_assert(result.error().message.find("redis-uri") != std::string::npos);
  }
}
END_TEST

START_TEST(a_count_that_lies_allocates_nothing) {
  ReplyReader reader;
  std::vector<Reply> replies;
  ck_assert(reader.feed("*2147483647\r\n*2147483647\r\n$2147483647\r\nabc", replies).ok());
  ck_assert(replies.empty());
}
END_TEST

START_TEST(commands_are_binary_safe) {
  std::string bytes = "x";
  append_command(bytes, {"SET", "a key", "%s\r\n\0"s, ""});
  ck_assert(bytes == "x*4\r\n$3\r\nSET\r\n$5\r\na key\r\n$5\r\n%s\r\n\0\r\n$0\r\n\r\n"s);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_reply");
  TCase* tests = tcase_create("redis_reply");
  tcase_add_test(tests, every_type_however_it_is_cut);
  tcase_add_test(tests, a_megabyte_with_every_byte);
  tcase_add_test(tests, a_rest_is_noticed);
  tcase_add_test(tests, what_is_no_protocol_is_refused);
  tcase_add_test(tests, a_count_that_lies_allocates_nothing);
  tcase_add_test(tests, commands_are_binary_safe);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
