// The HTTP side: SoupServer on loopback, decoding on a thread pool.
#pragma once

#include <glib.h>

#include <cstddef>
#include <memory>
#include <string>

#include "recognizer.h"

namespace local_recognizer {

struct ServerOptions {
  unsigned port = 0;  // 0: any free one
  unsigned threads = 1;
  std::size_t max_body = 26214400;  // bytes of a request
};

// Lives on one thread, under its main context; only recognize() runs on the pool's threads.
class Server {
 public:
  // Listens at once. Null, and `error` says why, when it can't.
  static std::unique_ptr<Server> create(const ServerOptions& options, Recognizer& recognizer,
                                        std::string& error);
  ~Server();

  unsigned port() const;
  // Requests whose answer isn't sent yet; the destructor waits for those that are being decoded.
  unsigned open_requests() const;

 private:
  struct Private;
  explicit Server(std::unique_ptr<Private> d);
  std::unique_ptr<Private> d_;
};

}  // namespace local_recognizer
