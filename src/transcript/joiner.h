// Puts the outcomes of the chunks back in order and their texts together, words that two chunks
// heard only once (seam.h).
//
// Outcomes come in any order; they leave in index order, each with the piece of the joined
// transcript that became final with it. What a later chunk may still replace, a few words, waits
// for that chunk, unless it begins somewhere else: only true neighbours have heard the same audio.
// One thread at a time. Holds only that, and what waits for an earlier chunk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "job/event.h"
#include "transcript/text_piece.h"
#include "transcript/timed_text.h"

namespace transcribe {

struct Released {
  // Absent: only text, the rest of a chunk whose next one never came.
  std::optional<Outcome> outcome;
  // Absent: nothing was said, or a hole. A hole may have some: the rest of the chunk before it.
  std::optional<TextPiece> text;
};

class Joiner {
 public:
  // `index` of the first chunk.
  explicit Joiner(std::uint64_t first_index = 0);

  // What became releasable, in order. An index that was there before is ignored.
  std::vector<Released> add(Outcome outcome);
  // What waits behind chunks that will never be settled, in order.
  std::vector<Released> pass_gaps();
  // At the end: pass_gaps() and the rest of the text.
  std::vector<Released> finish();

 private:
  // The open end of the transcript.
  struct Tail {
    ChunkPtr chunk;
    TimedText text;
    Nanoseconds begin{0};  // in media time
  };

  void release(Outcome outcome, std::vector<Released>& all);
  std::optional<TextPiece> join(const ChunkPtr& chunk, const Transcription& transcription);
  std::optional<Seam> put_together(TimedText& joined, TimedText&& right, const ChunkInfo& chunk);
  void add_text(TimedText& joined, TimedText&& more) const;
  void hold_back(TimedText& joined, const ChunkPtr& chunk, Nanoseconds begin);
  // `next`: the chunk that came without words for the seam; null: none will come.
  std::optional<TextPiece> take_tail(const ChunkInfo* next);
  TextPiece make_piece(ChunkPtr chunk, TimedText&& text);

  std::uint64_t next_;
  std::map<std::uint64_t, Outcome> waiting_;
  std::optional<Tail> tail_;
  bool ends_unspaced_ = false;  // what was released ends in an unspaced script
  bool empty_ = true;
};

}  // namespace transcribe
