#include "mirrors.h"

#include <algorithm>
#include <utility>

#include "transcript/guards.h"

namespace transcribe {

namespace {

constexpr std::size_t kMaxEndText = 1024 * 1024;

// In the place of a result that is in the store, so its text is not lost, only from this run.
ChunkFailed unreadable(const ChunkDone& done, const std::string& why) {
  Failure failure;
  failure.severity = Severity::kChunk;
  failure.cause = Cause::kStore;
  failure.reason = "store";
  failure.message = why;
  return {done.chunk, std::move(failure), 0};
}

// The change that ends the run.
bool is_last(const Event& event) {
  const auto* change = std::get_if<StateChanged>(&event);
  return change != nullptr && change->previous && change->state != JobState::kProcessing;
}

}  // namespace

Mirrors::Mirrors(EngineObserver& observer, std::unique_ptr<PersistentStore> store,
                 const Clock& clock, CarriedContext* context, bool drop_suspect)
    : observer_(observer),
      persistent_(std::move(store)),
      clock_(clock),
      context_(context),
      drop_suspect_(drop_suspect) {}

Result<OpenedJob, StoreRefusal> Mirrors::open_store(const JobIdentity& identity,
                                                    ResumePolicy policy, EarlierRun& earlier) {
  auto opened = persistent_->open(
      identity, policy,
      [&](StoredChunk&& chunk) {
        EarlierRun::Settled settled{chunk_of(chunk.outcome), std::nullopt};
        settled.chunk.sha256 = chunk.sha256;
        if (const auto* skipped = std::get_if<ChunkSkipped>(&chunk.outcome))
          settled.skipped = skipped->reason;
        earlier.add(std::move(settled));
        recovered_.record(
            std::visit([](const auto& outcome) { return Event(outcome); }, chunk.outcome));
      },
      [this](const std::string& message) { observer_.on_store_waiting(message); });
  if (!opened) return opened.error();
  stored_ = true;
  resumed_ = opened->resumed;
  return opened;
}

void Mirrors::cancel_open() {
  if (persistent_) persistent_->cancel_open();
}

void Mirrors::stop_waiting() {
  if (persistent_) persistent_->stop_waiting();
}

WriteStatus Mirrors::open_file(const std::string& location, TranscriptFormat format,
                               const std::string& job_id) {
  auto writer = TranscriptWriter::open(location, format, job_id, resumed_);
  if (!writer) return writer.error();
  writer_ = std::move(*writer);
  return Success{};
}

// The place of a result of an earlier run is this run's, its text the stored one.
void Mirrors::recover(Event& event) {
  auto* done = std::get_if<ChunkDone>(&event);
  if (done == nullptr || done->transcription) return;
  const auto stored = recovered_.find(done->chunk->index);
  if (stored) {
    const auto& earlier = std::get<ChunkDone>(*stored);
    done->transcription = earlier.transcription;
    done->attempts = earlier.attempts;
    done->latency = earlier.latency;
    return;
  }
  const std::string& why = stored.error().message;
  if (!unreadable_) unreadable_ = WriteError{why + "; start the job again"};
  event = unreadable(*done, why);
}

// Anew with every run: the stored result is the service's, what to do with it this run's.
void Mirrors::judge(Event& event) const {
  auto* done = std::get_if<ChunkDone>(&event);
  if (done == nullptr || !done->transcription) return;
  done->suspect = find_suspicions(*done->transcription, *done->chunk);
  done->dropped = drop_suspect_ && !done->suspect.empty();
}

bool Mirrors::store(std::span<Event> events) {
  std::vector<Event> stored;
  stored.reserve(events.size());
  for (Event& event : events) {
    const std::size_t kind = event.index();
    recover(event);
    judge(event);
    if (is_last(event)) {
      last_ = event;
      continue;
    }
    // What the store holds is not overwritten with a failure to read it.
    if (stored_ && event.index() == kind) stored.push_back(event);
  }
  if (stored.empty()) return true;
  const Status status = persistent_->record(stored);
  note_store(status);
  return status.ok();
}

void Mirrors::tell(const Event& event, const Counters& counters) {
  if (writer_ && writer_->reads_store()) store_.record(event);
  std::optional<Outcome> outcome;
  if (const auto* change = std::get_if<StateChanged>(&event)) {
    if (!is_last(event)) observer_.on_state(*change, counters);
  } else if (const auto* queued = std::get_if<ChunkQueued>(&event)) {
    observer_.on_queued(*queued, counters);
  } else if (const auto* retry = std::get_if<ChunkRetry>(&event)) {
    observer_.on_retry(*retry);
  } else if (const auto* done = std::get_if<ChunkDone>(&event)) {
    outcome = *done;
  } else if (const auto* failed = std::get_if<ChunkFailed>(&event)) {
    outcome = *failed;
  } else if (const auto* skipped = std::get_if<ChunkSkipped>(&event)) {
    outcome = *skipped;
  }
  if (!outcome) return;
  for (const Released& released : joiner_.add(std::move(*outcome))) release(released, counters);
}

void Mirrors::release(const Released& released, const Counters& counters) {
  if (context_) context_->add(released);
  const auto* done = released.outcome ? std::get_if<ChunkDone>(&*released.outcome) : nullptr;
  if (done != nullptr && !done->resumed) {
    const Nanoseconds delay = done->latency + (clock_.now() - done->answered_at);
    max_delay_ = std::max(max_delay_.load(), delay.count());
  }
  if (released.text && !text_truncated_) {
    if (text_.size() + released.text->text.size() <= kMaxEndText) {
      text_ += released.text->text;
    } else {
      text_truncated_ = true;
    }
  }
  if (writer_) note_file(writer_->write(released));
  observer_.on_released(released, counters);
}

void Mirrors::note_file(const WriteStatus& status) {
  if (status.ok() == !file_failing_) return;
  file_failing_ = !status.ok();
  if (file_failing_) {
    observer_.on_file_error(status.error());
  } else {
    observer_.on_file_recovered();
  }
}

void Mirrors::tell_store(const StoreNote& note) {
  switch (note.kind) {
    case StoreNote::Kind::kError:
      outage_told_ = true;
      observer_.on_store_error(note.message);
      break;
    case StoreNote::Kind::kRecovered:
      outage_told_ = false;
      observer_.on_store_recovered();
      break;
    case StoreNote::Kind::kOff:
      store_off_ = true;
      observer_.on_store_off(note.message);
      break;
  }
}

void Mirrors::note_store(const Status& status) {
  if (status.ok() == !store_failing_) return;
  store_failing_ = !status.ok();
  if (store_failing_) {
    observer_.on_store_error(status.error().message);
  } else {
    observer_.on_store_recovered();
  }
}

// What was settled behind an unsettled chunk is still told; the holes stay visible in the file.
void Mirrors::release_rest(const std::vector<ChunkInfo>& unsettled, const Counters& counters) {
  auto hole = unsettled.begin();
  const auto holes_before = [&](std::uint64_t index) {
    for (; hole != unsettled.end() && hole->index < index; ++hole) {
      if (writer_) note_file(writer_->write_unsettled(*hole));
    }
  };
  for (const Released& released : joiner_.finish()) {
    if (released.outcome) holes_before(chunk_of(*released.outcome).index);
    release(released, counters);
  }
  holes_before(UINT64_MAX);
}

void Mirrors::finish_file(JobEnd& end, bool whole) {
  if (!writer_) return;
  if (const WriteStatus status = writer_->finish(end.state, store_, whole); !status)
    end.incomplete_file = status.error();
}

JobEnd Mirrors::tell_end(JobEnd end, const std::vector<ChunkInfo>& unsettled) {
  const bool whole =
      end.reason == JobReason::kEndOfStream || end.reason == JobReason::kChunksFailed;
  // An earlier run's file may hold more than this one: holes must not push it aside.
  const bool early = resumed_ && !whole;
  if (early) {
    finish_file(end, false);
    writer_.reset();
  }
  release_rest(unsettled, end.counters);
  end.text = std::move(text_);
  end.text_truncated = text_truncated_;
  if (!early) finish_file(end, whole);
  if (!end.incomplete_file) end.incomplete_file = std::move(unreadable_);
  if (end.reason != JobReason::kStopped && end.reason != JobReason::kTakenOver)
    observer_.on_complete(end);
  if (stored_) {
    if (last_) note_store(persistent_->record(*last_));
    if (const Status status = persistent_->finish(); !status) {
      end.unstored = status.error().message;
      // Told already, or it is not ours.
      const bool told = store_off_ || end.reason == JobReason::kTakenOver;
      if (!told && !outage_told_) note_store(status);
      // What was promised at the outage did not come true; where it must be, the end is an error.
      if (!told && outage_told_ && !end.must_be_stored) observer_.on_store_error(end.unstored);
    } else if (outage_told_ || store_failing_) {
      observer_.on_store_recovered();
    }
  }
  return end;
}

void Mirrors::close(const JobEnd& end) {
  if (end.reason == JobReason::kStopped) {
    observer_.on_stopped(end.counters);
  } else {
    observer_.on_end(end);
  }
}

}  // namespace transcribe
