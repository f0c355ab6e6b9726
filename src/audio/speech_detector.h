// Where somebody speaks, in frames of 10 ms on the job's sample grid: how loud the band of speech
// (200 to 3400 Hz) is, compared with the background, its quietest 50 ms of the last 3 s.
//
// Whoever relies on it loses words when it is wrong, so in doubt it is speech. As long as speech
// and background are too close to tell apart, every audible frame is; in a loud but steady
// background all that rises a little above its variation is. Lone beats of music are not.
//
// Integer arithmetic throughout, filters and logarithms included: the same samples give the same
// frames on every machine and for every way of splitting them. Constant work per sample; keeps the
// frames until they are forgotten. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "audio/band_pass.h"
#include "audio/chunk.h"

namespace transcribe {

inline constexpr std::uint64_t kSpeechFrame = kSampleRate / 100;

struct SpeechFrame {
  std::uint32_t power = 0;     // mean square within the band
  std::int16_t own_level = 0;  // of these 10 ms, in 0.01 dB of full scale
  std::int16_t level = 0;      // of the last 50 ms
  std::int16_t floor = 0;      // the background then
  bool loud = false;           // these 10 ms stand out from the background: no part of a pause
  bool raised = false;         // the last 50 ms do
  bool open = false;           // it can't be told
  bool voiced = false;         // raised, and no lone beat of music; or it can't be told
  bool speech = false;         // voiced, or at most 200 ms behind such a frame
};

class SpeechDetector {
 public:
  // Of speech after its last voiced frame.
  static constexpr std::uint64_t kHangOver = 20;

  // `threshold`: of a voiced frame above the background, in dB.
  explicit SpeechDetector(double threshold = 8);

  // Number of the first frame that begins at or after `position`.
  static constexpr std::uint64_t next_frame(std::uint64_t position) {
    return (position + kSpeechFrame - 1) / kSpeechFrame;
  }

  // Forgets everything heard; the next sample lies at `position` of the job. The first frame is
  // next_frame(position).
  void restart(std::uint64_t position);
  void push(std::span<const std::int16_t> samples);

  // While the background is being learned, what follows can still turn a frame that is kept into a
  // loud or voiced one; revision() tells when that happened.
  std::span<const SpeechFrame> frames() const { return frames_; }
  // Number of frames()[0].
  std::uint64_t first_frame() const { return first_frame_; }
  void forget_before(std::uint64_t frame);
  // Frames that a voiced frame may turn into voiced ones, itself included.
  static constexpr std::uint64_t kOnset = 50;
  // Number of the frame behind the last voiced one from `begin` on that stands out from what has
  // followed, too: what set in and stayed is background. `begin` when there is none.
  std::uint64_t end_of_speech(std::uint64_t begin) const;
  unsigned revision() const { return revision_; }

  // Frames since restart().
  std::uint64_t heard() const { return heard_; }
  // Too little was heard to call any of it silence.
  bool knows_nothing() const { return heard_ == 0 || (audible_ && heard_ < kFirstJudgement); }
  // The background is known, or nothing audible was heard: frames keep their marks.
  bool settled() const { return heard_ >= kFloorFrames || !audible_; }

 private:
  static constexpr std::uint64_t kFirstJudgement = 50;
  static constexpr std::uint64_t kFloorFrames = 300;
  static constexpr std::uint64_t kSpreadFrames = 1000;
  static constexpr int kBin = 50;  // of the histogram, in 0.01 dB
  static constexpr int kBins = 160;

  struct Level {
    std::uint64_t frame = 0;
    int level = 0;
  };

  void finish_frame();
  int floor_with(int level);
  void count_level(int level);
  void judge_spread();
  int dense() const;
  bool is_raised(int level, int floor) const;
  // Both add marks and take none away.
  void judge(SpeechFrame& frame, int floor) const;
  void judge_again(int floor);
  void mark_onset();

  const int threshold_;  // this and all levels in 0.01 dB
  std::vector<SpeechFrame> frames_;
  std::uint64_t first_frame_ = 0;
  unsigned revision_ = 0;

  BandPass band_;
  bool fresh_ = true;
  std::uint64_t skip_ = 0;  // samples before the first frame boundary
  std::uint64_t filled_ = 0;
  std::uint64_t sum_ = 0;       // of squares within the band
  std::int64_t plain_sum_ = 0;  // of the samples as they came
  std::int64_t plain_squares_ = 0;

  std::uint64_t heard_ = 0;
  bool audible_ = false;
  std::array<int, 3> steadiest_{};                  // least spreads of the last 30 s, of 10 s each
  int threshold_now_ = 0;                           // lower where the background is steady
  int close_for_ = 0;                               // judgements of the spread
  bool too_close_ = false;                          // speech and background
  std::uint64_t raised_ = 0;                        // of the last frames, a bit each
  std::uint64_t since_voiced_ = kHangOver;          // frames
  std::array<std::uint64_t, 5> recent_{};           // powers that a level averages
  std::deque<Level> minima_;                        // rising levels; the front is the floor
  std::array<std::uint8_t, kSpreadFrames> bins_{};  // of the last 10 s
  std::array<std::uint16_t, kBins> histogram_{};
};

}  // namespace transcribe
