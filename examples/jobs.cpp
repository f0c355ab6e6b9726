#include "jobs.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>
#include <vector>

#include "base/uri_text.h"
#include "glib_cpp.h"
#include "job/source_uri.h"
#include "job_follow.h"
#include "job_redis.h"
#include "redis/job_owner.h"
#include "transcript/writer.h"

namespace {

ExitCode fail(ExitCode code, const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "transcribe: %s\n", message.c_str());
  return code;
}

void print(const std::string& line) { std::printf("%s\n", line.c_str()); }

std::string clean(const std::string& text) { return printable(text.c_str()); }

// "12s", "3m", "5h", "2d"
std::string age(std::int64_t ms) {
  const std::int64_t seconds = std::max<std::int64_t>(ms, 0) / 1000;
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 120 * 60) return std::to_string(seconds / 60) + "m";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / 86400) + "d";
}

std::string local_time(std::int64_t ms) {
  GDateTime* time = g_date_time_new_from_unix_local(ms / 1000);
  if (!time) return "?";
  const std::string text = take(g_date_time_format(time, "%F %T"));
  g_date_time_unref(time);
  return text;
}

// "host:process"
std::string owner_name(const JobView& job) {
  const auto owner = transcribe::JobOwner::parse(job.owner);
  return clean(owner ? owner->host + ":" + std::to_string(owner->process) : job.owner);
}

// Of an owner that does not live.
std::string fate(const JobView& job) {
  if (job.owner_is_dead) return "its owner is dead";
  return "its lease ended " + age(job.now_ms - job.lease_ms) + " ago";
}

// What a person should know first.
std::string note(const JobView& job) {
  if (!job.unreadable.empty()) return clean(job.unreadable);
  if (job.state == "FAILED")
    return clean(job.error.empty() ? job.reason : job.reason + ": " + job.error);
  if (job.ended()) return "";
  if (job.owned() && !job.owner_lives()) return fate(job);
  if (!job.owned()) return "nobody works on it";
  if (!job.cancel.empty()) return "asked to end: " + clean(job.cancel);
  return "";
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows) {
    std::string text;
    for (std::size_t i = 0; i < row.size(); i++) {
      text += row[i];
      if (i + 1 < row.size()) text += std::string(widths[i] - row[i].size() + 2, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    print(text);
  }
}

ExitCode list_jobs(JobRedis& redis) {
  std::size_t foreign = 0;
  auto jobs = redis.view_all(foreign);
  if (!jobs) return fail(kError, jobs.error().message);
  // What is under way first, then the latest.
  std::sort(jobs->begin(), jobs->end(), [](const JobView& a, const JobView& b) {
    return std::tuple(a.ended(), -a.since_ms, a.id) < std::tuple(b.ended(), -b.since_ms, b.id);
  });
  std::vector<std::vector<std::string>> rows = {
      {"JOB", "STATE", "DONE", "FAILED", "AGE", "CHANGED", "OWNER", "NOTE"}};
  for (const JobView& job : *jobs) {
    // It ended, by its expiry, while it was listed.
    if (job.state.empty() && job.unreadable.empty()) continue;
    if (!job.unreadable.empty()) {
      rows.push_back({job.id, "?", "-", "-", "-", "-", "-", note(job)});
      continue;
    }
    rows.push_back({job.id, clean(job.state),
                    std::to_string(job.done + job.skipped) + "/" + std::to_string(job.total),
                    std::to_string(job.failed), age(job.now_ms - job.created_ms),
                    age(job.now_ms - job.updated_ms), job.owned() ? owner_name(job) : "-",
                    note(job)});
  }
  if (rows.size() > 1) print_table(rows);
  if (rows.size() == 1) fail(kComplete, "There are no jobs at " + redis.address() + ".");
  if (foreign > 0)
    fail(kComplete, std::to_string(foreign) + " keys that look like a job's have no valid job id.");
  return kComplete;
}

ExitCode no_job(const JobRedis& redis, const std::string& id) {
  return fail(kNoJob, "There is no job " + id + " at " + redis.address() +
                          "; transcribe --jobs lists them.");
}

// "transcribe" with the options that find this Redis again. Without the password: it would stay in
// logs and histories.
std::string call_again(const JobOptions& options, bool finds_environment) {
  std::string call = "transcribe";
  if (!options.redis_uri.empty()) {
    const CString quoted(g_shell_quote(transcribe::without_password(options.redis_uri).c_str()));
    call += std::string(" --redis-uri ") + quoted.get();
  } else if (!finds_environment) {
    call += " --redis-uri \"$REDIS_URL\"";
  }
  if (options.key_prefix != JobOptions().key_prefix) {
    const CString quoted(g_shell_quote(options.key_prefix.c_str()));
    call += std::string(" --key-prefix ") + quoted.get();
  }
  return clean(call);
}

void print_what_next(const JobView& job, const JobOptions& options) {
  const std::string call = call_again(options, true);
  const bool whole = transcribe::is_whole_source(job.source);
  const std::string media = whole ? clean(take(g_shell_quote(job.source.c_str()))) : "MEDIA";
  const std::string go_on = call_again(options, false) + " " + media + " job-id=" + job.id;
  print("");
  if (job.state == "COMPLETED") {
    print("Nothing to do. Its texts stay in Redis until " +
          local_time(job.since_ms + job.retention_ms) + ".");
  } else if (job.state == "FAILED" && job.failed > 0) {
    print("To send the failed chunks again, with the settings of the first time:\n  " + call +
          " --retry-failed " + job.id + (whole ? "" : " MEDIA"));
  } else if (job.state == "FAILED") {
    print(
        "When the cause is mended, go on where it stopped, with the settings of the first "
        "time:\n  " +
        go_on);
  } else if (job.owner_lives()) {
    print("It is being worked on.\n  to watch it    " + call + " --follow " + job.id +
          "\n  to end it      " + call + " --cancel " + job.id);
  } else {
    print("Nobody works on it.\n  to go on where it stopped   " + go_on +
          "\n  to end it                   " + call + " --cancel " + job.id);
  }
}

std::string owner_text(const JobView& job) {
  if (!job.owned()) return "nobody";
  return owner_name(job) + (job.owner_lives() ? ", alive" : "; " + fate(job));
}

ExitCode print_status(JobRedis& redis, const std::string& id, const JobOptions& options) {
  const auto views = redis.view({id});
  if (!views) return fail(kError, views.error().message);
  const JobView& job = views->front();
  if (!job.unreadable.empty()) return fail(kError, job.unreadable);
  if (job.state.empty()) return no_job(redis, id);
  const auto meta = redis.scan_hash(redis.keys(id).meta);
  if (!meta) return fail(kError, meta.error().message);
  const auto failed = redis.records(redis.keys(id).errors);
  if (!failed) return fail(kError, failed.error().message);

  const auto ago = [&](std::int64_t time) {
    return local_time(time) + ", " + age(job.now_ms - time) + " ago";
  };
  print("Job       " + id);
  print("State     " + clean(job.state) + " (" + clean(job.reason) + ") since " +
        ago(job.since_ms));
  print("Created   " + ago(job.created_ms) +
        (job.starts > 1 ? "; started " + std::to_string(job.starts) + " times" : ""));
  print("Changed   " + ago(job.updated_ms));
  print("Owner     " + owner_text(job));
  print("Chunks    " + std::to_string(job.done) + " done, " + std::to_string(job.failed) +
        " failed, " + std::to_string(job.skipped) + " not sent, " + std::to_string(job.inflight) +
        " in flight, of " + std::to_string(job.total) + (job.ended() ? "" : " so far"));
  print("Audio     " + age(job.audio_ms) + " transcribed");
  if (!job.source.empty()) print("Source    " + clean(job.source));
  if (!job.cancel.empty()) print("Cancel    " + clean(job.cancel));
  if (!job.error.empty())
    print("Error     " + clean(job.error) + " (" + clean(job.error_code) + ")");
  for (const auto& [name, value] : *meta) {
    if (name == "schema" || name == "fp" || name == "state" || name == "reason" ||
        name == "source" || name.ends_with("_ms"))
      continue;
    print("Setting   " + clean(name) + "=" + clean(value));
  }
  if (!failed->empty()) print("\nFailed chunks:");
  for (const auto& [index, record] : *failed) {
    const auto* chunk = record ? std::get_if<transcribe::ChunkFailed>(&record->outcome) : nullptr;
    if (!chunk) {
      print("  " + std::to_string(index) + "  (can't be read)");
      continue;
    }
    const std::string code = chunk->failure.http_status
                                 ? "HTTP " + std::to_string(chunk->failure.http_status) + ", "
                                 : "";
    print("  " + std::to_string(index) + "  " +
          span_text(static_cast<GstClockTime>(chunk->chunk->time.timestamp.count()),
                    static_cast<GstClockTime>(chunk->chunk->duration().count())) +
          "  " + clean(chunk->failure.message) + " (" + code + std::to_string(chunk->attempts) +
          (chunk->attempts == 1 ? " attempt)" : " attempts)"));
  }
  print_what_next(job, options);
  return kComplete;
}

ExitCode cancel_job(JobRedis& redis, const std::string& id) {
  const std::string note =
      std::string("cancelled by ") + g_get_user_name() + " on " + g_get_host_name();
  const auto answer = redis.run(id, "cancel", {note});
  if (!answer) return fail(kError, answer.error().message);
  const std::string& word = answer->front();
  if (word == "NOJOB") return no_job(redis, id);
  if (word != "OK" && word != "DUP" && word != "TERMINAL")
    return fail(kError, "Part of the job " + id + " is lost in Redis; only its owner can mend it.");

  auto views = redis.view({id});
  if (!views) return fail(kError, views.error().message);
  if (views->front().owned() && !views->front().leased()) {
    const auto reaped = redis.run(id, "reap", {});
    if (!reaped) return fail(kError, reaped.error().message);
    views = redis.view({id});
    if (!views) return fail(kError, views.error().message);
  }
  const JobView& job = views->front();
  const bool cancelled = job.state == "FAILED" && job.reason == "cancelled";
  if (word == "TERMINAL" && !cancelled)
    return fail(kError, "The job " + id + " has already ended: " + job.state + ".");
  if (job.ended()) {
    print(word == "TERMINAL" ? "The job " + id + " was cancelled before."
          : cancelled        ? "Nobody worked on the job " + id + "; it is cancelled."
                             : "The job " + id + " has ended: " + job.state + ".");
    return kComplete;
  }
  if (job.owner_is_dead) {
    print("The owner of the job " + id + ", " + owner_name(job) +
          ", is dead. Any other process at this Redis ends the job soon after its lease is over, "
          "in " +
          age(job.lease_ms - job.now_ms) + "; so does this command, given again then.");
    return kComplete;
  }
  print("Asked " + owner_name(job) + " to end the job " + id +
        (word == "DUP" ? "; it had been asked before" : "") + ". transcribe --follow " + id +
        " shows when it does.");
  return kComplete;
}

// What to open for the job's source, on this machine.
transcribe::Result<std::string, Retry> find_source(const JobView& job) {
  const std::string wanted = "give MEDIA, the source of " + job.id + ", behind it.";
  if (job.source.empty())
    return Retry{kUsage, "Redis has no audio, and no source of it: " + wanted};
  const std::string source = clean(job.source);
  if (!transcribe::is_whole_source(job.source))
    return Retry{kUsage, "Redis has only the beginning of " + source + ": " + wanted};
  if (g_strcmp0(g_uri_peek_scheme(job.source.c_str()), "file") != 0) return job.source;
  char* host = nullptr;
  const std::string path = take(g_filename_from_uri(job.source.c_str(), &host, nullptr));
  const std::string machine = take(host);
  const bool here = machine.empty() || machine == "localhost" || machine == g_get_host_name();
  if (here && !path.empty() && g_file_test(path.c_str(), G_FILE_TEST_EXISTS)) return path;
  const bool elsewhere = !job.host.empty() && job.host != g_get_host_name();
  return Retry{kError, source + (elsewhere ? " was on " + clean(job.host) + ", and" : "") +
                           " is not on this machine: " + wanted};
}

// Where the job's transcript is, when that is here. Not whatever file Redis may name: one that the
// element would write as a transcript by itself.
std::string find_output(const JobView& job) {
  if (job.host != g_get_host_name() || !g_path_is_absolute(job.location.c_str())) return "";
  using Format = transcribe::TranscriptFormat;
  if (transcribe::resolve_format(Format::kAuto, job.location) == Format::kTxt &&
      !job.location.ends_with(".txt"))
    return "";
  const std::string directory = take(g_path_get_dirname(job.location.c_str()));
  return g_file_test(directory.c_str(), G_FILE_TEST_IS_DIR) ? job.location : "";
}

transcribe::Result<JobRedis> connect(const JobOptions& options) {
  const std::string text = wanted_redis_uri(options);
  if (text.empty()) return transcribe::Error{"Where is Redis? Give --redis-uri or set REDIS_URL."};
  auto uri = transcribe::parse_redis_uri(text);
  if (!uri) return std::move(uri.error());
  transcribe::Connection::Settings settings;
  settings.uri = *uri;
  settings.tls_ca_file = options.tls_ca_file;
  settings.client_name = "transcribe-" + std::to_string(getpid());
  return JobRedis(std::move(settings), options.key_prefix);
}

}  // namespace

std::string wanted_redis_uri(const JobOptions& options) {
  if (!options.redis_uri.empty()) return options.redis_uri;
  const char* variable = g_getenv("REDIS_URL");
  return variable ? variable : "";
}

ExitCode run_job_command(const JobCommand& command, const JobOptions& options, bool quiet) {
  auto redis = connect(options);
  if (!redis) return fail(kUsage, redis.error().message);
  switch (command.kind) {
    case JobCommand::Kind::kList:
      return list_jobs(*redis);
    case JobCommand::Kind::kStatus:
      return print_status(*redis, command.id, options);
    case JobCommand::Kind::kCancel:
      return cancel_job(*redis, command.id);
    default: {
      Screen screen(quiet);
      const ExitCode code = JobFollower(*redis, screen, command.id).run();
      screen.finish();
      return code;
    }
  }
}

Retry look_at_retry(const std::string& id, const JobOptions& options, bool has_media) {
  auto redis = connect(options);
  if (!redis) return {kUsage, redis.error().message};
  const auto views = redis->view({id});
  if (!views) return {kError, views.error().message};
  const JobView& job = views->front();
  if (!job.unreadable.empty()) return {kError, job.unreadable};
  if (job.state.empty()) return {kNoJob, "There is no job " + id + " at " + redis->address() + "."};
  if (job.state == "COMPLETED") return {kComplete, "The job " + id + " has no failed chunks."};
  Retry retry;
  retry.output = find_output(job);
  if (has_media) return retry;
  auto source = find_source(job);
  if (!source) return std::move(source.error());
  retry.media = std::move(*source);
  return retry;
}
