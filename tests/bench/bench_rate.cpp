// Two elements of one group in one process, against real time: the rate that the service sees, and
// the hold after a 429.
#include <algorithm>
#include <cstdio>
#include <map>

#include "bench.h"
#include "fake_service.h"

using namespace transcribe::bench;
using transcribe::testing::Answer;
using transcribe::testing::FakeService;
using transcribe::testing::Request;

namespace {

constexpr double kRate = 20;
constexpr double kBurst = 1;

FakeService::Options drop_audio() {
  FakeService::Options options;
  options.keep_audio = false;
  return options;
}

// The prompt tells the elements apart.
std::vector<Request> run(FakeService& service, unsigned chunks_each) {
  const auto element = [&](const char* name) {
    return std::string("audiotestsrc wave=white-noise samplesperbuffer=16000 num-buffers=") +
           std::to_string(chunks_each) +
           " ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! openaitranscribesink split=fixed "
           "max-chunk-duration=1000000000 requests-per-second=20 prompt=" +
           name + " base-url=" + service.url() + " ";
  };
  Pipeline pipeline(element("left") + element("right"));
  pipeline.play();
  pipeline.wait();
  return service.requests();
}

void rate() {
  FakeService service(drop_audio());
  service.answer_with([](const Request&) {
    Answer answer;
    answer.delay = std::chrono::milliseconds(100);
    return answer;
  });
  const auto requests = run(service, 120);
  // A closed window from one arrival to another holds the most for its length.
  double worst = -1e9, worst_window = 0, worst_count = 0;
  std::map<double, double> most;  // requests in any window of that length
  for (std::size_t i = 0; i < requests.size(); ++i) {
    for (std::size_t j = i; j < requests.size(); ++j) {
      const double window = static_cast<double>(requests[j].arrival - requests[i].arrival) / 1e6;
      const auto count = static_cast<double>(j - i + 1);
      const double excess = count - (kRate * window + kBurst);
      if (excess > worst) {
        worst = excess;
        worst_window = window;
        worst_count = count;
      }
      for (const double length : {0.1, 1.0, 5.0}) {
        if (window < length) most[length] = std::max(most[length], count);
      }
    }
  }
  const double span = static_cast<double>(requests.back().arrival - requests.front().arrival) / 1e6;
  const auto of = [&](const char* name) {
    return std::count_if(requests.begin(), requests.end(),
                         [&](const Request& request) { return request.field("prompt") == name; });
  };
  std::printf("rate 20/s, two elements: %zu requests (%ld and %ld) in %.2f s, use %.3f\n",
              requests.size(), of("left"), of("right"), span,
              static_cast<double>(requests.size() - 1) / (kRate * span));
  std::printf("worst window: %.0f requests in %.4f s, %.3f above 20 w + 1\n", worst_count,
              worst_window, worst);
  for (const auto& [length, count] : most)
    std::printf("most in any %.1f s: %.0f of %.0f\n", length, count, kRate * length + kBurst);
  std::fflush(stdout);
}

void hold() {
  FakeService service(drop_audio());
  service.answer_with([](const Request& request) {
    if (request.number != 20) return Answer();
    Answer answer = Answer::error(429, "rate_limit_exceeded");
    answer.headers.emplace_back("Retry-After", "2");
    return answer;
  });
  const auto requests = run(service, 30);
  const auto refused = std::find_if(requests.begin(), requests.end(),
                                    [](const Request& request) { return request.status == 429; });
  if (refused == requests.end()) die("no request was refused");
  std::map<std::string, double> next;
  for (const Request& request : requests) {
    const double after = static_cast<double>(request.arrival - refused->ended) / 1e6;
    if (after > 0) next.emplace(request.field("prompt"), after);
  }
  std::printf("Retry-After: 2 is held by both: next requests after %.3f s and %.3f s\n",
              next["left"], next["right"]);
}

}  // namespace

int main() {
  gst_init(nullptr, nullptr);
  rate();
  hold();
}
