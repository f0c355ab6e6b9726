// Chunks of a second each, and the requests that they give.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "fake_service.h"
#include "pad_feed.h"

#include <gst/check/gstcheck.h>

namespace transcribe::testing {

inline constexpr std::size_t kSecond = 16000;
inline const char* const kFixed = "split=fixed max-chunk-duration=1000000000 ";
inline const char* const kKey = "sk-test-0123456789abcdef";

using Strings = std::vector<std::string>;

inline void begin(PadFeed& feed) {
  feed.play();
  feed.caps(SinkPipeline::kMono16k);
  feed.plain_segment();
}

// Full chunks, one after the other.
inline void seconds(PadFeed& feed, unsigned count) {
  static unsigned seed = 0;
  for (unsigned i = 0; i < count; i++) feed.samples(noise(kSecond, ++seed), GST_CLOCK_TIME_NONE);
}

inline void run_pipeline(const std::string& url, const std::string& properties,
                         unsigned chunks = 1) {
  PadFeed feed(url, kFixed + properties);
  begin(feed);
  seconds(feed, chunks);
  ck_assert_int_eq(feed.end(), GST_MESSAGE_EOS);
}

inline FakeService::Options lenient() {
  FakeService::Options options;
  options.check = false;
  return options;
}

// The one request that these properties give, to a service that holds it against the description.
inline Request request_for(const std::string& properties) {
  FakeService service;
  run_pipeline(service.url(), properties);
  for (const std::string& violation : service.violations())
    ck_abort_msg("%s: %s", properties.c_str(), violation.c_str());
  ck_assert_uint_eq(service.requests().size(), 1);
  return service.requests()[0];
}

inline std::string root_of(const FakeService& service) {
  return "http://127.0.0.1:" + std::to_string(service.port());
}

inline void assert_text(const std::string& found, const std::string& wanted) {
  ck_assert_str_eq(found.c_str(), wanted.c_str());
}

inline void assert_fields(const Request& request, const char* name, const Strings& wanted) {
  const Strings found = request.fields(name);
  std::string text;
  for (const std::string& value : found) text += " '" + value + "'";
  ck_assert_msg(found == wanted, "%s is%s", name, text.c_str());
}

inline bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

inline std::string read_file(const std::string& path) {
  char* content = nullptr;
  gsize length = 0;
  ck_assert(g_file_get_contents(path.c_str(), &content, &length, nullptr));
  std::string text(content, length);
  g_free(content);
  return text;
}

class Directory {
 public:
  Directory() {
    char* path = g_dir_make_tmp("requests-XXXXXX", nullptr);
    path_ = path;
    g_free(path);
  }
  ~Directory() {
    char* command = g_strdup_printf("rm -r %s", path_.c_str());
    g_spawn_command_line_sync(command, nullptr, nullptr, nullptr, nullptr);
    g_free(command);
  }
  const std::string& path() const { return path_; }
  Strings files() const {
    Strings list;
    GDir* dir = g_dir_open(path_.c_str(), 0, nullptr);
    while (const char* name = g_dir_read_name(dir)) list.push_back(path_ + "/" + name);
    g_dir_close(dir);
    return list;
  }

 private:
  std::string path_;
};

}  // namespace transcribe::testing
