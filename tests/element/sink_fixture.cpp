#include "sink_fixture.h"

#include <random>
#include <utility>

#include <gst/check/gstcheck.h>

namespace transcribe::testing {

SinkPipeline::SinkPipeline(const std::string& launch) {
  GError* error = nullptr;
  pipeline_ = gst_parse_launch(launch.c_str(), &error);
  ck_assert_msg(error == nullptr, "%s", error != nullptr ? error->message : "");
  sink_ = gst_bin_get_by_name(GST_BIN(pipeline_), "sink");
  source_ = gst_bin_get_by_name(GST_BIN(pipeline_), "src");
  bus_ = gst_element_get_bus(pipeline_);
  ck_assert(sink_ != nullptr);
}

SinkPipeline SinkPipeline::with_source(const std::string& base_url, const std::string& properties,
                                       const std::string& caps) {
  // Set where every job is to be mirrored (tests/redis/with_redis.py).
  const char* more = g_getenv("TRANSCRIBE_SINK_PROPERTIES");
  return SinkPipeline("appsrc name=src format=time max-bytes=0 caps=\"" + caps +
                      "\" ! openaitranscribesink name=sink requests-per-second=0 base-url=" +
                      base_url + " " + (more != nullptr ? more : "") + " " + properties);
}

SinkPipeline::SinkPipeline(SinkPipeline&& other) noexcept
    : pipeline_(std::exchange(other.pipeline_, nullptr)),
      sink_(std::exchange(other.sink_, nullptr)),
      source_(std::exchange(other.source_, nullptr)),
      bus_(std::exchange(other.bus_, nullptr)),
      messages_(std::move(other.messages_)),
      errors_(std::move(other.errors_)) {}

SinkPipeline::~SinkPipeline() {
  if (pipeline_ == nullptr) return;
  gst_element_set_state(pipeline_, GST_STATE_NULL);
  for (Seen& seen : messages_) gst_message_unref(seen.message);
  for (GError* error : errors_) g_error_free(error);
  gst_object_unref(bus_);
  gst_object_unref(sink_);
  if (source_ != nullptr) gst_object_unref(source_);
  gst_object_unref(pipeline_);
}

GstStateChangeReturn SinkPipeline::try_state(GstState state) {
  return gst_element_set_state(pipeline_, state);
}

void SinkPipeline::set_state(GstState state) {
  ck_assert_int_ne(try_state(state), GST_STATE_CHANGE_FAILURE);
}

std::int64_t SinkPipeline::timed_state(GstState state) {
  const std::int64_t begin = g_get_monotonic_time();
  set_state(state);
  return g_get_monotonic_time() - begin;
}

void SinkPipeline::push_bytes(const void* data, std::size_t size, GstClockTime timestamp,
                              unsigned flags) {
  GstBuffer* buffer = gst_buffer_new_memdup(data, size);
  GST_BUFFER_PTS(buffer) = timestamp;
  GST_BUFFER_FLAG_SET(buffer, flags);
  ck_assert_int_eq(gst_app_src_push_buffer(GST_APP_SRC(source_), buffer), GST_FLOW_OK);
}

void SinkPipeline::push(const std::vector<std::int16_t>& samples, GstClockTime timestamp,
                        unsigned flags) {
  push_bytes(samples.data(), samples.size() * sizeof(std::int16_t), timestamp, flags);
}

void SinkPipeline::end_of_stream() {
  ck_assert_int_eq(gst_app_src_end_of_stream(GST_APP_SRC(source_)), GST_FLOW_OK);
}

void SinkPipeline::keep(GstMessage* message) {
  const GstStructure* structure = nullptr;
  std::string name = GST_MESSAGE_TYPE_NAME(message);
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT) {
    structure = gst_message_get_structure(message);
    name = gst_structure_get_name(structure);
  } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_PROGRESS) {
    structure = gst_message_get_structure(message);
  }
  messages_.push_back({message, structure, name});
}

GstMessageType SinkPipeline::wait(int types) {
  const gint64 deadline = g_get_monotonic_time() + static_cast<gint64>(kWatchdog / 1000);
  for (;;) {
    const gint64 left = deadline - g_get_monotonic_time();
    ck_assert_msg(left > 0, "nothing came within the watchdog's time");
    GstMessage* message = gst_bus_timed_pop(bus_, static_cast<GstClockTime>(left) * GST_USECOND);
    if (message == nullptr) continue;
    keep(message);
    if ((GST_MESSAGE_TYPE(message) & types) != 0) return GST_MESSAGE_TYPE(message);
  }
}

void SinkPipeline::wait_for(const std::string& name, std::size_t wanted) {
  const gint64 deadline = g_get_monotonic_time() + static_cast<gint64>(kWatchdog / 1000);
  while (count(name) < wanted) {
    const gint64 left = deadline - g_get_monotonic_time();
    ck_assert_msg(left > 0, "%s did not come in time", name.c_str());
    GstMessage* message = gst_bus_timed_pop(bus_, static_cast<GstClockTime>(left) * GST_USECOND);
    if (message != nullptr) keep(message);
  }
}

void SinkPipeline::collect() {
  while (GstMessage* message = gst_bus_pop(bus_)) keep(message);
}

std::vector<const GstStructure*> SinkPipeline::named(const std::string& name) const {
  std::vector<const GstStructure*> found;
  for (const Seen& seen : messages_) {
    if (seen.name == name) found.push_back(seen.structure);
  }
  return found;
}

const GError* SinkPipeline::error() const {
  for (const Seen& seen : messages_) {
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_ERROR) continue;
    GError* error = nullptr;
    gst_message_parse_error(seen.message, &error, nullptr);
    errors_.push_back(error);
    return error;
  }
  return nullptr;
}

const GstStructure* SinkPipeline::error_details() const {
  for (const Seen& seen : messages_) {
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_ERROR) continue;
    const GstStructure* details = nullptr;
    gst_message_parse_error_details(seen.message, &details);
    return details;
  }
  return nullptr;
}

std::vector<std::string> SinkPipeline::warnings() const {
  std::vector<std::string> texts;
  for (const Seen& seen : messages_) {
    if (GST_MESSAGE_TYPE(seen.message) != GST_MESSAGE_WARNING) continue;
    GError* error = nullptr;
    gst_message_parse_warning(seen.message, &error, nullptr);
    texts.emplace_back(error->message);
    g_error_free(error);
  }
  return texts;
}

std::string SinkPipeline::transcript() const {
  std::string text;
  for (const GstStructure* structure : named("openaitranscribe/text"))
    text += string_field(structure, "text");
  return text;
}

GstStructure* SinkPipeline::stats() const {
  GstStructure* stats = nullptr;
  g_object_get(sink_, "stats", &stats, nullptr);
  ck_assert(stats != nullptr);
  return stats;
}

std::uint64_t SinkPipeline::stat(const char* field) const {
  GstStructure* all = stats();
  const std::uint64_t value = uint64_field(all, field);
  gst_structure_free(all);
  return value;
}

std::uint64_t uint64_field(const GstStructure* structure, const char* field) {
  guint64 value = 0;
  ck_assert_msg(gst_structure_get_uint64(structure, field, &value), "no field %s", field);
  return value;
}

unsigned uint_field(const GstStructure* structure, const char* field) {
  guint value = 0;
  ck_assert_msg(gst_structure_get_uint(structure, field, &value), "no field %s", field);
  return value;
}

std::string string_field(const GstStructure* structure, const char* field) {
  const char* value = gst_structure_get_string(structure, field);
  ck_assert_msg(value != nullptr, "no field %s", field);
  return value;
}

std::vector<std::int16_t> noise(std::size_t frames, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<std::int16_t> samples(frames);
  for (auto& sample : samples)
    sample = static_cast<std::int16_t>(static_cast<int>(random() % 20001) - 10000);
  return samples;
}

}  // namespace transcribe::testing
