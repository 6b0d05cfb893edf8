// From trained predictors to an artifact's levels.
#pragma once

#include <span>

#include "sparsity/calibration/layer_calibration.h"
#include "sparsity/calibration/options.h"

namespace dejavu {

struct CalibratedLayer {
  CalibratedPredictor neurons;
  std::optional<CalibratedPredictor> heads;  // none: layer 0
};

// Thresholds and their figures for every target recall, from the tokens held out: a level's neurons
// are found again with the target recall in each layer, and its heads miss at most as large a share
// of their squared norms as of neurons. A layer that hardly saves anything is dense. Perplexity and
// agreement are still to be measured.
Artifact make_levels(std::span<const CalibratedLayer> layers, const CalibrationOptions& options);

// Sets the default level, the cheapest one within the budget, and what `auto` does and why.
void recommend(double quality_budget, Artifact& artifact);

}  // namespace dejavu
