// Puts the outcomes of the chunks back in order and their texts together.
//
// Outcomes come in any order; they leave in index order, each with the piece of the joined
// transcript that became final with it. One thread at a time. Holds only what waits for an
// earlier chunk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "job/event.h"

namespace transcribe {

struct Released {
  Outcome outcome;
  // Absent: nothing was said, or a hole.
  std::optional<TextPiece> text;
};

class Joiner {
 public:
  // `index` of the first chunk.
  explicit Joiner(std::uint64_t first_index = 0);

  // What became releasable, in order. An index that was there before is ignored.
  std::vector<Released> add(Outcome outcome);
  // At the end: what waits behind chunks that will never be settled, in order.
  std::vector<Released> finish();

 private:
  Released release(Outcome outcome);

  std::uint64_t next_;
  std::map<std::uint64_t, Outcome> waiting_;
  bool ends_unspaced_ = false;  // the transcript so far ends in an unspaced script
  bool empty_ = true;
};

// True for scripts whose words are not separated by spaces (Han, Kana, Thai, Lao, Khmer, Myanmar),
// and for the punctuation that only these use.
bool is_unspaced_script(gunichar character);

}  // namespace transcribe
