// Transcribes a media file or URI with openaitranscribesink: text on stdout, everything else on
// stderr, subtitles in a file.
#include <glib-unix.h>
#include <gst/gst.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <clocale>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glib_cpp.h"
#include "job_redis.h"
#include "jobs.h"
#include "screen.h"
#include "transcription.h"

namespace {

constexpr char kHelp[] =
    "Transcribes the audio of MEDIA, a file or a URI, with openaitranscribesink. Words of the "
    "form\n"
    "PROPERTY=VALUE set properties of that element (gst-inspect-1.0 openaitranscribesink lists\n"
    "them), for example base-url=http://localhost:8000/v1 language-code=en max-parallel=4.\n"
    "The service is OpenAI (OPENAI_API_KEY) or the one that OPENAI_BASE_URL names.\n"
    "A job that was interrupted goes on with the same job-id=ID and journal-directory=DIRECTORY, "
    "or\n"
    "job-id=ID and --redis-uri: that keeps it in Redis, where the commands on jobs find it. "
    "REDIS_URL\n"
    "counts for these commands only; MEDIA without --redis-uri is transcribed without Redis.";
constexpr char kExitCodes[] =
    "The first Ctrl-C ends the recording and waits for its text, the second stops at once.\n\n"
    "Exit codes: 0 complete, 1 error or ended by --cancel, 2 wrong usage, 3 some of the audio\n"
    "could not be transcribed, 130 stopped by the second Ctrl-C.\n"
    "--follow ends with the code of the transcription: 0 COMPLETED, 1 FAILED, 3 FAILED with some\n"
    "chunks. --jobs, --status: 0 shown. --cancel: 0 cancelled, or its owner was asked to end it;\n"
    "1 it had ended otherwise. 4: there is no such job.";

// talk.srt for /music/talk.ogg and for https://example.org/talk.ogg?x=1, in the current directory.
std::string default_output(const Media& media) {
  std::string path = media.path;
  if (path.empty()) {
    path = media.uri.substr(0, media.uri.find_first_of("?#"));
    const CString plain(g_uri_unescape_string(path.c_str(), "/"));
    if (plain) path = plain.get();
  }
  const std::string base = take(g_path_get_basename(path.c_str()));
  const std::size_t dot = base.rfind('.');
  const std::string stem = dot == std::string::npos || dot == 0 ? base : base.substr(0, dot);
  return (stem == G_DIR_SEPARATOR_S || stem.empty() ? "transcript" : stem) + ".srt";
}

bool is_same_file(const std::string& one, const std::string& other) {
  const std::unique_ptr<char, decltype(&free)> a(realpath(one.c_str(), nullptr), free);
  const std::unique_ptr<char, decltype(&free)> b(realpath(other.c_str(), nullptr), free);
  return a && b && std::string_view(a.get()) == b.get();
}

// To see whether a file was written meanwhile.
class FileState {
 public:
  explicit FileState(std::string path)
      : path_(std::move(path)), there_(stat(path_.c_str(), &before_) == 0) {}

  bool changed() const {
    struct stat now {};
    if (stat(path_.c_str(), &now) != 0) return false;
    return !there_ || now.st_ino != before_.st_ino || now.st_size != before_.st_size ||
           now.st_mtim.tv_sec != before_.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != before_.st_mtim.tv_nsec;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  struct stat before_ {};
  bool there_;
};

// What became of the transcript file.
std::string describe_output(const FileState& output, const FileState& part, bool has_text) {
  if (output.path().empty() || !g_file_test(output.path().c_str(), G_FILE_TEST_EXISTS)) return "";
  const std::string path = take(g_canonicalize_filename(output.path().c_str(), nullptr));
  if (part.changed()) return "Transcript: " + path + ".part; an earlier, longer one is " + path;
  if (has_text) return "Transcript: " + path;
  if (output.changed()) return "There is no text in " + path;
  return "No text in this run; " + path + " is as it was before.";
}

struct Options {
  bool quiet = false;
  bool version = false;
  std::string output;
  JobOptions jobs;
  JobCommand command;
  std::vector<std::string> arguments;
  // Of the job that is gone on with; empty: MEDIA is given; its transcript is named as MEDIA is.
  std::string job_media;
  std::string job_output;
};

// "NAME=VALUE" names no medium, unless there is such a file.
bool names_media(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return false;
  const std::string& first = arguments.front();
  const std::size_t name = first.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-");
  return name == 0 || name == std::string::npos || first[name] != '=' ||
         g_file_test(first.c_str(), G_FILE_TEST_EXISTS);
}

// At most one command; with it MEDIA only where something is transcribed.
std::string check_options(const Options& options, int commands) {
  if (options.version) return "";
  const auto kind = options.command.kind;
  const std::string& prefix = options.jobs.key_prefix;
  if (commands > 1) return "Only one of --jobs, --status, --follow, --cancel, --retry-failed.";
  if (prefix.empty() || prefix.find_first_of("{}") != std::string::npos)
    return "The key prefix is empty or has braces.";
  if (kind != JobCommand::Kind::kNone && kind != JobCommand::Kind::kList &&
      !valid_job_id(options.command.id))
    return "A job id is 1 to 128 of A-Z a-z 0-9 . _ : -";
  const bool transcribes =
      kind == JobCommand::Kind::kNone || kind == JobCommand::Kind::kRetryFailed;
  if (!transcribes && !options.arguments.empty()) return "A command on jobs takes no MEDIA.";
  if (kind == JobCommand::Kind::kNone && options.arguments.empty()) return "No MEDIA given.";
  return "";
}

bool parse_options(int argc, char** argv, Options& options, std::string& error) {
  gboolean quiet = FALSE;
  gboolean version = FALSE;
  gboolean list = FALSE;
  char* output = nullptr;
  char* uri = nullptr;
  char* prefix = nullptr;
  char* authorities = nullptr;
  char* ids[4] = {};
  char** rest = nullptr;
  const GOptionEntry entries[] = {
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
       "Transcript file: .srt, .vtt, .txt, .jsonl, .json (MEDIA's name with .srt, here; with "
       "--retry-failed the job's own, where it is on this machine)",
       "FILE"},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "Print nothing but problems", nullptr},
      {"redis-uri", 0, 0, G_OPTION_ARG_STRING, &uri,
       "Keep the job in Redis (REDIS_URL is not used for this); for the commands on jobs: where "
       "they are (default: REDIS_URL)",
       "URI"},
      {"key-prefix", 0, 0, G_OPTION_ARG_STRING, &prefix, "Of the keys in Redis (transcribe)",
       "PREFIX"},
      {"tls-ca-file", 0, 0, G_OPTION_ARG_FILENAME, &authorities, "Certificate authorities to trust",
       "PEM"},
      {"jobs", 0, 0, G_OPTION_ARG_NONE, &list, "List the jobs in Redis", nullptr},
      {"status", 0, 0, G_OPTION_ARG_STRING, &ids[0],
       "Show one job, its failed chunks, and what to do next", "ID"},
      {"follow", 0, 0, G_OPTION_ARG_STRING, &ids[1], "Show one job as it happens, until its end",
       "ID"},
      {"cancel", 0, 0, G_OPTION_ARG_STRING, &ids[2], "Ask whoever works on a job to end it", "ID"},
      {"retry-failed", 0, 0, G_OPTION_ARG_STRING, &ids[3],
       "Transcribe again what failed of the job, and what is missing; MEDIA is needed only where "
       "Redis does not have all of its URI, or it is not on this machine",
       "ID"},
      {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", nullptr},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, nullptr, nullptr},
      {}};
  GOptionContext* context = g_option_context_new("MEDIA [PROPERTY=VALUE…]");
  g_option_context_set_summary(context, kHelp);
  g_option_context_set_description(context, kExitCodes);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* failure = nullptr;
  const bool parsed = g_option_context_parse(context, &argc, &argv, &failure);
  g_option_context_free(context);
  if (failure) error = failure->message;
  g_clear_error(&failure);
  options.quiet = quiet;
  options.version = version;
  options.output = take(output);
  options.jobs.redis_uri = take(uri);
  if (prefix) options.jobs.key_prefix = take(prefix);
  options.jobs.tls_ca_file = take(authorities);
  for (char** argument = rest; argument && *argument; argument++)
    options.arguments.emplace_back(*argument);
  g_strfreev(rest);
  int commands = list ? 1 : 0;
  if (list) options.command.kind = JobCommand::Kind::kList;
  const JobCommand::Kind kinds[] = {JobCommand::Kind::kStatus, JobCommand::Kind::kFollow,
                                    JobCommand::Kind::kCancel, JobCommand::Kind::kRetryFailed};
  for (std::size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
    if (!ids[i]) continue;
    commands++;
    options.command = {kinds[i], take(ids[i])};
  }
  if (parsed) error = check_options(options, commands);
  return error.empty();
}

int fail(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "transcribe: %s%s\n", message.c_str(),
               code == kUsage ? " See transcribe --help." : "");
  return code;
}

void append_job_properties(const Options& options, std::vector<std::string>& assignments) {
  const bool retries = options.command.kind == JobCommand::Kind::kRetryFailed;
  const std::string uri = retries ? wanted_redis_uri(options.jobs) : options.jobs.redis_uri;
  if (!uri.empty()) {
    assignments.push_back("redis-uri=" + uri);
    assignments.push_back("redis-key-prefix=" + options.jobs.key_prefix);
  }
  if (!options.jobs.tls_ca_file.empty())
    assignments.push_back("tls-ca-file=" + options.jobs.tls_ca_file);
  if (retries) {
    assignments.push_back("job-id=" + options.command.id);
    assignments.push_back("resume=retry-failed");
  }
}

// Ctrl-C and the periodic redraw of the remaining time around one Transcription.
class Session {
 public:
  explicit Session(bool quiet)
      : screen_(quiet), transcription_(screen_, [this](ExitCode code) { quit(code); }) {}
  ~Session() { g_main_loop_unref(loop_); }

  int run(const Options& options);

 private:
  static gboolean on_signal(gpointer self) noexcept;
  void quit(ExitCode code) {
    code_ = code;
    g_main_loop_quit(loop_);
  }

  GMainLoop* loop_ = g_main_loop_new(nullptr, FALSE);
  Screen screen_;
  Transcription transcription_;
  ExitCode code_ = kError;
  bool interrupted_ = false;
};

gboolean Session::on_signal(gpointer data) noexcept {
  auto* self = static_cast<Session*>(data);
  if (std::exchange(self->interrupted_, true)) {
    self->quit(kStopped);
  } else {
    self->screen_.problem("Finishing what was recorded. Ctrl-C again stops at once.");
    self->transcription_.end_recording();
  }
  return G_SOURCE_CONTINUE;
}

int Session::run(const Options& options) {
  std::string error;
  const bool has_media = options.job_media.empty();
  const std::string& name = has_media ? options.arguments.front() : options.job_media;
  const std::optional<Media> media = find_media(name.c_str(), error);
  if (!media || !transcription_.build(*media, error)) return fail(kError, error);
  const std::string wanted = !options.output.empty()       ? options.output
                             : !options.job_output.empty() ? options.job_output
                                                           : default_output(*media);
  std::vector<std::string> assignments = {"location=" + wanted};
  append_job_properties(options, assignments);
  assignments.insert(assignments.end(), options.arguments.begin() + (has_media ? 1 : 0),
                     options.arguments.end());
  for (const std::string& assignment : assignments)
    if (!transcription_.set_property(assignment, error)) return fail(kUsage, error);
  const std::string output = transcription_.output();
  if (!media->path.empty() && is_same_file(output, media->path))
    return fail(kUsage, "The transcript would overwrite " + media->name + "; give --output.");

  const FileState before(output);
  const FileState part(output + ".part");

  const guint on_int = g_unix_signal_add(SIGINT, on_signal, this);
  const guint on_term = g_unix_signal_add(SIGTERM, on_signal, this);
  const guint redraw = g_timeout_add_seconds(
      1,
      [](gpointer screen) -> gboolean {
        static_cast<Screen*>(screen)->redraw();
        return G_SOURCE_CONTINUE;
      },
      &screen_);
  transcription_.start();
  if (!options.jobs.redis_uri.empty() || options.command.kind == JobCommand::Kind::kRetryFailed)
    screen_.info("Job: " + transcription_.job_id());
  if (!has_media) screen_.info("Source: " + printable(name.c_str()));
  g_main_loop_run(loop_);
  for (const guint source : {on_int, on_term, redraw}) g_source_remove(source);
  screen_.finish();
  const std::string told = describe_output(before, part, transcription_.has_text());
  if (!told.empty()) screen_.info(told);
  return code_;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  Options options;
  std::string error;
  if (!parse_options(argc, argv, options, error)) return fail(kUsage, error);
  if (options.version) {
    std::puts("transcribe " VERSION);
    return kComplete;
  }
  const auto kind = options.command.kind;
  if (kind == JobCommand::Kind::kRetryFailed) {
    const Retry retry =
        look_at_retry(options.command.id, options.jobs, names_media(options.arguments));
    if (!retry.message.empty()) return fail(retry.code, retry.message);
    options.job_media = retry.media;
    options.job_output = retry.output;
  } else if (kind != JobCommand::Kind::kNone) {
    return run_job_command(options.command, options.jobs, options.quiet);
  }
  const int code = Session(options.quiet).run(options);
  gst_deinit();
  return code;
}
