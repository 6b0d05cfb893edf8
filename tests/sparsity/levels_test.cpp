// From predictors to levels: what becomes dense, and what is recommended.
#include "sparsity/calibration/levels.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

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
      costs[u] = scores[u] > active_above ? scores[u] + 10 : 0;
    }
    curves.add(scores.data(), costs.data());
  }
  return {weights, curves, 0, 0};
}

Artifact made() {
  std::vector<CalibratedLayer> layers;
  layers.push_back({predictor(8, -8), {}});  // nine tenths active by themselves
  layers.push_back({predictor(8, 6), {}});   // sparse neurons
  layers.push_back({predictor(8, 6), predictor(3, 0)});
  CalibrationOptions options;
  options.target_recalls = {0.9, 0.99};
  return make_levels(layers, options);
}

TEST_CASE("layers that hardly save anything come out dense") {
  const Artifact artifact = made();
  REQUIRE(artifact.lookahead_levels.size() == 2);
  for (const LevelFigures& level : artifact.lookahead_levels) {
    CHECK(level.mlp[0].dense);
    CHECK_FALSE(level.mlp[1].dense);
    CHECK(level.heads[0].dense);
    CHECK(level.heads[1].dense);
    CHECK(level.heads[2].density < 0.5);
    CHECK_FALSE(level.heads[2].dense);
    CHECK(level.mlp[1].recall >= level.target_recall);
    CHECK(level.mlp[1].density == Approx(0.2 * level.target_recall).margin(0.03));
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

TEST_CASE("the cheapest level within the budget is recommended, or none") {
  Artifact artifact = made();
  artifact.lookahead_levels[0].perplexity_rise = 0.02;
  artifact.lookahead_levels[1].perplexity_rise = 0.004;
  recommend(0.01, artifact);
  CHECK(artifact.default_lookahead_level == 1);
  CHECK(artifact.recommended == SparsityMode::kLookahead);
  recommend(0.03, artifact);
  CHECK(artifact.default_lookahead_level == 0);
  recommend(0.001, artifact);
  CHECK(artifact.default_lookahead_level == -1);
  CHECK(artifact.recommended == SparsityMode::kDense);
  CHECK_THAT(artifact.reason, Catch::Contains("dense"));
}

}  // namespace
}  // namespace dejavu
