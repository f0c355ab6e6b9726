#include "redis/job_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

#include "job/chunk_record.h"
#include "redis/job_owner.h"

namespace transcribe {
namespace {

constexpr const char* kPage = "200";
// Of an answer, when nobody waits for the job any more.
constexpr Milliseconds kLetGo{500};
// Workers are forgotten without a sign of life, however long their leases.
constexpr Milliseconds kMaxSilence = kForgetWorker / 3;

// Fields of meta that are the script's own.
constexpr std::array kOwnMeta{"schema", "fp",          "created_ms", "state",
                              "reason", "restored_ms", "since_ms"};

std::string new_token() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::random_device random;
  std::string token;
  for (int i = 0; i < 4; i++) {
    auto part = random();
    for (int digit = 0; digit < 8; digit++, part >>= 4) token += kDigits[part & 15];
  }
  return token;
}

JobRequest make_request(const RedisJobSettings& settings, const JobIdentity& identity,
                        ResumePolicy policy) {
  JobRequest request;
  request.identity = identity;
  request.policy = policy;
  request.owner = JobOwner::here().text();
  request.stream_max_length = settings.stream_max_length;
  request.retention = settings.retention;
  request.lease = settings.lease;
  request.consumer_group = settings.consumer_group;
  return request;
}

JobLink::Config make_link(const RedisJobSettings& settings, const std::string& job_id) {
  Connection::Settings connection;
  connection.uri = settings.uri;
  connection.tls_ca_file = settings.tls_ca_file;
  connection.client_name = "transcribe:" + job_id;
  connection.timeout = settings.timeout;
  return {std::move(connection), JobKeys(settings.key_prefix, job_id),
          SharedKeys(settings.key_prefix), new_token()};
}

}  // namespace

JobSession::JobSession(const RedisJobSettings& settings, const JobIdentity& identity,
                       ResumePolicy policy, const Clock& the_clock, const Log& the_log)
    : clock(the_clock),
      log(the_log),
      request(make_request(settings, identity, policy)),
      link(make_link(settings, identity.job_id), the_log),
      hints(identity.job_id, worker_name(identity.job_id), settings.lease),
      reaper(settings.key_prefix, identity.job_id, settings.reaper) {}

RedisResult<JobAnswer> JobSession::create(const Cancellation& cancellation) {
  // Before the job is there, so that none is without a hint.
  if (const auto told = hints.announce(link, cancellation); !told) return told.error();
  asked_ = true;
  auto answer = link.call(request.create(""), cancellation);
  if (answer && answer->word == JobAnswer::Word::kLocked) {
    const auto owner = JobOwner::parse(answer->text(0));
    if (owner && owner->is_dead())
      answer = link.call(request.create(answer->text(0)), cancellation);
  }
  if (!answer) return answer;
  asked_ = false;
  switch (answer->word) {
    case JobAnswer::Word::kOk:
    case JobAnswer::Word::kResumed:
    case JobAnswer::Word::kDup:
      ownership = read_ownership(*answer);
      link.set_epoch(ownership.epoch);
      break;
    case JobAnswer::Word::kCompleted:
    case JobAnswer::Word::kFailed:
      if (const auto left = hints.leave(link, cancellation); !left) return left.error();
      break;
    default:
      break;
  }
  return answer;
}

RedisResult<JobAnswer> JobSession::beat(const Cancellation& cancellation) {
  auto answer = link.call({"beat", {std::to_string(request.lease.count())}}, cancellation);
  if (!answer || answer->word != JobAnswer::Word::kOk) return answer;
  beat_at = clock.now() + std::min(request.lease / 3, kMaxSilence);
  if (const auto told = hints.refresh(link, cancellation); !told) return told.error();
  return answer;
}

std::map<std::string, std::string> JobSession::known_meta() const {
  auto known = meta.empty() ? request.identity.meta : meta;
  if (!outbox.source().empty()) known["source"] = outbox.source();
  return known;
}

RedisResult<Success> JobSession::scan(const std::string& key, const Cancellation& cancellation,
                                      const Visit& visit) {
  std::string cursor = "0";
  do {
    const auto replies = link.commands({{"HSCAN", key, cursor, "COUNT", kPage}}, cancellation);
    if (!replies) return replies.error();
    const Reply& reply = replies->front();
    if (reply.is_error()) return classify_error_reply(reply.text);
    if (reply.elements.size() != 2)
      return RedisError{RedisFault::kOther, "the server's answer to HSCAN can't be read"};
    cursor = reply.elements[0].text;
    const auto& fields = reply.elements[1].elements;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2)
      visit(fields[i].text, fields[i + 1].text);
    if (owned() && link.is_open() && clock.now() >= beat_at) {
      if (const auto answer = beat(cancellation); !answer) return answer.error();
    }
  } while (cursor != "0");
  return Success{};
}

void JobSession::let_go() {
  const Cancellation never;
  link.set_timeout(kLetGo);
  if ((owned() || asked_) && (link.is_open() || link.open(never))) {
    if (!owned()) {
      const auto held = link.commands({{"HMGET", link.keys().control, "token", "epoch"}}, never);
      if (held && held->front().elements.size() == 2 &&
          held->front().elements[0].text == link.token()) {
        ownership.epoch = JobAnswer{{}, {held->front().elements[1].text}}.number(0);
        link.set_epoch(ownership.epoch);
      }
    }
    const JobCall give_back{"move", {std::string(to_string(JobState::kQueued)), "stopped"}};
    if (owned() && link.call(give_back, never)) static_cast<void>(hints.leave(link, never));
  }
  link.close();
}

void JobSession::take_record(const std::string& key, const std::string& field,
                             const std::string& record, LateJoin* late) {
  const auto stored = from_record(record);
  if (!stored || std::to_string(chunk_of(stored->outcome).index) != field) {
    const std::string& job_id = request.identity.job_id;
    unreadable = "The record of chunk " + field + " of job \"" + job_id +
                 "\" in Redis can't be read (" +
                 (stored ? "it is another chunk's" : stored.error().message) +
                 "). Use the version of this element that has written it, another job-id, or "
                 "resume=restart" +
                 (owned() ? "; HDEL " + key + " " + field + " lets the chunk be sent again" : "");
    return;
  }
  const auto kind = settle_operation(stored->outcome, {}).kind;
  const std::uint64_t index = chunk_of(stored->outcome).index;
  if (late == nullptr) {
    outbox.know(index, kind, record);
  } else {
    if (kind == JobOperation::Kind::kDone) late->expect(*stored);
    outbox.join(index, kind, record);
  }
}

RedisResult<Success> JobSession::load(const Cancellation& cancellation, LateJoin* late) {
  if (late != nullptr) late->begin();
  unreadable.clear();
  for (const std::string& key : {link.keys().errors, link.keys().chunks}) {
    const auto take = [&](const std::string& field, const std::string& record) {
      take_record(key, field, record, late);
    };
    if (auto read = scan(key, cancellation, take); !read) return read;
  }
  const auto read_total = [this](const std::string& field, const std::string& value) {
    if (field != "total") return;
    total = 0;
    std::from_chars(value.data(), value.data() + value.size(), total);
  };
  if (auto read = scan(link.keys().progress, cancellation, read_total); !read) return read;
  std::map<std::string, std::string> own;
  meta.clear();
  auto read =
      scan(link.keys().meta, cancellation, [&](const std::string& field, const std::string& value) {
        const bool is_own = std::find(kOwnMeta.begin(), kOwnMeta.end(), field) != kOwnMeta.end();
        (is_own ? own : meta)[field] = value;
      });
  // Equal: a server had lost it.
  if (own["created_ms"] != own["restored_ms"])
    ownership.created_ms = g_ascii_strtoull(own["created_ms"].c_str(), nullptr, 10);
  return read;
}

}  // namespace transcribe
