// From the arrival of a chunk's last sample at the sink to the first byte of its request at the
// service, without a limit of ours and with one that does not bind; and, in the same run, from a
// bare HTTP client on a kept connection.
#include <gst/app/gstappsrc.h>

#include <cstdio>

#include "bench.h"
#include "fake_service.h"
#include "http/client.h"
#include "openai/request.h"

using namespace transcribe::bench;
using transcribe::testing::FakeService;

namespace {

constexpr std::size_t kChunks = 300;
constexpr std::size_t kFrames = 16000;
constexpr gulong kPaceMicroseconds = 15000;

FakeService::Options drop_audio() {
  FakeService::Options options;
  options.keep_audio = false;
  return options;
}

GstPadProbeReturn on_buffer(GstPad*, GstPadProbeInfo*, gpointer arrivals) noexcept {
  static_cast<std::vector<std::int64_t>*>(arrivals)->push_back(g_get_monotonic_time());
  return GST_PAD_PROBE_OK;
}

std::vector<double> through_sink(const std::string& rate) {
  FakeService service(drop_audio());
  std::vector<std::int64_t> last_samples;
  {
    Pipeline pipeline(
        "appsrc name=source format=time "
        "caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved ! "
        "openaitranscribesink name=sink split=fixed max-chunk-duration=1000000000 "
        "requests-per-second=" +
        rate + " base-url=" + service.url());
    GstPad* pad = gst_element_get_static_pad(pipeline["sink"], "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, &last_samples, nullptr);
    gst_object_unref(pad);
    pipeline.play();
    const auto samples = speech(1);
    GstElement* source = pipeline["source"];
    for (std::size_t i = 0; i < kChunks; ++i) {
      GstBuffer* buffer = gst_buffer_new_memdup(samples.data(), kFrames * 2);
      GST_BUFFER_PTS(buffer) = i * GST_SECOND;
      gst_app_src_push_buffer(GST_APP_SRC(source), buffer);
      g_usleep(kPaceMicroseconds);
    }
    gst_app_src_end_of_stream(GST_APP_SRC(source));
    pipeline.wait();
  }
  std::vector<double> times;
  for (const auto& request : service.requests()) {
    // The first requests open the connections.
    if (request.number < 8 || !request.chunk) continue;
    times.push_back(static_cast<double>(request.arrival - last_samples.at(*request.chunk - 1)));
  }
  return times;
}

std::vector<double> bare_client() {
  FakeService service(drop_audio());
  const transcribe::Log log;
  auto client = transcribe::HttpClient::create({}, log);
  const auto samples = speech(1);
  const transcribe::BytesPtr pcm(g_bytes_new(samples.data(), samples.size() * 2));
  transcribe::Cancellation cancellation;
  std::vector<std::int64_t> begins;
  for (std::size_t i = 0; i < kChunks; ++i) {
    const auto request = transcribe::build_request({}, {}, service.url() + "/audio/transcriptions",
                                                   pcm.get(), i, "", "");
    begins.push_back(g_get_monotonic_time());
    if (!(*client)->send(request, std::chrono::seconds(10), cancellation)) die("no answer");
    g_usleep(kPaceMicroseconds);
  }
  std::vector<double> times;
  for (const auto& request : service.requests()) {
    if (request.number < 8) continue;
    times.push_back(static_cast<double>(request.arrival - begins.at(request.number)));
  }
  return times;
}

}  // namespace

int main() {
  gst_init(nullptr, nullptr);
  const auto bare = bare_client();
  std::printf(
      "last sample to first byte at the service; a bare request: p50 %.0f us, p99 %.0f us\n",
      percentile(bare, 0.5), percentile(bare, 0.99));
  for (const char* rate : {"0", "1000"}) {
    const auto times = through_sink(rate);
    std::printf(
        "requests-per-second=%-4s p50 %.0f us (%.2f of bare), p99 %.0f us (%.2f), most %.0f us\n",
        rate, percentile(times, 0.5), percentile(times, 0.5) / percentile(bare, 0.5),
        percentile(times, 0.99), percentile(times, 0.99) / percentile(bare, 0.99),
        percentile(times, 1));
    std::fflush(stdout);
  }
}
