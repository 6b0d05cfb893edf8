#include "sparsity/analysis/union_density.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace dejavu {

UnionDensity TokenSets::union_density() const {
  constexpr int kDraws = 32;
  UnionDensity mean{};
  if (members_.empty()) return mean;
  std::mt19937 random(1);
  std::vector<std::size_t> order(tokens());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<std::uint8_t> any(units_);
  for (int draw = 0; draw < kDraws; ++draw) {
    std::shuffle(order.begin(), order.end(), random);
    std::fill(any.begin(), any.end(), std::uint8_t{0});
    std::size_t count = 0, used = 0;
    for (std::size_t b = 0; b < kUnionBatches.size(); ++b) {
      const auto batch = std::min(static_cast<std::size_t>(kUnionBatches[b]), order.size());
      for (; used < batch; ++used) {
        const std::uint8_t* set = members_.data() + order[used] * units_;
        for (std::size_t i = 0; i < units_; ++i) {
          if (set[i] == 0 || any[i] != 0) continue;
          any[i] = 1;
          ++count;
        }
      }
      mean[b] += static_cast<double>(count) / static_cast<double>(units_) / kDraws;
    }
  }
  return mean;
}

}  // namespace dejavu
