#include "redis/fault.h"

#include <charconv>
#include <string_view>

namespace transcribe {
namespace {

struct Row {
  RedisFault fault;
  const char* name;
  bool keeps_connection;
};

constexpr Row kFaults[] = {
    {RedisFault::kCancelled, "cancelled", false},
    {RedisFault::kLost, "lost", false},
    {RedisFault::kLoading, "loading", true},
    {RedisFault::kReadOnly, "read-only", false},
    {RedisFault::kFull, "full", true},
    {RedisFault::kDisk, "disk", true},
    {RedisFault::kBusy, "busy", true},
    {RedisFault::kMoved, "moved", false},
    {RedisFault::kUnsettled, "unsettled", true},
    {RedisFault::kRefused, "refused", true},
    {RedisFault::kMaxClients, "max-clients", false},
    {RedisFault::kNoScript, "no-script", true},
    {RedisFault::kOther, "other", true},
};

struct Prefix {
  std::string_view text;
  RedisFault fault;
};

// Where the code is ERR, the words after it decide.
constexpr Prefix kPrefixes[] = {
    {"LOADING ", RedisFault::kLoading},
    {"READONLY ", RedisFault::kReadOnly},
    {"MASTERDOWN ", RedisFault::kReadOnly},
    {"OOM ", RedisFault::kFull},
    {"MISCONF ", RedisFault::kDisk},
    {"NOREPLICAS ", RedisFault::kDisk},
    {"BUSY ", RedisFault::kBusy},
    {"MOVED ", RedisFault::kMoved},
    {"ASK ", RedisFault::kUnsettled},
    {"TRYAGAIN ", RedisFault::kUnsettled},
    {"CLUSTERDOWN ", RedisFault::kUnsettled},
    {"NOSCRIPT ", RedisFault::kNoScript},
    {"NOAUTH ", RedisFault::kRefused},
    {"WRONGPASS ", RedisFault::kRefused},
    {"NOPERM ", RedisFault::kRefused},
    {"DENIED ", RedisFault::kRefused},
    {"WRONGTYPE ", RedisFault::kRefused},
    {"CROSSSLOT ", RedisFault::kRefused},
    {"ERR The user executing the script can't ", RedisFault::kRefused},
    {"The user executing the script can't ", RedisFault::kRefused},
    {"ERR DB index is out of range", RedisFault::kRefused},
    {"ERR invalid DB index", RedisFault::kRefused},
    {"ERR SELECT is not allowed in cluster mode", RedisFault::kRefused},
    {"ERR AUTH ", RedisFault::kRefused},
    {"ERR Client sent AUTH, but no password is set", RedisFault::kRefused},
    {"ERR max number of clients", RedisFault::kMaxClients},
};

const Row& row_of(RedisFault fault) { return kFaults[static_cast<std::size_t>(fault)]; }

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

template <typename T>
bool parse(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// "MOVED 3999 127.0.0.1:6381"; an IPv6 address has no brackets.
bool parse_moved(std::string_view text, RedisError& error) {
  text.remove_prefix(std::string_view("MOVED ").size());
  const auto space = text.find(' ');
  const auto colon = text.rfind(':');
  if (space == text.npos || colon == text.npos || colon < space) return false;
  error.host = text.substr(space + 1, colon - space - 1);
  // Redis 7 writes "?" for a node whose name it does not know.
  if (error.host == "?") error.host.clear();
  return parse(text.substr(0, space), error.slot) && parse(text.substr(colon + 1), error.port) &&
         error.port != 0;
}

// Redis 6 wraps an error inside a script:
// "ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY …",
// without the '-' when the script's user lacks a right.
std::string_view unwrap(std::string_view text) {
  if (!starts_with(text, "ERR Error running script")) return text;
  if (const auto code = text.rfind(": -"); code != text.npos) return text.substr(code + 3);
  const auto words = text.rfind(": ");
  return words == text.npos ? text : text.substr(words + 2);
}

}  // namespace

const char* to_string(RedisFault fault) { return row_of(fault).name; }

bool keeps_connection(RedisFault fault) { return row_of(fault).keeps_connection; }

RedisError classify_error_reply(const std::string& text) {
  RedisError error{RedisFault::kOther, text};
  const std::string_view inner = unwrap(text);
  for (const Prefix& prefix : kPrefixes) {
    if (!starts_with(inner, prefix.text)) continue;
    error.fault = prefix.fault;
    break;
  }
  if (error.fault == RedisFault::kMoved && !parse_moved(inner, error)) {
    error = {RedisFault::kOther, text};
  }
  return error;
}

}  // namespace transcribe
