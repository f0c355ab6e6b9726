// CPU time of a pipeline that ends in the sink, against the same pipeline ending in
// `wavenc ! filesink`. The service is another process.
//
//   bench_cpu FAKE-SERVICE
#include <glib/gstdio.h>

#include <cstdio>

#include "audio/chunker.h"
#include "bench.h"

using namespace transcribe;
using namespace transcribe::bench;

namespace {

constexpr int kRounds = 7;

// CPU seconds for one hour of input.
double cost(const std::string& launch, double hours) {
  const double begin = cpu_seconds();
  {
    Pipeline pipeline(launch);
    pipeline.play();
    pipeline.wait();
  }
  return (cpu_seconds() - begin) / hours;
}

void compare(const std::string& what, const std::string& input, double hours,
             const std::string& sink, const std::string& reference) {
  std::vector<double> ours, theirs, ratios;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(cost(input + sink, hours));
    theirs.push_back(cost(input + reference, hours));
    ratios.push_back(ours.back() / theirs.back());
  }
  std::printf("%-58s %6.2f  (%.3f s against %.3f s per hour of audio)\n", what.c_str(),
              median(ratios), median(ours), median(theirs));
  std::fflush(stdout);
}

// An hour through the detector and the chunker alone.
double cutting_cost(const std::vector<std::int16_t>& minute, const Chunker::Config& config) {
  std::uint64_t frames = 0;
  const double begin = cpu_seconds();
  Chunker chunker(config, [&](AudioPiece&& piece) { frames += piece.core.frames(); });
  for (int i = 0; i < 60; ++i) chunker.push(minute);
  chunker.cut(CutReason::kEndOfStream);
  if (frames != 60 * minute.size()) die("the chunker has lost samples");
  return cpu_seconds() - begin;
}

void compare_cutting(const std::string& what, const Chunker::Config& config,
                     const std::string& input, const std::string& reference) {
  const auto minute = speech(60);
  std::vector<double> ours, theirs, ratios;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(cutting_cost(minute, config));
    theirs.push_back(cost(input + reference, 1));
    ratios.push_back(ours.back() / theirs.back());
  }
  std::printf("%-58s %6.2f  (%.3f s against %.3f s per hour of audio)\n", what.c_str(),
              median(ratios), median(ours), median(theirs));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  if (argc != 2) die("usage: bench_cpu FAKE-SERVICE");
  ServiceProcess service(argv[1]);
  const std::string copy = temporary_path("copy.wav");
  const std::string write = "wavenc ! filesink location=" + copy;
  const auto sink = [&](const std::string& split) {
    return "openaitranscribesink requests-per-second=0 base-url=" + service.url() +
           " split=" + split;
  };
  const auto source = [](const SpeechFile& file) {
    return "filesrc location=" + file.path() + " ! wavparse ! ";
  };
  std::printf("CPU time, median ratio of %d rounds\n", kRounds);
  {
    const SpeechFile mono(3600, 16000, 1);
    cost(source(mono) + write, 1);
    compare("16 kHz mono, split=fixed / wavenc ! filesink", source(mono), 1, sink("fixed"), write);
    compare("16 kHz mono, split=pause / wavenc ! filesink", source(mono), 1, sink("pause"), write);
    Chunker::Config config;
    config.overlap_frames = kSampleRate;
    for (const bool skip : {false, true}) {
      config.skip_silence = skip;
      for (const bool live : {false, true}) {
        config.first_pause = live;
        config.min_frames = (live ? 3 : 12) * kSampleRate;
        config.max_frames = (live ? 10 : 28) * kSampleRate;
        config.pause_frames = live ? kSampleRate * 3 / 10 : 0;
        compare_cutting(std::string("detector and chunker alone, ") + (live ? "live" : "file") +
                            ", skip-silence=" + (skip ? "true" : "false"),
                        config, source(mono), write);
      }
    }
  }
  const double hours = 0.25;
  const SpeechFile stereo(hours * 3600, 48000, 2);
  compare("48 kHz stereo, split=pause / wavenc ! filesink", source(stereo), hours, sink("pause"),
          write);
  compare(
      "48 kHz stereo, split=pause / convert to 16 kHz ! wavenc...", source(stereo), hours,
      sink("pause"),
      "audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! " + write);
  g_unlink(copy.c_str());
}
