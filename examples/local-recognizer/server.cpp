#include "server.h"

#include <libsoup/soup.h>

#include <string_view>
#include <utility>
#include <vector>

#include "api.h"

namespace local_recognizer {
namespace {

constexpr char kReceivedKey[] = "local-recognizer-received";

void respond(SoupServerMessage* message, unsigned status, const std::string& body) {
  soup_server_message_set_status(message, status, nullptr);
  soup_server_message_set_response(message, "application/json", SOUP_MEMORY_COPY, body.data(),
                                   body.size());
}

void respond(SoupServerMessage* message, const ApiError& error) {
  respond(message, error.status, to_json(error));
}

ApiError too_large(std::size_t limit) {
  return {.status = 413,
          .message = "Maximum content size limit (" + std::to_string(limit) + ") exceeded",
          .type = "server_error"};
}

bool read_form(SoupServerMessage* message, std::vector<FormField>& form) {
  GBytes* body = soup_message_body_flatten(soup_server_message_get_request_body(message));
  SoupMultipart* multipart =
      soup_multipart_new_from_message(soup_server_message_get_request_headers(message), body);
  g_bytes_unref(body);
  if (!multipart) return false;
  for (int i = 0; i < soup_multipart_get_length(multipart); i++) {
    SoupMessageHeaders* headers = nullptr;
    GBytes* part = nullptr;
    soup_multipart_get_part(multipart, i, &headers, &part);
    char* disposition = nullptr;
    GHashTable* params = nullptr;
    if (!soup_message_headers_get_content_disposition(headers, &disposition, &params)) continue;
    const auto* name = static_cast<const char*>(g_hash_table_lookup(params, "name"));
    gsize size = 0;
    const auto* data = static_cast<const char*>(g_bytes_get_data(part, &size));
    if (name) {
      form.push_back({name, g_hash_table_contains(params, "filename") != FALSE,
                      size > 0 ? std::string(data, size) : std::string()});
    }
    g_free(disposition);
    g_hash_table_unref(params);
  }
  soup_multipart_free(multipart);
  return true;
}

}  // namespace

struct Server::Private {
  Private(const ServerOptions& server_options, Recognizer& server_recognizer)
      : options(server_options), recognizer(server_recognizer) {}

  // Belongs to the pool from its queueing until answer() takes it on the server's thread.
  struct Job {
    Private* server = nullptr;
    SoupServerMessage* message = nullptr;  // touched on the server's thread only
    gulong finished_handler = 0;
    bool client_left = false;  // server's thread
    TranscriptionRequest request;
    unsigned status = 200;
    std::string body;
  };

  static void on_headers(SoupServer*, SoupServerMessage* message, const char*, GHashTable*,
                         gpointer user_data) noexcept;
  static void on_chunk(SoupServerMessage* message, GBytes* chunk, gpointer user_data) noexcept;
  static void on_request(SoupServer*, SoupServerMessage* message, const char* path, GHashTable*,
                         gpointer user_data) noexcept;
  static void on_finished(SoupServerMessage*, gpointer job) noexcept;
  static void decode(gpointer job, gpointer user_data) noexcept;
  static gboolean answer(gpointer job) noexcept;
  void transcribe(SoupServerMessage* message);

  const ServerOptions options;
  Recognizer& recognizer;
  GMainContext* context = g_main_context_ref_thread_default();
  SoupServer* soup = nullptr;
  GThreadPool* pool = nullptr;
  unsigned open = 0;
};

// A body that is too large is read, so that the client gets to see the answer, but not kept.
void Server::Private::on_headers(SoupServer*, SoupServerMessage* message, const char*, GHashTable*,
                                 gpointer user_data) noexcept {
  auto* self = static_cast<Private*>(user_data);
  SoupMessageHeaders* headers = soup_server_message_get_request_headers(message);
  if (soup_message_headers_get_content_length(headers) >
      static_cast<goffset>(self->options.max_body)) {
    soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
    respond(message, too_large(self->options.max_body));
    return;
  }
  g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), self);
}

void Server::Private::on_chunk(SoupServerMessage* message, GBytes* chunk,
                               gpointer user_data) noexcept {
  auto* self = static_cast<Private*>(user_data);
  const gsize received = GPOINTER_TO_SIZE(g_object_get_data(G_OBJECT(message), kReceivedKey)) +
                         g_bytes_get_size(chunk);
  g_object_set_data(G_OBJECT(message), kReceivedKey, GSIZE_TO_POINTER(received));
  if (received <= self->options.max_body) return;
  SoupMessageBody* body = soup_server_message_get_request_body(message);
  soup_message_body_set_accumulate(body, FALSE);
  soup_message_body_truncate(body);
  if (soup_server_message_get_status(message) == 0)
    respond(message, too_large(self->options.max_body));
}

void Server::Private::on_request(SoupServer*, SoupServerMessage* message, const char* path,
                                 GHashTable*, gpointer user_data) noexcept {
  auto* self = static_cast<Private*>(user_data);
  const std::string_view method = soup_server_message_get_method(message);
  const std::string where = std::string(method) + " " + path;
  const bool health = std::string_view(path) == "/health";
  const bool transcriptions = std::string_view(path) == "/v1/audio/transcriptions";
  const char* allowed = health ? "GET" : "POST";
  if (std::string_view(path) == "/v1/audio/translations") {
    respond(message, {.status = 404,
                      .message = "This server does not translate; use /v1/audio/transcriptions.",
                      .code = "unsupported_endpoint"});
  } else if (!health && !transcriptions) {
    respond(message, {.status = 404,
                      .message = "Unknown request URL: " + where +
                                 ". The base URL of this server ends with /v1.",
                      .code = "unknown_url"});
  } else if (method != allowed) {
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Allow",
                                 allowed);
    respond(message, {.status = 405,
                      .message = "Not allowed: " + where + ". Use " + allowed + ".",
                      .code = "method_not_supported"});
  } else if (health) {
    respond(message, 200, R"({"status":"ok"})");
  } else {
    self->transcribe(message);
  }
}

void Server::Private::transcribe(SoupServerMessage* message) {
  std::vector<FormField> form;
  auto job = std::make_unique<Job>();
  ApiError error;
  if (!read_form(message, form)) {
    respond(message, {.message = "The request is not a multipart/form-data form."});
    return;
  }
  if (!parse_request(form, job->request, error)) {
    respond(message, error);
    return;
  }
  job->server = this;
  job->message = SOUP_SERVER_MESSAGE(g_object_ref(message));
  job->finished_handler = g_signal_connect(message, "finished", G_CALLBACK(on_finished), job.get());
  soup_server_message_pause(message);
  open++;
  g_thread_pool_push(pool, job.release(), nullptr);
}

void Server::Private::on_finished(SoupServerMessage*, gpointer job) noexcept {
  static_cast<Job*>(job)->client_left = true;
}

void Server::Private::decode(gpointer data, gpointer user_data) noexcept {
  auto* job = static_cast<Job*>(data);
  auto* self = static_cast<Private*>(user_data);
  std::vector<Word> words;
  if (self->recognizer.recognize(job->request.samples, words)) {
    job->body = to_json(job->request, words);
  } else {
    job->status = 500;
    job->body = to_json(ApiError{.status = 500,
                                 .message = "The recogniser failed; is there enough memory?",
                                 .type = "server_error"});
  }
  // libsoup's server belongs to its own thread.
  GSource* source = g_idle_source_new();
  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(source, answer, job, nullptr);
  g_source_attach(source, self->context);
  g_source_unref(source);
}

gboolean Server::Private::answer(gpointer data) noexcept {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  g_signal_handler_disconnect(job->message, job->finished_handler);
  job->server->open--;
  if (!job->client_left) {
    respond(job->message, job->status, job->body);
    soup_server_message_unpause(job->message);
  }
  g_object_unref(job->message);
  return G_SOURCE_REMOVE;
}

Server::Server(std::unique_ptr<Private> d) : d_(std::move(d)) {}

std::unique_ptr<Server> Server::create(const ServerOptions& options, Recognizer& recognizer,
                                       std::string& error) {
  auto d = std::make_unique<Private>(options, recognizer);
  d->soup = soup_server_new("server-header", "local-recognizer/" VERSION, nullptr);
  d->pool = g_thread_pool_new(Private::decode, d.get(), static_cast<int>(options.threads), FALSE,
                              nullptr);
  soup_server_add_early_handler(d->soup, nullptr, Private::on_headers, d.get(), nullptr);
  soup_server_add_handler(d->soup, nullptr, Private::on_request, d.get(), nullptr);
  std::unique_ptr<Server> server(new Server(std::move(d)));
  GError* failure = nullptr;
  if (!soup_server_listen_local(server->d_->soup, options.port, SOUP_SERVER_LISTEN_IPV4_ONLY,
                                &failure)) {
    error = failure->message;
    g_error_free(failure);
    return nullptr;
  }
  return server;
}

Server::~Server() {
  soup_server_disconnect(d_->soup);
  g_thread_pool_free(d_->pool, FALSE, TRUE);
  // The answers of what was still decoded.
  while (d_->open > 0) g_main_context_iteration(d_->context, TRUE);
  g_object_unref(d_->soup);
  g_main_context_unref(d_->context);
}

unsigned Server::port() const {
  GSList* uris = soup_server_get_uris(d_->soup);
  const int port = g_uri_get_port(static_cast<GUri*>(uris->data));
  g_slist_free_full(uris, reinterpret_cast<GDestroyNotify>(g_uri_unref));
  return static_cast<unsigned>(port);
}

unsigned Server::open_requests() const { return d_->open; }

}  // namespace local_recognizer
