#include "sparsity/calibration/recommendation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "sparsity/layer_bytes.h"
#include "sparsity/modes.h"

namespace dejavu {
namespace {

std::string percent(double share, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %%", digits, 100 * share);
  return text.data();
}

double predictor_bytes(const PredictorWeights& weights) {
  return static_cast<double>(weights.down.size() + weights.up.size());
}

struct Mode {
  SparsityMode mode;
  std::vector<LevelFigures> Artifact::*levels;
  int Artifact::*default_level;
};
constexpr std::array<Mode, 2> kModes = {
    Mode{SparsityMode::kLookahead, &Artifact::lookahead_levels, &Artifact::default_lookahead_level},
    Mode{SparsityMode::kThreshold, &Artifact::threshold_levels,
         &Artifact::default_threshold_level}};

const LevelFigures& default_level(const Artifact& artifact, const Mode& mode) {
  return (artifact.*mode.levels)[static_cast<std::size_t>(artifact.*mode.default_level)];
}

// Index of the mode's best level, and what it reads; no level within the budget: 1.
double choose_level(const RecommendationArgs& args, const Mode& mode, Artifact& artifact) {
  const std::vector<LevelFigures>& levels = artifact.*mode.levels;
  int best = -1, mildest = -1;
  double least = 1;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto index = static_cast<int>(i);
    if (mildest < 0 ||
        levels[i].perplexity_rise < levels[static_cast<std::size_t>(mildest)].perplexity_rise)
      mildest = index;
    const double read = bytes_read(args.config, artifact, mode.mode, levels[i]);
    if (levels[i].perplexity_rise > args.quality_budget || read >= least) continue;
    least = read;
    best = index;
  }
  artifact.*mode.default_level = best < 0 ? mildest : best;
  return least;
}

// "27 % of the neurons and 74 % of the heads cost 0.59 % perplexity"
std::string costs(const LevelFigures& level) {
  const bool heads = level.head_density < 1;
  return percent(level.mlp_density, 0) + " of the neurons" +
         (heads ? " and " + percent(level.head_density, 0) + " of the heads" : "") + " cost " +
         percent(level.perplexity_rise, 2) + " perplexity";
}

std::string why_dense(const RecommendationArgs& args, const Artifact& artifact) {
  std::string tried;
  for (const Mode& mode : kModes) {
    if ((artifact.*mode.levels).empty()) continue;
    const LevelFigures& level = default_level(artifact, mode);
    tried += (tried.empty() ? "" : "; ") + std::string(sparsity_mode_name(mode.mode)) + ": " +
             costs(level) + " and still read " +
             percent(bytes_read(args.config, artifact, mode.mode, level), 0) + " of the weights";
  }
  const bool exact = artifact.recommended == SparsityMode::kExact;
  return "not worth switching on: within " + percent(args.quality_budget, 1) +
         " of perplexity this model is not contextually sparse (" + tried + "), so " +
         (exact ? "only computed zeros are skipped" : "it is served dense");
}

}  // namespace

double bytes_read(const ModelConfig& config, const Artifact& artifact, SparsityMode mode,
                  const LevelFigures& level) {
  double predictors = 0;
  if (mode == SparsityMode::kLookahead) {
    for (std::size_t l = 0; l < artifact.layers.size(); ++l) {
      const LayerArtifact& layer = artifact.layers[l];
      if (layer.mlp && !level.mlp[l].dense) predictors += predictor_bytes(*layer.mlp);
      if (layer.heads && !level.heads[l].dense) predictors += predictor_bytes(*layer.heads);
    }
  }
  const TokenDensity density{.mlp = static_cast<float>(level.mlp_density),
                             .heads = static_cast<float>(level.head_density)};
  return weight_share(config, mode, density) + predictors / weight_bytes(config);
}

std::vector<double> perplexity_rises(const Artifact& artifact) {
  std::vector<double> rises;
  for (const Mode& mode : kModes) {
    for (const LevelFigures& level : artifact.*mode.levels) rises.push_back(level.perplexity_rise);
  }
  return rises;
}

void set_perplexity_rises(const std::vector<double>& rises, Artifact& artifact) {
  auto rise = rises.begin();
  for (const Mode& mode : kModes) {
    for (LevelFigures& level : artifact.*mode.levels) level.perplexity_rise = *rise++;
  }
}

std::vector<double> over_both_texts(const std::vector<double>& one,
                                    const std::vector<double>& other) {
  std::vector<double> both(one.size());
  // Perplexities of texts of one length: the whole's is their geometric mean.
  std::transform(one.begin(), one.end(), other.begin(), both.begin(),
                 [](double a, double b) { return std::sqrt((1 + a) * (1 + b)) - 1; });
  return both;
}

void choose_default(const RecommendationArgs& args, Artifact& artifact) {
  artifact.recommended =
      has_exact_zeros(args.config.activation) ? SparsityMode::kExact : SparsityMode::kDense;
  double least = kWorthwhileRead;
  for (const Mode& mode : kModes) {
    const double read = choose_level(args, mode, artifact);
    if (read >= least) continue;
    least = read;
    artifact.recommended = mode.mode;
  }
}

void explain_default(const RecommendationArgs& args, Artifact& artifact) {
  for (const Mode& mode : kModes) {
    if (artifact.recommended != mode.mode) continue;
    const LevelFigures& level = default_level(artifact, mode);
    artifact.reason = costs(level) + " and keep the next token at " + percent(level.agreement, 1) +
                      " of the positions";
    return;
  }
  artifact.reason = why_dense(args, artifact);
}

}  // namespace dejavu
