// What share of a layer's neurons the tokens of a step will need between them: calibrated, and
// corrected by what came back with earlier steps. For the policy; it never changes what is
// computed.
#pragma once

#include <array>
#include <vector>

#include "sparsity/artifact.h"

namespace dejavu {

// The smallest of kUnionBatches that holds `tokens`, as an index; the last one beyond it.
std::size_t union_bucket(int tokens);

class ExpectedUnion {
 public:
  using Shares = std::array<double, kUnionBatches.size()>;

  // One row of shares for each way that a token may be computed.
  explicit ExpectedUnion(std::vector<Shares> shares) : shares_(std::move(shares)) {}

  // `tokens[way]`: how many tokens of the step are computed so. At most the sum, at most 1.
  double of(const std::vector<int>& tokens) const;
  // A step of `tokens` tokens, all computed this way, needed `share`.
  void observed(std::size_t way, int tokens, double share);

 private:
  std::vector<Shares> shares_;
};

}  // namespace dejavu
