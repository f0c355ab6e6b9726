#include "transcript/cues.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/glib_ptr.h"

namespace transcribe {
namespace {

std::string clock_time(std::int64_t seconds) {
  const CharPtr text(g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d", seconds / 3600,
                                     static_cast<int>(seconds / 60 % 60),
                                     static_cast<int>(seconds % 60)));
  return text.get();
}

bool has_text(const std::string& text) {
  for (const char* p = text.c_str(); *p != '\0'; p = g_utf8_next_char(p)) {
    if (!g_unichar_isspace(g_utf8_get_char(p))) return true;
  }
  return false;
}

std::string why_failed(const Failure& failure) {
  if (failure.http_status >= 300) return "HTTP " + std::to_string(failure.http_status);
  return failure.reason.empty() ? "failed" : failure.reason;
}

std::vector<Cue> from_segments(const std::vector<Segment>& segments, const ChunkInfo& chunk) {
  const Nanoseconds begin = chunk.time.timestamp;
  const Nanoseconds end = begin + chunk.duration();
  const Nanoseconds origin = chunk.payload_timestamp();
  const Nanoseconds length = frames_to_time(chunk.payload.frames());
  const auto place = [&](Nanoseconds time) {
    return std::clamp(origin + std::clamp(time, Nanoseconds(0), length), begin, end);
  };
  std::vector<Cue> cues;
  bool timed = false;
  for (const Segment& segment : segments) {
    if (!has_text(segment.text)) continue;
    Cue cue{place(segment.start), place(segment.end), segment.text, segment.speaker, false};
    timed = timed || cue.begin < cue.end;
    cues.push_back(std::move(cue));
  }
  if (!timed) return {};

  std::stable_sort(cues.begin(), cues.end(),
                   [](const Cue& a, const Cue& b) { return a.begin < b.begin; });
  // A segment without a length is shown until the next one.
  Nanoseconds next = end;
  for (auto cue = cues.rbegin(); cue != cues.rend(); ++cue) {
    if (cue->end <= cue->begin) cue->end = std::max(cue->begin, next);
    next = cue->begin;
  }
  return cues;
}

}  // namespace

Cue make_hole(const ChunkInfo& chunk, const std::string& why) {
  const Nanoseconds begin = chunk.time.timestamp;
  const Nanoseconds end = begin + chunk.duration();
  const auto last = std::chrono::ceil<std::chrono::seconds>(end);
  const auto first = std::chrono::floor<std::chrono::seconds>(begin);
  return {begin, end,
          "[not transcribed: " + why + ", " + clock_time(first.count()) + " – " +
              clock_time(last.count()) + "]",
          "", true};
}

std::vector<Cue> make_cues(const Released& released) {
  if (const auto* failed = std::get_if<ChunkFailed>(&released.outcome)) {
    return {make_hole(*failed->chunk, why_failed(failed->failure))};
  }
  if (const auto* skipped = std::get_if<ChunkSkipped>(&released.outcome)) {
    if (skipped->reason == SkipReason::kSilence) return {};
    return {make_hole(*skipped->chunk, std::string(to_string(skipped->reason)))};
  }
  if (!released.text) return {};

  const auto& done = std::get<ChunkDone>(released.outcome);
  std::vector<Cue> cues = from_segments(done.transcription->segments, *done.chunk);
  if (cues.empty()) {
    const TextPiece& piece = *released.text;
    cues.push_back(
        {piece.timestamp, piece.timestamp + piece.duration, piece.text, std::string(), false});
  }
  return cues;
}

}  // namespace transcribe
