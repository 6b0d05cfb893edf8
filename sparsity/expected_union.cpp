#include "sparsity/expected_union.h"

#include <algorithm>

namespace dejavu {
namespace {

// Weight of the newest step: a few dozen steps settle it.
constexpr double kSmoothing = 0.05;

}  // namespace

std::size_t union_bucket(int tokens) {
  const auto it = std::ranges::lower_bound(kUnionBatches, tokens);
  return it == kUnionBatches.end() ? kUnionBatches.size() - 1
                                   : static_cast<std::size_t>(it - kUnionBatches.begin());
}

double ExpectedUnion::of(const std::vector<int>& tokens) const {
  double sum = 0;
  for (std::size_t way = 0; way < tokens.size(); ++way)
    if (tokens[way] > 0) sum += shares_[way][union_bucket(tokens[way])];
  return std::min(sum, 1.0);
}

void ExpectedUnion::observed(std::size_t way, int tokens, double share) {
  double& expected = shares_[way][union_bucket(tokens)];
  expected += kSmoothing * (share - expected);
}

}  // namespace dejavu
