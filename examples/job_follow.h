// The story of a job as it happens, until its end.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "job_redis.h"
#include "screen.h"
#include "transcription.h"

class JobFollower {
 public:
  JobFollower(JobRedis& redis, Screen& screen, const std::string& id)
      : redis_(redis), screen_(screen), keys_(redis.keys(id)), id_(id) {}

  // Through lost connections, once there was one. Waits for a job that is not there yet.
  ExitCode run();

 private:
  using Event = std::map<std::string, std::string>;

  // One round; sets `code_` at the end of the job.
  transcribe::RedisResult<transcribe::Success> step();
  transcribe::RedisResult<transcribe::Success> begin();
  transcribe::RedisResult<transcribe::Success> read_keys();
  transcribe::RedisResult<transcribe::Success> take(const Event& event);
  transcribe::RedisResult<transcribe::Success> take_chunk(const Event& event);
  transcribe::RedisResult<transcribe::Success> finish(const std::string& state);
  void show(std::uint64_t index, const Record& record);
  // Whether that is new.
  bool remember(std::uint64_t index, const std::string& status);
  void start_over(std::int64_t born);
  void tell_state(const std::string& state, const std::string& reason);

  JobRedis& redis_;
  Screen& screen_;
  const transcribe::JobKeys keys_;
  const std::string id_;
  std::string last_;                            // id of the last event read; empty: not begun
  std::int64_t seq_ = 0;                        // its number
  std::int64_t born_ = 0;                       // created_ms of the job that `shown_` belongs to
  std::map<std::uint64_t, std::string> shown_;  // status by index
  std::string state_;
  bool waiting_ = false;
  bool over_ = false;
  ExitCode code_ = kError;
};
