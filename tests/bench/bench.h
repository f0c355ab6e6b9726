// What the benchmarks share: synthetic speech, the fake service in a process of its own, pipelines
// that run to their end, and this process's costs. One thread. Any problem ends the process with a
// message and status 2.
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace transcribe::bench {

[[noreturn]] void die(const std::string& why);

// Bursts like words with short gaps, and a pause every few seconds, over faint noise. The same at
// every call. Interleaved S16LE.
std::vector<std::int16_t> speech(double seconds, unsigned rate = 16000, unsigned channels = 1);

// A WAV file of that speech, removed at the end. Long ones repeat a minute.
class SpeechFile {
 public:
  SpeechFile(double seconds, unsigned rate, unsigned channels);
  ~SpeechFile();
  SpeechFile(const SpeechFile&) = delete;
  SpeechFile& operator=(const SpeechFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A path for a file in the same directory.
std::string temporary_path(const std::string& name);

// The fake service as a program (its path is argv[1]): what it costs is not this process's.
class ServiceProcess {
 public:
  explicit ServiceProcess(const std::string& program, const std::string& script = "[]");
  ~ServiceProcess();
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;
  const std::string& url() const { return url_; }

 private:
  GSubprocess* process_;
  std::string url_;
};

// A pipeline whose messages are thrown away.
class Pipeline {
 public:
  explicit Pipeline(const std::string& launch);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  GstElement* operator[](const char* name);  // borrowed
  // Before play(): what is told of the sink's messages, on the thread that posts them.
  void listen(std::function<void(const GstStructure*)> listener) {
    listener_ = std::move(listener);
  }
  void play();
  void wait();  // for EOS; an error ends the process
  std::uint64_t stat(const char* field);

 private:
  static GstBusSyncReply on_message(GstBus*, GstMessage* message, gpointer self) noexcept;

  GstElement* pipeline_;
  std::function<void(const GstStructure*)> listener_;
  std::vector<GstElement*> named_;
};

// Pushes `seconds` of repeated speech (16 kHz mono) as fast as it is taken, then EOS. `source` is
// an appsrc with block=true.
void push_speech(GstElement* source, double seconds);

double cpu_seconds();       // user and system time of this process so far
double wall_seconds();      // of a clock that only goes on
std::size_t peak_memory();  // bytes resident at most so far

double median(std::vector<double> values);
double percentile(std::vector<double> values, double share);  // share: 0 to 1

}  // namespace transcribe::bench
