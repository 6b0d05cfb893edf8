#include "sparsity/calibration/gate_levels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sparsity/calibration/price.h"
#include "sparsity/calibration/set_choice.h"

namespace dejavu {
namespace {

// Above it, what is left out costs quality and saves too little. No predictor has to be paid.
constexpr double kDenseGates = 0.95;

// Levels that differ by less are one: where zeros are exact, most of a token's recall is cheap.
constexpr double kLeastStep = 0.005;

struct GateLevel {
  std::vector<SetChoice> layers;
  double recall = 0, density = 0;  // means over layers
};

GateLevel choose_gates(std::span<const CalibratedLayer> layers, double price) {
  GateLevel level;
  for (const CalibratedLayer& layer : layers) {
    const SetChoice& choice =
        level.layers.emplace_back(worthwhile(layer.gates.choose_worth(price), kDenseGates));
    level.recall += (choice ? choice->recall : 1) / static_cast<double>(layers.size());
    level.density += (choice ? choice->density : 1) / static_cast<double>(layers.size());
  }
  return level;
}

}  // namespace

float gate_score(float activation) {
  return std::log2(std::max(std::abs(activation), std::numeric_limits<float>::min()));
}

float gate_cutoff(float threshold) {
  return threshold == std::numeric_limits<float>::max() ? threshold : std::exp2(threshold);
}

void add_threshold_levels(std::span<const CalibratedLayer> layers,
                          std::span<const double> target_recalls, Artifact& artifact) {
  double last = -1;
  for (const double target : target_recalls) {
    const GateLevel choice =
        dearest([layers](double price) { return choose_gates(layers, price); },
                [target](const GateLevel& level) { return level.recall >= target; });
    if (choice.density < last + kLeastStep) continue;
    last = choice.density;
    LevelFigures& level = artifact.threshold_levels.emplace_back();
    level.target_recall = target;
    level.heads.resize(layers.size());
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const SetChoice& gates = choice.layers[l];
      level.mlp.push_back(figures_of(gates));
      std::vector<float>& cutoffs = artifact.layers[l].cutoffs;
      if (gates) {
        std::transform(gates->thresholds.begin(), gates->thresholds.end(),
                       std::back_inserter(cutoffs), gate_cutoff);
      } else {
        cutoffs.resize(cutoffs.size() + static_cast<std::size_t>(layers[l].neurons.weights.units));
      }
    }
    level.mlp_density = choice.density;
  }
}

}  // namespace dejavu
