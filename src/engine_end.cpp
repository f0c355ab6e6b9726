#include <algorithm>
#include <iterator>
#include <utility>

#include "engine_private.h"

namespace transcribe {

namespace {

constexpr std::size_t kMaxNamedChunks = 20;

// For what it is; the statuses that are tried again speak of the moment.
bool rejected(const Failure& failure) {
  if (failure.severity != Severity::kChunk || failure.cause == Cause::kTimeBudget) return false;
  switch (failure.http_status) {
    case 408:
    case 409:
    case 425:
    case 429:
    case 498:
      return false;
    default:
      return failure.http_status >= 400 && failure.http_status < 500;
  }
}

JobState state_after(JobReason reason) {
  switch (reason) {
    case JobReason::kEndOfStream:
      return JobState::kCompleted;
    case JobReason::kStopped:
      return JobState::kQueued;
    default:
      return JobState::kFailed;
  }
}

}  // namespace

Failure job_failure(Cause cause, std::string reason, std::string message) {
  Failure failure;
  failure.severity = Severity::kJob;
  failure.cause = cause;
  failure.reason = std::move(reason);
  failure.message = std::move(message);
  return failure;
}

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

std::string named_chunks(const std::set<std::uint64_t>& indices) {
  std::string text;
  std::size_t named = 0;
  for (const std::uint64_t index : indices) {
    if (named == kMaxNamedChunks) return text + ", …";
    text += (named++ == 0 ? "" : ", ") + std::to_string(index);
  }
  return text;
}

bool Engine::Private::begin_end(Access& s, JobReason reason) {
  if (s->ending) return false;
  s->ending = true;
  s->end_reason = reason;
  s->alarm.reset();
  changed.notify_all();
  return true;
}

// A worker may be between "settled" in the dispatcher and its observer call; the end waits for it,
// so that no result is lost and none comes after the end.
void Engine::Private::maybe_end(Access& s) {
  if (!s->ending && s->finishing && s->store_open && s->held.empty() && s->job.open() == 0) {
    if (const auto missing = s->earlier.missing()) {
      begin_end(s, JobReason::kError);
      s->fatal = ChunkFailed{
          std::make_shared<ChunkInfo>(*missing),
          job_failure(Cause::kSettings, "source-mismatch",
                      "The source ends before chunk " + std::to_string(missing->index) +
                          ", which an earlier run of this job has transcribed; use the same "
                          "source, another job-id, or resume=restart"),
          0};
    }
    begin_end(s, s->job.counters().failed > 0 ? JobReason::kChunksFailed : JobReason::kEndOfStream);
    s->stopped = true;
  }
  if (!s->stopped || s->end_logged || s->job.open() != s->unsettled.size()) return;
  s->end_logged = true;

  const bool ours = s->end_reason != JobReason::kTakenOver;
  // A job that is refused before it began passes through PROCESSING too.
  if (s->job.state() == JobState::kQueued && ours && s->end_reason != JobReason::kStopped)
    append(s, StateChanged{JobState::kProcessing, JobState::kQueued, JobReason::kStart});
  const JobState previous = s->job.state();
  const JobState next = ours ? state_after(s->end_reason) : previous;
  if (previous != next) {
    StateChanged change{next, previous, s->end_reason};
    const auto& error = s->fatal ? s->fatal : s->first_failed;
    if (next == JobState::kFailed && error) change.error = std::make_shared<ChunkFailed>(*error);
    append(s, std::move(change));
  }
  std::sort(s->unsettled.begin(), s->unsettled.end(),
            [](const ChunkInfo& a, const ChunkInfo& b) { return a.index < b.index; });
  s->log.push_back({End{std::move(s->unsettled), next, s->end_reason}, s->job.counters()});
  changed.notify_all();
}

void Engine::Private::end_early(Access&& access) {
  { const Access released = std::move(access); }
  mirrors->cancel_open();
  const auto unsettled = dispatcher->cancel();
  auto s = state.lock();
  s->stopped = true;
  for (Piece& piece : s->held) {
    if (piece.skipped) continue;
    piece.info.index = s->next_index++;
    append(s, ChunkQueued{std::make_shared<ChunkInfo>(piece.info), wav_bytes(piece.pcm)});
    s->unsettled.push_back(piece.info);
  }
  s->held.clear();
  s->unsettled.insert(s->unsettled.end(), unsettled.begin(), unsettled.end());
  maybe_end(s);
}

void Engine::Private::end_job(JobReason reason, Failure failure) {
  auto s = state.lock();
  if (!begin_end(s, reason)) {
    if (reason == JobReason::kTakenOver) s->lost = std::move(failure);
    return;
  }
  s->fatal = ChunkFailed{nullptr, std::move(failure), 0};
  end_early(std::move(s));
}

void Engine::Private::name_failed(Access& s, const ChunkFailed& event) {
  if (!s->first_failed || event.chunk->index < s->first_failed->chunk->index)
    s->first_failed = event;
  auto& indices = s->failed_chunks;
  indices.insert(event.chunk->index);
  if (indices.size() > kMaxNamedChunks + 1) indices.erase(std::prev(indices.end()));
}

void Engine::Private::fail(const ChunkInfo& chunk, const Failure& failure, unsigned attempts) {
  fail(state.lock(), ChunkFailed{std::make_shared<ChunkInfo>(chunk), failure, attempts});
}

void Engine::Private::fail(Access&& s, ChunkFailed event) {
  const ChunkInfo& chunk = *event.chunk;
  const Failure& failure = event.failure;
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

  name_failed(s, event);
  if (event.attempts > 0)
    note_first(s, chunk.index, rejected(failure) ? std::optional(event) : std::nullopt);
  append(s, event);
  if (s->live.on_error == OnError::kAbort && begin_end(s, JobReason::kError)) {
    s->fatal = std::move(event);
    end_early(std::move(s));
    return;
  }
  judge_first(std::move(s));
}

void Engine::Private::note_first(Access& s, std::uint64_t index,
                                 std::optional<ChunkFailed> rejection) {
  auto& first = s->first_outcomes;
  first.insert_or_assign(index, std::move(rejection));
  if (first.size() > kRejectedAlike) first.erase(std::prev(first.end()));
}

void Engine::Private::judge_first(Access&& s) {
  const auto& first = s->first_outcomes;
  const auto alike = [&](const auto& outcome) {
    const auto& one = outcome.second;
    const auto& last = first.rbegin()->second;
    return one && last && one->failure.http_status == last->failure.http_status &&
           one->failure.error_code == last->failure.error_code;
  };
  // While one of those before is open, these need not be the first.
  const auto one_is_open = [&] {
    std::uint64_t index = 0;
    while (index < first.rbegin()->first && !s->job.is_open(index)) index++;
    return index < first.rbegin()->first;
  };
  if (first.size() < kRejectedAlike || !std::all_of(first.begin(), first.end(), alike) ||
      one_is_open() || !begin_end(s, JobReason::kError)) {
    maybe_end(s);
    return;
  }
  ChunkFailed fatal = *first.rbegin()->second;
  fatal.failure.cause = Cause::kRejectedAlike;
  fatal.failure.reason = "rejected";
  fatal.failure.message =
      "The first chunks were all rejected alike, so the job ends. " + fatal.failure.message;
  s->fatal = std::move(fatal);
  end_early(std::move(s));
}

void Engine::Private::on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept {
  auto s = state.lock();
  // One that was on its way when the job ended, or at a flush.
  if (s->end_logged || !s->job.is_open(chunk.index)) return;
  append(s, ChunkAttempt{std::make_shared<ChunkInfo>(chunk), attempt});
}

void Engine::Private::on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                               const Failure& failure) noexcept {
  auto s = state.lock();
  if (s->end_logged || !s->job.is_open(chunk.index)) return;
  append(s, ChunkRetry{std::make_shared<ChunkInfo>(chunk), next_attempt, delay, failure});
}

void Engine::Private::on_done(const ChunkInfo& chunk, Transcription&& transcription,
                              unsigned attempts, Nanoseconds latency) noexcept {
  auto s = state.lock();
  note_first(s, chunk.index, std::nullopt);
  append(s, ChunkDone{std::make_shared<ChunkInfo>(chunk),
                      std::make_shared<Transcription>(std::move(transcription)), attempts, latency,
                      false, clock.now()});
  maybe_end(s);
}

void Engine::Private::on_failed(const ChunkInfo& chunk, const Failure& failure,
                                unsigned attempts) noexcept {
  fail(chunk, failure, attempts);
}

void Engine::Private::note_store(StoreNote note) {
  auto s = state.lock();
  // What comes while the end is stored is told with it.
  if (s->end_logged) return;
  s->log.push_back({std::move(note), s->job.counters()});
  changed.notify_all();
}

void Engine::Private::on_stored(const std::vector<std::uint64_t>& indices) noexcept {
  dispatcher->stored(indices);
}

void Engine::Private::on_store_error(const std::string& message) noexcept {
  dispatcher->wait_for_store(false);
  note_store({StoreNote::Kind::kError, message});
}

void Engine::Private::on_store_recovered() noexcept {
  dispatcher->wait_for_store(true);
  note_store({StoreNote::Kind::kRecovered, ""});
}

void Engine::Private::on_store_off(const std::string& message) noexcept {
  dispatcher->wait_for_store(false);
  note_store({StoreNote::Kind::kOff, message});
}

void Engine::Private::on_taken_over(const std::string& message) noexcept {
  end_job(JobReason::kTakenOver, job_failure(Cause::kBusy, "taken-over", message));
}

void Engine::Private::on_cancel_requested(const std::string& note) noexcept {
  end_job(JobReason::kCancelled, job_failure(Cause::kCancelled, "cancelled",
                                             "The job was cancelled in its store: " + note +
                                                 ". Start it again to go on with what is missing"));
}

}  // namespace transcribe
