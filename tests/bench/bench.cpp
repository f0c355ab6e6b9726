#include "bench.h"

#include <glib/gstdio.h>
#include <gst/app/gstappsrc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/glib_ptr.h"

namespace transcribe::bench {
namespace {

constexpr double kLoop = 60;

class Noise {
 public:
  // From -1 to 1.
  double next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<double>(state_ >> 8) / 8388608.0 - 1.0;
  }

 private:
  std::uint32_t state_ = 1;
};

double loudness(double time) {
  // A sentence of 3.5 s, then a pause of 0.5 s; words of 0.3 s, 0.08 s apart.
  const double in_sentence = std::fmod(time, 4.0);
  if (in_sentence >= 3.5) return 0;
  const double in_word = std::fmod(in_sentence, 0.38);
  return in_word < 0.3 ? 0.3 : 0;
}

void append(std::string& bytes, std::uint32_t value, int size) {
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
}

std::string wav_header_of(std::uint32_t data, unsigned rate, unsigned channels) {
  std::string header = "RIFF";
  append(header, 36 + data, 4);
  header += "WAVEfmt ";
  append(header, 16, 4);
  append(header, 1, 2);
  append(header, channels, 2);
  append(header, rate, 4);
  append(header, rate * channels * 2, 4);
  append(header, channels * 2, 2);
  append(header, 16, 2);
  header += "data";
  append(header, data, 4);
  return header;
}

}  // namespace

void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::_Exit(2);
}

std::vector<std::int16_t> speech(double seconds, unsigned rate, unsigned channels) {
  Noise noise;
  std::vector<std::int16_t> samples;
  const auto frames = static_cast<std::size_t>(seconds * rate);
  samples.reserve(frames * channels);
  for (std::size_t i = 0; i < frames; ++i) {
    const double level = 0.001 + loudness(static_cast<double>(i) / rate);
    const auto sample = static_cast<std::int16_t>(noise.next() * level * 32767);
    samples.insert(samples.end(), channels, sample);
  }
  return samples;
}

std::string temporary_path(const std::string& name) {
  const CharPtr path(g_build_filename(
      g_get_tmp_dir(), ("transcribe-bench-" + std::to_string(getpid()) + "-" + name).c_str(),
      nullptr));
  return path.get();
}

SpeechFile::SpeechFile(double seconds, unsigned rate, unsigned channels)
    : path_(temporary_path(std::to_string(rate) + ".wav")) {
  const auto loop = speech(std::min(seconds, kLoop), rate, channels);
  const auto loops = static_cast<unsigned>(std::max(1.0, seconds / kLoop));
  std::ofstream file(path_, std::ios::binary);
  const std::size_t bytes = loop.size() * sizeof loop[0];
  file << wav_header_of(static_cast<std::uint32_t>(bytes * loops), rate, channels);
  for (unsigned i = 0; i < loops; ++i)
    file.write(reinterpret_cast<const char*>(loop.data()), static_cast<std::streamsize>(bytes));
  if (!file.flush()) die("can't write " + path_);
}

SpeechFile::~SpeechFile() { g_unlink(path_.c_str()); }

ServiceProcess::ServiceProcess(const std::string& program, const std::string& script) {
  ErrorPtr error;
  process_ = g_subprocess_new(
      static_cast<GSubprocessFlags>(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE),
      out(error), program.c_str(), "--script", script.c_str(), nullptr);
  if (process_ == nullptr) die(error->message);
  char line[16] = {};
  for (std::size_t i = 0; i + 1 < sizeof line; ++i) {
    if (g_input_stream_read(g_subprocess_get_stdout_pipe(process_), line + i, 1, nullptr, nullptr) <
        1)
      die("the fake service did not start");
    if (line[i] == '\n') {
      line[i] = 0;
      break;
    }
  }
  url_ = std::string("http://127.0.0.1:") + line + "/v1";
}

ServiceProcess::~ServiceProcess() {
  g_output_stream_close(g_subprocess_get_stdin_pipe(process_), nullptr, nullptr);
  g_subprocess_wait(process_, nullptr, nullptr);
  g_object_unref(process_);
}

Pipeline::Pipeline(const std::string& launch) {
  ErrorPtr error;
  pipeline_ = gst_parse_launch(launch.c_str(), out(error));
  if (error) die(launch + ": " + error->message);
  GstBus* bus = gst_element_get_bus(pipeline_);
  gst_bus_set_sync_handler(bus, on_message, this, nullptr);
  gst_object_unref(bus);
}

Pipeline::~Pipeline() {
  gst_element_set_state(pipeline_, GST_STATE_NULL);
  for (GstElement* element : named_) gst_object_unref(element);
  gst_object_unref(pipeline_);
}

GstBusSyncReply Pipeline::on_message(GstBus*, GstMessage* message, gpointer self) noexcept {
  const auto& listener = static_cast<Pipeline*>(self)->listener_;
  const auto type = GST_MESSAGE_TYPE(message);
  if (type == GST_MESSAGE_EOS || type == GST_MESSAGE_ERROR) return GST_BUS_PASS;
  if (type == GST_MESSAGE_ELEMENT && listener) listener(gst_message_get_structure(message));
  gst_message_unref(message);
  return GST_BUS_DROP;
}

GstElement* Pipeline::operator[](const char* name) {
  GstElement* element = gst_bin_get_by_name(GST_BIN(pipeline_), name);
  if (element == nullptr) die(std::string("no element is called ") + name);
  named_.push_back(element);
  return element;
}

void Pipeline::play() {
  if (gst_element_set_state(pipeline_, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) wait();
}

void Pipeline::wait() {
  GstBus* bus = gst_element_get_bus(pipeline_);
  GstMessage* message = gst_bus_timed_pop_filtered(
      bus, GST_CLOCK_TIME_NONE, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  gst_object_unref(bus);
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    ErrorPtr error;
    gst_message_parse_error(message, out(error), nullptr);
    die(error->message);
  }
  gst_message_unref(message);
}

std::uint64_t Pipeline::stat(const char* field) {
  GstStructure* stats = nullptr;
  g_object_get((*this)["sink"], "stats", &stats, nullptr);
  guint64 value = 0;
  if (!gst_structure_get_uint64(stats, field, &value)) die(std::string("no counter ") + field);
  gst_structure_free(stats);
  return value;
}

void push_speech(GstElement* source, double seconds) {
  auto loop = speech(std::min(seconds, kLoop));
  constexpr std::size_t kFrames = 1600;
  const auto total = static_cast<std::uint64_t>(seconds * 16000);
  for (std::uint64_t done = 0; done < total;) {
    const std::size_t offset = done % loop.size();
    const auto frames = static_cast<std::size_t>(
        std::min<std::uint64_t>({kFrames, total - done, loop.size() - offset}));
    GstBuffer* buffer = gst_buffer_new_memdup(loop.data() + offset, frames * sizeof(std::int16_t));
    GST_BUFFER_PTS(buffer) = gst_util_uint64_scale(done, GST_SECOND, 16000);
    if (gst_app_src_push_buffer(GST_APP_SRC(source), buffer) != GST_FLOW_OK) return;
    done += frames;
  }
  gst_app_src_end_of_stream(GST_APP_SRC(source));
}

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double wall_seconds() { return static_cast<double>(g_get_monotonic_time()) / 1e6; }

std::size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoul(line.substr(6)) * 1024;
  }
  die("/proc/self/status has no VmHWM");
}

double median(std::vector<double> values) { return percentile(std::move(values), 0.5); }

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<std::size_t>(share * last + 0.5)];
}

}  // namespace transcribe::bench
