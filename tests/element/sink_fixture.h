// A pipeline around the sink for tests: data in by hand, all bus messages kept in order.
//
// Started inside a test (Check forks). One test thread; wait() is bounded by a watchdog, so a test
// that hangs fails.
#pragma once

#include <gst/app/gstappsrc.h>
#include <gst/audio/audio.h>
#include <gst/gst.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace transcribe::testing {

inline constexpr GstClockTime kWatchdog = 30 * GST_SECOND;

struct Seen {
  GstMessage* message;
  const GstStructure* structure;  // of an element or progress message; else null
  std::string name;               // structure name, or the message type's
};

class SinkPipeline {
 public:
  // `launch` as in gst-launch; the sink must be called "sink", an appsrc "src" if there is one.
  explicit SinkPipeline(const std::string& launch);
  // appsrc with these caps in front of a sink with these properties, sent to `base_url`.
  static SinkPipeline with_source(const std::string& base_url, const std::string& properties = "",
                                  const std::string& caps = kMono16k);
  static constexpr const char* kMono16k =
      "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
  SinkPipeline(SinkPipeline&& other) noexcept;
  ~SinkPipeline();

  GstElement* pipeline() const { return pipeline_; }
  GstElement* sink() const { return sink_; }
  GstElement* source() const { return source_; }

  void set_state(GstState state);
  GstStateChangeReturn try_state(GstState state);
  // Time it took, in microseconds.
  std::int64_t timed_state(GstState state);

  // Pushes samples as one buffer that starts at `timestamp` (NONE: no timestamp).
  void push(const std::vector<std::int16_t>& samples, GstClockTime timestamp = GST_CLOCK_TIME_NONE,
            unsigned flags = 0);
  void push_bytes(const void* data, std::size_t size, GstClockTime timestamp, unsigned flags = 0);
  void end_of_stream();

  // Collects messages until one of these types is seen (EOS and ERROR by default). Fails the test
  // after kWatchdog. Returns its type.
  GstMessageType wait(int types = GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  // Until an element message of that name was seen `count` times in all.
  void wait_for(const std::string& name, std::size_t count = 1);
  // Whatever is on the bus now.
  void collect();

  const std::vector<Seen>& messages() const { return messages_; }
  std::vector<const GstStructure*> named(const std::string& name) const;
  std::size_t count(const std::string& name) const { return named(name).size(); }
  // Text of the error or warning with its domain and code, as "resource:NOT_AUTHORIZED"-like
  // numbers are awkward: the GError itself.
  const GError* error() const;
  const GstStructure* error_details() const;
  std::vector<std::string> warnings() const;
  std::string transcript() const;  // concatenated openaitranscribe/text

  GstStructure* stats() const;  // caller frees
  std::uint64_t stat(const char* field) const;

 private:
  SinkPipeline() = default;
  void keep(GstMessage* message);

  GstElement* pipeline_ = nullptr;
  GstElement* sink_ = nullptr;
  GstElement* source_ = nullptr;
  GstBus* bus_ = nullptr;
  std::vector<Seen> messages_;
  mutable std::vector<GError*> errors_;
};

std::uint64_t uint64_field(const GstStructure* structure, const char* field);
unsigned uint_field(const GstStructure* structure, const char* field);
std::string string_field(const GstStructure* structure, const char* field);

// Deterministic noise; `seed` tells pieces apart.
std::vector<std::int16_t> noise(std::size_t frames, unsigned seed = 1);

}  // namespace transcribe::testing
