// Ten hours of speech at full speed against an instant service. Fails above the bound.
//
//   bench_memory FAKE-SERVICE [PROPERTY=VALUE…]
#include <cstdio>

#include "bench.h"

using namespace transcribe::bench;

namespace {

constexpr double kHours = 10;
constexpr double kBound = 80;  // MB

}  // namespace

int main(int argc, char** argv) {
  gst_init(nullptr, nullptr);
  if (argc < 2) die("usage: bench_memory FAKE-SERVICE [PROPERTY=VALUE…]");
  std::string properties;
  for (int i = 2; i < argc; ++i) properties += std::string(" ") + argv[i];
  ServiceProcess service(argv[1]);
  const std::string transcript = temporary_path("transcript.srt");

  Pipeline pipeline(
      "appsrc name=source format=time block=true max-bytes=64000 "
      "caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved ! "
      "openaitranscribesink name=sink requests-per-second=0 base-url=" +
      service.url() + " location=" + transcript + properties);
  const double idle = static_cast<double>(peak_memory()) / 1e6;
  const double begin = wall_seconds();
  pipeline.play();
  push_speech(pipeline["source"], kHours * 3600);
  pipeline.wait();
  const double wall = wall_seconds() - begin;
  std::remove(transcript.c_str());

  const double peak = static_cast<double>(peak_memory()) / 1e6;
  std::printf(
      "%g hours,%s %lu chunks in %.1f s: peak %.1f MB (%.1f MB before the start), %.2f of %g MB\n",
      kHours, properties.c_str(), static_cast<unsigned long>(pipeline.stat("chunks-completed")),
      wall, peak, idle, peak / kBound, kBound);
  return peak <= kBound ? 0 : 1;
}
