// From predictors to levels: what becomes dense, and what is recommended.
#include "sparsity/calibration/levels.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "sparsity/calibration/gate_levels.h"

namespace dejavu {
namespace {

// Each unit is active where its score is above `active_above`, of scores in [-10, 10].
CalibratedPredictor predictor(int units, float active_above) {
  PredictorWeights weights;
  weights.input = weights.rank = 4;
  weights.units = units;
  ScoreCurves curves(units);
  std::mt19937_64 random(2);
  std::uniform_real_distribution<float> uniform(-10, 10);
  std::vector<float> scores(static_cast<std::size_t>(units)), costs(scores.size());
  for (int t = 0; t < 3000; ++t) {
    for (std::size_t u = 0; u < scores.size(); ++u) {
      scores[u] = uniform(random);
      costs[u] = std::max(0.0F, scores[u] - active_above);
    }
    curves.add(scores.data(), costs.data());
  }
  return {weights, curves, 0, 0};
}

std::vector<CalibratedLayer> three_layers() {
  std::vector<CalibratedLayer> layers;
  // Nearly all active by themselves; sparse neurons; sparse neurons and heads.
  layers.push_back({predictor(8, -9.5F), {}, predictor(8, -9.9F).curves});
  layers.push_back({predictor(8, 6), {}, predictor(8, 6).curves});
  layers.push_back({predictor(8, 6), predictor(3, 0), predictor(8, 6).curves});
  return layers;
}

TEST_CASE("layers that hardly save anything come out dense") {
  const Artifact artifact = make_levels(three_layers(), {{0.9, 0.99}, 1});
  REQUIRE(artifact.lookahead_levels.size() == 2);
  for (const LevelFigures& level : artifact.lookahead_levels) {
    CHECK(level.mlp[0].dense);
    CHECK_FALSE(level.mlp[1].dense);
    CHECK(level.heads[0].dense);
    CHECK(level.heads[1].dense);
    CHECK_FALSE(level.heads[2].dense);
    double recall = 0;
    for (const SetFigures& set : level.mlp) recall += set.recall / 3;
    CHECK(recall >= level.target_recall);
    CHECK(level.mlp[1].density == Approx(0.2 * level.mlp[1].recall).margin(0.03));
    CHECK(level.mlp_density == Approx((1 + 2 * level.mlp[1].density) / 3).margin(0.01));
    CHECK(level.mlp[1].union_density[0] == Approx(level.mlp[1].density).margin(1e-6));
  }
  CHECK_FALSE(artifact.layers[0].mlp);
  CHECK_FALSE(artifact.layers[1].heads);
  REQUIRE(artifact.layers[1].mlp);
  CHECK(artifact.layers[1].mlp->thresholds.size() == 2 * 8);
  // A higher recall keeps at least as much of every unit.
  for (std::size_t u = 0; u < 8; ++u)
    CHECK(artifact.layers[1].mlp->thresholds[8 + u] <= artifact.layers[1].mlp->thresholds[u]);
}

TEST_CASE("one price: the layer that has more at stake keeps more, dear heads are left out first") {
  std::vector<CalibratedLayer> layers = three_layers();
  for (int unit = 0; unit < 8; ++unit) layers[1].neurons.curves.scale_costs(unit, 20);
  const Artifact artifact = make_levels(layers, {{0.95}, 1});
  const LevelFigures& level = artifact.lookahead_levels.front();
  CHECK(level.mlp[1].recall > level.mlp[2].recall + 0.02);
  CHECK(level.mlp[1].density > level.mlp[2].density);

  const Artifact dear = make_levels(layers, {{0.95}, 4});
  CHECK(dear.lookahead_levels.front().head_density < level.head_density);
  CHECK(dear.lookahead_levels.front().mlp_density == level.mlp_density);
  for (CalibratedLayer& layer : layers) layer.heads.reset();
  const Artifact neurons = make_levels(layers, {{0.95}, 4});
  CHECK(neurons.lookahead_levels.front().head_density == 1);
  CHECK_FALSE(neurons.layers[2].heads);
}

TEST_CASE("a trial leaves one thing out, and its forecast's move becomes what that thing costs") {
  std::vector<CalibratedLayer> layers = three_layers();
  const Trials trials = make_trials(layers);
  REQUIRE(trials.levels.size() == 3 + 3);  // each layer's neurons, each of the three heads
  REQUIRE(trials.artifact.lookahead_levels.size() == trials.levels.size());
  for (std::size_t i = 0; i < trials.levels.size(); ++i) {
    const TrialLevel& trial = trials.levels[i];
    const LevelFigures& level = trials.artifact.lookahead_levels[i];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      CHECK(level.mlp[l].dense == (trial.heads || l != trial.layer));
      CHECK(level.heads[l].dense == (!trial.heads || l != trial.layer));
    }
    if (!trial.heads) continue;
    const std::vector<float>& thresholds = trials.artifact.layers[2].heads->thresholds;
    for (int group = 0; group < 3; ++group)
      CHECK(std::isinf(thresholds[i * 3 + static_cast<std::size_t>(group)]) ==
            (group != trial.group));
  }
  const double before = layers[1].neurons.curves.mean_cost();
  const double other = layers[2].neurons.curves.mean_cost();
  std::vector<double> kl(trials.levels.size(), 0.001);
  kl[1] = 0.004;
  weigh_costs(trials, kl, layers);
  CHECK(layers[1].neurons.curves.mean_cost() ==
        Approx(before * 0.004 / trials.levels[1].missed_cost));
  CHECK(layers[2].neurons.curves.mean_cost() ==
        Approx(other * 0.001 / trials.levels[2].missed_cost));
}

TEST_CASE("cutoffs follow the same rule: one price, a dense layer where little is saved") {
  const std::vector<CalibratedLayer> layers = three_layers();
  const Artifact artifact = make_levels(layers, {{0.9, 0.99}, 1});
  REQUIRE(artifact.threshold_levels.size() == 2);
  for (const LevelFigures& level : artifact.threshold_levels) {
    CHECK(level.mlp[0].dense);  // all of its gates are always open
    CHECK_FALSE(level.mlp[1].dense);
    CHECK(level.head_density == 1);
    double recall = 0;
    for (const SetFigures& set : level.mlp) recall += set.recall / 3;
    CHECK(recall >= level.target_recall);
    // Gates above 2^6, of sizes even between 2^-10 and 2^10 in octaves.
    CHECK(level.mlp[2].density == Approx(0.2 * level.mlp[2].recall).margin(0.03));
  }
  for (std::size_t l = 0; l < 3; ++l) REQUIRE(artifact.layers[l].cutoffs.size() == 2 * 8);
  for (std::size_t u = 0; u < 8; ++u) {
    CHECK(artifact.layers[0].cutoffs[u] == 0);
    CHECK(artifact.layers[1].cutoffs[u] >= 60);
    CHECK(artifact.layers[1].cutoffs[8 + u] <= artifact.layers[1].cutoffs[u]);
  }
}

TEST_CASE("a level of cutoffs that reads hardly more than the one before is left out") {
  const Artifact artifact = make_levels(three_layers(), {{0.9, 0.9001, 0.99}, 1});
  CHECK(artifact.lookahead_levels.size() == 3);
  REQUIRE(artifact.threshold_levels.size() == 2);
  CHECK(artifact.threshold_levels[0].target_recall == 0.9);
  CHECK(artifact.threshold_levels[1].target_recall == 0.99);
  CHECK(artifact.layers[1].cutoffs.size() == 2 * 8);
}

TEST_CASE("a cutoff keeps the gates whose scores reach the threshold") {
  for (const float activation : {0.0F, -1e-5F, 0.017F, -0.3F, 1.0F, 40.0F}) {
    CHECK(gate_score(activation) == gate_score(-activation));
    for (const float threshold : {-20.0F, -7.25F, -0.1F, 3.0F})
      CHECK((std::abs(activation) > gate_cutoff(threshold)) ==
            (gate_score(activation) > threshold));
    CHECK(std::abs(activation) >= gate_cutoff(-std::numeric_limits<float>::infinity()));
    CHECK(std::abs(activation) < gate_cutoff(std::numeric_limits<float>::max()));
  }
}

}  // namespace
}  // namespace dejavu
