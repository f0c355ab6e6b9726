#include <utility>

#include "audio/wav_writer.h"
#include "base/glib_ptr.h"
#include "engine_private.h"

namespace transcribe {

namespace {

Cause cause_of(StoreRefusal::Kind kind) {
  switch (kind) {
    case StoreRefusal::Kind::kSettings:
      return Cause::kSettings;
    case StoreRefusal::Kind::kBusy:
      return Cause::kBusy;
    case StoreRefusal::Kind::kUnavailable:
      break;
  }
  return Cause::kConnect;
}

// For who reads it elsewhere.
std::string absolute(const std::string& path) {
  return path.empty() ? "" : CharPtr(g_canonicalize_filename(path.c_str(), nullptr)).get();
}

JobIdentity identify(const EngineConfig& config, const RequestSettings& request) {
  JobIdentity identity;
  identity.job_id = config.job_id;
  const CharPtr digest(g_compute_checksum_for_string(
      G_CHECKSUM_SHA256, (settings_fingerprint(request) + "\n" + config.cut_settings).c_str(), -1));
  identity.fingerprint = digest.get();
  identity.meta = config.meta;
  identity.meta["model"] = config.request.model;
  identity.meta["language"] = config.request.language;
  identity.meta["location"] = absolute(config.location);
  identity.meta["program"] = config.user_agent;
  identity.meta["host"] = g_get_host_name();
  // Of what is sent.
  identity.meta["format"] = "S16LE";
  identity.meta["rate"] = std::to_string(kSampleRate);
  identity.meta["channels"] = "1";
  return identity;
}

}  // namespace

std::uint64_t wav_bytes(const BytesPtr& pcm) {
  return kWavHeaderBytes + (pcm ? g_bytes_get_size(pcm.get()) : 0);
}

std::size_t Engine::Private::queued(Access& s) const {
  std::size_t count = dispatcher->load().waiting;
  for (const Piece& piece : s->held) count += piece.skipped ? 0 : 1;
  return count;
}

void Engine::Private::hold(Access& s, Piece piece) {
  if (!piece.skipped && s->live.leaky != Leaky::kNo && queued(s) >= s->live.max_queued_chunks) {
    Piece* dropped = &piece;
    if (s->live.leaky == Leaky::kDownstream) {
      for (Piece& older : s->held) {
        if (older.skipped) continue;
        dropped = &older;
        break;
      }
    }
    dropped->skipped = SkipReason::kQueueFull;
    dropped->pcm.reset();
  }
  s->held.push_back(std::move(piece));
}

void Engine::Private::put(Piece piece) {
  auto s = state.lock();
  if (s->ending) return;
  piece.prompt = s->live.prompt;
  if (s->store_open && s->held.empty()) {
    take(std::move(s), std::move(piece));
  } else {
    hold(s, std::move(piece));
  }
}

void Engine::Private::take(Access&& s, Piece piece) {
  piece.info.index = s->next_index++;
  if (!piece.skipped) {
    accept(std::move(s), std::move(piece));
    return;
  }
  s->earlier.forget(piece.info.index);
  if (*piece.skipped == SkipReason::kQueueFull)
    append(s, ChunkQueued{std::make_shared<ChunkInfo>(piece.info),
                          kWavHeaderBytes + piece.info.payload.frames() * kBytesPerFrame});
  append(s, ChunkSkipped{std::make_shared<ChunkInfo>(std::move(piece.info)), *piece.skipped});
}

bool Engine::Private::make_room(Access& s, const Piece& piece) {
  if (s->live.leaky == Leaky::kNo || queued(s) < s->live.max_queued_chunks) return true;
  std::optional<ChunkInfo> oldest;
  if (s->live.leaky == Leaky::kDownstream) oldest = dispatcher->drop_oldest();
  if (oldest) {
    append(s,
           ChunkSkipped{std::make_shared<ChunkInfo>(std::move(*oldest)), SkipReason::kQueueFull});
    return true;
  }
  const auto info = std::make_shared<ChunkInfo>(piece.info);
  append(s, ChunkQueued{info, wav_bytes(piece.pcm)});
  append(s, ChunkSkipped{info, SkipReason::kQueueFull});
  return false;
}

void Engine::Private::accept(Access&& s, Piece piece) {
  const auto info = std::make_shared<ChunkInfo>(piece.info);
  std::optional<SkipReason> skipped;
  switch (s->earlier.compare(*info, skipped)) {
    case EarlierRun::Match::kSame:
      if (skipped) {
        append(s, ChunkSkipped{info, *skipped});
        return;
      }
      note_first(s, info->index, std::nullopt);
      append(s, ChunkDone{info, nullptr, 0, Nanoseconds(0), true});
      return;
    case EarlierRun::Match::kDifferent:
      append(s, ChunkQueued{info, wav_bytes(piece.pcm)});
      fail(std::move(s),
           {info,
            job_failure(Cause::kSettings, "source-mismatch",
                        "Chunk " + std::to_string(info->index) +
                            " differs from the one that an earlier run of this job has "
                            "transcribed; use the same source and settings, another job-id, or "
                            "resume=restart"),
            0});
      return;
    case EarlierRun::Match::kUnknown:
      break;
  }
  if (s->opened.resumed && s->opened.state == JobState::kCompleted) {
    append(s, ChunkQueued{info, wav_bytes(piece.pcm)});
    fail(std::move(s),
         {info,
          job_failure(Cause::kSettings, "source-mismatch",
                      "The job was complete, and chunk " + std::to_string(info->index) +
                          " is none of its chunks; use the same source, another job-id, or "
                          "resume=restart"),
          0});
    return;
  }
  if (!make_room(s, piece)) return;
  append(s, ChunkQueued{info, wav_bytes(piece.pcm)});
  if (s->expired) {
    s->late.push_back(*info);
  } else {
    dispatcher->submit(
        Chunk{*info, std::move(piece.pcm), piece.cut_at, piece.heard_at, std::move(piece.prompt)});
  }
  // Room may have been made by a chunk before them.
  judge_first(std::move(s));
}

void Engine::Private::fail_late() {
  std::vector<ChunkInfo> late;
  late.swap(state.lock()->late);
  for (const ChunkInfo& chunk : late) fail(chunk, out_of_time(std::nullopt), 0);
}

// What was said before the last run ended can't be heard again.
void Engine::Private::go_on_live(Access&& s) {
  if (!s->store_open || s->ending) return;
  if (!s->live_source) {
    if (s->job.state() != JobState::kQueued) s->opened.others.clear();
    return;
  }
  if (s->opened.resumed && s->opened.state == JobState::kCompleted) {
    if (!begin_end(s, JobReason::kError)) return;
    s->fatal = ChunkFailed{
        nullptr,
        job_failure(Cause::kSettings, "complete",
                    "Job \"" + config.job_id +
                        "\" is complete, and a live source can't be compared with it; use another "
                        "job-id, or resume=restart"),
        0};
    end_early(std::move(s));
    return;
  }
  for (Event& event : s->earlier.take_all(s->opened.others, s->opened.next_index)) {
    if (const auto* failed = std::get_if<ChunkFailed>(&event)) name_failed(s, *failed);
    if (!std::holds_alternative<ChunkSkipped>(event)) note_first(s, s->next_index, std::nullopt);
    append(s, std::move(event));
    s->next_index++;
  }
  s->opened.others.clear();
}

void Engine::Private::open_store() {
  RequestSettings request = config.request;
  request.prompt = config.live.prompt;
  EarlierRun earlier;
  auto opened = mirrors->open_store(identify(config, request), config.resume, earlier);
  std::optional<Failure> failure;
  if (!opened) {
    failure = job_failure(cause_of(opened.error().kind), "store", opened.error().message);
  } else if (!config.location.empty()) {
    if (const WriteStatus file =
            mirrors->open_file(config.location, config.location_format, config.job_id);
        !file)
      failure = job_failure(Cause::kConnect, "location", file.error().message);
  }
  {
    auto s = state.lock();
    s->store_open = true;
    changed.notify_all();
    if (failure) {
      if (!begin_end(s, JobReason::kError)) return;
      s->fatal = ChunkFailed{nullptr, std::move(*failure), 0};
      end_early(std::move(s));
      return;
    }
    s->opened = std::move(*opened);
    s->earlier = std::move(earlier);
    go_on_live(std::move(s));
  }
  for (;;) {
    auto s = state.lock();
    if (s->ending || s->held.empty()) {
      maybe_end(s);
      break;
    }
    Piece piece = std::move(s->held.front());
    s->held.pop_front();
    take(std::move(s), std::move(piece));
  }
  fail_late();
}

}  // namespace transcribe
