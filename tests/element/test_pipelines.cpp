// The pipelines of the documentation: all of them are parsed and their settings fit together, and
// with sources that are here each of them runs.
#include <glib/gstdio.h>
#include <gst/gst.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

using Words = std::vector<std::string>;

constexpr const char* kDocuments[] = {"README.md", "docs/element.md"};
constexpr const char* kCommand = "    gst-launch-1.0 ";
constexpr const char* kLiveSource = "audiotestsrc is-live=true num-buffers=";
constexpr unsigned kLiveBuffers = 20;
constexpr unsigned kBufferFrames = 1024;

// The commands as a shell would split them, without options.
std::vector<Words> documented() {
  std::vector<Words> all;
  for (const char* name : kDocuments) {
    std::ifstream file(std::string(TRANSCRIBE_SOURCE_DIR) + "/" + name);
    for (std::string line; std::getline(file, line);) {
      if (!g_str_has_prefix(line.c_str(), kCommand)) continue;
      std::string command = line;
      while (!command.empty() && command.back() == '\\') {
        command.back() = ' ';
        if (std::getline(file, line)) command += line;
      }
      char** words = nullptr;
      if (!g_shell_parse_argv(command.c_str(), nullptr, &words, nullptr)) continue;
      Words pipeline;
      for (char** word = words + 1; *word != nullptr; word++) {
        if (**word != '-') pipeline.push_back(*word);
      }
      g_strfreev(words);
      all.push_back(std::move(pipeline));
    }
  }
  return all;
}

bool names_element(const Words& words, std::size_t at) {
  const std::string& word = words[at];
  if (word == "!" || word.find('=') != std::string::npos || word.back() == '.') return false;
  return at == 0 || words[at - 1] == "!" || words[at - 1].back() == '.';
}

bool is_here(const std::string& element) {
  GstElementFactory* factory = gst_element_factory_find(element.c_str());
  if (factory != nullptr) gst_object_unref(factory);
  return factory != nullptr;
}

// Each element with its properties by what `change` makes of them.
template <typename Change>
std::string change_elements(const Words& words, Change change) {
  std::string launch;
  for (std::size_t at = 0; at < words.size();) {
    if (!names_element(words, at)) {
      launch += words[at++] + " ";
      continue;
    }
    const std::string name = words[at++];
    std::string properties;
    for (; at < words.size() && words[at].find('=') != std::string::npos; at++) {
      const std::size_t sign = words[at].find('=');
      properties += " " + words[at].substr(0, sign) + "=\"" + words[at].substr(sign + 1) + "\"";
    }
    launch += change(name, properties) + " ";
  }
  return launch;
}

GstElement* find_sink(GstElement* pipeline) {
  GstElement* found = nullptr;
  GstIterator* elements = gst_bin_iterate_sinks(GST_BIN(pipeline));
  GValue item = G_VALUE_INIT;
  while (gst_iterator_next(elements, &item) == GST_ITERATOR_OK) {
    auto* element = GST_ELEMENT(g_value_get_object(&item));
    const char* type = GST_OBJECT_NAME(gst_element_get_factory(element));
    if (g_str_equal(type, "openaitranscribesink"))
      gst_object_replace(reinterpret_cast<GstObject**>(&found), GST_OBJECT(element));
    g_value_reset(&item);
  }
  gst_iterator_free(elements);
  ck_assert(found != nullptr);
  return found;
}

class Directory {
 public:
  Directory() : path_(g_dir_make_tmp("pipelines-XXXXXX", nullptr)), before_(g_get_current_dir()) {
    ck_assert_int_eq(g_chdir(path_), 0);
  }
  ~Directory() {
    clear(path_);
    g_chdir(before_);
    g_free(path_);
    g_free(before_);
  }

  std::string file(const std::string& name) const { return std::string(path_) + "/" + name; }
  static std::string read(const std::string& name) {
    std::ifstream file(name, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  static void clear(const std::string& path) {
    GDir* directory = g_dir_open(path.c_str(), 0, nullptr);
    if (directory != nullptr) {
      while (const char* name = g_dir_read_name(directory)) clear(path + "/" + name);
      g_dir_close(directory);
    }
    g_remove(path.c_str());
  }

  char* path_;
  char* before_;
};

void write_wav(const std::string& path) {
  const auto samples = noise(16000);
  const auto bytes = static_cast<std::uint32_t>(samples.size() * sizeof samples[0]);
  std::ofstream file(path, std::ios::binary);
  const auto number = [&](std::uint32_t value, int size) {
    for (int i = 0; i < size; i++) file.put(static_cast<char>(value >> (8 * i) & 0xff));
  };
  file << "RIFF";
  number(36 + bytes, 4);
  file << "WAVEfmt ";
  number(16, 4);
  number(1, 2);
  number(1, 2);
  number(16000, 4);
  number(32000, 4);
  number(2, 2);
  number(16, 2);
  file << "data";
  number(bytes, 4);
  file.write(reinterpret_cast<const char*>(samples.data()), bytes);
}

std::string live_source() { return kLiveSource + std::to_string(kLiveBuffers); }

// With what is to be had without a network, a microphone and the service of others.
std::string runnable(const Words& words, const Directory& directory, const std::string& url) {
  const std::string recording = directory.file("recording.wav");
  return change_elements(words, [&](const std::string& name, const std::string& properties) {
    if (name == "autoaudiosrc" || name == "srtsrc") return live_source();
    if (name == "tsdemux") return std::string("identity");
    if (name == "filesrc") return "filesrc location=\"" + recording + "\"";
    if (name == "uridecodebin")
      return "uridecodebin uri=\"file://" + recording + "\" caps=audio/x-raw";
    if (name == "autoaudiosink") return std::string("fakesink");
    if (name != "openaitranscribesink") return name + properties;
    return name + " name=sink" + properties + " base-url=\"" + url + "\" api-key=secret";
  });
}

std::string location_of(GstElement* sink) {
  char* location = nullptr;
  g_object_get(sink, "location", &location, nullptr);
  const std::string text = location != nullptr ? location : "";
  g_free(location);
  return text;
}

}  // namespace

GST_START_TEST(test_there_are_pipelines) { ck_assert_uint_ge(documented().size(), 15); }
GST_END_TEST;

// By elements that are installed, as gst-launch-1.0 takes them; and the sink takes its settings.
GST_START_TEST(test_a_documented_pipeline_is_valid) {
  const Words words = documented().at(static_cast<std::size_t>(__i__));
  const Directory directory;
  const std::string launch =
      change_elements(words, [](const std::string& name, const std::string& properties) {
        return is_here(name) ? name + properties : std::string("identity");
      });
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(launch.c_str(), &error);
  ck_assert_msg(error == nullptr, "%s: %s", launch.c_str(), error ? error->message : "");
  GstElement* sink = find_sink(pipeline);
  g_object_set(sink, "api-key", "secret", nullptr);
  ck_assert_msg(gst_element_set_state(sink, GST_STATE_READY) == GST_STATE_CHANGE_SUCCESS, "%s",
                launch.c_str());
  gst_element_set_state(sink, GST_STATE_NULL);
  gst_object_unref(sink);
  gst_object_unref(pipeline);
}
GST_END_TEST;

GST_START_TEST(test_a_documented_pipeline_runs) {
  const Directory directory;
  write_wav(directory.file("recording.wav"));
  FakeService service;
  const std::string launch =
      runnable(documented().at(static_cast<std::size_t>(__i__)), directory, service.url());
  SinkPipeline pipeline(launch);
  pipeline.set_state(GST_STATE_PLAYING);
  ck_assert_msg(pipeline.wait() == GST_MESSAGE_EOS, "%s: %s", launch.c_str(),
                pipeline.error() != nullptr ? pipeline.error()->message : "");
  const std::string location = location_of(pipeline.sink());
  pipeline.set_state(GST_STATE_NULL);
  ck_assert_msg(pipeline.transcript() == "chunk 1", "%s", launch.c_str());
  if (!location.empty())
    ck_assert_msg(Directory::read(location).find("chunk 1") != std::string::npos, "%s",
                  launch.c_str());
}
GST_END_TEST;

// The service answers only when the recording is whole: nothing holds that back.
GST_START_TEST(test_recording_beside_a_slow_service) {
  const auto all = documented();
  const auto found = std::find_if(all.begin(), all.end(), [](const Words& words) {
    return std::find(words.begin(), words.end(), "location=talk.flac") != words.end();
  });
  ck_assert(found != all.end());
  const Directory directory;
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "recorded";
    return answer;
  });
  // Many chunks, and hardly any may wait.
  const std::string launch = runnable(*found, directory, service.url());
  SinkPipeline pipeline(launch);
  g_object_set(pipeline.sink(), "split", 1, "max-chunk-duration", 100 * GST_MSECOND,
               "max-queued-chunks", 1, "max-parallel", 1, nullptr);
  GstElement* recorder = nullptr;
  GstIterator* sinks = gst_bin_iterate_sinks(GST_BIN(pipeline.pipeline()));
  GValue item = G_VALUE_INIT;
  while (gst_iterator_next(sinks, &item) == GST_ITERATOR_OK) {
    if (g_value_get_object(&item) != pipeline.sink())
      recorder = GST_ELEMENT(g_value_dup_object(&item));
    g_value_reset(&item);
  }
  gst_iterator_free(sinks);
  ck_assert(recorder != nullptr);
  GstPad* pad = gst_element_get_static_pad(recorder, "sink");
  gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      [](GstPad*, GstPadProbeInfo* info, gpointer data) {
        if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS)
          static_cast<FakeService*>(data)->open_gate("recorded");
        return GST_PAD_PROBE_OK;
      },
      &service, nullptr);
  pipeline.set_state(GST_STATE_PLAYING);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  ck_assert_uint_gt(pipeline.stat("chunks-skipped-queue-full"), 0);
  ck_assert_uint_gt(pipeline.stat("chunks-completed"), 0);
  pipeline.set_state(GST_STATE_NULL);
  gst_object_unref(pad);
  gst_object_unref(recorder);
  // The count of samples in the head of a FLAC file, which is written at its end.
  const std::string flac = Directory::read("talk.flac");
  ck_assert_uint_gt(flac.size(), 26);
  ck_assert(flac.substr(0, 4) == "fLaC");
  std::uint64_t samples = static_cast<unsigned char>(flac[21]) & 0x0f;
  for (std::size_t i = 22; i < 26; i++)
    samples = samples << 8 | static_cast<unsigned char>(flac[i]);
  ck_assert_uint_eq(samples, std::uint64_t{kLiveBuffers} * kBufferFrames);
  ck_assert(Directory::read("talk.srt").find("chunk") != std::string::npos);
}
GST_END_TEST;

static Suite* pipelines_suite(void) {
  Suite* suite = suite_create("pipelines");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  const int pipelines = static_cast<int>(documented().size());
  tcase_add_test(tests, test_there_are_pipelines);
  tcase_add_loop_test(tests, test_a_documented_pipeline_is_valid, 0, pipelines);
  tcase_add_loop_test(tests, test_a_documented_pipeline_runs, 0, pipelines);
  tcase_add_test(tests, test_recording_beside_a_slow_service);
  return suite;
}
GST_CHECK_MAIN(pipelines);
