// The outside yardstick of dense decoding: the products of a step with the same weights through
// cuBLASLt and nothing else, no attention and no norms, replayed from a CUDA graph.
#pragma once

#include <vector>

#include "engine/model/layer_factory.h"

namespace dejavu {

struct CublasChainArgs {
  const std::vector<LayerContext>& layers;
  int batch = 1;
  int rounds = 1;
};

// Seconds, the median of the rounds; 0 where this program or machine has no cuBLASLt. The head's
// weights are others of the same shape.
Result<double> time_cublas_chain(const CublasChainArgs& args);

}  // namespace dejavu
