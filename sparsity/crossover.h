// Measures, on the backend and the model's own layers, below which share of neurons sparse reading
// is faster than reading everything.
#pragma once

#include <array>
#include <vector>

#include "sparsity/sparse_step.h"

namespace dejavu {

struct Crossover {
  std::array<double, kUnionBatches.size()> gather{};  // 0: never pays
  std::array<double, kUnionBatches.size()> skip_zeros{};
};

struct CrossoverArgs {
  const std::vector<LayerContext>& layers;
  const SparseMemory& memory;
  bool gather = false;  // what is to be measured; the others stay 0
  bool skip_zeros = false;
};
// Runs before the first step: it uses the workspace. Takes some hundred passes over one layer.
Crossover measure_crossover(const CrossoverArgs& args);

}  // namespace dejavu
