/**
 * SECTION:element-openaitranscribesink
 * @title: openaitranscribesink
 * @short_description: Transcribes audio with OpenAI's speech-to-text service or a compatible one
 *
 * Cuts decoded audio into chunks, sends them to the service in parallel, and reports the
 * transcript as element messages and as a text, subtitle or JSON file.
 *
 * ## Example pipeline
 * |[
 * gst-launch-1.0 filesrc location=talk.ogg ! decodebin ! openaitranscribesink location=talk.srt
 * ]|
 */
#include "gstopenaitranscribesink.h"

#include "audio_normalizer.h"
#include "sink_job.h"

GST_DEBUG_CATEGORY_STATIC(openai_transcribe_sink_debug);
#define GST_CAT_DEFAULT openai_transcribe_sink_debug

using transcribe::SinkJob;

struct _GstOpenaiTranscribeSink {
  GstBaseSink parent;
  SinkJob* job;
};

enum { SIGNAL_SPLIT_NOW, N_SIGNALS };
static guint signals[N_SIGNALS];

#define gst_openai_transcribe_sink_parent_class parent_class
G_DEFINE_TYPE_WITH_CODE(GstOpenaiTranscribeSink, gst_openai_transcribe_sink, GST_TYPE_BASE_SINK,
                        GST_DEBUG_CATEGORY_INIT(openai_transcribe_sink_debug,
                                                "openaitranscribesink", 0,
                                                "OpenAI speech-to-text sink"));
GST_ELEMENT_REGISTER_DEFINE(openaitranscribesink, "openaitranscribesink", GST_RANK_NONE,
                            GST_TYPE_OPENAI_TRANSCRIBE_SINK);

static SinkJob& job_of(gpointer object) noexcept {
  return *GST_OPENAI_TRANSCRIBE_SINK(object)->job;
}

static void gst_openai_transcribe_sink_set_property(GObject* object, guint id, const GValue* value,
                                                    GParamSpec* pspec) noexcept {
  if (!job_of(object).set_property(id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_openai_transcribe_sink_get_property(GObject* object, guint id, GValue* value,
                                                    GParamSpec* pspec) noexcept {
  if (!job_of(object).get_property(id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_openai_transcribe_sink_finalize(GObject* object) noexcept {
  delete GST_OPENAI_TRANSCRIBE_SINK(object)->job;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static GstStateChangeReturn gst_openai_transcribe_sink_change_state(
    GstElement* element, GstStateChange transition) noexcept {
  SinkJob& job = job_of(element);
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !job.open())
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) job.cancel();

  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);

  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE))
    job.close();
  return result;
}

static gboolean gst_openai_transcribe_sink_start(GstBaseSink* sink) noexcept {
  return job_of(sink).prepare();
}

static gboolean gst_openai_transcribe_sink_set_caps(GstBaseSink* sink, GstCaps* caps) noexcept {
  return job_of(sink).set_caps(caps);
}

static gboolean gst_openai_transcribe_sink_event(GstBaseSink* sink, GstEvent* event) noexcept {
  SinkJob& job = job_of(sink);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START: {
      // Chains up first: then the streaming thread is out of render and of the drain, and what it
      // cut or ended on its way is flushed too.
      const gboolean result = GST_BASE_SINK_CLASS(parent_class)->event(sink, event);
      job.flush_start();
      return result;
    }
    case GST_EVENT_FLUSH_STOP: {
      const gboolean result = GST_BASE_SINK_CLASS(parent_class)->event(sink, event);
      job.flush_stop();
      return result;
    }
    case GST_EVENT_SEGMENT: {
      const GstSegment* segment = nullptr;
      gst_event_parse_segment(event, &segment);
      if (!job.set_segment(*segment)) {
        gst_event_unref(event);
        return FALSE;
      }
      break;
    }
    default:
      break;
  }
  return GST_BASE_SINK_CLASS(parent_class)->event(sink, event);
}

static GstFlowReturn gst_openai_transcribe_sink_wait_event(GstBaseSink* sink,
                                                           GstEvent* event) noexcept {
  const GstFlowReturn flow = GST_BASE_SINK_CLASS(parent_class)->wait_event(sink, event);
  if (flow != GST_FLOW_OK) return flow;
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) return job_of(sink).drain();
  if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
    GstClockTime timestamp = GST_CLOCK_TIME_NONE;
    GstClockTime duration = GST_CLOCK_TIME_NONE;
    gst_event_parse_gap(event, &timestamp, &duration);
    return job_of(sink).gap(timestamp, duration);
  }
  return flow;
}

static GstFlowReturn gst_openai_transcribe_sink_render(GstBaseSink* sink,
                                                       GstBuffer* buffer) noexcept {
  return job_of(sink).render(buffer);
}

static gboolean gst_openai_transcribe_sink_unlock(GstBaseSink* sink) noexcept {
  job_of(sink).interrupt(true);
  return TRUE;
}

static gboolean gst_openai_transcribe_sink_unlock_stop(GstBaseSink* sink) noexcept {
  job_of(sink).interrupt(false);
  return TRUE;
}

static void gst_openai_transcribe_sink_split_now(GstOpenaiTranscribeSink* self) noexcept {
  self->job->split_now();
}

static void gst_openai_transcribe_sink_class_init(GstOpenaiTranscribeSinkClass* klass) {
  GObjectClass* object_class = G_OBJECT_CLASS(klass);
  GstElementClass* element_class = GST_ELEMENT_CLASS(klass);
  GstBaseSinkClass* sink_class = GST_BASE_SINK_CLASS(klass);

  object_class->set_property = gst_openai_transcribe_sink_set_property;
  object_class->get_property = gst_openai_transcribe_sink_get_property;
  object_class->finalize = gst_openai_transcribe_sink_finalize;
  transcribe::install_sink_properties(object_class);

  /**
   * GstOpenaiTranscribeSink::split-now:
   *
   * Cuts and submits what is buffered.
   */
  signals[SIGNAL_SPLIT_NOW] = g_signal_new_class_handler(
      "split-now", G_TYPE_FROM_CLASS(klass),
      static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
      G_CALLBACK(gst_openai_transcribe_sink_split_now), nullptr, nullptr, nullptr, G_TYPE_NONE, 0);

  gst_element_class_set_static_metadata(
      element_class, "OpenAI transcription sink", "Sink/Audio/Network",
      "Transcribes audio with OpenAI's speech-to-text service or a compatible server",
      "The openaitranscribe developers");
  GstCaps* caps = gst_caps_from_string(transcribe::AudioNormalizer::kCaps);
  gst_element_class_add_pad_template(
      element_class, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps));
  gst_caps_unref(caps);

  element_class->change_state = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_change_state);
  sink_class->start = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_start);
  sink_class->set_caps = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_set_caps);
  sink_class->event = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_event);
  sink_class->wait_event = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_wait_event);
  sink_class->render = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_render);
  sink_class->unlock = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_unlock);
  sink_class->unlock_stop = GST_DEBUG_FUNCPTR(gst_openai_transcribe_sink_unlock_stop);
}

static void gst_openai_transcribe_sink_init(GstOpenaiTranscribeSink* self) {
  GstBaseSink* sink = GST_BASE_SINK(self);
  self->job = new SinkJob(sink, GST_CAT_DEFAULT);
  // Uploads don't wait for the clock, and the sink must not keep the last buffer alive.
  gst_base_sink_set_sync(sink, FALSE);
  gst_base_sink_set_last_sample_enabled(sink, FALSE);
}
