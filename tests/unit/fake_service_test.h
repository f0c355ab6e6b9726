// Requests to the fake service, byte by byte.
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/glib_ptr.h"
#include "fake_service.h"
#include "multipart_reader.h"

#include "check_main.h"

namespace transcribe::testing {

using std::chrono::milliseconds;

inline constexpr milliseconds kPatience{10000};

inline std::string little_endian(std::uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
  return bytes;
}

inline std::string wav(std::size_t frames, std::int16_t first = 1) {
  std::string data;
  data.reserve(2 * frames);
  for (std::size_t i = 0; i < frames; ++i) {
    const auto sample = static_cast<unsigned>(first + static_cast<int>(i % 100));
    data += static_cast<char>(sample);
    data += static_cast<char>(sample >> 8);
  }
  const auto size = static_cast<std::uint32_t>(data.size());
  return "RIFF" + little_endian(36 + size, 4) + "WAVEfmt " + little_endian(16, 4) +
         little_endian(1, 2) + little_endian(1, 2) + little_endian(16000, 4) +
         little_endian(32000, 4) + little_endian(2, 2) + little_endian(16, 2) + "data" +
         little_endian(size, 4) + data;
}

// A form in the making; the defaults are a correct request.
struct Form {
  std::string content;
  static constexpr const char* kType = "multipart/form-data; boundary=edge";

  Form& field(const std::string& name, const std::string& value) {
    content +=
        "--edge\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
    return *this;
  }
  Form& file(const std::string& filename, const std::string& bytes) {
    content += "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + filename +
               "\"\r\nContent-Type: audio/wav\r\n\r\n" + bytes + "\r\n";
    return *this;
  }
  std::string body() const { return content + "--edge--\r\n"; }
  static Form good(unsigned chunk = 1) {
    char name[32];
    g_snprintf(name, sizeof name, "chunk-%06u.wav", chunk);
    return Form().file(name, wav(1600)).field("model", "gpt-transcribe");
  }
};

inline std::string http(const std::string& body, const std::string& headers = {},
                        const std::string& path = "/v1/audio/transcriptions") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + Form::kType + "\r\n" +
         headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct Reply {
  unsigned status = 0;  // 0: no whole answer came
  Headers headers;
  std::string body;
  std::string raw;  // all bytes, when it was no whole answer
  bool reset = false;
  bool eof = false;
};

// One connection, blocking, with nothing of HTTP that could hide a fault.
class Client {
 public:
  explicit Client(const FakeService& service) {
    const ObjectPtr<GSocketAddress> address(
        g_inet_socket_address_new_from_string("127.0.0.1", service.port()));
    socket_.reset(
        g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr));
    g_socket_set_timeout(socket_.get(), 10);
    connected_ = g_socket_connect(socket_.get(), address.get(), nullptr, nullptr);
  }
  bool connected() const { return connected_; }

  bool send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const gssize size =
          g_socket_send(socket_.get(), bytes.data() + sent, bytes.size() - sent, nullptr, nullptr);
      if (size <= 0) {
        return false;
      }
      sent += static_cast<std::size_t>(size);
    }
    return true;
  }

  Reply receive() {
    Reply reply;
    std::size_t head = std::string::npos;
    std::size_t length = 0;
    while (true) {
      if (head == std::string::npos && (head = input_.find("\r\n\r\n")) != std::string::npos) {
        const auto line = input_.find("\r\n");
        read_header_lines(std::string_view(input_).substr(line + 2, head - line), reply.headers);
        length = std::strtoul(find_header(reply.headers, "Content-Length").c_str(), nullptr, 10);
      }
      if (head != std::string::npos && input_.size() >= head + 4 + length) {
        reply.status = static_cast<unsigned>(std::strtoul(input_.c_str() + 9, nullptr, 10));
        reply.body = input_.substr(head + 4, length);
        input_.erase(0, head + 4 + length);
        return reply;
      }
      if (!fill(reply)) {
        reply.raw = input_;
        return reply;
      }
    }
  }

  Reply ask(const std::string& bytes) {
    send(bytes);
    return receive();
  }
  // Waits for the end of the connection.
  Reply drain() {
    Reply reply;
    while (fill(reply)) {
    }
    return reply;
  }
  void close() { g_socket_close(socket_.get(), nullptr); }

 private:
  bool fill(Reply& reply) {
    char buffer[4096];
    ErrorPtr error;
    const gssize size = g_socket_receive(socket_.get(), buffer, sizeof buffer, nullptr, out(error));
    if (size > 0) {
      input_.append(buffer, static_cast<std::size_t>(size));
      return true;
    }
    reply.eof = size == 0;
    reply.reset = g_error_matches(error.get(), G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
    return false;
  }

  ObjectPtr<GSocket> socket_;
  bool connected_ = false;
  std::string input_;
};

inline Reply ask(const FakeService& service, const std::string& bytes) {
  return Client(service).ask(bytes);
}

inline JsonNodePtr parse(const std::string& text) {
  return JsonNodePtr(json_from_string(text.c_str(), nullptr));
}

inline std::string text_of(const std::string& body) {
  const auto node = parse(body);
  ck_assert_msg(node && JSON_NODE_HOLDS_OBJECT(node.get()), "%s", body.c_str());
  return json_object_get_string_member(json_node_get_object(node.get()), "text");
}

inline void set_answer(FakeService& service, const Answer& answer) {
  service.answer_with([answer](const Request&) { return answer; });
}

inline milliseconds took(std::int64_t from, std::int64_t to) {
  return milliseconds((to - from) / 1000);
}

}  // namespace transcribe::testing
