#include "job/journal_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/glib_ptr.h"
#include "base/json_text.h"
#include "job/record_fields.h"

namespace transcribe {

namespace {

constexpr int kJournalVersion = 1;

std::uint64_t milliseconds(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<Milliseconds>(time.time_since_epoch()).count());
}

std::string this_owner() { return std::to_string(getpid()) + "@" + g_get_host_name(); }

StoreRefusal refuse(StoreRefusal::Kind kind, std::string message) {
  return {kind, std::move(message)};
}

std::string why(int error) { return g_strerror(error); }

struct Header {
  std::string job_id;
  std::string fingerprint;
  std::map<std::string, std::string> meta;
};

Result<Header> parse_header(const std::string& line) {
  return RecordFields::read(line, [](RecordFields& fields) {
    Header header;
    if (fields.integer("v", 1, G_MAXINT) != kJournalVersion) fields.refuse("v");
    header.job_id = fields.text("job_id");
    header.fingerprint = fields.text("fingerprint");
    fields.each("meta", [&](RecordFields& entry) {
      header.meta[entry.text("name")] = entry.text("value");
    });
    return header;
  });
}

std::string header_line(const JobIdentity& identity, WallTime now) {
  JsonText json;
  json.number("v", kJournalVersion);
  json.text("job_id", identity.job_id);
  json.text("fingerprint", identity.fingerprint);
  json.number("created_ms", milliseconds(now));
  json.begin_array("meta");
  for (const auto& [name, value] : identity.meta) {
    json.begin_object();
    json.text("name", name);
    json.text("value", value);
    json.end_object();
  }
  json.end_array();
  return json.take();
}

std::string owner_line(WallTime now) {
  JsonText json;
  json.text("owner", this_owner());
  json.number("opened_ms", milliseconds(now));
  return json.take();
}

std::string state_line(const StateChanged& change, WallTime now) {
  JsonText json;
  json.text("state", std::string(to_string(change.state)));
  json.text("reason", std::string(to_string(change.reason)));
  json.number("at_ms", milliseconds(now));
  return json.take();
}

std::optional<JobState> state_named(const std::string& name) {
  for (const JobState state :
       {JobState::kQueued, JobState::kProcessing, JobState::kCompleted, JobState::kFailed}) {
    if (to_string(state) == name) return state;
  }
  return std::nullopt;
}

// What one line after the header says.
struct Line {
  std::string owner;
  std::optional<JobState> state;
};

std::optional<Line> parse_line(const std::string& text) {
  auto line = RecordFields::read(text, [](RecordFields& fields) {
    Line read;
    if (fields.has("owner")) {
      read.owner = fields.text("owner");
    } else {
      read.state = state_named(fields.text("state"));
      if (!read.state) fields.refuse("state");
    }
    return read;
  });
  if (!line) return std::nullopt;
  return *line;
}

}  // namespace

struct JournalStore::Contents {
  std::optional<Header> header;
  JobState state = JobState::kQueued;
  std::string owner;
  std::vector<StoredChunk> chunks;  // one per index, the last that counts
};

JournalStore::JournalStore(std::string directory, const Clock& clock, StoreObserver* observer,
                           std::size_t max_pending)
    : directory_(std::move(directory)),
      clock_(clock),
      observer_(observer),
      max_pending_(max_pending) {}

JournalStore::~JournalStore() = default;

std::string JournalStore::path(const std::string& directory, const std::string& job_id) {
  return CharPtr(g_build_filename(directory.c_str(), (job_id + ".jsonl").c_str(), nullptr)).get();
}

Status JournalStore::check(const std::string& directory) {
  if (g_mkdir_with_parents(directory.c_str(), 0777) != 0)
    return Error{"journal-directory \"" + directory + "\" can't be created: " + why(errno)};
  if (access(directory.c_str(), R_OK | W_OK | X_OK) != 0)
    return Error{"journal-directory \"" + directory + "\" can't be written: " + why(errno)};
  return Success{};
}

Result<JournalStore::Contents, StoreRefusal> JournalStore::read() {
  std::string text;
  std::vector<char> block(64 * 1024);
  for (;;) {
    const ssize_t size =
        pread(fd_.get(), block.data(), block.size(), static_cast<off_t>(text.size()));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0)
      return refuse(StoreRefusal::Kind::kUnavailable,
                    "The journal \"" + path_ + "\" can't be read: " + why(errno));
    if (size == 0) break;
    text.append(block.data(), static_cast<std::size_t>(size));
  }

  Contents contents;
  std::map<std::uint64_t, std::size_t> places;
  std::size_t begin = 0;
  for (std::size_t number = 1; begin < text.size(); number++) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (number == 1) {
      auto header = parse_header(line);
      if (header) contents.header = std::move(*header);
    } else if (auto record = from_record(line)) {
      const std::uint64_t index = chunk_of(record->outcome).index;
      const auto [place, added] = places.emplace(index, contents.chunks.size());
      if (added) {
        contents.chunks.push_back(std::move(*record));
      } else {
        contents.chunks[place->second] = std::move(*record);
      }
      continue;
    } else if (const auto other = parse_line(line)) {
      if (!other->owner.empty()) contents.owner = other->owner;
      if (other->state) contents.state = *other->state;
      continue;
    }
    if (number > 1 || !contents.header)
      return refuse(StoreRefusal::Kind::kSettings,
                    "Line " + std::to_string(number) + " of the journal \"" + path_ +
                        "\" is damaged; move the file away, or start anew with resume=restart");
  }
  // A torn last line: its chunk is sent again.
  if (begin < text.size() && ftruncate(fd_.get(), static_cast<off_t>(begin)) != 0)
    return refuse(StoreRefusal::Kind::kUnavailable,
                  "The journal \"" + path_ + "\" can't be written: " + why(errno));
  size_ = static_cast<off_t>(begin);
  return contents;
}

Result<OpenedJob, StoreRefusal> JournalStore::open(const JobIdentity& identity, ResumePolicy policy,
                                                   const std::function<void(StoredChunk&&)>& found,
                                                   const std::function<void(const std::string&)>&) {
  auto opened = take(identity, policy, found);
  if (!opened) fd_.reset();
  return opened;
}

std::optional<StoreRefusal> JournalStore::claim(const JobIdentity& identity) {
  auto refusal = lock(identity.job_id, 0);
  if (refusal) fd_.reset();
  return refusal;
}

std::optional<StoreRefusal> JournalStore::lock(const std::string& job_id, int flags) {
  if (fd_) return std::nullopt;
  path_ = path(directory_, job_id);
  fd_.reset(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0666));
  if (!fd_ && errno == ENOENT && flags == 0) return std::nullopt;
  if (!fd_)
    return refuse(StoreRefusal::Kind::kUnavailable, "The journal \"" + path_ +
                                                        "\" can't be opened: " + why(errno) +
                                                        "; check journal-directory");
  const bool locked = flock(fd_.get(), LOCK_EX | LOCK_NB) == 0;
  const int lock_error = errno;
  if (!locked && lock_error != EWOULDBLOCK)
    return refuse(StoreRefusal::Kind::kUnavailable,
                  "The journal \"" + path_ + "\" can't be locked: " + why(lock_error));
  if (!locked) {
    // Only to tell who it is; a living owner's file is not touched.
    std::string owner = "another process";
    CharPtr text;
    if (g_file_get_contents(path_.c_str(), out(text), nullptr, nullptr)) {
      const std::string all = text.get();
      const std::size_t at = all.rfind("{\"owner\":");
      if (at != std::string::npos) {
        if (const auto line = parse_line(all.substr(at, all.find('\n', at) - at)))
          owner = line->owner;
      }
    }
    return refuse(StoreRefusal::Kind::kBusy, "Job \"" + job_id + "\" is in work by " + owner +
                                                 "; wait for its end or use another job-id");
  }
  return std::nullopt;
}

Result<OpenedJob, StoreRefusal> JournalStore::take(
    const JobIdentity& identity, ResumePolicy policy,
    const std::function<void(StoredChunk&&)>& found) {
  if (auto refusal = lock(identity.job_id, O_CREAT)) return std::move(*refusal);
  if (policy == ResumePolicy::kRestart && ftruncate(fd_.get(), 0) != 0)
    return refuse(StoreRefusal::Kind::kUnavailable,
                  "The journal \"" + path_ + "\" can't be written: " + why(errno));
  auto contents = read();
  if (!contents) return contents.error();

  OpenedJob opened;
  std::uint64_t failed = 0;
  if (contents->header) {
    const Header& header = *contents->header;
    if (header.job_id != identity.job_id)
      return refuse(StoreRefusal::Kind::kSettings,
                    "The journal \"" + path_ + "\" belongs to job \"" + header.job_id + "\"");
    if (header.fingerprint != identity.fingerprint)
      return refuse(StoreRefusal::Kind::kSettings,
                    "Job \"" + identity.job_id +
                        "\" was begun with other settings; use the same ones, another job-id, or "
                        "resume=restart");
    opened.resumed = true;
    opened.state = contents->state;
    opened.meta = header.meta;
    for (const StoredChunk& chunk : contents->chunks)
      failed += std::holds_alternative<ChunkFailed>(chunk.outcome) ? 1 : 0;
    if (opened.state == JobState::kFailed && failed > 0 && policy == ResumePolicy::kAuto)
      return refuse(StoreRefusal::Kind::kSettings,
                    "Job \"" + identity.job_id + "\" ended with " + std::to_string(failed) +
                        " failed chunks; send them again with resume=retry-failed, or start anew "
                        "with resume=restart");
  }

  replay_ = opened.state == JobState::kCompleted;
  stored_.clear();
  kept_.clear();
  for (StoredChunk& chunk : contents->chunks) {
    const auto* skipped = std::get_if<ChunkSkipped>(&chunk.outcome);
    const bool dropped = skipped != nullptr && skipped->reason != SkipReason::kSilence;
    const std::uint64_t index = chunk_of(chunk.outcome).index;
    opened.next_index = std::max(opened.next_index, index + 1);
    if (std::holds_alternative<ChunkDone>(chunk.outcome) || (replay_ && dropped)) {
      stored_.insert(index);
      found(std::move(chunk));
    } else if (skipped != nullptr || policy != ResumePolicy::kRetryFailed) {
      kept_.insert(index);
      opened.others.push_back(std::move(chunk.outcome));
    }
  }
  if (!opened.resumed) append(header_line(identity, clock_.wall_now()));
  if (!replay_) append(owner_line(clock_.wall_now()));
  if (Status status = flush(); !status)
    return refuse(StoreRefusal::Kind::kUnavailable, status.error().message);
  return opened;
}

Status JournalStore::record(std::span<const Event> events) {
  if (replay_) return Success{};
  for (const Event& event : events) add(event);
  return flush();
}

void JournalStore::add(const Event& event) {
  if (const auto* change = std::get_if<StateChanged>(&event)) {
    append(state_line(*change, clock_.wall_now()));
  } else if (const auto* done = std::get_if<ChunkDone>(&event)) {
    const std::uint64_t index = done->chunk->index;
    if (stored_.erase(index) > 0) {
      pending_chunks_.push_back(index);
    } else {
      append_result(index, to_record(*done, done->chunk->sha256));
    }
  } else if (const auto* failed = std::get_if<ChunkFailed>(&event)) {
    if (!is_kept(*failed))
      append_result(failed->chunk->index, to_record(*failed, failed->chunk->sha256));
  } else if (const auto* skipped = std::get_if<ChunkSkipped>(&event)) {
    if (!is_kept(*skipped))
      append_result(skipped->chunk->index, to_record(*skipped, skipped->chunk->sha256));
  }
}

bool JournalStore::is_kept(const Outcome& outcome) const {
  return is_resumed(outcome) && kept_.contains(chunk_of(outcome).index);
}

Status JournalStore::finish() {
  Status status = flush();
  if (status) fd_.reset();
  return status;
}

void JournalStore::append(std::string line) { pending_ += std::move(line) + "\n"; }

void JournalStore::append_result(std::uint64_t index, std::string line) {
  if (pending_.size() + line.size() >= max_pending_) {
    lost_++;
    return;
  }
  append(std::move(line));
  pending_chunks_.push_back(index);
}

Status JournalStore::flush() {
  const Status written = write_pending();
  if (written) {
    const auto chunks = std::exchange(pending_chunks_, {});
    if (observer_ != nullptr && !chunks.empty()) observer_->on_stored(chunks);
  }
  if (lost_ == 0) return written;
  return Error{"The journal \"" + path_ + "\" lacks " + std::to_string(lost_) +
               " results, for it could not be written for too long; a run that resumes the job "
               "sends these chunks again" +
               (written ? "" : ". " + written.error().message)};
}

Status JournalStore::write_pending() {
  if (pending_.empty()) return Success{};
  const auto fail = [&](int error) -> Status {
    // No half line stays: what follows would be glued to it.
    if (ftruncate(fd_.get(), size_) != 0) error = errno;
    return Error{"The journal \"" + path_ + "\" can't be written: " + why(error)};
  };
  std::size_t written = 0;
  while (written < pending_.size()) {
    const ssize_t size = write_quietly_at(fd_.get(), std::string_view(pending_).substr(written),
                                          size_ + static_cast<off_t>(written));
    if (size <= 0) return fail(size == 0 ? EIO : errno);
    written += static_cast<std::size_t>(size);
  }
  if (fdatasync(fd_.get()) != 0) return fail(errno);
  size_ += static_cast<off_t>(pending_.size());
  pending_.clear();
  return Success{};
}

}  // namespace transcribe
