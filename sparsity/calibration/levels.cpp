#include "sparsity/calibration/levels.h"

#include <cstdio>
#include <limits>

namespace dejavu {
namespace {

// Above these a predictor costs more than it saves.
constexpr double kDenseNeurons = 0.6;
constexpr double kDenseHeads = 0.9;

SetFigures figures_of(const ThresholdChoice& choice) {
  SetFigures figures;
  figures.dense = false;
  figures.density = choice.density;
  figures.recall = choice.recall;
  figures.union_density = union_densities(choice.kept);
  return figures;
}

SetFigures add_level(const ThresholdChoice& choice, double dense_above, PredictorWeights& weights) {
  const bool dense = choice.density > dense_above;
  if (dense) {
    weights.thresholds.insert(weights.thresholds.end(), choice.thresholds.size(),
                              -std::numeric_limits<float>::infinity());
    return {};
  }
  weights.thresholds.insert(weights.thresholds.end(), choice.thresholds.begin(),
                            choice.thresholds.end());
  return figures_of(choice);
}

double mean_density(const std::vector<SetFigures>& sets) {
  double sum = 0;
  for (const SetFigures& set : sets) sum += set.density;
  return sets.empty() ? 1 : sum / static_cast<double>(sets.size());
}

bool always_dense(const std::vector<LevelFigures>& levels, std::size_t layer,
                  std::vector<SetFigures> LevelFigures::*sets) {
  for (const LevelFigures& level : levels)
    if (!(level.*sets)[layer].dense) return false;
  return true;
}

std::string percent(double share, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %%", digits, 100 * share);
  return text;
}

}  // namespace

Artifact make_levels(std::span<const CalibratedLayer> layers, const CalibrationOptions& options) {
  Artifact artifact;
  for (const CalibratedLayer& layer : layers) {
    LayerArtifact made;
    made.mlp = layer.neurons.weights;
    if (layer.heads) made.heads = layer.heads->weights;
    artifact.layers.push_back(std::move(made));
  }
  for (const double target : options.target_recalls) {
    LevelFigures level;
    level.target_recall = target;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      LayerArtifact& made = artifact.layers[l];
      level.mlp.push_back(
          add_level(layers[l].neurons.curves.choose_for_recall(target), kDenseNeurons, *made.mlp));
      level.heads.push_back(made.heads
                                ? add_level(layers[l].heads->curves.choose_for_missed(1 - target),
                                            kDenseHeads, *made.heads)
                                : SetFigures{});
    }
    level.mlp_density = mean_density(level.mlp);
    level.head_density = mean_density(level.heads);
    artifact.lookahead_levels.push_back(std::move(level));
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (always_dense(artifact.lookahead_levels, l, &LevelFigures::mlp))
      artifact.layers[l].mlp.reset();
    if (always_dense(artifact.lookahead_levels, l, &LevelFigures::heads))
      artifact.layers[l].heads.reset();
  }
  return artifact;
}

void recommend(double quality_budget, Artifact& artifact) {
  artifact.default_lookahead_level = -1;
  double best = 1;
  for (std::size_t i = 0; i < artifact.lookahead_levels.size(); ++i) {
    const LevelFigures& level = artifact.lookahead_levels[i];
    if (level.perplexity_rise > quality_budget || level.mlp_density >= best) continue;
    best = level.mlp_density;
    artifact.default_lookahead_level = static_cast<int>(i);
  }
  if (artifact.default_lookahead_level < 0) {
    artifact.recommended = SparsityMode::kDense;
    artifact.reason = "no level keeps the perplexity within " + percent(quality_budget, 1) +
                      " of the dense model's while leaving neurons out: it is served dense";
    return;
  }
  const LevelFigures& level =
      artifact.lookahead_levels[static_cast<std::size_t>(artifact.default_lookahead_level)];
  artifact.recommended = SparsityMode::kLookahead;
  artifact.reason = percent(level.mlp_density, 0) + " of the neurons and " +
                    percent(level.head_density, 0) + " of the heads cost " +
                    percent(level.perplexity_rise, 2) + " perplexity and keep the next token at " +
                    percent(level.agreement, 1) + " of the positions";
}

}  // namespace dejavu
