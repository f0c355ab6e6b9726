#include "transcript/joiner.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "transcript/graphemes.h"
#include "transcript/seam.h"

namespace transcribe {
namespace {

constexpr Nanoseconds kRounding = std::chrono::milliseconds(1);

const ChunkPtr& pointer_of(const Outcome& outcome) {
  return std::visit([](const auto& event) -> const ChunkPtr& { return event.chunk; }, outcome);
}

Nanoseconds core_end(const ChunkInfo& chunk) { return chunk.time.timestamp + chunk.duration(); }

Nanoseconds payload_end(const ChunkInfo& chunk) {
  return chunk.payload_timestamp() + frames_to_time(chunk.payload.frames());
}

// Whether the chunk begins where the one before it ends. A live job that goes on after a restart
// has chunks that follow each other by their index only.
bool follows(const ChunkInfo& chunk, const ChunkInfo& before) {
  return before.core.end == chunk.core.begin &&
         std::chrono::abs(chunk.time.timestamp - core_end(before)) < kRounding;
}

// What the chunk shares with the one before it: as much before its begin as behind it.
Seam seam_before(const ChunkInfo& chunk) {
  const Nanoseconds begin = chunk.payload_timestamp();
  return {SeamKind::kOneSided, begin, 2 * chunk.time.timestamp - begin, "", ""};
}

Seam seam_behind(const ChunkInfo& chunk) {
  const Nanoseconds end = payload_end(chunk);
  return {SeamKind::kOneSided, 2 * core_end(chunk) - end, end, "", ""};
}

// A moment of the chunk; the next one tells how fast the other times pass.
MediaTime moment(const ChunkInfo& chunk, const ChunkInfo* next, Nanoseconds timestamp) {
  const Nanoseconds offset = timestamp - chunk.time.timestamp;
  const Nanoseconds span =
      next == nullptr ? Nanoseconds(0) : next->time.timestamp - chunk.time.timestamp;
  const auto move = [&](const std::optional<Nanoseconds>& from,
                        const std::optional<Nanoseconds>& to) -> std::optional<Nanoseconds> {
    if (!from || !to || span <= Nanoseconds(0)) return from ? std::optional(*from + offset) : from;
    const double rate =
        static_cast<double>((*to - *from).count()) / static_cast<double>(span.count());
    return *from + Nanoseconds(std::llround(static_cast<double>(offset.count()) * rate));
  };
  const MediaTime later = next == nullptr ? MediaTime() : next->time;
  return {timestamp, move(chunk.time.stream_time, later.stream_time),
          move(chunk.time.running_time, later.running_time), chunk.time.stream_rate};
}

std::size_t skip_space(std::string_view text, std::size_t at) {
  return text.size() - trimmed(text.substr(at)).size();
}

}  // namespace

Joiner::Joiner(std::uint64_t first_index) : next_(first_index) {}

std::vector<Released> Joiner::add(Outcome outcome) {
  const std::uint64_t index = chunk_of(outcome).index;
  if (index >= next_) waiting_.emplace(index, std::move(outcome));

  std::vector<Released> released;
  while (!waiting_.empty() && waiting_.begin()->first == next_)
    release(std::move(waiting_.extract(waiting_.begin()).mapped()), released);
  return released;
}

std::vector<Released> Joiner::pass_gaps() {
  std::vector<Released> released;
  while (!waiting_.empty())
    release(std::move(waiting_.extract(waiting_.begin()).mapped()), released);
  return released;
}

std::vector<Released> Joiner::finish() {
  std::vector<Released> released = pass_gaps();
  if (tail_) released.push_back({std::nullopt, take_tail(nullptr)});
  return released;
}

void Joiner::release(Outcome outcome, std::vector<Released>& all) {
  Released released;
  const ChunkPtr chunk = pointer_of(outcome);
  if (tail_ && (chunk->index != next_ || !follows(*chunk, *tail_->chunk)))
    all.push_back({std::nullopt, take_tail(nullptr)});
  next_ = chunk->index + 1;
  const auto* done = std::get_if<ChunkDone>(&outcome);
  if (done != nullptr && !done->dropped && done->transcription &&
      !trimmed(done->transcription->text).empty()) {
    released.text = join(chunk, *done->transcription);
  } else {
    released.text = take_tail(chunk.get());
  }
  released.outcome = std::move(outcome);
  all.push_back(std::move(released));
}

std::optional<TextPiece> Joiner::join(const ChunkPtr& chunk, const Transcription& transcription) {
  const MediaTime begin = tail_ ? moment(*tail_->chunk, chunk.get(), tail_->begin) : chunk->time;
  TimedText joined;
  const std::optional<Seam> seam = put_together(joined, time_text(transcription, *chunk), *chunk);
  tail_.reset();
  if (chunk->payload.end > chunk->core.end) hold_back(joined, chunk, begin.timestamp);
  if (joined.text.empty()) return std::nullopt;

  TextPiece piece = make_piece(chunk, std::move(joined));
  piece.time = begin;
  piece.duration = (tail_ ? tail_->begin : core_end(*chunk)) - begin.timestamp;
  piece.seam = seam;
  return piece;
}

std::optional<Seam> Joiner::put_together(TimedText& joined, TimedText&& right,
                                         const ChunkInfo& chunk) {
  if (!tail_) {
    const bool shared = chunk.payload.begin < chunk.core.begin;
    add_text(joined, std::move(right));
    return shared ? std::optional(seam_before(chunk)) : std::nullopt;
  }

  const TimedText& left = tail_->text;
  SeamRule rule;
  rule.begin = chunk.payload_timestamp();
  rule.end = std::max(rule.begin, payload_end(*tail_->chunk));
  rule.exact = left.exact && right.exact;
  const SeamCut cut = find_seam(left.tokens, right.tokens, rule);
  const bool match = cut.kind == SeamKind::kMatch;

  std::size_t left_end = left.text.size();
  if (match) {
    left_end = left.tokens[cut.left - 1].end;
  } else if (cut.left == 0) {
    left_end = left.tokens.empty() ? left_end : 0;
  } else if (cut.left < left.tokens.size()) {
    left_end = split_gap(left.text, left.tokens[cut.left - 1].end, left.tokens[cut.left].begin);
  }
  std::size_t right_begin = 0;
  std::size_t dropped = 0;
  if (match) {
    right_begin = right.tokens[cut.right - 1].end;
    dropped = right.tokens[cut.right - 1].begin;
  } else if (cut.right > 0) {
    right_begin =
        cut.right == right.tokens.size()
            ? right.text.size()
            : skip_space(right.text, split_gap(right.text, right.tokens[cut.right - 1].end,
                                               right.tokens[cut.right].begin));
    dropped = right_begin;
  }

  Seam seam{cut.kind, rule.begin, rule.end,
            std::string(trimmed(std::string_view(left.text).substr(left_end))),
            std::string(trimmed(std::string_view(right.text).substr(0, dropped)))};
  joined = left.part(0, left_end, 0, cut.left);
  TimedText rest = right.part(right_begin, right.text.size(), cut.right, right.tokens.size());
  if (match) {
    joined.append(std::move(rest));
  } else {
    add_text(joined, std::move(rest));
  }
  return seam;
}

void Joiner::add_text(TimedText& joined, TimedText&& more) const {
  const bool first = empty_ && joined.text.empty();
  const bool unspaced = joined.text.empty() ? ends_unspaced_ : ends_unspaced(joined.text);
  if (!first && !more.text.empty() && !(unspaced && begins_unspaced(more.text))) {
    joined.text += ' ';
  }
  joined.append(std::move(more));
}

void Joiner::hold_back(TimedText& joined, const ChunkPtr& chunk, Nanoseconds begin) {
  const Seam shared = seam_behind(*chunk);
  // Whether the next chunk has word times is not known yet.
  const SeamRule rule{shared.begin, shared.end, false};
  const std::size_t count = joined.tokens.size();
  const std::size_t first = first_open(joined.tokens, rule);
  if (first == count) return;
  const std::size_t cut =
      first == 0 ? 0
                 : split_gap(joined.text, joined.tokens[first - 1].end, joined.tokens[first].begin);
  tail_ = Tail{chunk, joined.part(cut, joined.text.size(), first, count),
               std::clamp(joined.tokens[first].start, begin, std::max(begin, core_end(*chunk)))};
  joined = joined.part(0, cut, 0, first);
}

std::optional<TextPiece> Joiner::take_tail(const ChunkInfo* next) {
  if (!tail_) return std::nullopt;
  Tail tail = std::move(*tail_);
  tail_.reset();
  const ChunkInfo& chunk = *tail.chunk;
  const Nanoseconds last = tail.text.tokens.back().stop;
  TextPiece piece = make_piece(tail.chunk, std::move(tail.text));
  piece.time = moment(chunk, next, tail.begin);
  piece.duration = std::clamp(last, core_end(chunk), payload_end(chunk)) - tail.begin;
  if (next != nullptr) piece.seam = seam_behind(chunk);
  return piece;
}

TextPiece Joiner::make_piece(ChunkPtr chunk, TimedText&& text) {
  empty_ = false;
  ends_unspaced_ = ends_unspaced(text.text);
  TextPiece piece;
  piece.chunk = std::move(chunk);
  piece.text = std::move(text.text);
  for (auto& placed : text.words) piece.words.push_back(std::move(placed.word));
  piece.tokens = std::move(text.tokens);
  piece.speakers = std::move(text.speakers);
  return piece;
}

}  // namespace transcribe
