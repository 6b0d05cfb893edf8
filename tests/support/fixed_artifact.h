// An artifact without calibration: its predictors have weights of zero and choose the same units
// for every token. A deliberately bad predictor, of known density.
#pragma once

#include <string>

#include "engine/model/model_config.h"
#include "sparsity/artifact.h"

namespace dejavu {

// Lookahead has three levels of target_recall: 0.5 chooses every second neuron and head, 0.75
// three of four, 1.0 all. Layer 0's heads are dense. `auto` is lookahead at 0.75. There is no
// threshold mode.
Artifact fixed_artifact(const ModelConfig& model, const std::string& fingerprint);

}  // namespace dejavu
