// What a server does with an artifact: the mode that is worth it, or dense, said in a sentence.
#include "sparsity/calibration/recommendation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

constexpr int kRank = 4;

struct Level {
  double rise, mlp, heads;
};

std::vector<LevelFigures> levels(const std::vector<Level>& of, int layers) {
  std::vector<LevelFigures> all;
  for (const Level& one : of) {
    LevelFigures& level = all.emplace_back();
    level.perplexity_rise = one.rise;
    level.agreement = 0.975;
    level.mlp_density = one.mlp;
    level.head_density = one.heads;
    level.mlp.resize(static_cast<std::size_t>(layers));
    level.heads.resize(static_cast<std::size_t>(layers));
    for (SetFigures& set : level.mlp) set.dense = false;
  }
  return all;
}

// Small predictors in every layer.
Artifact artifact_with(const ModelConfig& config, const std::vector<Level>& lookahead,
                       const std::vector<Level>& threshold) {
  Artifact artifact;
  artifact.layers.resize(static_cast<std::size_t>(config.layers));
  for (LayerArtifact& layer : artifact.layers) {
    PredictorWeights& weights = layer.mlp.emplace();
    weights.down.resize(static_cast<std::size_t>(kRank * config.hidden_size));
    weights.up.resize(static_cast<std::size_t>(kRank * config.ffn_size));
  }
  artifact.lookahead_levels = levels(lookahead, config.layers);
  artifact.threshold_levels = levels(threshold, config.layers);
  return artifact;
}

TEST_CASE("what a level reads: its neurons and heads, the vocabulary, its predictors") {
  const ModelConfig config = tiny_llama();
  const Artifact artifact = artifact_with(config, {{0, 0.25, 0.5}}, {{0, 0.25, 1}});
  const double d = 90, ffn = 131, q = 60, kv = 20, vocab = 101;
  const double dense = 2 * (vocab * d + 2 * (2 * q * d + 2 * kv * d + 3 * ffn * d));
  CHECK(bytes_read(config, artifact, SparsityMode::kLookahead, artifact.lookahead_levels.front()) ==
        Approx((2 * (vocab * d + 2 * (q * d + 2 * kv * d + 0.25 * 3 * ffn * d)) +
                2 * kRank * (d + ffn)) /
               dense));
  CHECK(bytes_read(config, artifact, SparsityMode::kThreshold, artifact.threshold_levels.front()) ==
        Approx(2 * (vocab * d + 2 * (2 * q * d + 2 * kv * d + 1.5 * ffn * d)) / dense));
}

TEST_CASE("the level within the budget that reads least is recommended, in its mode") {
  const ModelConfig config = tiny_llama();
  Artifact artifact = artifact_with(config, {{0.03, 0.1, 0.5}, {0.008, 0.3, 0.7}, {0.001, 0.4, 1}},
                                    {{0.02, 0.3, 1}, {0.005, 0.4, 1}});
  choose_default({config, 0.01}, artifact);
  CHECK(artifact.default_lookahead_level == 1);
  CHECK(artifact.default_threshold_level == 1);
  CHECK(artifact.recommended == SparsityMode::kLookahead);
  explain_default({config, 0.01}, artifact);
  CHECK(artifact.reason ==
        "30 % of the neurons and 70 % of the heads cost 0.80 % perplexity and keep the next token "
        "at 97.5 % of the positions");

  choose_default({config, 0.05}, artifact);
  CHECK(artifact.default_lookahead_level == 0);
  CHECK(artifact.default_threshold_level == 0);

  // Predictors that do not foresee: what the first projection has computed is better than them.
  for (LevelFigures& level : artifact.lookahead_levels) level.mlp_density = 0.9;
  choose_default({config, 0.005}, artifact);
  CHECK(artifact.recommended == SparsityMode::kThreshold);
  explain_default({config, 0.005}, artifact);
  CHECK(artifact.reason ==
        "40 % of the neurons cost 0.50 % perplexity and keep the next token at 97.5 % of the "
        "positions");
}

TEST_CASE("rises over two texts of one length are those over both together") {
  Artifact artifact =
      artifact_with(tiny_llama(), {{0.02, 0.1, 0.5}, {0.01, 0.3, 0.7}}, {{0.005, 0.3, 1}});
  const std::vector<double> one = perplexity_rises(artifact);
  CHECK(one == std::vector<double>{0.02, 0.01, 0.005});
  const std::vector<double> both = over_both_texts(one, {0.02, 0.0, 0.025});
  // Losses add up: exp((log(1.01 P) + log(P)) / 2) / P.
  const std::vector<double> wanted = {0.02, std::exp(std::log(1.01) / 2) - 1,
                                      std::exp((std::log(1.005) + std::log(1.025)) / 2) - 1};
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(both[i] == Approx(wanted[i]));
  set_perplexity_rises(both, artifact);
  CHECK(perplexity_rises(artifact) == both);
}

TEST_CASE("a model that is not contextually sparse is told so in a sentence and served dense") {
  ModelConfig config = tiny_llama();
  Artifact artifact =
      artifact_with(config, {{0.30, 0.7, 0.8}, {0.11, 0.8, 1}}, {{0.13, 0.7, 1}, {0.09, 0.8, 1}});
  choose_default({config, 0.01}, artifact);
  CHECK(artifact.recommended == SparsityMode::kDense);
  // The mildest, for who asks for the mode nevertheless.
  CHECK(artifact.default_lookahead_level == 1);
  CHECK(artifact.default_threshold_level == 1);
  explain_default({config, 0.01}, artifact);
  CHECK_THAT(artifact.reason,
             Catch::StartsWith("not worth switching on: within 1.0 % of perplexity this model is "
                               "not contextually sparse (lookahead: 80 % of the neurons cost "
                               "11.00 % perplexity") &&
                 Catch::Contains("threshold: 80 % of the neurons cost 9.00 % perplexity") &&
                 Catch::EndsWith("so it is served dense"));

  // Within the budget, but next to nothing is saved.
  artifact = artifact_with(config, {{0.001, 0.97, 1}}, {{0.002, 0.95, 1}});
  choose_default({config, 0.01}, artifact);
  CHECK(artifact.recommended == SparsityMode::kDense);

  // Computed zeros are skipped at no cost in quality.
  config.activation = Activation::kRelu;
  choose_default({config, 0.01}, artifact);
  CHECK(artifact.recommended == SparsityMode::kExact);
  explain_default({config, 0.01}, artifact);
  CHECK_THAT(artifact.reason, Catch::EndsWith("so only computed zeros are skipped"));
}

}  // namespace
}  // namespace dejavu
