#include "tests/support/random_artifact.h"

#include <cmath>
#include <limits>
#include <random>

namespace dejavu {
namespace {

// Standard deviation of a uniform 8-bit weight.
constexpr double kDeviation = 73.6;

// The value that a normal variable reaches with probability `share`.
float normal_quantile(double share) {
  if (share >= 1) return -std::numeric_limits<float>::infinity();
  if (share <= 0) return std::numeric_limits<float>::max();
  double low = -8;
  double high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > share ? low : high) = middle;
  }
  return static_cast<float>(low);
}

struct PredictorShape {
  int input;
  int rank;  // 0: no bottleneck
  int units;
};

PredictorWeights random_predictor(const PredictorShape& shape, const std::vector<double>& densities,
                                  std::mt19937& random) {
  std::uniform_int_distribution<int> weight(-127, 127);
  const auto fill = [&](int rows, int cols, std::vector<std::int8_t>& out) {
    for (int i = 0; i < rows * cols; ++i) out.push_back(static_cast<std::int8_t>(weight(random)));
  };
  const auto scale = [](int width) {
    return static_cast<float>(1 / (kDeviation * std::sqrt(static_cast<double>(width))));
  };
  PredictorWeights p;
  p.input = shape.input;
  p.rank = shape.rank == 0 ? shape.input : shape.rank;
  p.units = shape.units;
  if (shape.rank > 0) {
    fill(p.rank, p.input, p.down);
    p.down_scale.assign(static_cast<std::size_t>(p.rank), scale(p.input));
  }
  fill(p.units, p.rank, p.up);
  p.up_scale.assign(static_cast<std::size_t>(p.units), scale(p.rank));
  p.bias.assign(static_cast<std::size_t>(p.units), 0.0F);
  for (const double density : densities)
    p.thresholds.insert(p.thresholds.end(), static_cast<std::size_t>(p.units),
                        normal_quantile(density));
  return p;
}

SetFigures figures_of(bool dense, double density) {
  SetFigures figures;
  if (dense) return figures;
  figures.dense = false;
  figures.density = density;
  figures.recall = 0.9;
  for (std::size_t b = 0; b < kUnionBatches.size(); ++b)
    figures.union_density[b] = 1 - std::pow(1 - density, kUnionBatches[b]);
  return figures;
}

}  // namespace

Artifact random_artifact(const ModelConfig& config, const RandomArtifactSpec& spec) {
  std::mt19937 random(spec.seed);
  Artifact artifact;
  artifact.fingerprint = "random";
  artifact.recommended = SparsityMode::kLookahead;
  artifact.reason = "random predictors";
  artifact.default_lookahead_level = artifact.default_threshold_level = 0;
  for (std::size_t i = 0; i < spec.mlp_density.size(); ++i) {
    LevelFigures& level = artifact.lookahead_levels.emplace_back();
    level.target_recall = 0.99 - static_cast<double>(i) / 100;
    for (int l = 0; l < config.layers; ++l) {
      const bool dense = l == spec.dense_layer;
      level.mlp.push_back(figures_of(dense, spec.mlp_density[i]));
      level.heads.push_back(figures_of(dense || l == 0, spec.head_density[i]));
    }
  }
  for (std::size_t i = 0; i < spec.cutoffs.size(); ++i) {
    LevelFigures& level = artifact.threshold_levels.emplace_back();
    level.target_recall = 0.99 - static_cast<double>(i) / 100;
    level.mlp.assign(static_cast<std::size_t>(config.layers), figures_of(false, 0.5));
    level.heads.assign(static_cast<std::size_t>(config.layers), figures_of(true, 1));
  }
  for (int l = 0; l < config.layers; ++l) {
    LayerArtifact& layer = artifact.layers.emplace_back();
    for (const float cutoff : spec.cutoffs)
      layer.cutoffs.insert(layer.cutoffs.end(), static_cast<std::size_t>(config.ffn_size), cutoff);
    if (l == spec.dense_layer) continue;
    layer.mlp = random_predictor({config.hidden_size, spec.rank, config.ffn_size}, spec.mlp_density,
                                 random);
    if (l > 0)
      layer.heads =
          random_predictor({config.hidden_size, 0, config.kv_heads}, spec.head_density, random);
  }
  return artifact;
}

}  // namespace dejavu
