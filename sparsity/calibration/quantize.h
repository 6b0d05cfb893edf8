// A trained predictor as it is served: 8-bit rows with a scale each.
#pragma once

#include "sparsity/artifact.h"
#include "sparsity/calibration/training_set.h"

namespace dejavu {

// Without thresholds, which are chosen for the 8-bit weights.
PredictorWeights quantize(const TrainedPredictor& predictor);
// The predictor that the 8-bit weights stand for.
TrainedPredictor dequantize(const PredictorWeights& weights);

}  // namespace dejavu
