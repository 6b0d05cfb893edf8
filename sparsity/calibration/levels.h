// From trained predictors to an artifact's levels.
#pragma once

#include <span>

#include "sparsity/calibration/layer_calibration.h"
#include "sparsity/calibration/options.h"

namespace dejavu {

struct CalibratedLayer {
  CalibratedPredictor neurons;
  std::optional<CalibratedPredictor> heads;  // none: always in
  ScoreCurves gates{0};                      // of the tokens held out
};

struct LevelOptions {
  std::vector<double> target_recalls;
  double group_worth = 1;  // of leaving a group of heads out, in neurons
};

// Thresholds and their figures for every target recall, from the tokens that thresholds are chosen
// on. One price holds for all of a level: a unit is in a token's set where what leaving it out
// would expectedly cost is worth the reads. The price is the highest at which the layers find, on
// average, the target share of their active neurons. A layer that hardly saves anything is dense.
// The levels of mode threshold follow the same rule (add_threshold_levels).
// Perplexity and agreement are still to be measured.
Artifact make_levels(std::span<const CalibratedLayer> layers, const LevelOptions& options);

// One level for each thing that can be left out, and nothing else with it: the neurons of each
// layer, then each group of heads, or all of a layer's together where a model has many.
struct TrialLevel {
  std::size_t layer = 0;
  bool heads = false;
  int group = -1;          // -1: all
  double missed_cost = 0;  // a token
};
struct Trials {
  Artifact artifact;
  std::vector<TrialLevel> levels;
};
Trials make_trials(std::span<const CalibratedLayer> layers);

// Costs so far compare units of one kind and layer. With how far each trial moved the model's
// forecasts (KL from the dense model's, nats a token) they become expected KL, for all alike.
void weigh_costs(const Trials& trials, std::span<const double> kl,
                 std::span<CalibratedLayer> layers);

}  // namespace dejavu
