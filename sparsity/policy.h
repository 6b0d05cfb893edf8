// How a layer is computed in a step: a pure function. It never changes what is computed: a token's
// set follows from its own mode, artifact and residual stream (design, section 5).
#pragma once

#include <cstdint>

#include "engine/model/step_batch.h"

namespace dejavu {

enum class MlpMethod : std::uint8_t {
  kWhole,      // read every neuron, apply the tokens' masks after the activation
  kGather,     // read the union of the tokens' sets
  kSkipZeros,  // read the first projection whole, the rest where it is not zero
};

struct PolicyInput {
  SparsityCounts tokens;        // of the step
  double expected_union = 1;    // share of neurons in any token's set; corrected by what came back
  double gather_crossover = 1;  // gathering is faster below this union; measured at start-up
  double exact_union = 1;       // expected share that is not zero in any token after the activation
  double exact_crossover = 1;   // skipping zeros is faster below this; measured at start-up
  double max_density = 1;       // --max-density: the last word
  bool layer_dense = false;     // by the artifact at every level in the step, or by the audit
};

MlpMethod choose_mlp_method(const PolicyInput& input);

}  // namespace dejavu
