#include "transcription.h"

#include <string_view>
#include <utility>

std::optional<Media> find_media(const char* argument, std::string& error) {
  Media media{argument, {}, {}};
  if (g_file_test(argument, G_FILE_TEST_IS_DIR)) {
    error = media.name + " is a directory.";
    return std::nullopt;
  }
  if (!g_file_test(argument, G_FILE_TEST_EXISTS)) {
    if (!gst_uri_is_valid(argument)) {
      error = "There is no file " + media.name + ".";
      return std::nullopt;
    }
    media.uri = argument;
    return media;
  }
  media.path = argument;
  media.uri = take(gst_filename_to_uri(argument, nullptr));
  return media;
}

Transcription::~Transcription() {
  if (!pipeline_) return;
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  const GstPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  gst_bus_remove_watch(bus.get());
}

bool Transcription::build(const Media& media, std::string& error) {
  GstElement* source = gst_element_factory_make("uridecodebin", nullptr);
  sink_ = gst_element_factory_make("openaitranscribesink", nullptr);
  if (!source || !sink_) {
    error = std::string("GStreamer does not find ") +
            (source ? "openaitranscribesink; does GST_PLUGIN_PATH name its directory?"
                    : "uridecodebin; install gstreamer1.0-plugins-base.");
    gst_clear_object(&source);
    gst_clear_object(&sink_);
    return false;
  }
  media_ = media.name;
  pipeline_.reset(gst_pipeline_new(nullptr));
  gst_bin_add_many(GST_BIN(pipeline_.get()), source, sink_, nullptr);
  GstCaps* audio = gst_caps_new_empty_simple("audio/x-raw");
  g_object_set(source, "uri", media.uri.c_str(), "caps", audio, "expose-all-streams", FALSE,
               nullptr);
  gst_caps_unref(audio);
  g_signal_connect(source, "pad-added", G_CALLBACK(on_pad_added), this);
  g_signal_connect(source, "no-more-pads", G_CALLBACK(on_no_more_pads), this);
  const GstPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  gst_bus_add_watch(bus.get(), on_message, this);
  return true;
}

namespace {

// "must be one of a, b, c", "must be a whole number from 1 to 64"
std::string demand(const GParamSpec* property) {
  const auto whole = [](auto least, auto most) {
    return "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  };
  if (G_IS_PARAM_SPEC_BOOLEAN(property)) return "must be true or false";
  if (G_IS_PARAM_SPEC_INT(property)) {
    const auto* range = G_PARAM_SPEC_INT(property);
    return whole(range->minimum, range->maximum);
  }
  if (G_IS_PARAM_SPEC_UINT(property)) {
    const auto* range = G_PARAM_SPEC_UINT(property);
    return whole(range->minimum, range->maximum);
  }
  if (G_IS_PARAM_SPEC_UINT64(property)) {
    const auto* range = G_PARAM_SPEC_UINT64(property);
    return whole(range->minimum, range->maximum);
  }
  if (G_IS_PARAM_SPEC_DOUBLE(property)) {
    const auto* range = G_PARAM_SPEC_DOUBLE(property);
    return "must be a number from " + take(g_strdup_printf("%g", range->minimum)) + " to " +
           take(g_strdup_printf("%g", range->maximum));
  }
  std::string names;
  const auto add = [&names](const char* separator, const char* name) {
    names += (names.empty() ? "" : separator) + std::string(name);
  };
  if (G_IS_PARAM_SPEC_ENUM(property)) {
    const GEnumClass* values = G_PARAM_SPEC_ENUM(property)->enum_class;
    for (guint i = 0; i < values->n_values; i++) add(", ", values->values[i].value_nick);
    return "must be one of " + names;
  }
  if (G_IS_PARAM_SPEC_FLAGS(property)) {
    const GFlagsClass* values = G_PARAM_SPEC_FLAGS(property)->flags_class;
    for (guint i = 0; i < values->n_values; i++) add("+", values->values[i].value_nick);
    return "must be some of " + names;
  }
  return std::string("is not a valid ") + g_type_name(property->value_type);
}

}  // namespace

// gst_util_set_object_arg() ignores what it can't use, so that is looked for first.
bool Transcription::set_property(const std::string& assignment, std::string& error) {
  const std::size_t equals = assignment.find('=');
  const std::string name = assignment.substr(0, equals);
  if (equals == std::string::npos || equals == 0) {
    error = "'" + assignment + "' is not of the form PROPERTY=VALUE. One MEDIA at a time.";
    return false;
  }
  GParamSpec* property = g_object_class_find_property(G_OBJECT_GET_CLASS(sink_), name.c_str());
  if (!property) {
    error = "openaitranscribesink has no property '" + name +
            "'; gst-inspect-1.0 openaitranscribesink lists them.";
    return false;
  }
  if (!(property->flags & G_PARAM_WRITABLE)) {
    error = "The property '" + name + "' can only be read.";
    return false;
  }
  const std::string text = assignment.substr(equals + 1);
  GValue value = G_VALUE_INIT;
  g_value_init(&value, property->value_type);
  const bool usable = gst_value_deserialize_with_pspec(&value, text.c_str(), property) &&
                      !g_param_value_validate(property, &value);
  g_value_unset(&value);
  if (!usable) {
    // Not the value: it may be a key.
    error = "The value of '" + name + "' " + demand(property) + ".";
    return false;
  }
  gst_util_set_object_arg(G_OBJECT(sink_), name.c_str(), text.c_str());
  return true;
}

std::string Transcription::output() const { return text_property("location"); }

std::string Transcription::job_id() const { return text_property("job-id"); }

std::string Transcription::text_property(const char* name) const {
  char* text = nullptr;
  g_object_get(sink_, name, &text, nullptr);
  return take(text);
}

void Transcription::start() {
  // A failure is told by the message on the bus.
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
}

void Transcription::end_recording() {
  gst_element_send_event(pipeline_.get(), gst_event_new_eos());
}

void Transcription::on_pad_added(GstElement*, GstPad* pad, gpointer self) noexcept {
  auto* transcription = static_cast<Transcription*>(self);
  const GstPtr<GstPad> input(gst_element_get_static_pad(transcription->sink_, "sink"));
  if (!gst_pad_is_linked(input.get())) gst_pad_link(pad, input.get());
}

void Transcription::on_no_more_pads(GstElement* source, gpointer self) noexcept {
  auto* transcription = static_cast<Transcription*>(self);
  const GstPtr<GstPad> input(gst_element_get_static_pad(transcription->sink_, "sink"));
  if (gst_pad_is_linked(input.get())) return;
  gst_element_post_message(
      source, gst_message_new_application(GST_OBJECT(source), gst_structure_new_empty("no-audio")));
}

gboolean Transcription::on_message(GstBus*, GstMessage* message, gpointer data) noexcept {
  auto* self = static_cast<Transcription*>(data);
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ELEMENT:
      self->on_element(gst_message_get_structure(message));
      break;
    case GST_MESSAGE_PROGRESS:
      self->on_progress(message);
      break;
    case GST_MESSAGE_APPLICATION:
      self->screen_.problem("transcribe: " + self->no_audio());
      self->end(kError);
      break;
    case GST_MESSAGE_WARNING: {
      GError* warning = nullptr;
      gst_message_parse_warning(message, &warning, nullptr);
      self->screen_.problem("transcribe: warning: " + printable(warning->message));
      g_error_free(warning);
      break;
    }
    case GST_MESSAGE_ERROR:
      self->on_error(message);
      break;
    case GST_MESSAGE_EOS:
      self->end(self->failed_chunks_ > 0 ? kIncomplete : kComplete);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

void Transcription::on_element(const GstStructure* about) {
  const std::string_view name = gst_structure_get_name(about);
  GstClockTime start = GST_CLOCK_TIME_NONE;
  GstClockTime duration = GST_CLOCK_TIME_NONE;
  gst_structure_get_clock_time(about, "timestamp", &start);
  gst_structure_get_clock_time(about, "duration", &duration);
  if (name == "openaitranscribe/text") {
    const char* text = gst_structure_get_string(about, "text");
    const std::string line = text ? printable(text) : std::string();
    if (line.empty()) return;
    has_text_ = true;
    screen_.transcript(span_text(start, duration) + "  " + line);
  } else if (name == "openaitranscribe/chunk-failed") {
    failed_chunks_++;
    const char* why = gst_structure_get_string(about, "error-message");
    if (!why) why = gst_structure_get_string(about, "reason");
    screen_.problem(span_text(start, duration) +
                    "  [not transcribed: " + (why ? printable(why) : "unknown") + "]");
  } else if (name == "openaitranscribe/chunk-retry") {
    const char* why = gst_structure_get_string(about, "reason");
    screen_.note("trying again" + (why ? " (" + printable(why) + ")" : std::string()));
  } else if (name == "openaitranscribe/job") {
    const char* reason = gst_structure_get_string(about, "reason");
    only_chunks_failed_ = reason && std::string_view(reason) == "chunks-failed";
  } else if (name == "missing-plugin") {
    const char* what = gst_structure_get_string(about, "name");
    if (what) missing_plugin_ = what;
  }
}

void Transcription::on_progress(GstMessage* message) {
  GstProgressType type = GST_PROGRESS_TYPE_START;
  char* code = nullptr;
  gst_message_parse_progress(message, &type, &code, nullptr);
  if (take(code) != "transcribe" || type != GST_PROGRESS_TYPE_CONTINUE) return;
  const GstStructure* about = gst_message_get_structure(message);
  int percent = 0;
  guint64 completed = 0;
  guint64 submitted = 0;
  gst_structure_get_uint64(about, "completed", &completed);
  gst_structure_get_uint64(about, "submitted", &submitted);
  const bool known = gst_structure_get_int(about, "percent", &percent) && percent > 0;
  screen_.progress(known ? std::optional(percent) : std::nullopt, completed, submitted);
}

void Transcription::end(ExitCode code) {
  std::exchange(on_end_, [](ExitCode) {})(code);
}

void Transcription::on_error(GstMessage* message) {
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  std::string text = printable(error->message);
  if (GST_MESSAGE_SRC(message) != GST_OBJECT(sink_)) text = media_ + ": " + text;
  // Without a type named it was all known, but none of it was audio.
  if (g_error_matches(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN) ||
      g_error_matches(error, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND))
    text = missing_plugin_.empty() ? no_audio() : media_ + ": GStreamer has no " + missing_plugin_;
  g_error_free(error);
  screen_.problem("transcribe: " + text);
  end(only_chunks_failed_ ? kIncomplete : kError);
}
