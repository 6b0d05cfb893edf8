// The levels of mode `threshold`: activations (of gated kinds the gate's) up to a cutoff count as
// zeros.
#pragma once

#include <span>

#include "sparsity/calibration/levels.h"

namespace dejavu {

// Scores of ScoreCurves: octaves of an activation's size.
float gate_score(float activation);
// The largest activation that is left out at this threshold on scores; 0: none.
float gate_cutoff(float threshold);

// A cutoff for every neuron and target recall, chosen as predictors' thresholds are (make_levels),
// from what the first projection has computed instead of a forecast. `target_recalls` ascend; one
// that reads hardly more than the one before is left out. Perplexity and agreement are still to be
// measured.
void add_threshold_levels(std::span<const CalibratedLayer> layers,
                          std::span<const double> target_recalls, Artifact& artifact);

}  // namespace dejavu
