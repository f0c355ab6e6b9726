#include "engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "job/journal_store.h"
#include "mirrors.h"
#include "openai/client.h"

namespace transcribe {

namespace {

constexpr std::size_t kMaxNamedChunks = 20;
constexpr std::uint64_t kRejectedAlike = 3;

// The last entry of the log: what never was settled when the job ended.
struct End {
  std::vector<ChunkInfo> unsettled;
  JobState state = JobState::kQueued;
  JobReason reason = JobReason::kStopped;
};

struct Entry {
  std::variant<Event, End> what;
  Counters counters;
};

OpenAiClient::Config client_config(const EngineConfig& config) {
  OpenAiClient::Config client;
  client.service = config.service;
  client.request = config.request;
  client.request.prompt = config.live.prompt;
  client.http.user_agent = config.user_agent;
  client.http.proxy = config.proxy;
  client.http.tls_ca_file = config.tls_ca_file;
  client.job_id = config.job_id;
  return client;
}

Dispatcher::Config dispatcher_config(const EngineConfig& config) {
  Dispatcher::Config dispatcher;
  dispatcher.limits = config.live.limits;
  dispatcher.rate = config.live.rate;
  dispatcher.rate_limit_group = config.rate_limit_group;
  dispatcher.seed = (static_cast<std::uint64_t>(g_random_int()) << 32) | g_random_int();
  return dispatcher;
}

std::unique_ptr<PersistentStore> make_store(const EngineConfig& config, const Clock& clock) {
  if (config.journal_directory.empty()) return nullptr;
  return std::make_unique<JournalStore>(config.journal_directory, clock);
}

JobIdentity identify(const EngineConfig& config) {
  JobIdentity identity;
  identity.job_id = config.job_id;
  const CharPtr digest(g_compute_checksum_for_string(
      G_CHECKSUM_SHA256,
      (settings_fingerprint(client_config(config).request) + "\n" + config.cut_settings).c_str(),
      -1));
  identity.fingerprint = digest.get();
  identity.meta = {{"model", config.request.model},
                   {"language", config.request.language},
                   {"location", config.location},
                   {"program", config.user_agent}};
  return identity;
}

Failure job_failure(Cause cause, std::string reason, std::string message) {
  Failure failure;
  failure.severity = Severity::kJob;
  failure.cause = cause;
  failure.reason = std::move(reason);
  failure.message = std::move(message);
  return failure;
}

Cause cause_of(StoreRefusal::Kind kind) {
  switch (kind) {
    case StoreRefusal::Kind::kSettings:
      return Cause::kSettings;
    case StoreRefusal::Kind::kBusy:
      return Cause::kBusy;
    case StoreRefusal::Kind::kUnavailable:
      break;
  }
  return Cause::kStore;
}

// Keeps what the last answer told: it is the reason behind the reason.
Failure out_of_time(std::optional<Failure> last) {
  Failure failure = std::move(last).value_or(Failure());
  const std::string before = failure.message.empty() ? "" : ". Last failure: " + failure.message;
  failure.severity = Severity::kChunk;
  failure.cause = Cause::kTimeBudget;
  failure.reason = "eos-timeout";
  failure.message =
      "The end of the stream came and eos-timeout was over before this chunk was transcribed; "
      "raise eos-timeout" +
      before;
  return failure;
}

bool rejected(const Failure& failure) {
  return failure.severity == Severity::kChunk && failure.http_status >= 400 &&
         failure.http_status < 500;
}

}  // namespace

struct Engine::Private final : public DispatchObserver {
  // Lock order: state -> the dispatcher's. Observers are called with neither.
  struct State {
    explicit State(const EngineConfig& config) : job(config.job_id), live(config.live) {}

    Job job;
    LiveSettings live;
    std::deque<Entry> log;
    std::uint64_t next_index = 0;
    // Of a job that is stored: until the store is open, chunks are held back; then they are
    // compared with what it holds.
    bool store_open = true;
    std::deque<Chunk> held;
    StoredMarks marks;  // not met yet
    bool interrupted = false;
    bool finishing = false;  // no more pieces
    bool expired = false;    // eos-timeout is over: nothing more is sent
    bool ending = false;     // nothing new starts; the End entry follows
    bool end_logged = false;
    bool end_delivered = false;
    bool cancelled = false;
    bool quit = false;

    JobReason end_reason = JobReason::kEndOfStream;
    bool stopped = false;  // the dispatcher has given back what it will not settle
    std::vector<ChunkInfo> unsettled;
    std::optional<ChunkFailed> fatal;
    std::optional<ChunkFailed> first_failed;
    std::string failed_chunks;
    // How the service rejected the chunks 0 to 2; cleared by any other outcome of one of them.
    std::map<std::uint64_t, std::string> first_rejections;
    bool first_accepted = false;
  };
  using Access = Guarded<State>::Access;

  Private(EngineConfig engine_config, EngineObserver& engine_observer, const Clock& the_clock,
          const Log& the_log)
      : config(std::move(engine_config)),
        observer(engine_observer),
        clock(the_clock),
        log(the_log),
        state(config) {}

  void append(Access& s, Event event);
  void maybe_end(Access& s);
  // Stops everything. Returns false when somebody else did already.
  bool begin_end(Access& s, JobReason reason);
  void end_early(Access&& s);
  void fail(const ChunkInfo& chunk, const Failure& failure, unsigned attempts);
  void fail(Access&& s, ChunkFailed event);
  std::size_t queued(Access& s) const { return dispatcher->load().waiting + s->held.size(); }
  // Sends the chunk, or takes its result from the store. Returns false when the source is not the
  // one that the store knows: the job has ended.
  bool accept(Access& s, Chunk chunk);

  void on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept override;
  void on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                const Failure& failure) noexcept override;
  void on_done(const ChunkInfo& chunk, Transcription&& transcription, unsigned attempts,
               Nanoseconds latency) noexcept override;
  void on_failed(const ChunkInfo& chunk, const Failure& failure,
                 unsigned attempts) noexcept override;

  // Event thread.
  void run();
  void open_store();
  void deliver_end(const End& end, const Counters& counters);

  const EngineConfig config;
  EngineObserver& observer;
  const Clock& clock;
  const Log& log;

  Guarded<State> state;
  std::condition_variable changed;

  std::unique_ptr<Mirrors> mirrors;  // event thread
  std::unique_ptr<OpenAiClient> client;
  std::unique_ptr<Dispatcher> dispatcher;
  std::thread thread;
};

void Engine::Private::append(Access& s, Event event) {
  s->job.apply(event);
  s->log.push_back({std::move(event), s->job.counters()});
  changed.notify_all();
}

bool Engine::Private::begin_end(Access& s, JobReason reason) {
  if (s->ending) return false;
  s->ending = true;
  s->end_reason = reason;
  changed.notify_all();
  return true;
}

// A worker may be between "settled" in the dispatcher and its observer call; the end waits for it,
// so that no result is lost and none comes after the end.
void Engine::Private::maybe_end(Access& s) {
  if (!s->ending && s->finishing && s->store_open && s->job.open() == 0) {
    if (!s->marks.empty()) {
      const auto& [index, mark] = *s->marks.begin();
      auto missing = std::make_shared<ChunkInfo>();
      missing->index = index;
      missing->core = mark.core;
      begin_end(s, JobReason::kError);
      s->fatal = ChunkFailed{
          missing,
          job_failure(Cause::kSettings, "source-mismatch",
                      "The source ends before chunk " + std::to_string(index) +
                          ", which an earlier run of this job has transcribed; use the same "
                          "source, another job-id, or resume=restart"),
          0};
      s->marks.clear();
    }
    begin_end(s, s->job.counters().failed > 0 ? JobReason::kChunksFailed : JobReason::kEndOfStream);
    s->stopped = true;
  }
  if (!s->stopped || s->end_logged || s->job.open() != s->unsettled.size()) return;
  s->end_logged = true;

  // A job that is refused before it began passes through PROCESSING too.
  if (s->job.state() == JobState::kQueued && s->end_reason != JobReason::kStopped)
    append(s, StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart});
  const JobState previous = s->job.state();
  JobState next = JobState::kFailed;
  if (s->end_reason == JobReason::kEndOfStream) next = JobState::kCompleted;
  if (s->end_reason == JobReason::kStopped) next = JobState::kQueued;
  if (previous != next) append(s, StateChanged{next, previous, s->end_reason});
  std::sort(s->unsettled.begin(), s->unsettled.end(),
            [](const ChunkInfo& a, const ChunkInfo& b) { return a.index < b.index; });
  s->log.push_back({End{std::move(s->unsettled), next, s->end_reason}, s->job.counters()});
  changed.notify_all();
}

void Engine::Private::end_early(Access&& access) {
  { const Access released = std::move(access); }
  const auto unsettled = dispatcher->cancel();
  auto s = state.lock();
  s->stopped = true;
  for (const Chunk& chunk : s->held) {
    append(s, ChunkQueued{std::make_shared<ChunkInfo>(chunk.info), 0});
    s->unsettled.push_back(chunk.info);
  }
  s->held.clear();
  s->unsettled.insert(s->unsettled.end(), unsettled.begin(), unsettled.end());
  maybe_end(s);
}

void Engine::Private::fail(const ChunkInfo& chunk, const Failure& failure, unsigned attempts) {
  fail(state.lock(), ChunkFailed{std::make_shared<ChunkInfo>(chunk), failure, attempts});
}

void Engine::Private::fail(Access&& s, ChunkFailed event) {
  const ChunkInfo& chunk = *event.chunk;
  const Failure failure = event.failure;
  if (failure.severity == Severity::kJob) {
    // The chunk itself is not to blame: it stays unsettled, so that a resumed job sends it again.
    s->unsettled.push_back(chunk);
    if (begin_end(s, JobReason::kError)) {
      s->fatal = std::move(event);
      end_early(std::move(s));
    } else {
      maybe_end(s);
    }
    return;
  }

  if (!s->first_failed) s->first_failed = event;
  if (chunk.index < kRejectedAlike) {
    if (rejected(failure)) {
      s->first_rejections[chunk.index] =
          std::to_string(failure.http_status) + " " + failure.error_code;
    } else {
      s->first_accepted = true;
    }
  }
  const std::uint64_t failed = s->job.counters().failed;
  if (failed < kMaxNamedChunks) {
    s->failed_chunks += (failed == 0 ? "" : ", ") + std::to_string(chunk.index);
  } else if (failed == kMaxNamedChunks) {
    s->failed_chunks += ", …";
  }
  append(s, event);

  const auto& rejections = s->first_rejections;
  const bool all_alike =
      chunk.index < kRejectedAlike && !s->first_accepted && rejections.size() == kRejectedAlike &&
      std::all_of(rejections.begin(), rejections.end(), [&](const auto& rejection) {
        return rejection.second == rejections.begin()->second;
      });
  if ((all_alike || s->live.on_error == OnError::kAbort) && begin_end(s, JobReason::kError)) {
    if (all_alike) {
      event.failure.cause = Cause::kRejectedAlike;
      event.failure.reason = "rejected";
      event.failure.message =
          "The first chunks were all rejected alike, so the job ends. " + event.failure.message;
    }
    s->fatal = std::move(event);
    end_early(std::move(s));
    return;
  }
  maybe_end(s);
}

void Engine::Private::on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept {
  auto s = state.lock();
  // One that was on its way when the job ended.
  if (s->end_logged) return;
  append(s, ChunkAttempt{std::make_shared<ChunkInfo>(chunk), attempt});
}

void Engine::Private::on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                               const Failure& failure) noexcept {
  auto s = state.lock();
  if (s->end_logged) return;
  append(s, ChunkRetry{std::make_shared<ChunkInfo>(chunk), next_attempt, delay, failure});
}

void Engine::Private::on_done(const ChunkInfo& chunk, Transcription&& transcription,
                              unsigned attempts, Nanoseconds latency) noexcept {
  auto s = state.lock();
  if (chunk.index < kRejectedAlike) s->first_accepted = true;
  append(s, ChunkDone{std::make_shared<ChunkInfo>(chunk),
                      std::make_shared<Transcription>(std::move(transcription)), attempts, latency,
                      false});
  maybe_end(s);
}

void Engine::Private::on_failed(const ChunkInfo& chunk, const Failure& failure,
                                unsigned attempts) noexcept {
  fail(chunk, failure, attempts);
}

bool Engine::Private::accept(Access& s, Chunk chunk) {
  const auto info = std::make_shared<ChunkInfo>(chunk.info);
  const auto mark = s->marks.find(info->index);
  if (mark == s->marks.end()) {
    append(s, ChunkQueued{info, 44 + g_bytes_get_size(chunk.pcm.get())});
    dispatcher->submit(std::move(chunk));
    return true;
  }
  const bool same = mark->second.sha256 == info->sha256 && mark->second.core == info->core;
  s->marks.erase(mark);
  if (same) {
    if (info->index < kRejectedAlike) s->first_accepted = true;
    append(s, ChunkDone{info, nullptr, 0, Nanoseconds(0), true});
    return true;
  }
  append(s, ChunkQueued{info, 44 + g_bytes_get_size(chunk.pcm.get())});
  fail(
      std::move(s),
      {info,
       job_failure(Cause::kSettings, "source-mismatch",
                   "Chunk " + std::to_string(info->index) +
                       " differs from the one that an earlier run of this job has transcribed; use "
                       "the same source and settings, another job-id, or resume=restart"),
       0});
  return false;
}

void Engine::Private::open_store() {
  auto marks = mirrors->open_store(identify(config), config.resume);
  std::optional<Failure> failure;
  if (!marks) {
    failure = job_failure(cause_of(marks.error().kind), "store", marks.error().message);
  } else if (!config.location.empty()) {
    if (const WriteStatus file =
            mirrors->open_file(config.location, config.location_format, config.job_id);
        !file)
      failure = job_failure(Cause::kConnect, "location", file.error().message);
  }
  auto s = state.lock();
  s->store_open = true;
  if (failure) {
    if (begin_end(s, JobReason::kError)) {
      s->fatal = ChunkFailed{nullptr, std::move(*failure), 0};
      end_early(std::move(s));
    }
    return;
  }
  s->marks = std::move(*marks);
  changed.notify_all();
  std::vector<ChunkInfo> late;
  bool ours = true;
  while (ours && !s->ending && !s->held.empty()) {
    Chunk chunk = std::move(s->held.front());
    s->held.pop_front();
    if (s->expired && !s->marks.contains(chunk.info.index)) {
      append(s, ChunkQueued{std::make_shared<ChunkInfo>(chunk.info),
                            44 + g_bytes_get_size(chunk.pcm.get())});
      late.push_back(std::move(chunk.info));
    } else {
      ours = accept(s, std::move(chunk));
    }
  }
  if (ours) maybe_end(s);
  { const Access released = std::move(s); }
  for (const ChunkInfo& chunk : late) fail(chunk, out_of_time(std::nullopt), 0);
}

void Engine::Private::run() {
  if (mirrors->has_store()) open_store();
  for (;;) {
    std::deque<Entry> batch;
    {
      auto s = state.lock();
      s.wait(changed, [&] { return s->quit || !s->log.empty(); });
      if (s->log.empty()) return;
      batch.swap(s->log);
    }
    for (const Entry& entry : batch) {
      if (const auto* end = std::get_if<End>(&entry.what)) {
        deliver_end(*end, entry.counters);
      } else {
        mirrors->tell(std::get<Event>(entry.what), entry.counters);
      }
    }
  }
}

void Engine::Private::deliver_end(const End& end, const Counters& counters) {
  JobEnd result;
  result.state = end.state;
  result.reason = end.reason;
  result.counters = counters;
  {
    auto s = state.lock();
    result.fatal = s->fatal;
    result.first_failed = s->first_failed;
    result.failed_chunks = s->failed_chunks;
  }
  mirrors->tell_end(std::move(result), end.unsettled);
  auto s = state.lock();
  s->end_delivered = true;
  changed.notify_all();
}

Engine::Engine(std::unique_ptr<Private> d) : d_(std::move(d)) {}

Result<std::unique_ptr<Engine>> Engine::create(EngineConfig config, EngineObserver& observer,
                                               const Clock& clock, const Log& log) {
  auto d = std::make_unique<Private>(std::move(config), observer, clock, log);
  auto client = OpenAiClient::create(client_config(d->config), clock, log);
  if (!client) return client.error();
  d->client = std::move(*client);
  d->mirrors = std::make_unique<Mirrors>(observer, make_store(d->config, clock));
  if (!d->mirrors->has_store() && !d->config.location.empty()) {
    const WriteStatus file =
        d->mirrors->open_file(d->config.location, d->config.location_format, d->config.job_id);
    if (!file) return Error{file.error().message};
  }
  d->state.lock()->store_open = !d->mirrors->has_store();
  d->dispatcher =
      std::make_unique<Dispatcher>(dispatcher_config(d->config), *d->client, *d, clock, log);
  Private* const shared = d.get();
  std::unique_ptr<Engine> engine(new Engine(std::move(d)));
  {
    auto s = shared->state.lock();
    shared->append(s, StateChanged{JobState::kQueued, std::nullopt, JobReason::kCreated});
  }
  shared->thread = std::thread([shared] { shared->run(); });
  return engine;
}

Engine::~Engine() {
  if (d_->thread.joinable()) stop();
  d_->dispatcher.reset();
}

// The dispatcher stays: another thread may be in stats() or update().
void Engine::stop() {
  cancel();
  {
    auto s = d_->state.lock();
    s.wait(d_->changed, [&] { return s->end_delivered; });
    s->quit = true;
    d_->changed.notify_all();
  }
  d_->thread.join();
}

void Engine::start() {
  auto s = d_->state.lock();
  if (s->ending || s->job.state() != JobState::kQueued) return;
  d_->append(s, StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart});
}

Engine::Wait Engine::wait_for_room() {
  auto s = d_->state.lock();
  const auto room = [&] {
    return s->live.leaky != Leaky::kNo || d_->queued(s) < s->live.max_queued_chunks;
  };
  s.wait(d_->changed, [&] { return s->interrupted || s->ending || room(); });
  if (s->ending) return Wait::kEnded;
  if (s->interrupted) return Wait::kInterrupted;
  return Wait::kDone;
}

bool Engine::has_room() const {
  auto s = d_->state.lock();
  return s->ending || s->live.leaky != Leaky::kNo || d_->queued(s) < s->live.max_queued_chunks;
}

void Engine::submit(AudioPiece&& piece, const MediaTime& time) {
  auto info = std::make_shared<ChunkInfo>();
  info->core = piece.core;
  info->payload = piece.payload;
  info->time = time;
  info->reason = piece.reason;
  info->mask = std::move(piece.mask);
  if (!piece.skipped) info->sha256 = pcm_digest(piece.pcm.get());

  auto s = d_->state.lock();
  if (s->ending) return;
  info->index = s->next_index++;
  if (piece.skipped) {
    d_->append(s, ChunkSkipped{std::move(info), SkipReason::kSilence});
    return;
  }

  bool drop_new = false;
  if (s->live.leaky != Leaky::kNo && !s->marks.contains(info->index) &&
      d_->queued(s) >= s->live.max_queued_chunks) {
    std::optional<ChunkInfo> oldest;
    if (s->live.leaky == Leaky::kDownstream) oldest = d_->dispatcher->drop_oldest();
    if (oldest) {
      d_->append(
          s, ChunkSkipped{std::make_shared<ChunkInfo>(std::move(*oldest)), SkipReason::kQueueFull});
    } else {
      drop_new = true;
    }
  }
  if (drop_new) {
    d_->append(s, ChunkQueued{info, 44 + g_bytes_get_size(piece.pcm.get())});
    d_->append(s, ChunkSkipped{std::move(info), SkipReason::kQueueFull});
    return;
  }
  Chunk chunk{*info, std::move(piece.pcm), d_->clock.now(), s->live.prompt};
  if (s->store_open) {
    d_->accept(s, std::move(chunk));
  } else {
    s->held.push_back(std::move(chunk));
  }
}

void Engine::skip_flushed(const FrameSpan& span, const MediaTime& time) {
  auto info = std::make_shared<ChunkInfo>();
  info->core = info->payload = span;
  info->time = time;
  info->reason = CutReason::kDiscontinuity;
  auto s = d_->state.lock();
  if (s->ending) return;
  info->index = s->next_index++;
  d_->append(s, ChunkSkipped{std::move(info), SkipReason::kFlushed});
}

void Engine::finish() {
  auto s = d_->state.lock();
  s->finishing = true;
  d_->maybe_end(s);
}

Engine::Wait Engine::wait_finished(std::optional<TimePoint> deadline) {
  auto s = d_->state.lock();
  const auto over = [&] { return s->interrupted || s->end_delivered || s->cancelled; };
  if (!deadline) {
    s.wait(d_->changed, over);
  } else if (!s.wait_until(d_->changed, *deadline, over)) {
    return Wait::kTimeout;
  }
  if (s->cancelled) return Wait::kEnded;
  return s->end_delivered ? Wait::kDone : Wait::kInterrupted;
}

void Engine::expire() {
  d_->state.lock()->expired = true;
  for (PendingChunk& left : d_->dispatcher->flush())
    d_->fail(left.chunk->info, out_of_time(std::move(left.last_failure)), left.attempts);
}

void Engine::interrupt(bool interrupted) {
  auto s = d_->state.lock();
  s->interrupted = interrupted;
  d_->changed.notify_all();
}

void Engine::flush() {
  {
    auto s = d_->state.lock();
    if (s->ending) return;
    s->finishing = false;
    s->expired = false;
  }
  const auto unsettled = d_->dispatcher->flush();
  auto s = d_->state.lock();
  const std::deque<Chunk> held = std::move(s->held);
  s->held.clear();
  for (const PendingChunk& left : unsettled) {
    d_->append(s,
               ChunkSkipped{std::make_shared<ChunkInfo>(left.chunk->info), SkipReason::kFlushed});
  }
  for (const Chunk& chunk : held) {
    d_->append(s, ChunkSkipped{std::make_shared<ChunkInfo>(chunk.info), SkipReason::kFlushed});
  }
  d_->maybe_end(s);
}

void Engine::cancel() {
  auto s = d_->state.lock();
  s->cancelled = true;
  d_->changed.notify_all();
  if (d_->begin_end(s, JobReason::kStopped)) d_->end_early(std::move(s));
}

void Engine::update(const LiveSettings& settings) {
  {
    auto s = d_->state.lock();
    s->live = settings;
    d_->changed.notify_all();
  }
  d_->dispatcher->set_limits(settings.limits, settings.rate);
}

EngineStats Engine::stats() const {
  EngineStats stats;
  stats.load = d_->dispatcher->load();
  auto s = d_->state.lock();
  stats.state = s->job.state();
  stats.counters = s->job.counters();
  return stats;
}

bool Engine::ended() const { return d_->state.lock()->ending; }

const std::string& Engine::job_id() const { return d_->config.job_id; }

}  // namespace transcribe
