// 120 chunks at 200 ms per reply, 8 at a time: wall time against the ideal 3.0 s.
//
//   bench_parallel FAKE-SERVICE
#include <cstdio>

#include "bench.h"

using namespace transcribe::bench;

namespace {

constexpr int kRounds = 5;
constexpr double kIdeal = 120 / 8 * 0.2;

double wall(const std::string& launch) {
  Pipeline pipeline(launch);
  const double begin = wall_seconds();
  pipeline.play();
  pipeline.wait();
  return wall_seconds() - begin;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  if (argc != 2) die("usage: bench_parallel FAKE-SERVICE");
  ServiceProcess service(argv[1], R"({"answers": [], "default": {"delay_ms": 200}})");
  for (const int chunk : {1, 28}) {
    const SpeechFile file(120 * chunk, 16000, 1);
    std::vector<double> times;
    for (int round = 0; round < kRounds; ++round) {
      times.push_back(wall("filesrc location=" + file.path() +
                           " ! wavparse ! openaitranscribesink requests-per-second=0 "
                           "split=fixed max-chunk-duration=" +
                           std::to_string(chunk * GST_SECOND) + " base-url=" + service.url()));
    }
    std::printf(
        "120 chunks of %2d s, 200 ms per reply, 8-way: %.3f of the ideal %.1f s (worst %.3f)\n",
        chunk, median(times) / kIdeal, kIdeal, percentile(times, 1) / kIdeal);
    std::fflush(stdout);
  }
}
