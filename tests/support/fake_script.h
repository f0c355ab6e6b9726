// Answers by a list of rules instead of code: the first rule that fits a request decides.
// Used by one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fake_message.h"

namespace transcribe::testing {

struct Rule {
  std::optional<std::size_t> request;  // Request::number
  std::optional<std::uint64_t> chunk;
  std::optional<unsigned> attempt;
  // How many requests it serves. Unset: one when the rule has no condition, so that a plain list
  // is a queue; any number when it has one.
  std::optional<std::size_t> times;
  Answer answer;
};

class Script {
 public:
  Script() = default;
  // One answer after the other, then `otherwise` for ever.
  explicit Script(const std::vector<Answer>& queue, Answer otherwise = {});

  // {"answers": [RULE, …], "default": ANSWER}, or just the list. ANSWER has the members of Answer:
  // status, headers (object), body (a string, or JSON that is sent as such), before_body, delay_ms,
  // gate, hang, reset ("before-body", "after-body"), raw, drip_bytes, drip_ms, cut_body_after,
  // close, close_idle_ms; RULE also request, chunk, attempt, times. None: `error` names the
  // mistake.
  static std::optional<Script> parse(const std::string& json, std::string& error);

  Script& add(Rule rule);
  Script& otherwise(Answer answer);

  // Before the body is read: an answer only when a rule for that fits.
  std::optional<Answer> on_head(const Request& request);
  Answer on_request(const Request& request);

 private:
  struct Entry {
    Rule rule;
    std::size_t used = 0;
  };
  Entry* find(const Request& request, bool head);
  std::vector<Entry> entries_;
  Answer otherwise_;
};

}  // namespace transcribe::testing
