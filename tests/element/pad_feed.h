// Feeds the sink's pad from the test's own thread: every event and buffer by hand and in order,
// with nothing in between that has a mind of its own.
//
//   FakeService service;
//   PadFeed feed(service.url(), "split=fixed");
//   feed.play(); feed.caps(...); feed.segment(...); feed.buffer(...); feed.end();
//
// A push blocks as it would block a streaming thread: until PLAYING, for room, at EOS until the
// job has ended. The test's time limit is the watchdog.
#pragma once

#include <gst/audio/audio.h>
#include <gst/gst.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fake_service.h"
#include "sink_fixture.h"

namespace transcribe::testing {

class PadFeed {
 public:
  // `base_url` and `properties` as in gst-launch; an empty URL leaves the property alone.
  PadFeed(const std::string& base_url, const std::string& properties);
  ~PadFeed();
  PadFeed(const PadFeed&) = delete;
  PadFeed& operator=(const PadFeed&) = delete;

  SinkPipeline& pipeline() { return pipeline_; }

  // Before play(): upstream is live from now on.
  void live();
  // PLAYING and a stream start: nothing is waited for.
  void play();
  void caps(const GstAudioInfo& info);
  void caps(const char* text);
  bool segment(const GstSegment& segment);
  // TIME, from 0, without an end.
  void plain_segment();
  // Takes the buffer.
  GstFlowReturn push(GstBuffer* buffer);
  // S16 mono; NONE: without a timestamp.
  void samples(const std::vector<std::int16_t>& samples, GstClockTime timestamp,
               unsigned flags = 0);
  void gap(GstClockTime timestamp, GstClockTime duration);
  // Start and stop; a segment has to follow.
  void flush();
  // EOS, then the message that the bus ends with.
  GstMessageType end();

 private:
  bool send(GstEvent* event) { return gst_pad_push_event(pad_, event); }

  SinkPipeline pipeline_;
  GstPad* pad_;
};

GstSegment time_segment(GstClockTime start, GstClockTime stop = GST_CLOCK_TIME_NONE);

// What the service got, by chunk (0, 1, …). Fails when one is missing or came twice.
std::vector<Request> sent_chunks(const FakeService& service);

}  // namespace transcribe::testing
