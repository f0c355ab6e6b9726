// What the tests of the element with a job in Redis begin with.
#pragma once

#include <memory>
#include <string>

#include "fake_service.h"
#include "sink_fixture.h"

namespace transcribe::testing {

inline constexpr std::size_t kSecond = 16000;
inline constexpr std::size_t kChunks = 8;

inline std::string properties(const std::string& uri, const std::string& more = "") {
  return "split=fixed max-chunk-duration=1000000000 job-id=talk redis-uri=" + uri + " " + more;
}

inline void push_source(SinkPipeline& pipeline, std::size_t chunks = kChunks, unsigned seed = 1) {
  for (std::size_t i = 0; i < chunks; i++)
    pipeline.push(noise(kSecond, static_cast<unsigned>(seed + i)), i * GST_SECOND);
  pipeline.end_of_stream();
}

inline std::unique_ptr<SinkPipeline> start(const FakeService& service,
                                           const std::string& properties,
                                           const std::string& caps = SinkPipeline::kMono16k) {
  auto pipeline =
      std::make_unique<SinkPipeline>(SinkPipeline::with_source(service.url(), properties, caps));
  pipeline->set_state(GST_STATE_PLAYING);
  return pipeline;
}

// Until the pipeline's end, which must be `end`.
inline std::unique_ptr<SinkPipeline> run(const FakeService& service, const std::string& properties,
                                         GstMessageType end = GST_MESSAGE_EOS,
                                         std::size_t chunks = kChunks) {
  auto pipeline = start(service, properties);
  push_source(*pipeline, chunks);
  if (pipeline->wait() != end)
    g_error("%s", pipeline->error() != nullptr ? pipeline->error()->message : "eos");
  return pipeline;
}

}  // namespace transcribe::testing
