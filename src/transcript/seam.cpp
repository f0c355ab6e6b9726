#include "transcript/seam.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace transcribe {
namespace {

using std::chrono::milliseconds;

constexpr double kWordsPerSecond = 6;
constexpr double kCharactersPerSecond = 12;
// What a further word of the same run is worth, against distance from the middle.
constexpr Nanoseconds kRunBonus = milliseconds(100);
constexpr std::size_t kMostBonuses = 5;

std::size_t most(Nanoseconds overlap, double per_second) {
  const double seconds = std::chrono::duration<double>(overlap).count();
  return static_cast<std::size_t>(std::ceil(std::max(0.0, seconds) * per_second)) + 2;
}

// How much is given up, as it is counted on.
class Loss {
 public:
  explicit Loss(const SeamRule& rule)
      : words_left_(rule.most_words()), characters_left_(rule.most_characters()) {}
  // False: one more than may be.
  bool add(const Token& token) {
    std::size_t& left = token.character ? characters_left_ : words_left_;
    if (left == 0) return false;
    --left;
    return true;
  }

 private:
  std::size_t words_left_;
  std::size_t characters_left_;
};

bool touches(const Token& token, Nanoseconds begin, Nanoseconds end) {
  return token.stop >= begin && token.start <= end;
}

struct Window {
  std::size_t left;   // tokens before it stay
  std::size_t right;  // tokens from it on stay
};

// What may be given up on both sides.
Window may_lose(const std::vector<Token>& left, const std::vector<Token>& right,
                const SeamRule& rule) {
  Window window{left.size(), 0};
  for (Loss loss(rule); window.left > 0 && loss.add(left[window.left - 1]);) --window.left;
  for (Loss loss(rule); window.right < right.size() && loss.add(right[window.right]);)
    ++window.right;
  return window;
}

class Matcher {
 public:
  Matcher(const std::vector<Token>& left, const std::vector<Token>& right, const SeamRule& rule)
      : left_(left), right_(right), rule_(rule), window_(may_lose(left, right, rule)) {}

  std::optional<SeamCut> best() const {
    // One more than may be given up, because the word of the pair itself stays.
    const std::size_t first = window_.left == 0 ? 0 : window_.left - 1;
    const std::size_t last = std::min(window_.right + 1, right_.size());
    std::optional<SeamCut> best;
    Nanoseconds best_cost{0};
    bool best_alone = false;
    for (std::size_t i = first; i < left_.size(); ++i) {
      for (std::size_t j = 0; j < last; ++j) {
        if (!same(i, j)) continue;
        const std::size_t run = run_length(i, j);
        // One character alone is often another one's twin.
        const bool alone = left_[i].character && run == 1;
        const Nanoseconds cost = price(i, j, run);
        if (best && (alone != best_alone ? alone : cost >= best_cost)) continue;
        best = SeamCut{SeamKind::kMatch, i + 1, j + 1};
        best_cost = cost;
        best_alone = alone;
      }
    }
    return best;
  }

 private:
  bool same(std::size_t i, std::size_t j) const {
    const Token& a = left_[i];
    const Token& b = right_[j];
    const Nanoseconds g = rule_.tolerance();
    return touches(a, rule_.begin - g, rule_.end + g) &&
           touches(b, rule_.begin - g, rule_.end + g) && std::chrono::abs(a.start - b.start) <= g &&
           a.key == b.key;
  }

  std::size_t run_length(std::size_t i, std::size_t j) const {
    std::size_t run = 1;
    for (std::size_t k = 1; run <= kMostBonuses && k <= i && k <= j && same(i - k, j - k); ++k)
      ++run;
    for (std::size_t k = 1;
         run <= kMostBonuses && i + k < left_.size() && j + k < right_.size() && same(i + k, j + k);
         ++k)
      ++run;
    return run;
  }

  Nanoseconds price(std::size_t i, std::size_t j, std::size_t run) const {
    const Nanoseconds at = (left_[i].middle() + right_[j].middle()) / 2;
    return std::chrono::abs(at - rule_.middle()) +
           std::chrono::abs(left_[i].start - right_[j].start) -
           kRunBonus * static_cast<std::int64_t>(std::min(run - 1, kMostBonuses));
  }

  const std::vector<Token>& left_;
  const std::vector<Token>& right_;
  const SeamRule& rule_;
  const Window window_;
};

bool heard_there(const std::vector<Token>& tokens, const SeamRule& rule) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const Token& token) { return touches(token, rule.begin, rule.end); });
}

// The word on the middle itself: each side may leave it to the other.
bool lost_by_both(const std::vector<Token>& left, const std::vector<Token>& right,
                  const SeamCut& cut) {
  if (cut.left == left.size() || cut.right == 0) return false;
  const Token& one = left[cut.left];
  const Token& other = right[cut.right - 1];
  const Nanoseconds begin = std::max(one.start, other.start);
  const Nanoseconds end = std::min(one.stop, other.stop);
  const Nanoseconds shorter = std::min(one.stop - one.start, other.stop - other.start);
  return end - begin > shorter / 2;
}

SeamCut at_the_middle(const std::vector<Token>& left, const std::vector<Token>& right,
                      const SeamRule& rule) {
  SeamCut cut{SeamKind::kMidpoint, left.size(), 0};
  const Nanoseconds middle = rule.middle();
  // Times that are out of order keep a word rather than lose it.
  while (cut.left > 0 && left[cut.left - 1].middle() >= middle) --cut.left;
  while (cut.right < right.size() && right[cut.right].middle() < middle) ++cut.right;
  if (lost_by_both(left, right, cut)) ++cut.left;
  if (rule.exact && cut.left > 0 && cut.right < right.size()) {
    const Token& before = left[cut.left - 1];
    const Token& after = right[cut.right];
    if (before.key == after.key && after.start < before.stop) ++cut.right;
  }
  const Window window = may_lose(left, right, rule);
  if (cut.left < window.left || cut.right > window.right) return {SeamKind::kDoubt, left.size(), 0};
  return cut;
}

}  // namespace

std::string_view to_string(SeamKind kind) {
  switch (kind) {
    case SeamKind::kAppend:
      return "append";
    case SeamKind::kMatch:
      return "match";
    case SeamKind::kMidpoint:
      return "midpoint";
    case SeamKind::kOneSided:
      return "one-sided";
    case SeamKind::kDoubt:
      return "doubt";
  }
  return "unknown";
}

Nanoseconds SeamRule::tolerance() const { return exact ? milliseconds(200) : milliseconds(600); }
std::size_t SeamRule::most_words() const { return most(end - begin, kWordsPerSecond); }
std::size_t SeamRule::most_characters() const { return most(end - begin, kCharactersPerSecond); }

std::size_t first_open(const std::vector<Token>& tokens, const SeamRule& rule) {
  std::size_t first = tokens.size();
  Loss loss(rule);
  while (first > 0 && tokens[first - 1].stop >= rule.begin - rule.tolerance()) {
    --first;
    if (!loss.add(tokens[first])) break;
  }
  return first;
}

SeamCut find_seam(const std::vector<Token>& left, const std::vector<Token>& right,
                  const SeamRule& rule) {
  if (left.empty() && right.empty()) return {SeamKind::kAppend, 0, 0};
  if (const auto match = Matcher(left, right, rule).best()) return *match;
  if (!heard_there(left, rule) || !heard_there(right, rule))
    return {SeamKind::kOneSided, left.size(), 0};
  return at_the_middle(left, right, rule);
}

}  // namespace transcribe
