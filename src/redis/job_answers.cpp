#include "redis/job_answers.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace transcribe {
namespace {

struct Named {
  JobAnswer::Word word;
  const char* name;
};

using Word = JobAnswer::Word;
constexpr std::array kWords{Named{Word::kOk, "OK"},
                            Named{Word::kDup, "DUP"},
                            Named{Word::kResumed, "RESUMED"},
                            Named{Word::kAlready, "ALREADY"},
                            Named{Word::kTerminal, "TERMINAL"},
                            Named{Word::kReleased, "RELEASED"},
                            Named{Word::kFenced, "FENCED"},
                            Named{Word::kStale, "STALE"},
                            Named{Word::kPartial, "PARTIAL"},
                            Named{Word::kNoJob, "NOJOB"},
                            Named{Word::kCompleted, "COMPLETED"},
                            Named{Word::kFailed, "FAILED"},
                            Named{Word::kMismatch, "FPMISMATCH"},
                            Named{Word::kLocked, "LOCKED"},
                            Named{Word::kIllegal, "ILLEGAL"},
                            Named{Word::kRequeued, "REQUEUED"},
                            Named{Word::kAlive, "ALIVE"},
                            Named{Word::kIdle, "IDLE"},
                            Named{Word::kNoPermission, "NOPERM"},
                            Named{Word::kWrongType, "WRONGTYPE"},
                            Named{Word::kBadArgument, "BADARG"}};

RedisError strange() {
  return {RedisFault::kOther, "the job script gave an answer of another kind"};
}

}  // namespace

std::uint64_t JobAnswer::number(std::size_t i) const {
  std::uint64_t value = 0;
  if (i < rest.size()) std::from_chars(rest[i].data(), rest[i].data() + rest[i].size(), value);
  return value;
}

std::string JobAnswer::str() const {
  std::string text;
  for (const Named& named : kWords) {
    if (named.word == word) text = named.name;
  }
  for (const std::string& part : rest) text += " " + part;
  return text;
}

RedisResult<JobAnswer> parse_job_answer(const Reply& reply) {
  if (reply.is_error()) return classify_error_reply(reply.text);
  if (reply.type != Reply::Type::kArray || reply.elements.empty()) return strange();
  const auto named = std::find_if(kWords.begin(), kWords.end(), [&](const Named& known) {
    return reply.elements[0].text == known.name;
  });
  if (named == kWords.end()) return strange();
  JobAnswer answer;
  answer.word = named->word;
  for (std::size_t i = 1; i < reply.elements.size(); i++) {
    const Reply& element = reply.elements[i];
    answer.rest.push_back(element.type == Reply::Type::kInteger ? std::to_string(element.integer)
                                                                : element.text);
  }
  return answer;
}

Ownership read_ownership(const JobAnswer& answer) {
  Ownership ownership;
  ownership.epoch = answer.number(0);
  ownership.attempt = answer.number(1);
  ownership.tally = {answer.number(2), answer.number(3), answer.number(4)};
  ownership.seq = answer.number(5);
  ownership.previous = answer.text(6);
  // A create whose answer was lost tells by its attempt what it had been.
  ownership.resumed = answer.word == JobAnswer::Word::kResumed ||
                      (answer.word == JobAnswer::Word::kDup && ownership.attempt > 1);
  return ownership;
}

}  // namespace transcribe
