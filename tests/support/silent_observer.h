// An observer that a test derives from to hear what it asks about, and nothing else.
#pragma once

#include <string>

#include "engine_observer.h"

namespace transcribe {

class SilentObserver : public EngineObserver {
 public:
  void on_state(const StateChanged&, const Counters&) noexcept override {}
  void on_queued(const ChunkQueued&, const Counters&) noexcept override {}
  void on_retry(const ChunkRetry&) noexcept override {}
  void on_released(const Released&, const Counters&) noexcept override {}
  void on_file_error(const WriteError&) noexcept override {}
  void on_file_recovered() noexcept override {}
  void on_store_error(const std::string&) noexcept override {}
  void on_store_recovered() noexcept override {}
  void on_store_off(const std::string&) noexcept override {}
  void on_store_waiting(const std::string&) noexcept override {}
  void on_complete(const JobEnd&) noexcept override {}
  void on_end(const JobEnd&) noexcept override {}
  void on_stopped(const Counters&) noexcept override {}
};

}  // namespace transcribe
