#include "sparsity/calibration/levels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sparsity/calibration/gate_levels.h"
#include "sparsity/calibration/price.h"
#include "sparsity/calibration/set_choice.h"

namespace dejavu {
namespace {

// Above these a predictor costs more than it saves.
constexpr double kDenseNeurons = 0.85;
constexpr double kDenseHeads = 0.9;
// Missed by a trial: enough to show in the forecasts, little enough to stay near proportion.
constexpr double kNeuronsMissed = 0.02, kHeadsMissed = 0.05;
constexpr std::size_t kMostHeadTrials = 64;
constexpr double kLeastCost = 1e-30;

constexpr float kAlwaysIn = -std::numeric_limits<float>::infinity();

void add_level(const SetChoice& choice, std::optional<PredictorWeights>& weights,
               std::vector<SetFigures>& figures) {
  figures.push_back(figures_of(choice));
  if (!weights) return;
  if (!choice) {
    weights->thresholds.insert(weights->thresholds.end(), static_cast<std::size_t>(weights->units),
                               kAlwaysIn);
    return;
  }
  weights->thresholds.insert(weights->thresholds.end(), choice->thresholds.begin(),
                             choice->thresholds.end());
}

bool always_dense(const std::vector<LevelFigures>& levels, std::size_t layer,
                  std::vector<SetFigures> LevelFigures::*sets) {
  return std::all_of(levels.begin(), levels.end(),
                     [&](const LevelFigures& level) { return (level.*sets)[layer].dense; });
}

Artifact without_levels(std::span<const CalibratedLayer> layers) {
  Artifact artifact;
  for (const CalibratedLayer& layer : layers) {
    LayerArtifact& made = artifact.layers.emplace_back();
    made.mlp = layer.neurons.weights;
    if (layer.heads) made.heads = layer.heads->weights;
  }
  return artifact;
}

struct LevelChoice {
  std::vector<SetChoice> neurons, heads;
  double recall = 0;  // of neurons, mean over layers
};

LevelChoice choose_level(std::span<const CalibratedLayer> layers, double price,
                         const LevelOptions& options) {
  LevelChoice level;
  for (const CalibratedLayer& layer : layers) {
    level.neurons.push_back(worthwhile(layer.neurons.curves.choose_worth(price), kDenseNeurons));
    const SetChoice& neurons = level.neurons.back();
    level.recall += (neurons ? neurons->recall : 1) / static_cast<double>(layers.size());
    SetChoice& heads = level.heads.emplace_back();
    if (!layer.heads) continue;
    heads = worthwhile(layer.heads->curves.choose_worth(price * options.group_worth), kDenseHeads);
  }
  return level;
}

}  // namespace

Artifact make_levels(std::span<const CalibratedLayer> layers, const LevelOptions& options) {
  Artifact artifact = without_levels(layers);
  for (const double target : options.target_recalls) {
    const LevelChoice choice =
        dearest([&](double price) { return choose_level(layers, price, options); },
                [target](const LevelChoice& level) { return level.recall >= target; });
    LevelFigures& level = artifact.lookahead_levels.emplace_back();
    level.target_recall = target;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      add_level(choice.neurons[l], artifact.layers[l].mlp, level.mlp);
      add_level(choice.heads[l], artifact.layers[l].heads, level.heads);
    }
    level.mlp_density = mean_density(level.mlp);
    level.head_density = mean_density(level.heads);
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (always_dense(artifact.lookahead_levels, l, &LevelFigures::mlp))
      artifact.layers[l].mlp.reset();
    if (always_dense(artifact.lookahead_levels, l, &LevelFigures::heads))
      artifact.layers[l].heads.reset();
  }
  add_threshold_levels(layers, options.target_recalls, artifact);
  return artifact;
}

namespace {

// A level at which one layer leaves out what `choice` says, and everything else is dense.
void add_trial(const TrialLevel& trial, const ThresholdChoice& choice, Artifact& artifact) {
  LevelFigures& level = artifact.lookahead_levels.emplace_back();
  for (std::size_t l = 0; l < artifact.layers.size(); ++l) {
    const SetChoice here = l == trial.layer ? SetChoice(choice) : SetChoice();
    add_level(trial.heads ? SetChoice() : here, artifact.layers[l].mlp, level.mlp);
    add_level(trial.heads ? here : SetChoice(), artifact.layers[l].heads, level.heads);
  }
}

// Group `group` alone as `choice` says, the others always in.
ThresholdChoice for_group(const ThresholdChoice& choice, int group, int groups) {
  ThresholdChoice all = choice;
  all.thresholds.assign(static_cast<std::size_t>(groups), kAlwaysIn);
  all.thresholds[static_cast<std::size_t>(group)] = choice.thresholds.front();
  all.kept.assign(static_cast<std::size_t>(groups), 1.0F);
  all.kept[static_cast<std::size_t>(group)] = choice.kept.front();
  return all;
}

}  // namespace

Trials make_trials(std::span<const CalibratedLayer> layers) {
  Trials trials;
  trials.artifact = without_levels(layers);
  const auto add = [&trials](TrialLevel trial, const ScoreCurves& curves,
                             const ThresholdChoice& choice, const ThresholdChoice& sets) {
    trial.missed_cost = choice.missed * curves.mean_cost();
    trials.levels.push_back(trial);
    add_trial(trial, sets, trials.artifact);
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const ScoreCurves& curves = layers[l].neurons.curves;
    const ThresholdChoice choice = curves.choose_for_missed(kNeuronsMissed);
    add({l, false, -1, 0}, curves, choice, choice);
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (!layers[l].heads) continue;
    const ScoreCurves& curves = layers[l].heads->curves;
    const int groups = layers[l].heads->weights.units;
    if (layers.size() * static_cast<std::size_t>(groups) > kMostHeadTrials) {
      const ThresholdChoice choice = curves.choose_for_missed(kHeadsMissed);
      add({l, true, -1, 0}, curves, choice, choice);
      continue;
    }
    for (int group = 0; group < groups; ++group) {
      const ScoreCurves alone = curves.of_unit(group);
      const ThresholdChoice choice = alone.choose_for_missed(kHeadsMissed);
      add({l, true, group, 0}, alone, choice, for_group(choice, group, groups));
    }
  }
  return trials;
}

void weigh_costs(const Trials& trials, std::span<const double> kl,
                 std::span<CalibratedLayer> layers) {
  for (std::size_t i = 0; i < trials.levels.size(); ++i) {
    const TrialLevel& trial = trials.levels[i];
    CalibratedLayer& layer = layers[trial.layer];
    CalibratedPredictor& predictor = trial.heads ? *layer.heads : layer.neurons;
    const double by = std::max(kl[i], kLeastCost) / std::max(trial.missed_cost, kLeastCost);
    const int first = std::max(trial.group, 0);
    const int last = trial.group < 0 ? predictor.weights.units : trial.group + 1;
    for (int unit = first; unit < last; ++unit) {
      predictor.curves.scale_costs(unit, by);
      if (!trial.heads) layer.gates.scale_costs(unit, by);
    }
  }
}

}  // namespace dejavu
