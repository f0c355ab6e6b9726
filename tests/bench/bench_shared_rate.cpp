// Processes of one rate-limit-group against a real redis-server: how much of the rate they use,
// how fair, and how their requests arrive at the clock of this machine.
//
// usage: bench_shared_rate (skipped without redis-server)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "limit_crowd.h"
#include "redis_client.h"
#include "redis_server.h"

using namespace transcribe;

namespace {

constexpr double kSeconds = 5;

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::int64_t script_calls(RedisClient& client) {
  const std::string text = client("INFO", "commandstats").text;
  const auto at = text.find("cmdstat_evalsha:calls=");
  return at == std::string::npos ? 0 : std::atoll(text.c_str() + at + 22);
}

std::size_t most_in(const std::vector<std::int64_t>& times, std::int64_t window) {
  std::size_t most = 0;
  for (std::size_t i = 0, j = 0; j < times.size(); j++) {
    while (times[j] - times[i] >= window) i++;
    most = std::max(most, j - i + 1);
  }
  return most;
}

void measure(unsigned processes, double rate, unsigned burst) {
  RedisServer server;
  RedisClient client(server.port());
  LimitCrowd crowd(TRANSCRIBE_LIMIT_MEMBER, processes, server.port(), rate, burst);
  if (!crowd.wait_each([](const auto& lines) { return last_due(lines) > 0; })) return;
  const std::int64_t from = now_us();
  const std::int64_t calls = script_calls(client);
  const auto to = from + static_cast<std::int64_t>(kSeconds * 1e6);
  crowd.wait_each([&](const auto& lines) { return last_due(lines) > to; });
  const std::int64_t called = script_calls(client) - calls;

  const auto all = crowd.lines();
  const auto cut = [&](std::vector<std::int64_t> times) {
    std::erase_if(times, [&](std::int64_t time) { return time <= from || time > to; });
    return times;
  };
  std::size_t least = SIZE_MAX, most = 0;
  for (const auto& lines : all) {
    const std::size_t own = cut(dues_of({lines})).size();
    least = std::min(least, own);
    most = std::max(most, own);
  }
  const auto dues = cut(dues_of(all));
  std::vector<std::int64_t> arrivals, late;
  for (const auto& lines : all) {
    for (const auto& line : lines) {
      if (line.kind != 'G' || line.value <= from || line.value > to) continue;
      arrivals.push_back(line.said);
      late.push_back(line.said - line.value);
    }
  }
  std::sort(arrivals.begin(), arrivals.end());
  std::sort(late.begin(), late.end());
  if (dues.empty()) return;
  std::printf(
      "%2u processes, %.0f/s, burst %u: %.1f due per second (use %.3f), each %zu to %zu; in "
      "any second %zu due, %zu arrive (at most %.0f due); %.2f calls of the script per "
      "request; arrival after due: median %.2f ms, 99 %% %.2f ms\n",
      processes, rate, burst, static_cast<double>(dues.size()) / kSeconds,
      static_cast<double>(dues.size()) / kSeconds / rate, least, most, most_in(dues, 1000000),
      most_in(arrivals, 1000000), rate + burst,
      static_cast<double>(called) / static_cast<double>(dues.size()),
      static_cast<double>(late[late.size() / 2]) / 1e3,
      static_cast<double>(late[late.size() * 99 / 100]) / 1e3);
  std::fflush(stdout);
}

}  // namespace

int main() {
  if (!RedisServer::available()) return 77;
  measure(1, 50, 1);
  measure(8, 50, 1);
  measure(8, 50, 10);
  measure(32, 50, 5);
  measure(8, 1000, 1);
}
