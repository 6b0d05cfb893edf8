// Where a predictor's training starts: the linear forecast of the layer's pre-activations.
#pragma once

#include "sparsity/calibration/layer_lesson.h"
#include "sparsity/calibration/training_set.h"

namespace dejavu {

struct RegressionStart {
  const FirstProjection& projection;
  // BF16 [tokens][d]: what the projection read, of the first tokens of `set`.
  const std::vector<std::uint16_t>& mlp_inputs;
  const TrainingSet& set;
  int rank = 0;
};

// Pre-activations are linear in the MLP's input, so regressing that input on the predictor's own,
// one sub-block earlier, forecasts all of them; of that map the best stand-in of the rank wanted is
// kept, errors counted in each neuron's unforeseen spread (reduced-rank regression, Izenman 1975).
// Scores are the forecast over that spread, near the log-odds of being above zero.
TrainedPredictor regression_start(const RegressionStart& args, Backend& backend);

}  // namespace dejavu
