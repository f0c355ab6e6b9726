#include "engine.h"

#include <algorithm>
#include <utility>

#include "engine_private.h"
#include "job/journal_store.h"
#include "job/paired_store.h"
#include "job/source_uri.h"
#include "redis/job_owner.h"
#include "redis/shared_limiter.h"

namespace transcribe {

namespace {

constexpr std::size_t kMostAtOnce = 64;
// Keeps the sum with the steady clock's time from overflowing.
constexpr std::chrono::hours kLongestWait{24};
// A best-effort server that takes longer to store a result is away, as at the start.
constexpr Milliseconds kStorePatience{2000};

OpenAiClient::Config client_config(const EngineConfig& config, CarriedContext& context) {
  OpenAiClient::Config client;
  client.service = config.service;
  client.request = config.request;
  client.request.prompt = config.live.prompt;
  client.http.user_agent = config.user_agent;
  client.http.proxy = config.proxy;
  client.http.tls_ca_file = config.tls_ca_file;
  client.job_id = config.job_id;
  if (config.request.context == Context::kPrevious) client.context = &context;
  client.is_echo = echoes_prompt;
  return client;
}

Dispatcher::Config dispatcher_config(const EngineConfig& config, const Clock& clock,
                                     const Log& log) {
  Dispatcher::Config dispatcher;
  dispatcher.limits = config.live.limits;
  dispatcher.rate = config.live.rate;
  dispatcher.rate_limit_group = config.rate_limit_group;
  if (config.redis) {
    SharedLimiterSettings shared;
    shared.uri = config.redis->uri;
    shared.tls_ca_file = config.redis->tls_ca_file;
    shared.key_prefix = config.redis->key_prefix;
    shared.worker = worker_name(config.job_id);
    dispatcher.join_group = [shared, &clock, &log](const std::string& group, TimePoint now,
                                                   const RateLimit& limit, RateLimiter::Wake wake) {
      return join_shared_rate_limit_group(shared, group, now, limit, std::move(wake), clock, log);
    };
  }
  const bool best_effort = config.redis && !config.redis->required;
  if (best_effort) {
    dispatcher.store = StoreWait{kStorePatience};
  } else if (config.redis || !config.journal_directory.empty()) {
    dispatcher.store = StoreWait{};
  }
  dispatcher.until_told = config.request.context == Context::kPrevious;
  dispatcher.seed = (static_cast<std::uint64_t>(g_random_int()) << 32) | g_random_int();
  return dispatcher;
}

// The index of the chunk that the event is the outcome of.
std::optional<std::uint64_t> settled_by(const Event& event) {
  if (const auto* done = std::get_if<ChunkDone>(&event)) return done->chunk->index;
  if (const auto* failed = std::get_if<ChunkFailed>(&event)) return failed->chunk->index;
  if (const auto* skipped = std::get_if<ChunkSkipped>(&event)) return skipped->chunk->index;
  return std::nullopt;
}

// With both, Redis owns the job.
std::unique_ptr<PersistentStore> make_store(const EngineConfig& config, StoreObserver& observer,
                                            const Clock& clock, const Log& log) {
  std::unique_ptr<PersistentStore> redis;
  std::unique_ptr<PersistentStore> journal;
  if (config.redis) redis = std::make_unique<RedisJobStore>(*config.redis, observer, clock, log);
  if (!config.journal_directory.empty())
    journal = std::make_unique<JournalStore>(config.journal_directory, clock, &observer);
  if (!redis) return journal;
  if (!journal) return redis;
  return std::make_unique<PairedStore>(std::move(redis), std::move(journal));
}

}  // namespace

void Engine::Private::append(Access& s, Event event) {
  if (const auto index = settled_by(event)) dispatcher->untold(*index);
  s->job.apply(event);
  s->log.push_back({std::move(event), s->job.counters()});
  changed.notify_all();
}

bool Engine::Private::wait_for_entry(Access& s, std::function<void()>& due) {
  for (;;) {
    if (s->alarm && s->alarm->time <= clock.now()) {
      due = std::exchange(s->alarm, std::nullopt)->call;
      return true;
    }
    if (s->quit || !s->log.empty()) return false;
    if (!s->alarm) {
      s.wait(changed);
    } else {
      // Relative, so that an injected clock needs no common epoch with the steady one.
      const Nanoseconds left = std::min<Nanoseconds>(s->alarm->time - clock.now(), kLongestWait);
      s.wait_until(changed, std::chrono::steady_clock::now() + left);
    }
  }
}

void Engine::Private::run() {
  if (mirrors->has_store()) open_store();
  for (;;) {
    // Bounded: results of an earlier run come in quick succession and bring their texts.
    std::vector<Entry> batch;
    std::function<void()> due;
    {
      auto s = state.lock();
      if (!wait_for_entry(s, due) && s->log.empty()) return;
      while (!due && !s->log.empty() && batch.size() < kMostAtOnce) {
        batch.push_back(std::move(s->log.front()));
        s->log.pop_front();
      }
    }
    if (due) {
      due();
      continue;
    }
    std::vector<Event> events;
    for (Entry& entry : batch) {
      if (auto* event = std::get_if<Event>(&entry.what)) events.push_back(std::move(*event));
    }
    if (!mirrors->store(events)) dispatcher->give_up_store();
    auto event = events.begin();
    for (const Entry& entry : batch) {
      if (const auto* end = std::get_if<End>(&entry.what)) {
        deliver_end(*end, entry.counters);
      } else if (const auto* note = std::get_if<StoreNote>(&entry.what)) {
        mirrors->tell_store(*note);
      } else {
        mirrors->tell(*event, entry.counters);
        if (const auto index = settled_by(*event)) dispatcher->told(*index);
        ++event;
      }
    }
  }
}

void Engine::Private::deliver_end(const End& end, const Counters& counters) {
  JobEnd result;
  result.state = end.state;
  result.reason = end.reason;
  result.counters = counters;
  result.must_be_stored = config.redis && config.redis->required;
  {
    auto s = state.lock();
    result.fatal = s->fatal;
    result.first_failed = s->first_failed;
    result.failed_chunks = named_chunks(s->failed_chunks);
  }
  result = mirrors->tell_end(std::move(result), end.unsettled);
  if (auto s = state.lock(); s->lost) result.fatal = ChunkFailed{nullptr, *s->lost, 0};
  mirrors->close(result);
  auto s = state.lock();
  s->end_delivered = true;
  changed.notify_all();
}

Engine::Engine(std::unique_ptr<Private> d) : d_(std::move(d)) {}

Result<std::unique_ptr<Engine>> Engine::create(EngineConfig config, EngineObserver& observer,
                                               const Clock& clock, const Log& log) {
  auto d = std::make_unique<Private>(std::move(config), clock, log);
  auto client = OpenAiClient::create(client_config(d->config, d->context), clock, log);
  if (!client) return client.error();
  d->client = std::move(*client);
  d->mirrors = std::make_unique<Mirrors>(observer, make_store(d->config, *d, clock, log), clock,
                                         &d->context, d->config.drop_suspect);
  if (!d->mirrors->has_store() && !d->config.location.empty()) {
    const WriteStatus file =
        d->mirrors->open_file(d->config.location, d->config.location_format, d->config.job_id);
    if (!file) return Error{file.error().message};
  }
  d->state.lock()->store_open = !d->mirrors->has_store();
  d->dispatcher = std::make_unique<Dispatcher>(dispatcher_config(d->config, clock, log), *d->client,
                                               *d, clock, log);
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
  d_->mirrors.reset();
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

void Engine::start(bool live_source, const std::string& source) {
  auto s = d_->state.lock();
  if (s->ending || s->job.state() != JobState::kQueued) return;
  s->live_source = live_source;
  d_->append(s, StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart, nullptr,
                             source_text(source)});
  d_->go_on_live(std::move(s));
}

Engine::Wait Engine::wait_open() {
  auto s = d_->state.lock();
  s.wait(d_->changed, [&] { return s->interrupted || s->ending || s->store_open; });
  if (s->ending) return Wait::kEnded;
  return s->store_open ? Wait::kDone : Wait::kInterrupted;
}

bool Engine::is_open() const { return d_->state.lock()->store_open; }

std::map<std::string, std::string> Engine::stored_meta() const {
  return d_->state.lock()->opened.meta;
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

void Engine::submit(AudioPiece&& audio, const MediaTime& time, std::optional<TimePoint> heard_at) {
  Private::Piece piece;
  piece.info.core = audio.core;
  piece.info.payload = audio.payload;
  piece.info.time = time;
  piece.info.reason = audio.reason;
  piece.info.mask = std::move(audio.mask);
  if (audio.skipped) {
    piece.skipped = SkipReason::kSilence;
  } else {
    piece.info.sha256 = pcm_digest(audio.pcm.get());
    piece.pcm = std::move(audio.pcm);
  }
  piece.cut_at = d_->clock.now();
  piece.heard_at = heard_at.value_or(piece.cut_at);
  d_->put(std::move(piece));
}

void Engine::skip_flushed(const FrameSpan& span, const MediaTime& time) {
  Private::Piece piece;
  piece.info.core = piece.info.payload = span;
  piece.info.time = time;
  piece.info.reason = CutReason::kDiscontinuity;
  piece.skipped = SkipReason::kFlushed;
  d_->put(std::move(piece));
}

void Engine::call_at(TimePoint time, std::function<void()> call) {
  auto s = d_->state.lock();
  if (s->ending) return;
  s->alarm = Private::Alarm{time, std::move(call)};
  d_->changed.notify_all();
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
  d_->mirrors->stop_waiting();
  for (PendingChunk& left : d_->dispatcher->flush()) {
    if (const auto answer = doubtful_answer(left)) {
      d_->on_done(left.chunk->info, Transcription(*answer), left.attempts,
                  d_->clock.now() - left.chunk->heard_at);
    } else {
      d_->fail(left.chunk->info, out_of_time(std::move(left.last_failure)), left.attempts);
    }
  }
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
  for (const PendingChunk& left : unsettled) {
    d_->append(s,
               ChunkSkipped{std::make_shared<ChunkInfo>(left.chunk->info), SkipReason::kFlushed});
  }
  for (Private::Piece& piece : s->held) {
    if (!piece.skipped) piece.skipped = SkipReason::kFlushed;
    piece.pcm.reset();
  }
  d_->judge_first(std::move(s));
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
  stats.max_delay = d_->mirrors->max_delay();
  auto s = d_->state.lock();
  for (const Private::Piece& piece : s->held) stats.load.waiting += piece.skipped ? 0 : 1;
  stats.state = s->job.state();
  stats.counters = s->job.counters();
  return stats;
}

bool Engine::ended() const { return d_->state.lock()->ending; }

const std::string& Engine::job_id() const { return d_->config.job_id; }

}  // namespace transcribe
