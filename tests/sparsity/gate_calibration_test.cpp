// Mode threshold from calibration to serving, on kinds whose activations are never exactly zero.
#include <catch2/catch.hpp>
#include <random>

#include "engine/backend/factory.h"
#include "sparsity/calibration/calibrate.h"
#include "sparsity/runtime.h"
#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

constexpr int kWindow = 64;
constexpr std::size_t kHeldOut = 8;  // windows

ModelConfig gelu_opt() {
  ModelConfig config = tiny_opt();
  config.activation = Activation::kGelu;
  return config;
}

std::vector<TokenWindow> random_windows(int count, int vocab) {
  std::mt19937 random(5);
  std::uniform_int_distribution<std::int32_t> token(0, vocab - 1);
  std::vector<TokenWindow> windows(static_cast<std::size_t>(count), TokenWindow(kWindow));
  for (TokenWindow& window : windows)
    for (std::int32_t& id : window) id = token(random);
  return windows;
}

std::unique_ptr<Transformer> random_model(const ModelConfig& config, const LayerFactory& layers,
                                          Backend& backend) {
  TransformerOptions options = window_options(kWindow);
  options.dtype = DType::kF32;
  options.layers = &layers;
  auto model = Transformer::random(config, backend, options, 1);
  REQUIRE(model);
  return *std::move(model);
}

TEST_CASE("calibrated cutoffs, served, leave out and keep what calibration said") {
  const ModelConfig config = GENERATE(tiny_llama(), gelu_opt());
  const auto windows = random_windows(32, config.vocab_size);
  const auto backend = *make_cpu_backend({});
  const auto held_out = std::span(windows).last(kHeldOut);

  const DenseLayerFactory dense;
  ProbedLayers dense_layers(dense);
  const auto dense_model = random_model(config, dense_layers, *backend);
  CalibrationOptions options;
  options.rank = 8;
  options.train = false;
  const auto layers = calibrate_layers({{*dense_model, dense_layers, *backend, windows},
                                        token_count(held_out),
                                        options,
                                        SavedLayers({}, "")},
                                       {});
  REQUIRE(layers);
  const Artifact artifact = make_levels(*layers, {{0.6, 0.8, 0.95}, 1});
  REQUIRE(artifact.threshold_levels.size() == 3);

  SparsityRuntime runtime({.options = {.audit_interval = 0}, .artifact = artifact});
  ProbedLayers served_layers(runtime);
  const auto served = random_model(config, served_layers, *backend);
  REQUIRE(runtime.prepare());
  std::vector<EvaluationChoice> choices;
  for (int level = 0; level < 3; ++level) choices.push_back({{SparsityMode::kThreshold, level}, 0});
  const auto rows =
      evaluate({*served, served_layers, *backend, runtime, runtime, held_out}, choices, {});
  REQUIRE(rows);
  REQUIRE(rows->size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    const LevelFigures& level = artifact.threshold_levels[i];
    const EvaluationRow& row = (*rows)[i + 1];
    INFO(config.architecture << " level " << level.target_recall);
    CHECK(level.mlp_density < 0.95);
    // Leaving out moves what later layers see, and 16 bits lie between layers in calibration.
    CHECK(row.mlp_density == Approx(level.mlp_density).margin(0.01));
    CHECK(row.head_density == 1);
    double recall = 0;
    for (const SetFigures& set : level.mlp) recall += set.recall / config.layers;
    CHECK(recall >= level.target_recall);
    CHECK(row.kl > 0);
    if (i == 0) continue;
    CHECK(level.mlp_density > artifact.threshold_levels[i - 1].mlp_density);
    CHECK(row.kl < (*rows)[i].kl);
  }
}

}  // namespace
}  // namespace dejavu
