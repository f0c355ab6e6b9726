// The engine's parts alone.
#include <cstdio>

#include "audio/chunker.h"
#include "bench.h"
#include "dispatch/rate_limiter.h"
#include "fake_clock.h"
#include "openai/request.h"

using namespace transcribe;
using namespace transcribe::bench;

namespace {

constexpr int kRounds = 7;

template <typename Work>
double cpu_of(Work work) {
  const double begin = cpu_seconds();
  work();
  return cpu_seconds() - begin;
}

void limiter() {
  FakeClock clock;
  const RateLimit limit{20, 1};
  const auto left = join_rate_limit_group("bench", clock.now(), limit);
  const auto right = join_rate_limit_group("bench", clock.now(), limit);
  constexpr int kReservations = 1000000;
  const TimePoint begin = clock.now();
  const double cost = cpu_of([&] {
    for (int i = 0; i < kReservations; ++i) {
      RateLimiter& member = i % 2 == 0 ? *left : *right;
      Reservation reservation = member.reserve(clock.now());
      // Workers wake up late.
      while (!member.confirm(reservation, clock.now())) {
        clock.advance(std::max(Nanoseconds(0), reservation.due - clock.now()) +
                      Nanoseconds(200000));
      }
    }
  });
  const double used = kReservations / (limit.requests_per_second *
                                       std::chrono::duration<double>(clock.now() - begin).count());
  std::printf(
      "limiter: %.2f million reservations per second; use %.4f when each starts 0.2 ms late\n",
      kReservations / cost / 1e6, used);
}

void chunker() {
  const auto minute = speech(60);
  std::size_t pieces = 0;
  const auto cut = [&](SplitMode split) {
    Chunker::Config config;
    config.split = split;
    Chunker chunker(config, [&](AudioPiece&&) { ++pieces; });
    for (int i = 0; i < 60; ++i) chunker.push(minute);
    chunker.cut(CutReason::kEndOfStream);
  };
  std::vector<double> copies, fixed, pause;
  std::vector<std::int16_t> copy;
  for (int round = 0; round < kRounds; ++round) {
    copies.push_back(cpu_of([&] {
      for (int i = 0; i < 60; ++i) {
        copy.clear();
        copy.shrink_to_fit();
        copy.insert(copy.end(), minute.begin(), minute.end());
      }
    }));
    fixed.push_back(cpu_of([&] { cut(SplitMode::kFixed); }));
    pause.push_back(cpu_of([&] { cut(SplitMode::kPause); }));
  }
  const double base = median(copies);
  std::printf(
      "chunker, an hour of audio: fixed %.3f s (%.1f times one copy), pause %.3f s (%.1f)\n",
      median(fixed), median(fixed) / base, median(pause), median(pause) / base);
}

void request() {
  const auto samples = speech(28);
  const BytesPtr pcm(g_bytes_new(samples.data(), samples.size() * kBytesPerFrame));
  const RequestSettings settings;
  constexpr int kRequests = 100;
  std::vector<double> keys, bodies, copies;
  for (int round = 0; round < kRounds; ++round) {
    keys.push_back(cpu_of([&] {
      for (int i = 0; i < kRequests; ++i)
        idempotency_key("job", 0, pcm_digest(pcm.get()), settings);
    }));
    bodies.push_back(cpu_of([&] {
      for (int i = 0; i < kRequests; ++i)
        build_request({}, settings, "http://127.0.0.1/v1", pcm.get(), 0, "", "key");
    }));
    copies.push_back(cpu_of([&] {
      for (int i = 0; i < kRequests; ++i) {
        const BytesPtr copy(g_bytes_new(samples.data(), samples.size() * kBytesPerFrame));
      }
    }));
  }
  const double base = median(copies);
  std::printf(
      "request of a 28 s chunk: WAV and multipart %.1f us (%.3f of one copy of the audio), "
      "key %.1f us (%.2f)\n",
      median(bodies) / kRequests * 1e6, median(bodies) / base, median(keys) / kRequests * 1e6,
      median(keys) / base);
}

}  // namespace

int main() {
  limiter();
  chunker();
  request();
}
