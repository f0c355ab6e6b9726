// An OpenAI-compatible speech-to-text server that needs no key and no network.
#include <glib-unix.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "recognizer.h"
#include "server.h"

namespace {

using local_recognizer::Recognizer;
using local_recognizer::Server;
using local_recognizer::ServerOptions;

gboolean quit(gpointer loop) {
  g_main_loop_quit(static_cast<GMainLoop*>(loop));
  return G_SOURCE_CONTINUE;
}

// Whoever starts this in the background with SIGINT ignored wants it to outlive a Ctrl-C.
bool is_ignored(int signal_number) {
  struct sigaction action = {};
  return sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void end_with_parent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) std::_Exit(EXIT_SUCCESS);
}

}  // namespace

int main(int argc, char** argv) {
  const pid_t parent = getppid();
  int port = 8080;
  int threads = static_cast<int>(g_get_num_processors());
  gint64 max_body = 26214400;
  gboolean exit_with_parent = FALSE;
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
      {"port", 'p', 0, G_OPTION_ARG_INT, &port, "Port on 127.0.0.1; 0 takes a free one (8080)",
       "PORT"},
      {"threads", 't', 0, G_OPTION_ARG_INT, &threads,
       "Requests decoded at once, about 100 MB each (the number of cores)", "N"},
      {"max-body", 0, 0, G_OPTION_ARG_INT64, &max_body, "Largest request in bytes (26214400)",
       "BYTES"},
      {"exit-with-parent", 0, 0, G_OPTION_ARG_NONE, &exit_with_parent,
       "End when the process that started it ends", nullptr},
      {"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", nullptr},
      {}};
  GOptionContext* options = g_option_context_new("- OpenAI-compatible speech recognition");
  g_option_context_set_summary(
      options,
      "Serves POST /v1/audio/transcriptions (English, WAV 16 kHz mono 16 bit; json and\n"
      "verbose_json) and GET /health. Prints its base URL as soon as it is ready.");
  g_option_context_add_main_entries(options, entries, nullptr);
  GError* failure = nullptr;
  const bool parsed = g_option_context_parse(options, &argc, &argv, &failure);
  g_option_context_free(options);
  if (!parsed || argc > 1 || port < 0 || port > 65535 || threads < 1 || max_body < 1) {
    std::fprintf(stderr, "local-recognizer: %s\n",
                 parsed ? "argument out of range or unknown; see --help" : failure->message);
    g_clear_error(&failure);
    return 2;
  }
  if (version) {
    std::puts("local-recognizer " VERSION);
    return EXIT_SUCCESS;
  }
  if (exit_with_parent) end_with_parent(parent);

  const std::unique_ptr<Recognizer> recognizer = Recognizer::create();
  if (!recognizer) {
    std::fputs("local-recognizer: no model in " POCKETSPHINX_MODEL_DIR
               "; install pocketsphinx-en-us\n",
               stderr);
    return EXIT_FAILURE;
  }
  std::string error;
  std::unique_ptr<Server> server = Server::create({.port = static_cast<unsigned>(port),
                                                   .threads = static_cast<unsigned>(threads),
                                                   .max_body = static_cast<std::size_t>(max_body)},
                                                  *recognizer, error);
  if (!server) {
    std::fprintf(stderr, "local-recognizer: can't listen on port %d: %s\n", port, error.c_str());
    return EXIT_FAILURE;
  }
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  if (!is_ignored(SIGINT)) g_unix_signal_add(SIGINT, quit, loop);
  g_unix_signal_add(SIGTERM, quit, loop);
  std::printf("http://127.0.0.1:%u/v1\n", server->port());
  std::fflush(stdout);
  g_main_loop_run(loop);
  g_main_loop_unref(loop);
  // A decoder can't be stopped half way, and nobody waits for its words any more.
  if (server->open_requests() > 0) std::_Exit(EXIT_SUCCESS);
  server.reset();
  return EXIT_SUCCESS;
}
