#include "job_follow.h"

#include <optional>
#include <thread>
#include <utility>

#include "redis/reconnect.h"

using transcribe::RedisResult;
using transcribe::Reply;
using transcribe::Success;

namespace {

constexpr char kBlockMs[] = "2000";

std::string clean(const std::string& text) { return printable(text.c_str()); }

struct Entry {
  std::string id;
  std::map<std::string, std::string> event;
};

RedisResult<std::vector<Entry>> read_entries(const Reply& list) {
  std::vector<Entry> entries;
  for (const Reply& item : list.elements) {
    if (item.elements.size() != 2 || item.elements[0].text.empty())
      return transcribe::RedisError{transcribe::RedisFault::kOther, "Redis gave no list of events"};
    Entry& entry = entries.emplace_back();
    entry.id = item.elements[0].text;
    const auto words = texts(item.elements[1]);
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) entry.event[words[i]] = words[i + 1];
  }
  return entries;
}

// What XREAD says of its only stream.
RedisResult<std::vector<Entry>> read_stream(const Reply& reply) {
  if (reply.elements.empty()) return std::vector<Entry>();
  const auto& stream = reply.elements.front().elements;
  return read_entries(stream.size() == 2 ? stream[1] : reply);
}

std::string at(const std::map<std::string, std::string>& event, const char* name) {
  const auto found = event.find(name);
  return found == event.end() ? "" : found->second;
}

}  // namespace

ExitCode JobFollower::run() {
  transcribe::ReconnectPolicy policy(static_cast<std::uint64_t>(g_get_real_time()));
  while (!over_) {
    const auto result = step();
    if (result) {
      if (policy.failures() > 0) screen_.info("Redis is back.");
      policy.succeeded();
      continue;
    }
    const bool first = policy.failures() == 0;
    const auto delay = policy.failed(result.error().fault);
    if (!delay || last_.empty()) {
      screen_.problem("transcribe: " + result.error().message);
      return kError;
    }
    if (first) screen_.problem("No answer from Redis; trying again. " + result.error().message);
    std::this_thread::sleep_for(*delay);
  }
  return code_;
}

RedisResult<Success> JobFollower::step() {
  if (last_.empty())
    if (const auto begun = begin(); !begun) return begun.error();
  // Before the events: what is read after the end is complete.
  const auto before = redis_.ask_all({{"GET", keys_.state}});
  if (!before) return before.error();
  const std::string state = before->front().text;
  const bool ended = state == "COMPLETED" || state == "FAILED";

  transcribe::Command question = {"XREAD", "COUNT", "100"};
  if (!ended) question.insert(question.end(), {"BLOCK", kBlockMs});
  question.insert(question.end(), {"STREAMS", keys_.stream, last_});
  const auto read = redis_.ask_all({question});
  if (!read) return read.error();
  const auto entries = read_stream(read->front());
  if (!entries) return entries.error();
  for (const Entry& entry : *entries) {
    if (const auto taken = take(entry.event); !taken) return taken.error();
    last_ = entry.id;
  }
  if (!entries->empty()) return Success{};
  if (ended) return finish(state);
  if (state.empty() && !std::exchange(waiting_, true)) {
    screen_.info(state_.empty() ? "Waiting for the job " + id_ + "."
                                : "The job is gone; waiting for it.");
  }
  return Success{};
}

// Where the events stand first, then the keys: nothing falls between.
RedisResult<Success> JobFollower::begin() {
  const auto replies = redis_.ask_all({{"XREVRANGE", keys_.stream, "+", "-", "COUNT", "1"},
                                       {"HMGET", keys_.meta, "state", "reason"}});
  if (!replies) return replies.error();
  std::string last = "0-0";
  std::int64_t seq = 0;
  const auto newest = read_entries(replies->front());
  if (!newest) return newest.error();
  if (!newest->empty()) {
    last = newest->front().id;
    seq = number(at(newest->front().event, "seq"));
  }
  if (const auto all = read_keys(); !all) return all.error();
  const auto meta = texts(replies->at(1), 2);
  if (!meta[0].empty()) tell_state(meta[0], meta[1]);
  last_ = last;
  seq_ = seq;
  return Success{};
}

RedisResult<Success> JobFollower::read_keys() {
  const auto meta = redis_.ask_all({{"HMGET", keys_.meta, "created_ms", "restored_ms"}});
  if (!meta) return meta.error();
  const auto times = texts(meta->front(), 2);
  // Equal: Redis had lost when that was; the job is the same.
  if (times[0] != times[1]) start_over(number(times[0]));
  auto chunks = redis_.records(keys_.chunks);
  if (!chunks) return chunks.error();
  auto failed = redis_.records(keys_.errors);
  if (!failed) return failed.error();
  chunks->merge(*failed);
  for (const auto& [index, record] : *chunks) show(index, record);
  return Success{};
}

RedisResult<Success> JobFollower::take(const Event& event) {
  const std::int64_t seq = number(at(event, "seq"));
  if (seq > seq_ + 1) {
    screen_.info(std::to_string(seq - seq_ - 1) +
                 " events were trimmed or lost; reading the keys.");
    if (const auto all = read_keys(); !all) return all.error();
  }
  seq_ = std::max(seq, seq_);
  waiting_ = false;
  const std::string kind = at(event, "event");
  const std::string reason = at(event, "reason");
  if (reason == "created" || reason == "restart") start_over(number(at(event, "ts")));
  if (reason == "retry-failed")
    std::erase_if(shown_, [](const auto& entry) { return entry.second == "failed"; });
  if (event.contains("total")) {
    const std::int64_t settled =
        number(at(event, "done")) + number(at(event, "failed")) + number(at(event, "skipped"));
    screen_.progress(std::nullopt, static_cast<guint64>(settled),
                     static_cast<guint64>(number(at(event, "total"))));
  }
  if (kind == "chunk") return take_chunk(event);
  if (kind == "state") {
    tell_state(at(event, "state"), reason);
  } else if (kind == "resumed") {
    tell_state("QUEUED", reason);
  } else if (kind == "orphaned") {
    screen_.info("QUEUED: its owner is gone.");
  } else if (kind == "cancel") {
    screen_.info("Somebody asked for the end: " + clean(at(event, "note")));
  } else if (kind == "restored") {
    tell_state(at(event, "state"), "Redis had lost it");
    return read_keys();
  }
  return Success{};
}

RedisResult<Success> JobFollower::take_chunk(const Event& event) {
  const std::string status = at(event, "status");
  if (status == "retry") {
    // One that failed or was skipped in an earlier run is open again.
    const auto shown = shown_.find(static_cast<std::uint64_t>(number(at(event, "idx"))));
    if (shown != shown_.end() && shown->second != "done") shown_.erase(shown);
    screen_.note("trying again (" + clean(at(event, "reason")) + ")");
    return Success{};
  }
  const auto replies = redis_.ask_all(
      {{"HGET", status == "failed" ? keys_.errors : keys_.chunks, at(event, "idx")}});
  if (!replies) return replies.error();
  // Where it is gone, what came later tells of it.
  if (!replies->front().is_nil()) {
    show(static_cast<std::uint64_t>(number(at(event, "idx"))),
         transcribe::from_record(replies->front().text));
  }
  return Success{};
}

bool JobFollower::remember(std::uint64_t index, const std::string& status) {
  return std::exchange(shown_[index], status) != status;
}

void JobFollower::show(std::uint64_t index, const Record& record) {
  if (!record) {
    if (remember(index, "unreadable"))
      screen_.problem("Chunk " + std::to_string(index) + ": " + clean(record.error().message));
    return;
  }
  const transcribe::StoredChunk& stored = *record;
  const auto& chunk = transcribe::chunk_of(stored.outcome);
  const auto* done = std::get_if<transcribe::ChunkDone>(&stored.outcome);
  const auto* failed = std::get_if<transcribe::ChunkFailed>(&stored.outcome);
  if (!remember(index, done ? "done" : failed ? "failed" : "skipped")) return;
  const std::string span = span_text(static_cast<GstClockTime>(chunk.time.timestamp.count()),
                                     static_cast<GstClockTime>(chunk.duration().count()));
  if (done) {
    screen_.transcript(span + "  " + clean(done->transcription->text));
  } else if (failed) {
    screen_.problem(span + "  [not transcribed: " + clean(failed->failure.message) + "]");
  } else {
    const auto reason = std::get<transcribe::ChunkSkipped>(stored.outcome).reason;
    screen_.info(span + "  [not sent: " + std::string(to_string(reason)) + "]");
  }
}

// `born`: created_ms, which is also the time of that event.
void JobFollower::start_over(std::int64_t born) {
  if (!shown_.empty() && born > born_) {
    screen_.info("The job was started anew: all chunks are open again.");
    shown_.clear();
  }
  born_ = std::max(born, born_);
}

void JobFollower::tell_state(const std::string& state, const std::string& reason) {
  state_ = state;
  screen_.info(clean(state) + (reason.empty() ? "" : " (" + clean(reason) + ")"));
}

RedisResult<Success> JobFollower::finish(const std::string& state) {
  // Since the last gap the events may not have been all.
  if (const auto all = read_keys(); !all) return all.error();
  const auto replies =
      redis_.ask_all({{"HGET", keys_.meta, "reason"}, {"HGET", keys_.error, "message"}});
  if (!replies) return replies.error();
  const std::string reason = replies->at(0).text;
  const std::string message = replies->at(1).text;
  if (state_ != state) tell_state(state, reason);
  over_ = true;
  code_ = state == "COMPLETED" ? kComplete : reason == "chunks-failed" ? kIncomplete : kError;
  if (code_ != kComplete && !message.empty()) screen_.problem("transcribe: " + clean(message));
  return Success{};
}
