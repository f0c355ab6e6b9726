#include "mirrors.h"

#include <utility>

namespace transcribe {

namespace {

constexpr std::size_t kMaxEndText = 1024 * 1024;

}  // namespace

Mirrors::Mirrors(EngineObserver& observer, std::unique_ptr<TranscriptWriter> writer)
    : observer_(observer), writer_(std::move(writer)) {}

void Mirrors::tell(const Event& event, const Counters& counters) {
  store_.record(event);
  std::optional<Outcome> outcome;
  if (const auto* change = std::get_if<StateChanged>(&event)) {
    // The last change is told with the end, behind all results.
    if (change->state == JobState::kProcessing || !change->previous)
      observer_.on_state(*change, counters);
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

// What was settled behind an unsettled chunk is still told; the holes stay visible in the file.
void Mirrors::release_rest(const std::vector<ChunkInfo>& unsettled, const Counters& counters) {
  auto hole = unsettled.begin();
  const auto holes_before = [&](std::uint64_t index) {
    for (; hole != unsettled.end() && hole->index < index; ++hole) {
      if (writer_) note_file(writer_->write_unsettled(*hole));
    }
  };
  for (const Released& released : joiner_.finish()) {
    holes_before(chunk_of(released.outcome).index);
    release(released, counters);
  }
  holes_before(UINT64_MAX);
}

void Mirrors::tell_end(JobEnd end, const std::vector<ChunkInfo>& unsettled) {
  release_rest(unsettled, end.counters);
  end.text = std::move(text_);
  end.text_truncated = text_truncated_;
  if (writer_) {
    if (const WriteStatus status = writer_->finish(end.state, store_); !status)
      end.incomplete_file = status.error();
  }
  if (end.reason == JobReason::kStopped) {
    observer_.on_stopped(end.counters);
  } else {
    observer_.on_end(end);
  }
}

}  // namespace transcribe
