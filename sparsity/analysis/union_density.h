// How many units a batch of random tokens uses together.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sparsity/artifact.h"

namespace dejavu {

using UnionDensity = std::array<double, kUnionBatches.size()>;

// Sets of sampled tokens over one layer's units.
class TokenSets {
 public:
  explicit TokenSets(std::size_t units) : units_(units) {}
  // `in`: [units], not zero for members.
  void add(const std::vector<std::uint8_t>& in) {
    members_.insert(members_.end(), in.begin(), in.end());
  }
  std::size_t tokens() const { return members_.size() / units_; }

  // Mean share of units in any set of a batch, for each size in kUnionBatches, over batches drawn
  // without replacement from a fixed seed; a size beyond tokens() uses them all.
  UnionDensity union_density() const;

 private:
  std::size_t units_;
  std::vector<std::uint8_t> members_;  // [tokens][units]
};

}  // namespace dejavu
