#include "server/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace dejavu {

StopMatcher::Result StopMatcher::append(std::string_view text, bool armed) {
  const std::size_t new_from = held_.size();
  held_ += text;
  if (armed) {
    if (const auto match = find(new_from)) {
      held_.resize(include_ ? match->end : match->begin);
      return {std::exchange(held_, {}), *match->stop};
    }
  }
  const std::size_t keep = held_suffix();
  Result result;
  result.text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return result;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

std::optional<StopMatcher::Match> StopMatcher::find(std::size_t new_from) const {
  std::optional<Match> best;
  for (const std::string& stop : stops_) {
    // Only matches that end in the new text: earlier ones were looked for, or not wanted.
    const std::size_t from = new_from + 1 > stop.size() ? new_from + 1 - stop.size() : 0;
    const std::size_t begin = held_.find(stop, from);
    if (begin == std::string::npos) continue;
    const Match match{begin, begin + stop.size(), &stop};
    if (!best || match.end < best->end || (match.end == best->end && begin < best->begin)) {
      best = match;
    }
  }
  return best;
}

std::size_t StopMatcher::held_suffix() const {
  const std::string_view text = held_;
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, text.size()); n > longest; --n) {
      if (text.substr(text.size() - n) == std::string_view(stop).substr(0, n)) longest = n;
    }
  }
  return longest;
}

}  // namespace dejavu
