#include "sink_job.h"

#include <utility>

#include "base/glib_ptr.h"
#include "base/libsoup2.h"
#include "job/journal_store.h"
#include "transcript/writer.h"

namespace transcribe {

class SinkJob::DebugLog final : public Log {
 public:
  DebugLog(GObject* object, GstDebugCategory* category) : object_(object), category_(category) {}

  bool enabled(LogLevel level) const override {
    return gst_debug_category_get_threshold(category_) >= gst_level(level);
  }
  void write(LogLevel level, const std::string& text) const override {
    gst_debug_log(category_, gst_level(level), "engine", "", 0, object_, "%s", text.c_str());
  }

 private:
  static GstDebugLevel gst_level(LogLevel level) {
    switch (level) {
      case LogLevel::kError:
        return GST_LEVEL_ERROR;
      case LogLevel::kWarning:
        return GST_LEVEL_WARNING;
      case LogLevel::kInfo:
        return GST_LEVEL_INFO;
      case LogLevel::kDebug:
        break;
    }
    return GST_LEVEL_DEBUG;
  }

  GObject* const object_;
  GstDebugCategory* const category_;
};

SinkJob::SinkJob(GstBaseSink* sink, GstDebugCategory* category)
    : sink_(sink),
      log_(std::make_unique<DebugLog>(G_OBJECT(sink), category)),
      messages_(GST_ELEMENT(sink)) {}

SinkJob::~SinkJob() = default;

bool SinkJob::set_property(guint id, const GValue* value) {
  if (!set_sink_property(*settings_.lock(), id, value)) return false;
  if (!is_live_property(id)) return true;
  update();
  if (no_prompt_ && !settings_.lock()->prompt.empty() && no_prompt_.exchange(false)) {
    GST_ELEMENT_WARNING(sink_, RESOURCE, SETTINGS,
                        ("prompt is not sent with response-format=diarized-json, which has none; "
                         "unset it, or use another format from the next start on"),
                        (nullptr));
  }
  return true;
}

void SinkJob::update() {
  const auto turn = updates_.lock();
  const SinkSettings settings = *settings_.lock();
  messages_.set_post_messages(settings.post_messages);
  messages_.set_on_error(settings.on_error);
  if (const EnginePtr current = engine()) current->update(make_live_settings(settings, live_));
}

bool SinkJob::get_property(guint id, GValue* value) {
  if (id == kPropertyStats) {
    g_value_take_boxed(value, stats());
    return true;
  }
  auto settings = settings_.lock();
  return get_sink_property(*settings, id, value);
}

GstStructure* SinkJob::stats() {
  EngineStats current;
  if (const EnginePtr engine = this->engine()) {
    current = engine->stats();
  } else {
    current = *last_stats_.lock();
  }
  GstStructure* structure = gst_base_sink_get_stats(sink_);
  gst_structure_set_name(structure, "application/x-openaitranscribe-sink-stats");
  gst_structure_set(structure, "state", G_TYPE_STRING, to_string(current.state).data(), "queued",
                    G_TYPE_UINT64, static_cast<guint64>(current.load.waiting), "in-flight",
                    G_TYPE_UINT64, static_cast<guint64>(current.load.in_flight),
                    "max-observed-delay", G_TYPE_UINT64,
                    static_cast<guint64>(current.max_delay.count()), nullptr);
  add_counters(structure, current.counters);
  return structure;
}

bool SinkJob::prepare() {
  if (libsoup2_is_loaded()) {
    GST_ELEMENT_ERROR(sink_, RESOURCE, FAILED,
                      ("libsoup 2 is loaded in this process; openaitranscribesink needs libsoup 3 "
                       "and can't run beside it"),
                      (nullptr));
    return false;
  }
  SinkSettings settings = *settings_.lock();
  const auto config = make_engine_config(settings, false);
  if (!config) {
    GST_ELEMENT_ERROR(sink_, RESOURCE, SETTINGS, ("%s", config.error().message.c_str()), (nullptr));
    return false;
  }
  if (!settings.location.empty()) {
    const Status writable = TranscriptWriter::check(settings.location, settings.location_format);
    if (!writable) {
      GST_ELEMENT_ERROR(sink_, RESOURCE, OPEN_WRITE,
                        ("location: %s", writable.error().message.c_str()), (nullptr));
      return false;
    }
  }
  if (!check_journal(settings)) return false;
  if (settings.job_id.empty()) {
    settings_.lock()->automatic_job_id = config->job_id;
    fresh_id_ = true;
  }
  const ServiceSettings& service = config->service;
  if (!service.api_key.empty() && service.auth_scheme != AuthScheme::kNone &&
      g_strcmp0(g_uri_peek_scheme(service.base_url.c_str()), "http") == 0 &&
      !is_loopback(service.base_url)) {
    GST_ELEMENT_WARNING(sink_, RESOURCE, SETTINGS,
                        ("The API key goes unencrypted to %s; use an https base-url or "
                         "auth-scheme=none",
                         printable_url(service.base_url).c_str()),
                        (nullptr));
  }
  if (settings.job_id.empty() && settings.redis_uri.empty() &&
      !settings.journal_directory.empty()) {
    GST_ELEMENT_WARNING(sink_, RESOURCE, SETTINGS,
                        ("journal-directory is set without job-id: every start is a new job; set "
                         "job-id to go on with it after an interruption"),
                        (nullptr));
  }
  return true;
}

bool SinkJob::check_journal(const SinkSettings& settings) {
  if (settings.journal_directory.empty()) return true;
  const Status writable = JournalStore::check(settings.journal_directory);
  if (writable) return true;
  GST_ELEMENT_ERROR(sink_, RESOURCE, OPEN_WRITE, ("%s", writable.error().message.c_str()),
                    (nullptr));
  return false;
}

bool SinkJob::open() {
  started_ = *settings_.lock();
  return create_job();
}

bool SinkJob::create_job() {
  auto config = make_engine_config(started_, false);
  if (!config) {
    GST_ELEMENT_ERROR(sink_, RESOURCE, SETTINGS, ("%s", config.error().message.c_str()), (nullptr));
    return false;
  }
  if (!check_journal(started_)) return false;
  config->live = make_live_settings(*settings_.lock(), false);
  if (started_.job_id.empty()) {
    if (fresh_id_) config->job_id = started_.automatic_job_id;
    fresh_id_ = false;
    settings_.lock()->automatic_job_id = config->job_id;
  }
  no_prompt_ = effective_format(config->request) == ResponseFormat::kDiarizedJson;
  stream_ready_ = false;
  messages_.reset(config->job_id);
  messages_.set_post_messages(settings_.lock()->post_messages);
  duration_stale_ = true;
  warned_blocked_ = false;
  auto created = Engine::create(std::move(*config), messages_, clock_, *log_);
  if (!created) {
    GST_ELEMENT_ERROR(sink_, RESOURCE, OPEN_WRITE, ("%s", created.error().message.c_str()),
                      (nullptr));
    return false;
  }
  EnginePtr last = std::move(*created);
  engine_.lock()->swap(last);
  last.reset();
  // What came while there was no engine to tell.
  update();
  if (interrupted_) engine()->interrupt(true);

  auto stream = stream_.lock();
  if (!*stream) {
    *stream = std::make_unique<SinkStream>(
        [this](AudioPiece&& piece, const MediaTime& time, TimePoint heard_at) {
          submit(std::move(piece), time, heard_at);
        },
        started_.silence_duration);
  }
  return true;
}

void SinkJob::cancel() {
  if (const EnginePtr current = engine()) current->cancel();
}

void SinkJob::close() {
  // Nothing is posted after this, even when another thread, or a sync message handler on the
  // engine's own, holds on to the engine for a moment.
  if (const EnginePtr last = engine()) {
    last->stop();
    *last_stats_.lock() = last->stats();
    engine_.lock()->reset();
  }
  stream_.lock()->reset();
  live_ = false;
}

SinkJob::EnginePtr SinkJob::engine() { return *engine_.lock(); }

void SinkJob::submit(AudioPiece&& piece, const MediaTime& time, TimePoint heard_at) {
  if (const EnginePtr current = engine()) current->submit(std::move(piece), time, heard_at);
  duration_stale_ = true;
}

bool SinkJob::query_live() {
  GstQuery* query = gst_query_new_latency();
  gboolean live = FALSE;
  if (gst_pad_peer_query(GST_BASE_SINK_PAD(sink_), query))
    gst_query_parse_latency(query, &live, nullptr, nullptr);
  gst_query_unref(query);
  return live != FALSE;
}

std::string SinkJob::query_source() {
  GstQuery* query = gst_query_new_uri();
  CharPtr uri;
  if (gst_pad_peer_query(GST_BASE_SINK_PAD(sink_), query)) gst_query_parse_uri(query, out(uri));
  gst_query_unref(query);
  return uri ? uri.get() : "";
}

void SinkJob::query_duration() {
  if (!duration_stale_.exchange(false)) return;
  gint64 duration = -1;
  if (gst_pad_peer_query_duration(GST_BASE_SINK_PAD(sink_), GST_FORMAT_TIME, &duration) &&
      duration > 0)
    messages_.set_duration(static_cast<GstClockTime>(duration));
}

SinkJob::EnginePtr SinkJob::acquire(GstFlowReturn& flow) {
  flow = GST_FLOW_OK;
  EnginePtr current = engine();
  if (!current) {
    flow = GST_FLOW_FLUSHING;
    return nullptr;
  }
  if (current->ended()) {
    flow = wait_for_end(*current, std::nullopt);
    if (flow != GST_FLOW_OK) return nullptr;
    // Data after the end (a seek after EOS) is another job.
    if (!started_.job_id.empty()) {
      GST_ELEMENT_ERROR(sink_, RESOURCE, SETTINGS,
                        ("Job \"%s\" has ended; data that follows needs another job-id: set "
                         "job-id in READY, or leave it unset",
                         current->job_id().c_str()),
                        (nullptr));
      flow = GST_FLOW_ERROR;
      return nullptr;
    }
    current.reset();
    if (!create_job()) {
      flow = GST_FLOW_ERROR;
      return nullptr;
    }
    current = engine();
  }
  if (!stream_ready_) {
    live_ = query_live();
    // A live source is not held back: its chunks wait in the engine.
    if (!live_) {
      flow = wait_for(*current, &Engine::wait_open);
      if (flow != GST_FLOW_OK) return nullptr;
    }
    stream_ready_ = true;
    update();
    (*stream_.lock())->open(make_chunker_config(started_, live_, current->stored_meta()));
    watched_ = false;
    query_duration();
    current->start(live_, query_source());
  }
  return current;
}

GstFlowReturn SinkJob::wait_for_playing() {
  GstFlowReturn flow = GST_FLOW_OK;
  do {
    flow = gst_base_sink_wait_preroll(sink_);
    // Woken for PLAYING, but the next pause was quicker: going on would hold the preroll lock in
    // PAUSED, and with it whoever sets PLAYING.
  } while (flow == GST_FLOW_OK && sink_->need_preroll);
  return flow;
}

GstFlowReturn SinkJob::wait_for_room(Engine& engine) {
  if (live_ && !warned_blocked_ && !engine.has_room()) {
    warned_blocked_ = true;
    GST_ELEMENT_WARNING(
        sink_, RESOURCE, BUSY,
        ("%s", engine.is_open()
                   ? "The service is slower than the live stream, which is held back; set leaky, "
                     "or raise max-parallel, requests-per-second or max-queued-chunks"
                   : "The live stream is held back until the job's store is open; set leaky, or "
                     "raise max-queued-chunks"),
        (nullptr));
  }
  return wait_for(engine, &Engine::wait_for_room);
}

GstFlowReturn SinkJob::wait_for(Engine& engine, Engine::Wait (Engine::*wait)()) {
  for (;;) {
    switch ((engine.*wait)()) {
      case Engine::Wait::kDone:
        return GST_FLOW_OK;
      case Engine::Wait::kInterrupted: {
        const GstFlowReturn flow = wait_for_playing();
        if (flow != GST_FLOW_OK) return flow;
        break;
      }
      case Engine::Wait::kEnded:
      case Engine::Wait::kTimeout: {
        const GstFlowReturn flow = wait_for_end(engine, std::nullopt);
        return flow == GST_FLOW_OK ? GST_FLOW_FLUSHING : flow;
      }
    }
  }
}

GstFlowReturn SinkJob::wait_for_end(Engine& engine, std::optional<TimePoint> deadline) {
  for (;;) {
    switch (engine.wait_finished(deadline)) {
      case Engine::Wait::kDone:
        return messages_.flow();
      case Engine::Wait::kEnded:
        return GST_FLOW_FLUSHING;
      case Engine::Wait::kTimeout:
        engine.expire();
        deadline.reset();
        break;
      case Engine::Wait::kInterrupted: {
        const GstFlowReturn flow = wait_for_playing();
        if (flow != GST_FLOW_OK) return flow;
        break;
      }
    }
  }
}

bool SinkJob::set_caps(GstCaps* caps) {
  GstAudioInfo info;
  if (!gst_audio_info_from_caps(&info, caps)) {
    GST_ELEMENT_ERROR(sink_, STREAM, FORMAT, ("These caps are no raw audio"),
                      ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
    return false;
  }
  auto stream = stream_.lock();
  if (!*stream) return false;
  const Status status = (*stream)->set_caps(info);
  if (status) return true;
  GST_ELEMENT_ERROR(sink_, STREAM, FORMAT, ("%s", status.error().message.c_str()),
                    ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
  return false;
}

bool SinkJob::set_segment(const GstSegment& segment) {
  if (segment.rate < 0) {
    GST_ELEMENT_ERROR(
        sink_, STREAM, FORMAT,
        ("Audio that plays backwards can't be transcribed; seek with a positive rate"), (nullptr));
    return false;
  }
  auto stream = stream_.lock();
  if (*stream) (*stream)->set_segment(segment);
  return true;
}

GstFlowReturn SinkJob::render(GstBuffer* buffer) {
  const TimePoint came = clock_.now();
  taking_ = true;
  const GstFlowReturn flow = take(buffer, came);
  taking_ = false;
  watch();
  return flow;
}

GstFlowReturn SinkJob::take(GstBuffer* buffer, TimePoint came) {
  const bool has_caps = [&] {
    auto stream = stream_.lock();
    return *stream && (*stream)->has_caps();
  }();
  if (!has_caps) {
    GST_ELEMENT_ERROR(sink_, STREAM, FORMAT,
                      ("Data came without caps; set the caps of the source, for example of appsrc, "
                       "or put a decoder in front"),
                      (nullptr));
    return GST_FLOW_NOT_NEGOTIATED;
  }
  GstFlowReturn flow = GST_FLOW_OK;
  const EnginePtr current = acquire(flow);
  if (!current) return flow;
  query_duration();
  flow = wait_for_room(*current);
  if (flow != GST_FLOW_OK) return flow;
  (*stream_.lock())->begin(buffer, came);
  return work_off(*current);
}

GstFlowReturn SinkJob::work_off(Engine& engine) {
  for (;;) {
    const Result<bool> more = (*stream_.lock())->step();
    if (!more) {
      GST_ELEMENT_ERROR(sink_, STREAM, FORMAT, ("%s", more.error().message.c_str()), (nullptr));
      return GST_FLOW_ERROR;
    }
    if (!*more) return GST_FLOW_OK;
    const GstFlowReturn flow = wait_for_room(engine);
    if (flow != GST_FLOW_OK) return flow;
  }
}

GstFlowReturn SinkJob::gap(GstClockTime timestamp, GstClockTime duration) {
  const TimePoint came = clock_.now();
  taking_ = true;
  const GstFlowReturn flow = take_gap(timestamp, duration, came);
  taking_ = false;
  watch();
  return flow;
}

GstFlowReturn SinkJob::take_gap(GstClockTime timestamp, GstClockTime duration, TimePoint came) {
  const EnginePtr current = engine();
  if (!current || current->ended()) return GST_FLOW_OK;
  // Before the first buffer a gap only moves the time line.
  const GstFlowReturn flow = stream_ready_ ? wait_for_room(*current) : GST_FLOW_OK;
  if (flow != GST_FLOW_OK) return flow;
  (*stream_.lock())->gap(timestamp, duration, came);
  return work_off(*current);
}

// One call is enough: what it finds to be due later is looked at again then.
void SinkJob::watch() {
  if (!live_ || watched_) return;
  const EnginePtr current = engine();
  if (!current) return;
  std::optional<TimePoint> due;
  if (auto stream = stream_.lock(); *stream) {
    due = (*stream)->due();
    watched_ = due.has_value();
  }
  if (due) current->call_at(*due, [this] { look(); });
}

void SinkJob::look() {
  std::optional<TimePoint> due;
  {
    auto stream = stream_.lock();
    watched_ = false;
    // There is data, it only waits for room: watch() follows.
    if (!*stream || taking_) return;
    due = (*stream)->look(clock_.now());
    watched_ = due.has_value();
  }
  if (const EnginePtr current = engine(); due && current)
    current->call_at(*due, [this] { look(); });
}

GstFlowReturn SinkJob::drain() {
  // After a flush without data there is nothing new to end.
  if (const EnginePtr current = engine(); current && current->ended())
    return wait_for_end(*current, std::nullopt);
  GstFlowReturn flow = GST_FLOW_OK;
  const EnginePtr current = acquire(flow);
  if (!current) return flow;
  (*stream_.lock())->finish();
  current->finish();
  std::optional<TimePoint> deadline;
  const GstClockTime timeout = started_.eos_timeout;
  if (GST_CLOCK_TIME_IS_VALID(timeout))
    deadline = clock_.now() + Nanoseconds(static_cast<std::int64_t>(
                                  MIN(timeout, static_cast<GstClockTime>(G_MAXINT64 / 2))));
  return wait_for_end(*current, deadline);
}

void SinkJob::interrupt(bool interrupted) {
  interrupted_ = interrupted;
  if (const EnginePtr current = engine()) current->interrupt(interrupted);
}

void SinkJob::flush_start() {
  if (const EnginePtr current = engine()) current->flush();
}

void SinkJob::flush_stop() {
  const EnginePtr current = engine();
  if (!current) return;
  // Again, when nobody is about to submit: split-now or look() may have cut a chunk meanwhile.
  auto stream = stream_.lock();
  current->flush();
  if (!*stream) return;
  if (const auto dropped = (*stream)->flush()) current->skip_flushed(dropped->span, dropped->time);
}

void SinkJob::split_now() {
  auto stream = stream_.lock();
  if (*stream && (*stream)->is_open()) (*stream)->cut();
}

}  // namespace transcribe
