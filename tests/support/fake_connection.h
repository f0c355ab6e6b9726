// One accepted connection: reads HTTP/1.1 requests one after the other and plays the answers that
// its host decides on, with all their faults. Lives in the service's thread and GMainContext; each
// call and each callback comes from there.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/glib_ptr.h"
#include "fake_message.h"

namespace transcribe::testing {

class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // The head is complete. An answer ends the request here: its body is not read.
  virtual std::optional<Answer> on_head(Request& request) = 0;
  virtual Answer on_body(Request& request, std::string body) = 0;
  virtual bool gate_is_open(const std::string& gate) = 0;
  // The last thing that happens to a request for which on_head() was called.
  virtual void on_end(const Request& request) = 0;
  // Bytes that are no HTTP request.
  virtual void on_garbage(std::size_t connection, const std::string& why) = 0;
};

class Connection {
 public:
  Connection(GMainContext* context, ObjectPtr<GSocket> socket, std::size_t number,
             std::chrono::milliseconds close_idle, ConnectionHost& host);
  ~Connection();

  bool closed() const { return state_ == State::kClosed; }
  bool idle() const { return state_ == State::kIdle && input_.empty(); }
  void close(End end);
  // To be called when a gate may have opened.
  void check_gate();

 private:
  enum class State { kIdle, kHead, kBody, kWaiting, kAtGate, kSending, kDraining, kClosed };

  // A GSource that goes when it is replaced, cleared or its owner dies.
  class Source {
   public:
    ~Source() { clear(); }
    void set(GSource* source, GMainContext* context);
    void clear();

   private:
    GSource* source_ = nullptr;
  };

  void watch(Source& source, GIOCondition condition);
  void start_timer(std::chrono::milliseconds delay, void (Connection::*action)());
  void receive();
  void send();
  void process();
  bool read_head();
  bool read_body();
  bool read_chunked();
  void refuse_garbage(const std::string& why);
  void answer(Answer answer);
  void after_delay();
  void play();
  void compose();
  bool spoiled() const;
  void finish();
  void become_idle();
  void reset();
  void close_idle();
  void give_up_draining();
  void end_request(End end);

  GMainContext* context_;
  ObjectPtr<GSocket> socket_;
  std::size_t number_;
  std::chrono::milliseconds close_idle_;
  ConnectionHost& host_;

  State state_ = State::kIdle;
  Source readable_;
  Source writable_;
  Source timer_;
  void (Connection::*timer_action_)() = nullptr;

  std::string input_;
  std::int64_t first_byte_ = 0;
  Request request_;
  bool open_request_ = false;
  bool keep_alive_ = true;
  bool chunked_ = false;
  std::size_t length_ = 0;  // of the body, or of the rest of the current chunk
  bool chunk_begun_ = false;
  std::string body_;
  bool body_unread_ = false;  // when the answer was begun

  Answer answer_;
  std::string output_;
  std::size_t sent_ = 0;
  std::size_t limit_ = 0;  // how much of the output may go out by now
};

}  // namespace transcribe::testing
