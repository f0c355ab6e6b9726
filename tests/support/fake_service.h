// A speech-to-text service on loopback that does what the test says and remembers what it saw.
//
//   FakeService service;                       // listens; started inside the test (Check forks)
//   service.answer_with([](const Request& r) { return r.attempt > 1 ? Answer() :
//   Answer::error(503); });
//   ... point the code under test at service.url() ...
//   ck_assert(service.wait_for_answers(3, std::chrono::seconds(5)));
//   ck_assert(service.violations().empty() && service.max_in_flight() <= 8);
//
// Unless told otherwise it answers every request at once and correctly (default_body()), and
// refuses, as a violation, whatever the official API description does not allow.
//
// One thread of its own serves all connections and runs the callbacks, one at a time: they must
// not block and not use assertions of the test framework. All other members: any thread. What they
// return are copies. The destructor closes every connection and joins.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fake_message.h"
#include "fake_script.h"

namespace transcribe::testing {

class FakeService {
 public:
  using Milliseconds = std::chrono::milliseconds;
  struct Options {
    bool check = true;           // false: a compatible server that takes any path and field
    bool keep_audio = true;      // false: dropped when the request has ended (long streams)
    bool hash_audio = true;      // false: no Request::sha256, which takes longer than all the rest
    std::uint16_t port = 0;      // 0: any free one
    Milliseconds close_idle{0};  // close connections that are idle for so long; 0: never
    std::function<void(const Request&)> on_end;  // each request once, when it has ended
  };
  using Answerer = std::function<Answer(const Request&)>;
  using HeadAnswerer = std::function<std::optional<Answer>(const Request&)>;

  FakeService();
  explicit FakeService(Options options);
  ~FakeService();
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;

  std::uint16_t port() const;
  std::string url() const;  // the base URL: http://127.0.0.1:PORT/v1

  // Decides on requests that are whole and allowed. The last call counts.
  void answer_with(Answerer answerer);
  // Asked first, with the head only (no parts, no chunk): an answer is given, or the connection
  // reset, before the body is read.
  void answer_head_with(HeadAnswerer answerer);
  void play(Script script);

  void open_gate(const std::string& gate);  // for good
  void close_idle_connections();
  // Refuses new connections until told to listen again on the same port; open ones go on.
  void set_listening(bool listening);

  // By Request::number. A request is here from the end of its head on, and has ended here before
  // its client can see the end of the answer.
  std::vector<Request> requests() const;
  // What broke the API description or HTTP, one line each.
  std::vector<std::string> violations() const;
  std::size_t in_flight() const;
  std::size_t max_in_flight() const;
  std::size_t connections() const;  // accepted so far
  std::size_t open_connections() const;
  // Requests whose body is read (or that ended before); false: timeout.
  bool wait_for_requests(std::size_t count, Milliseconds timeout) const;
  // Requests that ended, whatever the end.
  bool wait_for_answers(std::size_t count, Milliseconds timeout) const;

 private:
  struct Private;
  std::unique_ptr<Private> d_;
};

}  // namespace transcribe::testing
