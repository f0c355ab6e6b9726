#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

#define GST_TYPE_OPENAI_TRANSCRIBE_SINK (gst_openai_transcribe_sink_get_type())
G_DECLARE_FINAL_TYPE(GstOpenaiTranscribeSink, gst_openai_transcribe_sink, GST,
                     OPENAI_TRANSCRIBE_SINK, GstBaseSink)

GST_ELEMENT_REGISTER_DECLARE(openaitranscribesink)

G_END_DECLS
