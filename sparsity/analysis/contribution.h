// What each unit (MLP neuron, KV group of heads) adds to the residual stream, as a norm.
#pragma once

#include <vector>

#include "engine/model/model_config.h"
#include "engine/model/weights.h"
#include "sparsity/evaluation/probe.h"

namespace dejavu {

class Contributions {
 public:
  // Reads the layers' second projections once.
  void prepare(const LayerContext& layer);

  // `hidden` [T][ffn] -> norms of the neurons' contributions [T][ffn].
  HostMatrix neurons(int layer, const HostMatrix& hidden) const;
  // `context` [T][H*D] -> norms of the groups' summed contributions [T][G].
  HostMatrix groups(int layer, const HostMatrix& context) const;

 private:
  struct Layer {
    bool ready = false;
    std::vector<float> neuron_norms;  // [ffn], of the rows of `down`
    // Of each group's slice W of the output projection: W W^T, [G][width][width].
    std::vector<HostMatrix> grams;
  };
  std::vector<Layer> layers_;
};

// Units of one token by the smallest of several set sizes that takes them in, largest contributions
// first: tier[i] == s means that the `sizes[s]` largest hold unit i and the `sizes[s-1]` largest do
// not. Sizes ascend. Units that contribute nothing, and those past the last size, get sizes.size().
void assign_tiers(const float* contributions, std::size_t units,
                  const std::vector<std::size_t>& sizes, std::uint8_t* tiers);

}  // namespace dejavu
