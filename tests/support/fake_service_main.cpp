// The fake service as a program, for tests with gst-launch-1.0 and other shells.
//
//   fake-service [--script FILE|JSON] [--log FILE] [--audio-directory DIR] [--port N] [--no-check]
//
// Prints the port as one line once it listens. Appends to the log one JSON object per request, when
// the request has ended. Reads lines from stdin: "open NAME" (a gate of the script), "received"
// (prints how many requests are here as a whole). Ends on SIGTERM, SIGINT, or when stdin closes, if
// that is a pipe or socket.
#include <fcntl.h>
#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/glib_ptr.h"
#include "fake_service.h"

using transcribe::CharPtr;
using transcribe::ErrorPtr;
using transcribe::JsonNodePtr;
using transcribe::ObjectPtr;
using transcribe::out;
using transcribe::testing::End;
using transcribe::testing::FakeService;
using transcribe::testing::Headers;
using transcribe::testing::Request;
using transcribe::testing::Script;

namespace {

struct Arguments {
  CharPtr script;
  CharPtr log;
  CharPtr audio_directory;
  int port = 0;
  gboolean no_check = FALSE;
};

int complain(const std::string& message) {
  std::fprintf(stderr, "fake-service: %s\n", message.c_str());
  return 2;
}

const char* name_of(End end) {
  switch (end) {
    case End::kOpen:
      return "open";
    case End::kAnswered:
      return "answered";
    case End::kFault:
      return "fault";
    case End::kClientGone:
      return "client-gone";
    case End::kStopped:
      return "stopped";
  }
  return "";
}

void add_text(JsonBuilder* builder, const char* name, const std::string& value) {
  const CharPtr valid(g_utf8_make_valid(value.data(), static_cast<gssize>(value.size())));
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, valid.get());
}

void add_number(JsonBuilder* builder, const char* name, std::int64_t value) {
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, value);
}

void add_headers(JsonBuilder* builder, const Headers& headers) {
  json_builder_set_member_name(builder, "headers");
  json_builder_begin_object(builder);
  for (const auto& [name, value] : headers) {
    const CharPtr lower(g_ascii_strdown(name.c_str(), -1));
    add_text(builder, lower.get(), value);
  }
  json_builder_end_object(builder);
}

// One object per part, in order: names may repeat.
void add_fields(JsonBuilder* builder, const Request& request) {
  json_builder_set_member_name(builder, "fields");
  json_builder_begin_array(builder);
  for (const auto& part : request.parts) {
    json_builder_begin_object(builder);
    add_text(builder, "name", part.name);
    if (part.filename) {
      add_text(builder, "filename", *part.filename);
      add_text(builder, "content_type", part.content_type);
    } else if (part.content) {
      add_text(builder, "value", *part.content);
    }
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

std::string log_line(const Request& request) {
  const ObjectPtr<JsonBuilder> owner(json_builder_new());
  JsonBuilder* builder = owner.get();
  json_builder_begin_object(builder);
  add_number(builder, "number", static_cast<std::int64_t>(request.number));
  add_number(builder, "connection", static_cast<std::int64_t>(request.connection));
  add_number(builder, "arrival_us", request.arrival);
  add_number(builder, "received_us", request.received);
  add_number(builder, "ended_us", request.ended);
  add_number(builder, "in_flight", static_cast<std::int64_t>(request.in_flight));
  add_text(builder, "end", name_of(request.end));
  add_number(builder, "status", request.status);
  add_text(builder, "method", request.method);
  add_text(builder, "path", request.path);
  add_text(builder, "query", request.query);
  add_headers(builder, request.headers);
  add_fields(builder, request);
  add_number(builder, "attempt", request.attempt);
  if (request.chunk) {
    add_number(builder, "chunk", static_cast<std::int64_t>(*request.chunk));
  }
  add_number(builder, "body_bytes", static_cast<std::int64_t>(request.body_bytes));
  add_number(builder, "frames", static_cast<std::int64_t>(request.frames));
  add_text(builder, "sha256", request.sha256);
  json_builder_set_member_name(builder, "violations");
  json_builder_begin_array(builder);
  for (const auto& violation : request.violations) {
    const CharPtr valid(g_utf8_make_valid(violation.c_str(), -1));
    json_builder_add_string_value(builder, valid.get());
  }
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  const JsonNodePtr root(json_builder_get_root(builder));
  const CharPtr text(json_to_string(root.get(), FALSE));
  return std::string(text.get()) + "\n";
}

// The file that a chunk came in, under its own name and the number of the attempt.
void save_audio(const Request& request, const std::string& directory) {
  const auto* file = request.file();
  if (!file || !file->content) {
    return;
  }
  const CharPtr name(g_path_get_basename(file->filename.value_or("unnamed").c_str()));
  const std::string path =
      directory + "/" + std::to_string(request.attempt) + "-" + std::string(name.get());
  g_file_set_contents(path.c_str(), file->content->data(),
                      static_cast<gssize>(file->content->size()), nullptr);
}

bool read_script(const Arguments& arguments, Script& script, std::string& error) {
  if (!arguments.script) {
    return true;
  }
  std::string json = arguments.script.get();
  if (g_file_test(json.c_str(), G_FILE_TEST_EXISTS)) {
    CharPtr text;
    gsize size = 0;
    ErrorPtr problem;
    if (!g_file_get_contents(json.c_str(), out(text), &size, out(problem))) {
      error = problem->message;
      return false;
    }
    json.assign(text.get(), size);
  }
  auto parsed = Script::parse(json, error);
  if (parsed) {
    script = std::move(*parsed);
  }
  return parsed.has_value();
}

struct Session {
  GMainLoop* loop;
  FakeService* service;
  std::string line;
};

gboolean on_signal(gpointer loop) noexcept {
  g_main_loop_quit(static_cast<GMainLoop*>(loop));
  return G_SOURCE_CONTINUE;
}

void print_received(const FakeService& service) {
  const auto requests = service.requests();
  const auto count = std::count_if(requests.begin(), requests.end(),
                                   [](const Request& request) { return request.received != 0; });
  std::printf("%td\n", count);
  std::fflush(stdout);
}

gboolean on_input(gint fd, GIOCondition, gpointer data) noexcept {
  auto* session = static_cast<Session*>(data);
  char buffer[512];
  const ssize_t size = read(fd, buffer, sizeof buffer);
  if (size <= 0) {
    g_main_loop_quit(session->loop);
    return G_SOURCE_REMOVE;
  }
  session->line.append(buffer, static_cast<std::size_t>(size));
  for (std::size_t end; (end = session->line.find('\n')) != std::string::npos;) {
    const std::string line = session->line.substr(0, end);
    session->line.erase(0, end + 1);
    if (g_str_has_prefix(line.c_str(), "open ")) {
      session->service->open_gate(line.substr(5));
    } else if (line == "received") {
      print_received(*session->service);
    }
  }
  return G_SOURCE_CONTINUE;
}

// A shell gives a background job /dev/null for stdin: its end says nothing.
bool ends_with_stdin() {
  struct stat info;
  return fstat(STDIN_FILENO, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

int serve(const Arguments& arguments, Script script, std::FILE* log) {
  FakeService::Options options;
  options.check = !arguments.no_check;
  options.keep_audio = false;
  options.hash_audio = log != nullptr;
  options.port = static_cast<std::uint16_t>(arguments.port);
  const std::string directory = arguments.audio_directory ? arguments.audio_directory.get() : "";
  options.on_end = [log, directory](const Request& request) {
    if (!directory.empty()) {
      save_audio(request, directory);
    }
    if (log) {
      const std::string line = log_line(request);
      std::fwrite(line.data(), 1, line.size(), log);
      std::fflush(log);
    }
  };
  const transcribe::Handle<GMainLoop, g_main_loop_unref> loop(g_main_loop_new(nullptr, FALSE));
  g_unix_signal_add(SIGTERM, on_signal, loop.get());
  g_unix_signal_add(SIGINT, on_signal, loop.get());
  FakeService service(std::move(options));
  service.play(std::move(script));
  Session session{loop.get(), &service, {}};
  if (ends_with_stdin()) {
    g_unix_fd_add(STDIN_FILENO, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP), on_input, &session);
  }
  std::printf("%u\n", service.port());
  std::fflush(stdout);
  g_main_loop_run(loop.get());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  char* script_text = nullptr;
  char* log_name = nullptr;
  char* directory = nullptr;
  const GOptionEntry entries[] = {
      {"script", 's', 0, G_OPTION_ARG_STRING, &script_text, "Answers (see fake_script.h)",
       "FILE|JSON"},
      {"log", 'l', 0, G_OPTION_ARG_FILENAME, &log_name, "One JSON line per request", "FILE"},
      {"audio-directory", 'a', 0, G_OPTION_ARG_FILENAME, &directory,
       "Keep each file as ATTEMPT-FILENAME", "DIR"},
      {"port", 'p', 0, G_OPTION_ARG_INT, &arguments.port, "Port (any free one)", "N"},
      {"no-check", 'n', 0, G_OPTION_ARG_NONE, &arguments.no_check, "Take any path and field",
       nullptr},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr}};
  const transcribe::Handle<GOptionContext, g_option_context_free> context(
      g_option_context_new("- a scriptable speech-to-text service"));
  g_option_context_add_main_entries(context.get(), entries, nullptr);
  ErrorPtr error;
  const bool parsed = g_option_context_parse(context.get(), &argc, &argv, out(error));
  arguments.script.reset(script_text);
  arguments.log.reset(log_name);
  arguments.audio_directory.reset(directory);
  if (!parsed) {
    return complain(error->message);
  }
  if (arguments.port < 0 || arguments.port > 65535) {
    return complain("a port is a number up to 65535");
  }
  Script script;
  std::string problem;
  if (!read_script(arguments, script, problem)) {
    return complain("script: " + problem);
  }
  const transcribe::Handle<std::FILE, std::fclose> log(
      arguments.log ? std::fopen(arguments.log.get(), "ae") : nullptr);
  if (arguments.log && !log) {
    return complain(std::string("can't write ") + arguments.log.get());
  }
  return serve(arguments, std::move(script), log.get());
}
