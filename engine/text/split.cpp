#include "engine/text/split.h"

#include <algorithm>

namespace dejavu {
namespace {

// Joins each span to the one before it when `joins(match, previous match)` says so.
template <class Iterator, class F>
std::vector<Span> fold(Iterator first, Iterator last, F joins) {
  std::vector<Span> out;
  bool previous = false;
  for (; first != last; ++first) {
    if (!out.empty() && joins(first->match, previous)) {
      out.back().begin = std::min(out.back().begin, first->begin);
      out.back().end = std::max(out.back().end, first->end);
    } else {
      out.push_back(*first);
    }
    previous = first->match;
  }
  return out;
}

std::vector<Span> arrange(const std::vector<Span>& spans, SplitBehavior behavior) {
  const auto single_match = [](bool match, bool previous) { return match && !previous; };
  switch (behavior) {
    case SplitBehavior::kContiguous:
      return fold(spans.begin(), spans.end(), [](bool m, bool previous) { return m == previous; });
    case SplitBehavior::kMergedWithPrevious:
      return fold(spans.begin(), spans.end(), single_match);
    case SplitBehavior::kMergedWithNext: {
      std::vector<Span> out = fold(spans.rbegin(), spans.rend(), single_match);
      std::reverse(out.begin(), out.end());
      return out;
    }
    case SplitBehavior::kRemoved:
    case SplitBehavior::kIsolated:
      break;
  }
  return spans;
}

}  // namespace

SplitBehavior read_split_behavior(const JsonPart& part) {
  const std::string name = part.text();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  part.fail("is '" + name +
            "'; it must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void split_piece(const Piece& piece, const std::vector<Span>& spans, SplitBehavior behavior,
                 std::vector<Piece>& out) {
  for (const Span& s : arrange(spans, behavior)) {
    if (s.begin == s.end || (behavior == SplitBehavior::kRemoved && s.match)) continue;
    out.push_back({piece.text.substr(s.begin, s.end - s.begin), piece.at_start && s.begin == 0});
  }
}

}  // namespace dejavu
