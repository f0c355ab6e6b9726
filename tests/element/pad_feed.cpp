#include "pad_feed.h"

#include <gst/check/gstcheck.h>

namespace transcribe::testing {

// The idle element makes the parser build a pipeline.
PadFeed::PadFeed(const std::string& base_url, const std::string& properties)
    : pipeline_("identity openaitranscribesink name=sink requests-per-second=0 " +
                (base_url.empty() ? "" : "base-url=\"" + base_url + "\" ") + properties),
      pad_(gst_pad_new("feed", GST_PAD_SRC)) {
  GstPad* sink = gst_element_get_static_pad(pipeline_.sink(), "sink");
  ck_assert_int_eq(gst_pad_link(pad_, sink), GST_PAD_LINK_OK);
  gst_object_unref(sink);
}

PadFeed::~PadFeed() {
  pipeline_.try_state(GST_STATE_NULL);
  gst_pad_set_active(pad_, FALSE);
  gst_object_unref(pad_);
}

void PadFeed::live() {
  gst_pad_set_query_function(pad_, [](GstPad* pad, GstObject* parent, GstQuery* query) -> gboolean {
    if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
      return gst_pad_query_default(pad, parent, query);
    gst_query_set_latency(query, TRUE, 0, GST_CLOCK_TIME_NONE);
    return TRUE;
  });
}

void PadFeed::play() {
  gst_pad_set_active(pad_, TRUE);
  pipeline_.set_state(GST_STATE_PLAYING);
  ck_assert(send(gst_event_new_stream_start("test")));
}

void PadFeed::caps(const GstAudioInfo& info) {
  GstCaps* caps = gst_audio_info_to_caps(&info);
  ck_assert(send(gst_event_new_caps(caps)));
  gst_caps_unref(caps);
}

void PadFeed::caps(const char* text) {
  GstCaps* caps = gst_caps_from_string(text);
  ck_assert(send(gst_event_new_caps(caps)));
  gst_caps_unref(caps);
}

bool PadFeed::segment(const GstSegment& segment) { return send(gst_event_new_segment(&segment)); }

void PadFeed::plain_segment() { ck_assert(segment(time_segment(0))); }

GstFlowReturn PadFeed::push(GstBuffer* buffer) { return gst_pad_push(pad_, buffer); }

void PadFeed::samples(const std::vector<std::int16_t>& samples, GstClockTime timestamp,
                      unsigned flags) {
  GstBuffer* buffer = gst_buffer_new_memdup(samples.data(), samples.size() * sizeof(std::int16_t));
  GST_BUFFER_PTS(buffer) = timestamp;
  GST_BUFFER_FLAG_SET(buffer, flags);
  ck_assert_int_eq(push(buffer), GST_FLOW_OK);
}

void PadFeed::gap(GstClockTime timestamp, GstClockTime duration) {
  ck_assert(send(gst_event_new_gap(timestamp, duration)));
}

void PadFeed::flush() {
  ck_assert(send(gst_event_new_flush_start()));
  ck_assert(send(gst_event_new_flush_stop(TRUE)));
}

GstMessageType PadFeed::end() {
  send(gst_event_new_eos());
  return pipeline_.wait();
}

GstSegment time_segment(GstClockTime start, GstClockTime stop) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = start;
  segment.time = start;
  segment.position = start;
  segment.stop = stop;
  return segment;
}

std::vector<Request> sent_chunks(const FakeService& service) {
  std::map<std::uint64_t, Request> chunks;
  for (const Request& request : service.requests()) {
    ck_assert(request.chunk.has_value());
    ck_assert_msg(chunks.emplace(*request.chunk, request).second, "a chunk came twice");
  }
  std::vector<Request> list;
  for (const auto& [index, request] : chunks) {
    ck_assert_uint_eq(index, list.size() + 1);  // as in the file names
    list.push_back(request);
  }
  return list;
}

}  // namespace transcribe::testing
