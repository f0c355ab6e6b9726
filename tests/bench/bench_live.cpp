// A live stream in real time: from the end of each word to the message with its text, where people
// pause and where nobody does. Fails when audio waits longer to be sent than promised, or when a
// word is missing.
//
//   bench_live WORDS-FILE RECORDINGS-DIRECTORY [SECONDS]
#include <gst/app/gstappsrc.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <sstream>

#include "audio/chunk.h"
#include "bench.h"
#include "fake_service.h"
#include "wav_reader.h"

using namespace transcribe;
using namespace transcribe::bench;
using transcribe::testing::Answer;
using transcribe::testing::FakeService;
using transcribe::testing::Request;

namespace {

using Samples = std::vector<std::int16_t>;

constexpr std::size_t kBuffer = kSampleRate / 50;
constexpr double kMost = 10.5;       // max-chunk-duration of a live stream and half an overlap
constexpr double kScheduling = 0.1;  // of the threads in between
constexpr auto kAnswer = std::chrono::milliseconds(200);

struct Word {
  std::string text;  // the only one of its kind
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct Speech {
  Samples samples;
  std::vector<Word> words;
};

std::vector<Speech> read_utterances(const std::string& list, const std::string& directory) {
  std::map<std::string, Speech> utterances;
  std::ifstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::string name, text;
    double begin = 0, end = 0;
    if (!(fields >> name >> text >> begin >> end)) die(list + " is no list of words");
    utterances[name].words.push_back({text, static_cast<std::size_t>(begin * kSampleRate),
                                      static_cast<std::size_t>(end * kSampleRate)});
  }
  std::vector<Speech> all;
  for (auto& [name, utterance] : utterances) {
    std::ifstream file(directory + "/" + name + ".wav", std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    std::string error;
    auto samples = transcribe::testing::read_wav(bytes.str(), error);
    if (!samples) die(name + ": " + error);
    utterance.samples = std::move(*samples);
    all.push_back(std::move(utterance));
  }
  if (all.empty()) die(list + " has no words");
  return all;
}

// The utterances in ever new orders. `pauses`: as they were read, with pauses between them; else
// word after word.
Speech make_speech(const std::vector<Speech>& utterances, double seconds, bool pauses) {
  std::minstd_rand random(4);
  Speech speech;
  const auto silence = [&](double length) {
    const auto frames = static_cast<std::size_t>(length * kSampleRate);
    for (std::size_t i = 0; i < frames; ++i)
      speech.samples.push_back(static_cast<std::int16_t>(static_cast<int>(random() % 37) - 18));
  };
  const auto add = [&](const Speech& from, std::size_t begin, std::size_t end) {
    speech.samples.insert(speech.samples.end(),
                          from.samples.begin() + static_cast<std::ptrdiff_t>(begin),
                          from.samples.begin() + static_cast<std::ptrdiff_t>(end));
  };
  const auto say = [&](const Word& word, std::size_t begin) {
    speech.words.push_back(
        {word.text + std::to_string(speech.words.size()), begin, begin + word.end - word.begin});
  };
  silence(0.6);
  std::vector<std::size_t> order(utterances.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  while (static_cast<double>(speech.samples.size()) < seconds * kSampleRate) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t number : order) {
      const Speech& utterance = utterances[number];
      const std::size_t begin = speech.samples.size();
      if (pauses) {
        constexpr double kPauses[] = {0.12, 0.25, 0.4, 0.7, 1.2, 2.0};
        for (const Word& word : utterance.words) say(word, begin + word.begin);
        add(utterance, 0, utterance.samples.size());
        silence(kPauses[random() % std::size(kPauses)]);
      } else {
        for (const Word& word : utterance.words) {
          say(word, speech.samples.size());
          add(utterance, word.begin, std::min(word.end, utterance.samples.size()));
        }
      }
    }
  }
  return speech;
}

// What is heard in a payload: the words whose middle lies in it, with their times.
class Ear {
 public:
  explicit Ear(const Speech& speech) : speech_(speech) {}

  Answer operator()(const Request& request) {
    Answer answer;
    answer.delay = kAnswer;
    const Samples& sent = *request.samples;
    const std::size_t length = std::min<std::size_t>(sent.size(), 4000);
    // The same utterance was said before.
    const auto from = speech_.samples.begin();
    const auto found = std::search(from + last_, speech_.samples.end(), sent.begin(),
                                   sent.begin() + static_cast<std::ptrdiff_t>(length));
    if (found == speech_.samples.end()) return Answer::error(500);
    last_ = found - from;
    const auto begin = static_cast<std::size_t>(last_);
    std::string text, words;
    for (const Word& word : speech_.words) {
      const std::size_t middle = (word.begin + word.end) / 2;
      if (middle < begin || middle >= begin + sent.size()) continue;
      const auto seconds = [&](std::size_t at) {
        const double time = (static_cast<double>(at) - static_cast<double>(begin)) /
                            static_cast<double>(kSampleRate);
        return std::to_string(std::max(0.0, time));
      };
      text += (text.empty() ? "" : " ") + word.text;
      words += std::string(words.empty() ? "" : ",") + R"({"word":")" + word.text +
               R"(","start":)" + seconds(word.begin) + R"(,"end":)" + seconds(word.end) + "}";
    }
    answer.body = R"({"task":"transcribe","language":"english","duration":1.0,"text":")" + text +
                  R"(","words":[)" + words + "]}";
    answer.headers = {{"Content-Type", "application/json"}};
    return answer;
  }

 private:
  const Speech& speech_;
  std::ptrdiff_t last_ = 0;
};

struct Told {
  double at = 0;
  std::string text;
};

// Times of a clock of their own, in seconds.
class Listener {
 public:
  void hear(const GstStructure* message) {
    const double now = wall_seconds();
    const std::string name = gst_structure_get_name(message);
    const std::lock_guard lock(mutex_);
    if (name == "openaitranscribe/chunk-queued") {
      GstClockTime begin = 0;
      if (!gst_structure_get_clock_time(message, "timestamp", &begin)) die("a chunk has no time");
      queued_.emplace_back(now, static_cast<double>(begin) / GST_SECOND);
    } else if (name == "openaitranscribe/result") {
      results_.push_back({now, gst_structure_get_string(message, "text")});
    } else if (name == "openaitranscribe/text") {
      texts_.push_back({now, gst_structure_get_string(message, "text")});
    }
  }

  // Since the end of each word, in seconds, to the first of the messages that has it.
  static std::vector<double> delays(const Speech& speech, const std::vector<Told>& told,
                                    double start) {
    std::map<std::string, double> first;
    for (const Told& one : told) {
      std::istringstream words(one.text);
      for (std::string word; words >> word;) first.emplace(word, one.at);
    }
    std::vector<double> all;
    for (const Word& word : speech.words) {
      const auto found = first.find(word.text);
      if (found == first.end()) die("the word " + word.text + " is missing");
      all.push_back(found->second - start - static_cast<double>(word.end) / kSampleRate);
    }
    return all;
  }

  // Of the first sample of each chunk until it was handed over.
  std::vector<double> waits(double start) const {
    std::vector<double> all;
    for (const auto& [at, begin] : queued_) all.push_back(at - start - begin);
    return all;
  }

  const std::vector<Told>& results() const { return results_; }
  const std::vector<Told>& texts() const { return texts_; }

 private:
  std::mutex mutex_;
  std::vector<std::pair<double, double>> queued_;
  std::vector<Told> results_;
  std::vector<Told> texts_;
};

// Each buffer when its last sample was said. Returns when the first sample was.
double push_live(GstElement* source, const Samples& samples) {
  const double start = wall_seconds();
  for (std::size_t at = 0; at < samples.size();) {
    const std::size_t end = std::min(at + kBuffer, samples.size());
    const double left = start + static_cast<double>(end) / kSampleRate - wall_seconds();
    if (left > 0) g_usleep(static_cast<gulong>(left * 1e6));
    GstBuffer* buffer = gst_buffer_new_memdup(samples.data() + at, (end - at) * kBytesPerFrame);
    GST_BUFFER_PTS(buffer) = gst_util_uint64_scale(at, GST_SECOND, kSampleRate);
    if (gst_app_src_push_buffer(GST_APP_SRC(source), buffer) != GST_FLOW_OK) break;
    at = end;
  }
  gst_app_src_end_of_stream(GST_APP_SRC(source));
  return start;
}

void print(const char* what, const std::vector<double>& seconds) {
  std::printf("  %-44s p50 %.2f, p90 %.2f, p99 %.2f, most %.2f s\n", what, percentile(seconds, 0.5),
              percentile(seconds, 0.9), percentile(seconds, 0.99), percentile(seconds, 1));
}

bool measure(const char* what, const Speech& speech) {
  FakeService service;
  service.answer_with(Ear(speech));
  Listener listener;
  Pipeline pipeline(
      "appsrc name=source format=time is-live=true "
      "caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved ! "
      "openaitranscribesink name=sink model=whisper-1 timestamp-granularities=word base-url=" +
      service.url());
  pipeline.listen([&](const GstStructure* message) { listener.hear(message); });
  pipeline.play();
  const double start = push_live(pipeline["source"], speech.samples);
  pipeline.wait();

  const auto waits = listener.waits(start);
  const double longest = percentile(waits, 1);
  std::printf("%s: %zu words in %.0f s, %zu chunks, answers after %.1f s\n", what,
              speech.words.size(), static_cast<double>(speech.samples.size()) / kSampleRate,
              waits.size(), static_cast<double>(kAnswer.count()) / 1000);
  print("end of a word to its result", Listener::delays(speech, listener.results(), start));
  print("end of a word to its text", Listener::delays(speech, listener.texts(), start));
  print("first sample of a chunk to its dispatch", waits);
  std::printf(
      "  latency from a chunk's last sample: mean %.2f, most %.2f s; most until on the bus "
      "%.2f s\n",
      static_cast<double>(pipeline.stat("average-latency")) / GST_SECOND,
      static_cast<double>(pipeline.stat("max-latency")) / GST_SECOND,
      static_cast<double>(pipeline.stat("max-observed-delay")) / GST_SECOND);
  std::fflush(stdout);
  const double most = kMost + static_cast<double>(kBuffer) / kSampleRate + kScheduling;
  if (longest <= most) return true;
  std::printf("  Audio has waited for %.2f s; %.2f s are promised.\n", longest, kMost);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  if (argc < 3) die("usage: bench_live WORDS-FILE RECORDINGS-DIRECTORY [SECONDS]");
  const double seconds = argc > 3 ? std::strtod(argv[3], nullptr) : 60;
  const auto utterances = read_utterances(argv[1], argv[2]);
  const bool pauses = measure("speech with pauses", make_speech(utterances, seconds, true));
  const bool none = measure("nobody pauses", make_speech(utterances, seconds, false));
  return pauses && none ? 0 : 1;
}
