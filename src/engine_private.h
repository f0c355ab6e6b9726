// The engine's inside, shared by its three sources: engine.cpp (the door, the event thread),
// engine_intake.cpp (chunks on their way in) and engine_end.cpp (failures and ends).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <variant>

#include "base/guarded.h"
#include "engine.h"
#include "job/earlier_run.h"
#include "mirrors.h"
#include "openai/client.h"

namespace transcribe {

struct Engine::Private final : public DispatchObserver, public StoreObserver {
  // The last entry of the log: what never was settled when the job ended.
  struct End {
    std::vector<ChunkInfo> unsettled;
    JobState state = JobState::kQueued;
    JobReason reason = JobReason::kStopped;
  };
  struct Entry {
    std::variant<Event, StoreNote, End> what;
    Counters counters;
  };
  struct Alarm {
    TimePoint time{};
    std::function<void()> call;
  };
  // A piece that has no index yet.
  struct Piece {
    ChunkInfo info;
    BytesPtr pcm;
    TimePoint cut_at{};
    TimePoint heard_at{};
    std::string prompt;  // as it was when the piece came
    std::optional<SkipReason> skipped;
  };

  // Lock order: state -> the dispatcher's. Observers are called with neither.
  struct State {
    explicit State(const EngineConfig& config) : job(config.job_id), live(config.live) {}

    Job job;
    LiveSettings live;
    std::deque<Entry> log;
    std::optional<Alarm> alarm;
    std::uint64_t next_index = 0;
    // Of a job that is stored: until the store is open, pieces are held back; then they are
    // compared with what it holds.
    bool store_open = true;
    std::deque<Piece> held;
    std::vector<ChunkInfo> late;  // queued after eos-timeout: they fail together
    OpenedJob opened;
    EarlierRun earlier;
    bool live_source = false;
    bool interrupted = false;
    bool finishing = false;  // no more pieces
    bool expired = false;    // eos-timeout is over: nothing more is sent
    bool ending = false;     // nothing new starts; the End entry follows
    bool end_logged = false;
    bool end_delivered = false;
    bool cancelled = false;
    bool quit = false;

    JobReason end_reason = JobReason::kEndOfStream;
    bool stopped = false;  // the dispatcher has given back what it will not settle
    std::vector<ChunkInfo> unsettled;
    std::optional<Failure> lost;  // another owner took the job while its end was stored
    std::optional<ChunkFailed> fatal;
    std::optional<ChunkFailed> first_failed;  // the one with the lowest index
    // The lowest indices; one more than are named.
    std::set<std::uint64_t> failed_chunks;
    // The first chunks, by index, that were sent and are settled: how each was rejected; null: it
    // was not. What is skipped has no place here and leaves it to the next one.
    std::map<std::uint64_t, std::optional<ChunkFailed>> first_outcomes;
  };
  using Access = Guarded<State>::Access;

  Private(EngineConfig engine_config, const Clock& the_clock, const Log& the_log)
      : config(std::move(engine_config)), clock(the_clock), log(the_log), state(config) {}

  void append(Access& s, Event event);

  // engine_intake.cpp
  std::size_t queued(Access& s) const;
  // From the outside: held back, or taken.
  void put(Piece piece);
  void hold(Access& s, Piece piece);
  // Gives the piece its index and sends it, or takes its result from the store.
  void take(Access&& s, Piece piece);
  void accept(Access&& s, Piece piece);
  // True when there is room for the chunk; else leaky has dropped it.
  bool make_room(Access& s, const Piece& piece);
  void fail_late();
  void go_on_live(Access&& s);
  void open_store();

  // engine_end.cpp
  void maybe_end(Access& s);
  // Stops everything. Returns false when somebody else did already.
  bool begin_end(Access& s, JobReason reason);
  void end_early(Access&& s);
  void end_job(JobReason reason, Failure failure);
  // For the messages at the end.
  void name_failed(Access& s, const ChunkFailed& event);
  void fail(const ChunkInfo& chunk, const Failure& failure, unsigned attempts);
  void fail(Access&& s, ChunkFailed event);
  void note_first(Access& s, std::uint64_t index, std::optional<ChunkFailed> rejection);
  // Ends the job when the first chunks were all rejected alike; else as maybe_end().
  void judge_first(Access&& s);
  void note_store(StoreNote note);

  void on_attempt(const ChunkInfo& chunk, unsigned attempt) noexcept override;
  void on_retry(const ChunkInfo& chunk, unsigned next_attempt, Nanoseconds delay,
                const Failure& failure) noexcept override;
  void on_done(const ChunkInfo& chunk, Transcription&& transcription, unsigned attempts,
               Nanoseconds latency) noexcept override;
  void on_failed(const ChunkInfo& chunk, const Failure& failure,
                 unsigned attempts) noexcept override;

  void on_stored(const std::vector<std::uint64_t>& indices) noexcept override;
  void on_store_error(const std::string& message) noexcept override;
  void on_store_recovered() noexcept override;
  void on_store_off(const std::string& message) noexcept override;
  void on_taken_over(const std::string& message) noexcept override;
  void on_cancel_requested(const std::string& note) noexcept override;

  // Event thread.
  void run();
  // Until there is an entry, or the end. True instead: `due` is to be called, without the lock.
  bool wait_for_entry(Access& s, std::function<void()>& due);
  void deliver_end(const End& end, const Counters& counters);

  const EngineConfig config;
  const Clock& clock;
  const Log& log;

  Guarded<State> state;
  std::condition_variable changed;

  CarriedContext context;
  std::unique_ptr<OpenAiClient> client;
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<Mirrors> mirrors;  // event thread; its store calls back until it is gone
  std::thread thread;
};

// The job's own failure, no chunk's.
Failure job_failure(Cause cause, std::string reason, std::string message);
// At eos-timeout; keeps what the last answer told: it is the reason behind the reason.
Failure out_of_time(std::optional<Failure> last);
// "3, 7, 12", and "…" where there are more than are named.
std::string named_chunks(const std::set<std::uint64_t>& indices);
// As it is counted and told.
std::uint64_t wav_bytes(const BytesPtr& pcm);
inline constexpr std::size_t kRejectedAlike = 3;

}  // namespace transcribe
