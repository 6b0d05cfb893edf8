#include "sparsity/policy.h"

namespace dejavu {

MlpMethod choose_mlp_method(const PolicyInput& input) {
  const SparsityCounts& tokens = input.tokens;
  const int selected = input.layer_dense ? 0 : tokens.lookahead;
  const int whole = tokens.dense + tokens.lookahead - selected;
  const int computed = tokens.exact + tokens.threshold;
  // Tokens that need every neuron read everything for the others too.
  if (whole > 0 || selected + computed == 0) return MlpMethod::kWhole;
  const auto pays = [&input](double expected, double crossover) {
    return expected < crossover && expected <= input.max_density;
  };
  if (computed == 0 && pays(input.expected_union, input.gather_crossover))
    return MlpMethod::kGather;
  return pays(input.exact_union, input.exact_crossover) ? MlpMethod::kSkipZeros : MlpMethod::kWhole;
}

}  // namespace dejavu
