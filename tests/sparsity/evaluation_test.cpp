// Evaluation computes what is served, and its figures are those of what was computed.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/backend/factory.h"
#include "sparsity/evaluation/evaluate.h"
#include "sparsity/evaluation/evaluation_report.h"
#include "sparsity/evaluation/probe.h"
#include "sparsity/evaluation/window_runner.h"
#include "sparsity/runtime.h"
#include "tests/support/model_driver.h"
#include "tests/support/random_artifact.h"
#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

constexpr int kWindow = 40;

TokenWindow random_window(unsigned seed, int length, int vocab) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int32_t> token(0, vocab - 1);
  TokenWindow window;
  for (int t = 0; t < length; ++t) window.push_back(token(random));
  return window;
}

// A small random model behind the runtime that serves, and probes around its layers.
struct Evaluated {
  Evaluated(const ModelConfig& config, const RandomArtifactSpec& spec)
      : runtime({.options = {.audit_interval = 0}, .artifact = random_artifact(config, spec)}),
        layers(runtime) {
    BackendOptions cpu;
    cpu.device = DeviceChoice::kCpu;
    backend = *make_backend(cpu);
    TransformerOptions options = window_options(kWindow);
    options.dtype = DType::kF32;
    options.layers = &layers;
    model = *Transformer::random(config, *backend, options, 1);
    const Status ready = runtime.prepare();
    INFO((ready ? std::string() : ready.error().message));
    REQUIRE(ready);
  }

  SparsityRuntime runtime;
  ProbedLayers layers;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Transformer> model;
};

TEST_CASE("A window's logits are to the bit those that decoding serves, token by token") {
  const auto config = GENERATE(tiny_opt(), tiny_llama());
  const SparsityChoice choice = GENERATE(
      SparsityChoice{SparsityMode::kLookahead, 0}, SparsityChoice{SparsityMode::kLookahead, 1},
      SparsityChoice{SparsityMode::kThreshold, 1}, SparsityChoice{});
  Evaluated evaluated(config, {});
  const TokenWindow window = random_window(7, kWindow, config.vocab_size);
  const auto runner = WindowRunner::create(*evaluated.model, *evaluated.backend, kWindow);
  REQUIRE(runner);
  (*runner)->attach(&evaluated.runtime);
  const auto logits = (*runner)->run(window, choice);
  REQUIRE(logits);

  ModelDriver served(*evaluated.model, *evaluated.backend, 4);
  served.attach(&evaluated.runtime);
  const int sequence = served.add_sequence();
  const auto vocab = static_cast<std::size_t>(config.vocab_size);
  for (std::size_t t = 0; t < window.size(); ++t) {
    const auto row = served.step({{sequence, {window[t]}, choice}}).front();
    REQUIRE(std::equal(row.begin(), row.end(),
                       logits->begin() + static_cast<std::ptrdiff_t>(t * vocab)));
  }
}

std::vector<EvaluationRow> rows_of(Evaluated& evaluated,
                                   const std::vector<EvaluationChoice>& choices) {
  std::vector<TokenWindow> windows;
  const int vocab = evaluated.model->config().vocab_size;
  for (unsigned seed = 1; seed <= 3; ++seed) windows.push_back(random_window(seed, kWindow, vocab));
  const auto rows = evaluate({*evaluated.model, evaluated.layers, *evaluated.backend,
                              evaluated.runtime, evaluated.runtime, windows},
                             choices, {});
  REQUIRE(rows);
  return *rows;
}

TEST_CASE("Full sets and exact cost nothing; smaller sets cost, and say how small they are") {
  RandomArtifactSpec spec;
  spec.mlp_density = {1, 0.3};
  spec.head_density = {1, 0.5};
  Evaluated evaluated(tiny_opt(), spec);
  const auto rows = rows_of(evaluated, {{{SparsityMode::kDense, -1}, 0},
                                        {{SparsityMode::kExact, -1}, 0},
                                        {{SparsityMode::kLookahead, 0}, 0.99},
                                        {{SparsityMode::kLookahead, 1}, 0.98}});
  REQUIRE(rows.size() == 4);  // dense is there once
  for (std::size_t r = 0; r < 3; ++r) {
    CHECK(rows[r].perplexity == Approx(rows[0].perplexity).epsilon(1e-5));
    CHECK(rows[r].agreement == 1);
    CHECK(rows[r].kl == Approx(0).margin(1e-6));
    CHECK(rows[r].recall == Approx(1));
    CHECK_FALSE(rows[r].in_context_score);  // windows are too short
    CHECK(rows[r].tokens_per_second > 0);
  }
  CHECK(rows[0].mode == SparsityMode::kDense);
  CHECK(rows[0].mlp_density == 1);
  CHECK(rows[1].mlp_density == Approx(0.5).margin(0.2));  // what is not zero
  CHECK(rows[2].mlp_density == Approx(1));

  const EvaluationRow& sparse = rows[3];
  CHECK(sparse.target_recall == 0.98);
  CHECK(sparse.mlp_density < 0.6);
  CHECK(sparse.head_density < 1);
  CHECK(sparse.kl > 1e-6);
  CHECK(sparse.recall < 0.8);  // random sets
  REQUIRE(sparse.layers.size() == 2);
  double mlp = 0, heads = 0;
  for (const EvaluatedLayer& layer : sparse.layers) {
    mlp += layer.mlp_density / 2;
    heads += layer.head_density / 2;
  }
  CHECK(mlp == Approx(sparse.mlp_density).epsilon(1e-4));
  CHECK(heads == Approx(sparse.head_density).epsilon(1e-4));
  CHECK(sparse.layers[0].head_density == 1);
  CHECK(sparse.layers[0].head_mass_kept == Approx(1));
  CHECK(sparse.layers[1].head_mass_kept < 1);

  const nlohmann::ordered_json json = to_json(rows);
  for (const char* key :
       {"mode", "target_recall", "perplexity", "agreement", "kl", "in_context_score", "mlp_density",
        "head_density", "recall", "tokens_per_second", "layers"})
    CHECK(json[3].contains(key));
  CHECK(json[0]["target_recall"].is_null());
}

}  // namespace
}  // namespace dejavu
