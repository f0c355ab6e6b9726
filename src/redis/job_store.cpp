#include "redis/job_store.h"

#include <algorithm>
#include <optional>

#include "job/chunk_record.h"
#include "redis/job_mirror.h"
#include "redis/job_opening.h"
#include "redis/job_session.h"

namespace transcribe {
namespace {

// A best-effort start does not wait longer for a server.
constexpr Milliseconds kPatience{2000};

StoreRefusal unavailable(const std::string& address, const RedisError& error) {
  return {StoreRefusal::Kind::kUnavailable,
          "The job can't be stored in Redis at " + address + ": " + error.message +
              "; check redis-uri and the server, or go on without it with "
              "redis-policy=best-effort"};
}

bool is_dropped(const Outcome& outcome) {
  const auto* skipped = std::get_if<ChunkSkipped>(&outcome);
  return skipped != nullptr && skipped->reason != SkipReason::kSilence;
}

}  // namespace

struct RedisJobStore::Private {
  Private(RedisJobSettings s, StoreObserver& o, const Clock& c, const Log& l)
      : settings(std::move(s)), observer(o), clock(c), log(l) {}

  Status hand_over(const std::function<void(StoredChunk&&)>& found, bool replay,
                   OpenedJob& opened) const;

  const RedisJobSettings settings;
  StoreObserver& observer;
  const Clock& clock;
  const Log& log;
  JobOpening opening;
  std::optional<JobSession> session;
  std::optional<JobMirror> mirror;  // after a start that leaves something to store
};

RedisJobStore::RedisJobStore(RedisJobSettings settings, StoreObserver& observer, const Clock& clock,
                             const Log& log)
    : d_(std::make_unique<Private>(std::move(settings), observer, clock, log)) {}

RedisJobStore::~RedisJobStore() = default;

Status RedisJobStore::Private::hand_over(const std::function<void(StoredChunk&&)>& found,
                                         bool replay, OpenedJob& opened) const {
  return session->outbox.for_each_known([&](const std::string& record) {
    auto stored = from_record(record);
    if (!stored) return true;
    opened.next_index = std::max(opened.next_index, chunk_of(stored->outcome).index + 1);
    const bool done = std::holds_alternative<ChunkDone>(stored->outcome);
    if (done || (replay && is_dropped(stored->outcome))) {
      found(std::move(*stored));
    } else {
      opened.others.push_back(std::move(stored->outcome));
    }
    return true;
  });
}

Result<OpenedJob, StoreRefusal> RedisJobStore::open(
    const JobIdentity& identity, ResumePolicy policy,
    const std::function<void(StoredChunk&&)>& found,
    const std::function<void(const std::string&)>& waiting) {
  d_->session.emplace(d_->settings, identity, policy, d_->clock, d_->log);
  JobSession& session = *d_->session;
  const bool required = d_->settings.required;
  JobOpening::Outcome outcome =
      d_->opening.run(session, required ? d_->settings.timeout : kPatience, waiting);
  session.link.set_timeout(d_->settings.timeout);

  const bool failed =
      outcome.end == JobOpening::End::kOutage || outcome.end == JobOpening::End::kHopeless;
  const bool refused = outcome.end == JobOpening::End::kRefused;
  if (refused || (failed && required)) {
    session.let_go();
    if (refused) return std::move(outcome.refusal);
    return unavailable(session.link.address(), outcome.error);
  }

  OpenedJob opened;
  const bool replay = outcome.end == JobOpening::End::kReplay;
  opened.resumed = replay || session.ownership.resumed;
  opened.state = replay ? JobState::kCompleted
                        : job_state_named(session.ownership.previous).value_or(JobState::kQueued);
  opened.meta = session.meta;
  opened.next_index = session.total;
  if (const Status status = d_->hand_over(found, replay, opened); !status) {
    session.let_go();
    return StoreRefusal{StoreRefusal::Kind::kUnavailable, status.error().message};
  }
  if (replay) {
    session.link.close();
    return opened;
  }
  d_->mirror.emplace(session, d_->observer);
  d_->mirror->start(failed ? std::optional(outcome.error) : std::nullopt);
  return opened;
}

void RedisJobStore::cancel_open() { d_->opening.cancel(); }

void RedisJobStore::stop_waiting() { d_->opening.stop_waiting(); }

Status RedisJobStore::record(std::span<const Event> events) {
  if (d_->mirror) {
    for (const Event& event : events) d_->mirror->record(event);
  }
  return Success{};
}

Status RedisJobStore::finish() {
  if (!d_->mirror) return Success{};
  return d_->mirror->finish(d_->settings.flush_timeout);
}

}  // namespace transcribe
