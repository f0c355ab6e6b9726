#include "transcript/cues.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "base/glib_ptr.h"
#include "transcript/cue_atoms.h"
#include "transcript/stream_times.h"
#include "transcript/text_spans.h"

namespace transcribe {
namespace {

// A subtitle ends at a clause only when it is at least this full.
constexpr std::size_t kFullEnough = 2 * kCueColumns / 3;
// What would be left alone for the next one is not.
constexpr std::size_t kTooLittle = 14;

std::string clock_time(std::int64_t seconds) {
  const CharPtr text(g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d", seconds / 3600,
                                     static_cast<int>(seconds / 60 % 60),
                                     static_cast<int>(seconds % 60)));
  return text.get();
}

std::string why_failed(const Failure& failure) {
  if (failure.http_status >= 300) return "HTTP " + std::to_string(failure.http_status);
  return failure.reason.empty() ? "failed" : failure.reason;
}

// Lays the atoms of one speaker out.
class Layout {
 public:
  Layout(std::vector<Atom> atoms, std::size_t first_line)
      : atoms_(std::move(atoms)), first_line_(first_line) {}

  std::vector<Cue> cues() const {
    std::vector<Cue> made;
    for (std::size_t begin = 0; begin < atoms_.size();) {
      const std::size_t end = cue_end(begin);
      made.push_back(make(begin, end));
      begin = end;
    }
    return made;
  }

 private:
  std::size_t space(std::size_t i) const { return atoms_[i].spaced ? 1 : 0; }

  // Columns of [begin, end) on one line.
  std::size_t width(std::size_t begin, std::size_t end) const {
    std::size_t columns = 0;
    for (std::size_t i = begin; i < end; ++i)
      columns += atoms_[i].width + (i > begin ? space(i) : 0);
    return columns;
  }

  // How far a line of that many columns reaches, at least one atom.
  std::size_t line_end(std::size_t begin, std::size_t columns) const {
    std::size_t end = begin + 1;
    for (std::size_t used = atoms_[begin].width; end < atoms_.size(); ++end) {
      used += atoms_[end].width + space(end);
      if (used > columns) break;
    }
    return end;
  }

  Nanoseconds stop(std::size_t begin, std::size_t end) const {
    Nanoseconds last = atoms_[begin].stop;
    for (std::size_t i = begin; i < end; ++i) last = std::max(last, atoms_[i].stop);
    return last;
  }

  std::size_t cue_end(std::size_t begin) const {
    std::size_t limit = line_end(begin, first_line_);
    if (limit < atoms_.size()) limit = line_end(limit, kCueColumns);
    for (std::size_t i = begin; i < limit; ++i) {
      if (i > begin && atoms_[i].stop - atoms_[begin].start > kLongestCue) limit = i;
      if (i < limit && atoms_[i].after == Break::kAlways) limit = i + 1;
    }
    if (limit == atoms_.size() || atoms_[limit - 1].after == Break::kAlways) return limit;
    for (std::size_t end = limit; end > begin; --end) {
      if (atoms_[end - 1].after >= Break::kSentence) return end;
    }
    for (std::size_t end = limit; end > begin && width(begin, end) >= kFullEnough; --end) {
      if (atoms_[end - 1].after == Break::kClause) return end;
    }
    return without_orphan(begin, limit);
  }

  // Halves of nearly the same size rather than a full one and a word.
  std::size_t without_orphan(std::size_t begin, std::size_t limit) const {
    std::size_t end = limit;
    while (end < atoms_.size() && atoms_[end - 1].after < Break::kSentence &&
           width(limit, end) <= kTooLittle)
      ++end;
    if (width(limit, end) > kTooLittle) return limit;
    const std::size_t half = (width(begin, end) + 1) / 2;
    while (limit > begin + 1 && width(begin, limit) > half) --limit;
    return limit;
  }

  // Where the second line begins; `end`: one line will do.
  std::size_t second_line(std::size_t begin, std::size_t end) const {
    if (width(begin, end) <= first_line_) return end;
    std::size_t best = line_end(begin, first_line_);
    std::size_t best_price = SIZE_MAX;
    for (std::size_t i = begin + 1; i < end && width(begin, i) <= first_line_; ++i) {
      const std::size_t second = width(i, end);
      if (second > kCueColumns) continue;
      const std::size_t first = width(begin, i);
      std::size_t price = first > second ? first - second : second - first;
      if (atoms_[i - 1].after == Break::kWord) price += 12;
      if (price < best_price) {
        best = i;
        best_price = price;
      }
    }
    return best;
  }

  Cue make(std::size_t begin, std::size_t end) const {
    Cue cue;
    cue.begin = atoms_[begin].start;
    cue.end = stop(begin, end);
    const std::size_t second = second_line(begin, end);
    for (std::size_t i = begin; i < end; ++i) {
      if (i == second && i > begin) {
        cue.text += '\n';
      } else if (i > begin && atoms_[i].spaced) {
        cue.text += ' ';
      }
      cue.text += atoms_[i].text;
    }
    return cue;
  }

  const std::vector<Atom> atoms_;
  const std::size_t first_line_;
};

// Those of one speaker, one after the other, inside the piece's time. None is without length: one
// that was said at the very end begins a little earlier, one right behind another a little later.
void settle_speaker(const std::vector<Cue*>& cues, Nanoseconds begin, Nanoseconds end) {
  auto left = static_cast<int>(cues.size());
  const Nanoseconds least = std::min(kLeastCue, (end - begin) / left);
  for (Cue* cue : cues) {
    cue->begin = std::clamp(cue->begin, begin, end - least * left--);
    begin = cue->begin + least;
  }
  Nanoseconds limit = end;
  for (auto place = cues.rbegin(); place != cues.rend(); ++place) {
    Cue& cue = **place;
    cue.end = std::clamp(cue.end, std::min(cue.begin + kShortestCue, limit),
                         std::min(cue.begin + kLongestCue, limit));
    limit = cue.begin;
  }
}

void settle_times(std::vector<Cue>& cues, Nanoseconds begin, Nanoseconds end) {
  std::map<std::string, std::vector<Cue*>> speakers;
  for (Cue& cue : cues) speakers[cue.speaker].push_back(&cue);
  for (const auto& [name, own] : speakers) settle_speaker(own, begin, std::max(begin, end));
  // Speakers may interrupt each other.
  std::stable_sort(cues.begin(), cues.end(),
                   [](const Cue& a, const Cue& b) { return a.begin < b.begin; });
}

// `end`: of the piece, or what follows needs the time.
std::vector<Cue> text_cues(const TextPiece& piece, Nanoseconds end) {
  std::vector<Cue> cues;
  for (const TextSpan& span : speaker_spans(piece)) {
    const std::size_t name =
        span.speaker.empty() ? 0 : std::min(kLongestName, width_of(span.speaker)) + 2;
    for (Cue& cue :
         Layout(split_atoms(piece, span, kCueColumns - name), kCueColumns - name).cues()) {
      cue.speaker = span.speaker;
      cues.push_back(std::move(cue));
    }
  }
  settle_times(cues, piece.time.timestamp, end);
  return cues;
}

Nanoseconds end_of(const TextPiece& piece) { return piece.time.timestamp + piece.duration; }

// "[not transcribed: WHY," of at most a line.
std::string shortened(std::string line) {
  if (width_of(line) <= kCueColumns) return line;
  for (std::size_t comma = line.rfind(", "); comma != std::string::npos;
       comma = line.rfind(", ", comma - 1)) {
    const std::string fewer = line.substr(0, comma) + ", …,";
    if (width_of(fewer) <= kCueColumns) return fewer;
  }
  line.pop_back();
  return cut_to(kCueColumns - 1, std::move(line)) + ",";
}

}  // namespace

Cue make_hole(const ChunkInfo& chunk, const std::string& why) {
  const StreamTimes times(chunk);
  const Nanoseconds begin = times.at(chunk.time.timestamp);
  const Nanoseconds end = times.at(chunk.time.timestamp + chunk.duration());
  const auto last = std::chrono::ceil<std::chrono::seconds>(end);
  const auto first = std::chrono::floor<std::chrono::seconds>(begin);
  return {begin, end,
          "[not transcribed: " + why + ", " + clock_time(first.count()) + " – " +
              clock_time(last.count()) + "]",
          "", true};
}

std::optional<Cue> find_hole(const Released& released) {
  if (!released.outcome) return std::nullopt;
  if (const auto* failed = std::get_if<ChunkFailed>(&*released.outcome))
    return make_hole(*failed->chunk, why_failed(failed->failure));
  if (const auto* done = std::get_if<ChunkDone>(&*released.outcome)) {
    if (!done->dropped) return std::nullopt;
    std::string why;
    for (const Suspicion suspicion : done->suspect)
      why += (why.empty() ? "suspect: " : ", ") + std::string(to_string(suspicion));
    return make_hole(*done->chunk, why);
  }
  const auto* skipped = std::get_if<ChunkSkipped>(&*released.outcome);
  if (skipped == nullptr || skipped->reason == SkipReason::kSilence) return std::nullopt;
  return make_hole(*skipped->chunk, std::string(to_string(skipped->reason)));
}

Cue show_hole(Cue hole) {
  const std::size_t times = hole.text.rfind(", ");
  if (times != std::string::npos)
    hole.text = shortened(hole.text.substr(0, times + 1)) + "\n" + hole.text.substr(times + 2);
  hole.end = std::min(hole.end, hole.begin + kLongestCue);
  return hole;
}

std::vector<Cue> make_cues(const Released& released) {
  std::vector<Cue> cues;
  std::optional<TextPiece> text;
  if (released.text) {
    text = in_stream_time(*released.text);
    cues = text_cues(*text, end_of(*text));
  }
  auto hole = find_hole(released);
  // One at a moment can't be shown.
  if (!hole || hole->begin == hole->end) return cues;
  // Before the text it is only where the stream time of one of both is not known.
  if (!cues.empty() && hole->begin >= text->time.timestamp) {
    // The chunk before it may have heard its first words. Half of it is the hole's at least.
    const Nanoseconds latest = hole->begin + (hole->end - hole->begin) / 2;
    Nanoseconds last = hole->begin;
    for (const Cue& cue : cues) last = std::max(last, cue.end);
    if (last > latest) cues = text_cues(*text, latest);
    hole->begin = std::min(last, latest);
  }
  cues.push_back(show_hole(std::move(*hole)));
  return cues;
}

}  // namespace transcribe
