// A byte stream to a Redis server: TCP, TLS or a Unix socket, on a private GMainContext.
//
// One thread at a time. Every call ends by its deadline, at once by cancellation, and leaves
// nothing pending. After an error the transport is dead.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/glib_ptr.h"
#include "http/cancellation.h"
#include "redis/fault.h"
#include "redis/uri.h"

namespace transcribe {

class Transport {
 public:
  // Tries all addresses of the host. Uses transport, host, port and path of `uri`.
  static RedisResult<std::unique_ptr<Transport>> open(const RedisUri& uri,
                                                      const std::string& tls_ca_file,
                                                      Milliseconds timeout,
                                                      const Cancellation& cancellation);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // What the reader of the answer wants next.
  enum class Next {
    kPart,     // the rest of an answer: the clock runs on
    kAnother,  // one answer is complete: the clock starts again
    kNothing,  // all are here
    kStop,     // never mind the rest: the reader found an error
  };
  using Consumer = std::function<Next(std::string_view)>;

  // Sends `bytes` and hands what comes back to `consume`, at the same time, until it wants
  // nothing more. `timeout` bounds the wait for each answer; what is still being sent extends it.
  RedisResult<Success> exchange(std::string_view bytes, Milliseconds timeout,
                                const Cancellation& cancellation, const Consumer& consume);

 private:
  Transport() : context_(g_main_context_new()) {}

  MainContextPtr context_;
  ObjectPtr<GIOStream> stream_;
  ObjectPtr<GSocket> socket_;  // below the stream
  std::string address_;
  bool tcp_ = false;       // without TLS
  bool answered_ = false;  // anything came back yet
};

}  // namespace transcribe
