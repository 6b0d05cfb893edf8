#include "tests/support/fixed_artifact.h"

#include <array>
#include <utility>

namespace dejavu {
namespace {

struct Level {
  double target_recall;
  int kept, of;  // units whose id modulo `of` is below `kept`

  bool keeps(int unit) const { return unit % of < kept; }
  double density(int units) const {
    int count = 0;
    for (int unit = 0; unit < units; ++unit) count += keeps(unit) ? 1 : 0;
    return static_cast<double>(count) / units;
  }
};
constexpr std::array kLevels = {Level{0.5, 1, 2}, Level{0.75, 3, 4}, Level{1, 1, 1}};
constexpr int kDefaultLevel = 1;
// Every score is 0: no lowering by an audit changes a set.
constexpr float kFar = 100.0F;

PredictorWeights zero_predictor(int input, int rank, int units) {
  PredictorWeights weights;
  weights.input = input;
  weights.rank = rank;
  weights.units = units;
  if (rank != input) {
    weights.down.assign(static_cast<std::size_t>(rank) * input, 0);
    weights.down_scale.assign(static_cast<std::size_t>(rank), 1.0F);
  }
  weights.up.assign(static_cast<std::size_t>(units) * rank, 0);
  weights.up_scale.assign(static_cast<std::size_t>(units), 1.0F);
  weights.bias.assign(static_cast<std::size_t>(units), 0.0F);
  for (const Level& level : kLevels) {
    for (int unit = 0; unit < units; ++unit) {
      weights.thresholds.push_back(level.keeps(unit) ? -kFar : kFar);
    }
  }
  return weights;
}

SetFigures figures(double density) {
  SetFigures set;
  set.dense = false;
  set.density = set.recall = density;
  set.union_density.fill(density);
  return set;
}

LevelFigures level_figures(const Level& level, const ModelConfig& model) {
  const auto layers = static_cast<std::size_t>(model.layers);
  const double heads = level.density(model.kv_heads);
  LevelFigures out;
  out.target_recall = level.target_recall;
  out.mlp_density = level.density(model.ffn_size);
  out.head_density = (1 + (model.layers - 1) * heads) / model.layers;
  out.mlp.assign(layers, figures(out.mlp_density));
  out.heads.assign(layers, figures(heads));
  out.heads.front() = SetFigures{};
  return out;
}

}  // namespace

Artifact fixed_artifact(const ModelConfig& model, const std::string& fingerprint) {
  constexpr int kRank = 8;
  Artifact artifact;
  artifact.fingerprint = fingerprint;
  artifact.recommended = SparsityMode::kLookahead;
  artifact.reason = "a test's fixed sets";
  artifact.command = "fixed_artifact";
  artifact.default_lookahead_level = kDefaultLevel;
  for (const Level& level : kLevels) {
    artifact.lookahead_levels.push_back(level_figures(level, model));
  }
  for (int l = 0; l < model.layers; ++l) {
    LayerArtifact layer;
    layer.mlp = zero_predictor(model.hidden_size, kRank, model.ffn_size);
    if (l > 0) layer.heads = zero_predictor(model.hidden_size, model.hidden_size, model.kv_heads);
    artifact.layers.push_back(std::move(layer));
  }
  return artifact;
}

}  // namespace dejavu
