#include "fake_service.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/guarded.h"
#include "conformance.h"
#include "fake_connection.h"
#include "multipart_reader.h"
#include "wav_reader.h"

namespace transcribe::testing {
namespace {

std::optional<std::uint64_t> chunk_of(const std::string& filename) {
  const std::string prefix = "chunk-";
  const std::string suffix = ".wav";
  guint64 number = 0;
  if (filename.size() <= prefix.size() + suffix.size() ||
      !g_str_has_prefix(filename.c_str(), prefix.c_str()) ||
      !g_str_has_suffix(filename.c_str(), suffix.c_str())) {
    return std::nullopt;
  }
  const auto digits =
      filename.substr(prefix.size(), filename.size() - prefix.size() - suffix.size());
  if (!g_ascii_string_to_unsigned(digits.c_str(), 10, 0, G_MAXUINT64, &number, nullptr)) {
    return std::nullopt;
  }
  return number;
}

ObjectPtr<GSocket> listen_on(std::uint16_t port) {
  ErrorPtr error;
  ObjectPtr<GSocket> socket(
      g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, out(error)));
  if (socket) {
    const ObjectPtr<GSocketAddress> address(
        g_inet_socket_address_new_from_string("127.0.0.1", port));
    g_socket_set_blocking(socket.get(), FALSE);
    g_socket_set_listen_backlog(socket.get(), 128);
    if (g_socket_bind(socket.get(), address.get(), TRUE, out(error)) &&
        g_socket_listen(socket.get(), out(error))) {
      return socket;
    }
  }
  g_error("the fake service can't listen: %s", error->message);
}

std::uint16_t port_of(GSocket* socket) {
  const ObjectPtr<GSocketAddress> address(g_socket_get_local_address(socket, nullptr));
  return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address.get()));
}

void read_audio(Request& request, bool hash_audio) {
  const Part* file = request.file();
  if (!file) {
    return;
  }
  request.chunk = chunk_of(file->filename.value_or(""));
  auto samples = read_wav(*file->content, request.wav_error);
  if (!samples) {
    return;
  }
  request.frames = samples->size();
  // Where no number names the chunk, the default answer is made of it.
  if (hash_audio || !request.chunk) {
    const CharPtr hash(g_compute_checksum_for_data(G_CHECKSUM_SHA256,
                                                   reinterpret_cast<const guchar*>(samples->data()),
                                                   samples->size() * sizeof(std::int16_t)));
    request.sha256 = hash.get();
  }
  request.samples = std::make_shared<const std::vector<std::int16_t>>(std::move(*samples));
}

void drop_audio(Request& request) {
  request.samples = nullptr;
  for (auto& part : request.parts) {
    if (part.filename) {
      part.content = nullptr;
    }
  }
}

}  // namespace

struct FakeService::Private final : ConnectionHost {
  struct State {
    std::vector<Request> requests;
    std::vector<std::string> violations;
    std::size_t received = 0;
    std::size_t ended = 0;
    std::size_t in_flight = 0;
    std::size_t max_in_flight = 0;
    std::size_t connections = 0;
    std::size_t open_connections = 0;
    std::set<std::string> gates;
    std::shared_ptr<const Answerer> answerer;
    std::shared_ptr<const HeadAnswerer> head_answerer;
    std::vector<std::function<void()>> commands;
    std::size_t commands_given = 0;
    std::size_t commands_done = 0;
    bool stop = false;
  };

  Options options;
  MainContextPtr context{g_main_context_new()};
  std::uint16_t port = 0;
  Guarded<State> state;
  std::condition_variable changed;
  std::thread thread;

  // Used by the service's thread only, once that runs.
  ObjectPtr<GSocket> listener;
  GSource* acceptable = nullptr;
  std::map<std::size_t, std::unique_ptr<Connection>> open;
  std::map<std::string, unsigned> attempts;
  std::unique_ptr<Conformance> conformance;

  explicit Private(Options chosen) : options(std::move(chosen)) {
    listener = listen_on(options.port);
    port = port_of(listener.get());
    if (options.check) {
      conformance = std::make_unique<Conformance>();
    }
    thread = std::thread([this]() noexcept { run(); });
  }

  ~Private() override {
    state.lock()->stop = true;
    g_main_context_wakeup(context.get());
    thread.join();
  }

  void run() {
    g_main_context_push_thread_default(context.get());
    watch_listener();
    while (run_commands()) {
      g_main_context_iteration(context.get(), TRUE);
      for (auto& [number, connection] : open) {
        connection->check_gate();
      }
      bury_closed();
    }
    close_listener();
    open.clear();
    g_main_context_pop_thread_default(context.get());
  }

  void bury_closed() {
    std::erase_if(open, [](const auto& entry) { return entry.second->closed(); });
    state.lock()->open_connections = open.size();
  }

  bool run_commands() {
    std::vector<std::function<void()>> commands;
    {
      auto access = state.lock();
      if (access->stop) {
        return false;
      }
      commands.swap(access->commands);
    }
    for (const auto& command : commands) {
      command();
    }
    if (!commands.empty()) {
      auto access = state.lock();
      access->commands_done += commands.size();
      changed.notify_all();
    }
    return true;
  }

  // Runs in the service's thread; returns when it is done, unless called from there.
  void call(std::function<void()> command) {
    auto access = state.lock();
    access->commands.push_back(std::move(command));
    const std::size_t mine = ++access->commands_given;
    g_main_context_wakeup(context.get());
    if (std::this_thread::get_id() != thread.get_id()) {
      access.wait(changed, [&] { return access->commands_done >= mine; });
    }
  }

  void watch_listener() {
    acceptable = g_socket_create_source(listener.get(), G_IO_IN, nullptr);
    const GSocketSourceFunc callback = [](GSocket*, GIOCondition, gpointer self) noexcept {
      static_cast<Private*>(self)->accept();
      return gboolean(G_SOURCE_CONTINUE);
    };
    g_source_set_callback(acceptable, G_SOURCE_FUNC(callback), this, nullptr);
    g_source_attach(acceptable, context.get());
  }

  void close_listener() {
    if (listener) {
      g_source_destroy(acceptable);
      g_source_unref(acceptable);
      g_socket_close(listener.get(), nullptr);
      listener.reset();
    }
  }

  void accept() {
    while (ObjectPtr<GSocket> socket{g_socket_accept(listener.get(), nullptr, nullptr)}) {
      std::size_t number = 0;
      {
        auto access = state.lock();
        number = access->connections++;
        ++access->open_connections;
      }
      open[number] = std::make_unique<Connection>(context.get(), std::move(socket), number,
                                                  options.close_idle, *this);
    }
  }

  std::optional<Answer> on_head(Request& request) override {
    const std::string key = request.header("Idempotency-Key");
    if (!key.empty()) {
      request.attempt = ++attempts["key " + key];
    }
    std::shared_ptr<const HeadAnswerer> answerer;
    {
      auto access = state.lock();
      request.number = access->requests.size();
      request.in_flight = ++access->in_flight;
      access->max_in_flight = std::max(access->max_in_flight, access->in_flight);
      access->requests.push_back(request);
      answerer = access->head_answerer;
      changed.notify_all();
    }
    return answerer && *answerer ? (*answerer)(request) : std::nullopt;
  }

  Answer on_body(Request& request, std::string body) override {
    request.body_bytes = body.size();
    request.body_error = read_multipart(request.header("Content-Type"), body, request.parts);
    body = std::string();
    read_audio(request, options.hash_audio);
    if (request.attempt == 0 && request.file()) {
      request.attempt = ++attempts["file " + request.file()->filename.value_or("")];
    }
    const auto violations = conformance ? conformance->check(request) : std::vector<Violation>();
    for (const auto& violation : violations) {
      request.violations.push_back(violation.message);
    }
    std::shared_ptr<const Answerer> answerer;
    {
      auto access = state.lock();
      access->requests[request.number] = request;
      ++access->received;
      for (const auto& text : request.violations) {
        access->violations.push_back("request " + std::to_string(request.number) + ": " + text);
      }
      answerer = access->answerer;
      changed.notify_all();
    }
    if (!violations.empty()) {
      const auto& first = violations.front();
      return Answer::error(first.status, first.code, {}, first.message, first.param);
    }
    return answerer && *answerer ? (*answerer)(request) : Answer();
  }

  bool gate_is_open(const std::string& gate) override {
    return state.lock()->gates.count(gate) > 0;
  }

  void on_end(const Request& request) override {
    {
      auto access = state.lock();
      auto& kept = access->requests[request.number];
      kept = request;
      if (!options.keep_audio) {
        drop_audio(kept);
      }
      access->received += request.received == 0 ? 1 : 0;
      ++access->ended;
      --access->in_flight;
      changed.notify_all();
    }
    if (options.on_end) {
      options.on_end(request);
    }
  }

  void on_garbage(std::size_t connection, const std::string& why) override {
    state.lock()->violations.push_back("connection " + std::to_string(connection) + ": " + why);
  }

  bool wait_until(Milliseconds timeout, const std::function<bool(const State&)>& predicate) {
    auto access = state.lock();
    return access.wait_until(changed, std::chrono::steady_clock::now() + timeout,
                             [&] { return predicate(*access); });
  }
};

FakeService::FakeService() : FakeService(Options()) {}
FakeService::FakeService(Options options) : d_(std::make_unique<Private>(std::move(options))) {}
FakeService::~FakeService() = default;

std::uint16_t FakeService::port() const { return d_->port; }

std::string FakeService::url() const {
  return "http://127.0.0.1:" + std::to_string(d_->port) + "/v1";
}

void FakeService::answer_with(Answerer answerer) {
  d_->state.lock()->answerer = std::make_shared<const Answerer>(std::move(answerer));
}

void FakeService::answer_head_with(HeadAnswerer answerer) {
  d_->state.lock()->head_answerer = std::make_shared<const HeadAnswerer>(std::move(answerer));
}

void FakeService::play(Script script) {
  const auto shared = std::make_shared<Script>(std::move(script));
  answer_head_with([shared](const Request& request) { return shared->on_head(request); });
  answer_with([shared](const Request& request) { return shared->on_request(request); });
}

void FakeService::open_gate(const std::string& gate) {
  d_->state.lock()->gates.insert(gate);
  g_main_context_wakeup(d_->context.get());
}

void FakeService::close_idle_connections() {
  d_->call([d = d_.get()] {
    for (auto& [number, connection] : d->open) {
      if (connection->idle()) {
        connection->close(End::kAnswered);
      }
    }
    d->bury_closed();
  });
}

void FakeService::set_listening(bool listening) {
  d_->call([d = d_.get(), listening] {
    if (listening && !d->listener) {
      d->listener = listen_on(d->port);
      d->watch_listener();
    } else if (!listening) {
      d->close_listener();
    }
  });
}

std::vector<Request> FakeService::requests() const { return d_->state.lock()->requests; }
std::vector<std::string> FakeService::violations() const { return d_->state.lock()->violations; }
std::size_t FakeService::in_flight() const { return d_->state.lock()->in_flight; }
std::size_t FakeService::max_in_flight() const { return d_->state.lock()->max_in_flight; }
std::size_t FakeService::connections() const { return d_->state.lock()->connections; }
std::size_t FakeService::open_connections() const { return d_->state.lock()->open_connections; }

bool FakeService::wait_for_requests(std::size_t count, Milliseconds timeout) const {
  return d_->wait_until(timeout,
                        [count](const Private::State& state) { return state.received >= count; });
}

bool FakeService::wait_for_answers(std::size_t count, Milliseconds timeout) const {
  return d_->wait_until(timeout,
                        [count](const Private::State& state) { return state.ended >= count; });
}

}  // namespace transcribe::testing
