// What one level makes of one kind of unit of one layer.
#pragma once

#include <optional>

#include "sparsity/calibration/score_curves.h"

namespace dejavu {

using SetChoice = std::optional<ThresholdChoice>;  // none: dense

// Sparse enough to pay, or dense.
inline SetChoice worthwhile(ThresholdChoice choice, double dense_above) {
  if (choice.density > dense_above) return {};
  return choice;
}

inline SetFigures figures_of(const SetChoice& choice) {
  if (!choice) return {};
  return {false, choice->density, choice->recall, union_densities(choice->kept)};
}

inline double mean_density(const std::vector<SetFigures>& sets) {
  double sum = 0;
  for (const SetFigures& set : sets) sum += set.density;
  return sets.empty() ? 1 : sum / static_cast<double>(sets.size());
}

}  // namespace dejavu
