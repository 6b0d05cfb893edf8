// Random weights, for benchmarks and tests: element i of a tensor depends on the seed, the tensor's
// name and i alone.
#pragma once

#include "engine/model/weight_source.h"

namespace dejavu {

class RandomSource : public WeightSource {
 public:
  explicit RandomSource(std::uint64_t seed) : seed_(seed) {}

  Result<std::size_t> check(const TensorSpec& spec) const override;
  void read(const TensorSpec& spec, const TensorSlice& slice) const override;

 private:
  std::uint64_t seed_;
};

}  // namespace dejavu
