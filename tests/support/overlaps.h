// Chunks that share audio around their cuts, as the chunker makes them where it finds no pause, and
// what a service hears in them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "outcomes.h"
#include "transcript/joiner.h"

namespace transcribe {

inline Nanoseconds ms(std::int64_t milliseconds) { return std::chrono::milliseconds(milliseconds); }

// Chunk i reaches from cuts[i] to cuts[i + 1] (ms); at the cuts between them `overlap` is shared.
inline std::vector<std::shared_ptr<ChunkInfo>> cut_at(const std::vector<std::int64_t>& cuts,
                                                      std::int64_t overlap) {
  const auto frames = [](std::int64_t time) {
    return static_cast<std::uint64_t>(time) * kSampleRate / 1000;
  };
  std::vector<std::shared_ptr<ChunkInfo>> chunks;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    auto chunk = std::make_shared<ChunkInfo>();
    chunk->index = i;
    chunk->core = {frames(cuts[i]), frames(cuts[i + 1])};
    const bool first = i == 0;
    const bool last = i + 2 == cuts.size();
    chunk->payload = {
        first ? chunk->core.begin : frames(cuts[i] - overlap / 2),
        last ? chunk->core.end : frames(std::min(cuts[i + 1] + overlap / 2, cuts.back()))};
    chunk->time.timestamp = frames_to_time(chunk->core.begin);
    chunk->reason = last ? CutReason::kEndOfStream : CutReason::kForced;
    chunks.push_back(chunk);
  }
  return chunks;
}

// `words` are in media time; relative to the payload afterwards.
inline ChunkDone heard(const std::shared_ptr<ChunkInfo>& chunk, const std::string& text,
                       std::vector<Word> words = {}) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  for (Word& word : words) {
    word.start -= chunk->payload_timestamp();
    word.end -= chunk->payload_timestamp();
  }
  transcription->words = std::move(words);
  ChunkDone done;
  done.chunk = chunk;
  done.transcription = std::move(transcription);
  done.attempts = 1;
  return done;
}

struct Joined {
  std::string text;
  std::vector<TextPiece> pieces;
  std::vector<Released> released;

  void take(std::vector<Released> more) {
    for (Released& one : more) {
      if (one.text) {
        text += one.text->text;
        pieces.push_back(*one.text);
      }
      released.push_back(std::move(one));
    }
  }
};

inline Joined join(const std::vector<Outcome>& outcomes) {
  Joiner joiner;
  Joined joined;
  for (const Outcome& outcome : outcomes) joined.take(joiner.add(outcome));
  joined.take(joiner.finish());
  return joined;
}

}  // namespace transcribe
