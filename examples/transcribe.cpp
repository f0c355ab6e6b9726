// Transcribes a media file or URI with openaitranscribesink: text on stdout, everything else on
// stderr, subtitles in a file.
#include <glib-unix.h>
#include <gst/gst.h>
#include <stdlib.h>

#include <clocale>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glib_cpp.h"
#include "screen.h"
#include "transcription.h"

namespace {

constexpr char kHelp[] =
    "Transcribes the audio of MEDIA, a file or a URI, with openaitranscribesink. Words of the "
    "form\n"
    "PROPERTY=VALUE set properties of that element (gst-inspect-1.0 openaitranscribesink lists\n"
    "them), for example base-url=http://localhost:8000/v1 language-code=en max-parallel=4.\n"
    "The service is OpenAI (OPENAI_API_KEY) or the one that OPENAI_BASE_URL names.";
constexpr char kExitCodes[] =
    "The first Ctrl-C ends the recording and waits for its text, the second stops at once.\n\n"
    "Exit codes: 0 complete, 1 error, 2 wrong usage, 3 some of the audio could not be\n"
    "transcribed, 130 stopped by the second Ctrl-C.";

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

struct Options {
  bool quiet = false;
  bool version = false;
  std::string output;
  std::vector<std::string> arguments;
};

bool parse_options(int argc, char** argv, Options& options, std::string& error) {
  gboolean quiet = FALSE;
  gboolean version = FALSE;
  char* output = nullptr;
  char** rest = nullptr;
  const GOptionEntry entries[] = {
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
       "Transcript file: .srt, .vtt, .txt, .jsonl, .json (MEDIA's name with .srt, here)", "FILE"},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "Print nothing but problems", nullptr},
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
  for (char** argument = rest; argument && *argument; argument++)
    options.arguments.emplace_back(*argument);
  g_strfreev(rest);
  if (parsed && !options.version && options.arguments.empty()) error = "No MEDIA given.";
  return error.empty();
}

int fail(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "transcribe: %s%s\n", message.c_str(),
               code == kUsage ? " See transcribe --help." : "");
  return code;
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
  const std::optional<Media> media = find_media(options.arguments.front().c_str(), error);
  if (!media || !transcription_.build(*media, error)) return fail(kError, error);
  const std::string wanted = options.output.empty() ? default_output(*media) : options.output;
  if (!transcription_.set_property("location=" + wanted, error)) return fail(kUsage, error);
  for (std::size_t i = 1; i < options.arguments.size(); i++)
    if (!transcription_.set_property(options.arguments[i], error)) return fail(kUsage, error);
  const std::string output = transcription_.output();
  if (!media->path.empty() && is_same_file(output, media->path))
    return fail(kUsage, "The transcript would overwrite " + media->name + "; give --output.");

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
  g_main_loop_run(loop_);
  for (const guint source : {on_int, on_term, redraw}) g_source_remove(source);
  screen_.finish();
  if (!output.empty() && g_file_test(output.c_str(), G_FILE_TEST_EXISTS))
    screen_.info("Transcript: " + take(g_canonicalize_filename(output.c_str(), nullptr)));
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
  const int code = Session(options.quiet).run(options);
  gst_deinit();
  return code;
}
