// A loopback server whose script speaks HTTP byte by byte, so that it can also misbehave.
// Each connection runs the script in a thread of its own; when the script returns, the connection
// is closed. The destructor ends every script that waits.
#pragma once

#include <gio/gio.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace transcribe {

class RawServer {
 public:
  struct Request {
    std::string head;
    std::string body;
  };

  class Peer {
   public:
    // False when the client closed the connection or the server ends.
    bool read_request(Request& request);
    // The head only; what follows is left to read_body(), which keeps nothing.
    bool read_head(Request& request);
    bool read_body(std::size_t size, const std::function<void(std::string_view)>& sink);
    bool write(std::string_view text);
    bool answer(unsigned status, std::string_view body, std::string_view headers = "");
    // Returns false when the server ends first.
    bool pause(std::chrono::milliseconds time);
    void hang();
    void hang_until_closed();
    // Makes closing send a reset instead of a farewell.
    void reset_on_close();
    // Counts from 0 in the order of arrival.
    unsigned number() const { return number_; }

   private:
    friend class RawServer;
    Peer(RawServer& server, GSocketConnection* connection, unsigned number);
    ~Peer();
    bool start_tls();

    RawServer& server_;
    GSocketConnection* connection_;
    GIOStream* stream_;
    std::string ahead_;
    unsigned number_;
  };

  using Script = std::function<void(Peer&)>;

  // With `certificate` (a PEM file with certificate and key) the server speaks TLS.
  explicit RawServer(Script script, const std::string& certificate = "");
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  std::string url(std::string_view path = "/v1/audio/transcriptions") const;
  std::uint16_t port() const { return port_; }
  unsigned connections() const { return connections_; }
  unsigned requests() const { return requests_; }
  void wait_for_requests(unsigned count);
  void wait_for_closed(unsigned count);

 private:
  void accept();
  void serve(GSocketConnection* connection, unsigned number);
  void count(std::atomic<unsigned>& counter);

  Script script_;
  GTlsCertificate* certificate_ = nullptr;
  GSocketListener* listener_;
  GCancellable* end_;
  std::uint16_t port_ = 0;
  std::atomic<unsigned> connections_{0};
  std::atomic<unsigned> requests_{0};
  std::atomic<unsigned> closed_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;  // the accepting thread only, until it has ended
  std::thread acceptor_;
};

}  // namespace transcribe
