// The analysis on its own parts: sets by contribution, recall curves, regression, unions, and the
// whole on a small model.
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "engine/backend/factory.h"
#include "sparsity/analysis/analysis_report.h"
#include "sparsity/analysis/analyze.h"
#include "sparsity/analysis/verdict.h"
#include "sparsity/evaluation/probe.h"
#include "sparsity/evaluation/scores.h"
#include "sparsity/evaluation/window_runner.h"
#include "tests/support/model_driver.h"
#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

std::unique_ptr<Backend> cpu() {
  BackendOptions options;
  options.device = DeviceChoice::kCpu;
  auto backend = make_backend(options);
  REQUIRE(backend);
  return *std::move(backend);
}

std::vector<TokenWindow> random_windows(int count, int length, int vocab) {
  std::mt19937 random(3);
  std::uniform_int_distribution<std::int32_t> token(0, vocab - 1);
  std::vector<TokenWindow> windows(static_cast<std::size_t>(count));
  for (TokenWindow& window : windows)
    for (int t = 0; t < length; ++t) window.push_back(token(random));
  return windows;
}

TEST_CASE("Tiers nest: each unit is in the smallest set that takes it in") {
  const std::vector<float> contributions = {3, 0, 5, 1, 4, 2};
  std::vector<std::uint8_t> tiers(6);
  assign_tiers(contributions.data(), 6, {1, 3, 6}, tiers.data());
  // Largest first: 5, then 4 and 3, then 2 and 1; what contributes nothing is in no set.
  CHECK(tiers == std::vector<std::uint8_t>{1, 3, 0, 2, 1, 2});
}

TEST_CASE("A recall curve is that of the scores it was given") {
  RecallCurve curve;
  // Ten units, four active, of which the scores put three first.
  for (int i = 0; i < 10; ++i)
    curve.add(static_cast<float>(5 - i), i == 0 || i == 1 || i == 2 || i == 7);
  CHECK(curve.true_density() == Approx(0.4));
  CHECK(curve.recall_at(0.3) == Approx(0.75));
  CHECK(curve.recall_at(0.7) == Approx(0.75));
  CHECK(curve.recall_at(0.8) == Approx(1));
  CHECK(curve.at_recall(0.75).density == Approx(0.3));
  CHECK(curve.at_recall(0.9).density == Approx(0.8));
}

TEST_CASE("Regression finds the line that the data lie on, and its error") {
  const auto backend = cpu();
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  HostMatrix x(400, 3), y(400, 2);
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (std::size_t c = 0; c < x.cols; ++c) x.row(t)[c] = normal(random);
    y.row(t)[0] = 2 * x.row(t)[0] - x.row(t)[2] + 0.5F;
    y.row(t)[1] = x.row(t)[1] + 0.3F * normal(random);
  }
  Ridge ridge;
  ridge.add(x, y, *backend);
  ridge.solve();
  const HostMatrix found = ridge.forecast(x, *backend);
  for (std::size_t t = 0; t < x.rows; ++t) CHECK(std::abs(found.row(t)[0] - y.row(t)[0]) < 0.02F);
  CHECK(ridge.deviations()[0] < 0.1F);
  CHECK(ridge.deviations()[1] == Approx(0.3).epsilon(0.1));
}

TEST_CASE("A union grows with the batch, from one token's set") {
  TokenSets sets(8);
  for (std::size_t t = 0; t < 8; ++t) {
    std::vector<std::uint8_t> in(8);
    in[t] = 1;
    sets.add(in);
  }
  // Every token uses a unit of its own: 1, 2, 4, 8 of 8, and no more.
  const UnionDensity expected = {0.125, 0.25, 0.5, 1, 1, 1, 1};
  const UnionDensity found = sets.union_density();
  for (std::size_t b = 0; b < expected.size(); ++b) CHECK(found[b] == Approx(expected[b]));
}

TEST_CASE("A window's logits are those of the same tokens fed one by one") {
  const auto backend = cpu();
  TransformerOptions options = window_options(24);
  options.dtype = DType::kF32;
  const auto model = Transformer::random(tiny_opt(), *backend, options, 1);
  REQUIRE(model);
  const TokenWindow window = random_windows(1, 24, tiny_opt().vocab_size).front();
  const auto runner = WindowRunner::create(**model, *backend, 24);
  REQUIRE(runner);
  const auto logits = (*runner)->run(window, {});
  REQUIRE(logits);
  ModelDriver driver(**model, *backend, 4);
  std::vector<float> served;
  for (const auto& row : driver.prompt(driver.add_sequence(), window, 1))
    served.insert(served.end(), row.begin(), row.end());
  CHECK(std::equal(served.begin(), served.end(), logits->begin(), logits->end()));
}

TEST_CASE("Scores are those of the distributions") {
  // Two tokens to choose from; the window foresees its second and third token.
  const TokenWindow window = {0, 1, 0};
  const std::vector<float> dense = {0, std::log(3.0F), 0, 0, 9, 9};
  const std::vector<float> other = {0, 0, std::log(3.0F), 0, 9, 9};
  const WindowForecast reference = forecast(dense, window), found = forecast(other, window);
  Scores scores;
  scores.add(found, reference);
  scores.add_kl(kl_sum(dense, other, 2));
  CHECK(scores.perplexity() == Approx(std::exp(-(std::log(0.5) + std::log(0.75)) / 2)));
  CHECK(scores.agreement() == Approx(0.5));  // of equals the first is the likeliest
  const double first = 0.25 * std::log(0.25 / 0.5) + 0.75 * std::log(0.75 / 0.5);
  const double second = 0.5 * std::log(0.5 / 0.75) + 0.5 * std::log(0.5 / 0.25);
  CHECK(scores.kl() == Approx((first + second) / 2));
  CHECK_FALSE(scores.in_context_score());
}

Findings analyzed(const ModelConfig& config) {
  const auto backend = cpu();
  const DenseLayerFactory dense;
  ProbedLayers layers(dense);
  TransformerOptions options = window_options(32);
  options.dtype = DType::kF32;
  options.layers = &layers;
  const auto model = Transformer::random(config, *backend, options, 1);
  REQUIRE(model);
  const auto windows = random_windows(8, 32, config.vocab_size);
  auto findings = analyze({**model, layers, *backend, windows}, {});
  REQUIRE(findings);
  return *std::move(findings);
}

TEST_CASE("A ReLU model's findings: zeros, unions, an oracle that costs nothing where it is full") {
  const Findings findings = analyzed(tiny_opt());
  CHECK(findings.exact_zeros);
  CHECK(findings.tokens == 256);
  REQUIRE(findings.layers.size() == 2);
  for (const LayerFindings& layer : findings.layers) {
    CHECK(layer.zeros > 0.3);
    CHECK(layer.zeros < 0.7);
    CHECK(layer.unions[0] == Approx(1 - layer.zeros).margin(0.05));
    CHECK(std::is_sorted(layer.unions.begin(), layer.unions.end()));
    CHECK(std::accumulate(layer.head_shares.begin(), layer.head_shares.end(), 0.0) == Approx(1));
    CHECK(std::is_sorted(layer.head_shares.rbegin(), layer.head_shares.rend()));
    REQUIRE(layer.neurons);
    // What reads the block's own input sees pre-activations that are linear in it.
    const auto input = static_cast<std::size_t>(Vantage::kInput);
    CHECK(layer.neurons->vantages[input].density_for_wanted < layer.neurons->true_density + 0.15);
  }
  bool full = false;
  for (const OraclePoint& point : findings.oracle) {
    CHECK(point.neuron_density <= std::max(point.asked, 1.0 - 1e-9) + 1e-9);
    if (point.units != OraclePoint::Units::kNeurons || point.asked < 0.75) continue;
    // Every active neuron is among the 75 % largest.
    full = true;
    CHECK(point.perplexity == Approx(findings.dense_perplexity));
    CHECK(point.agreement == Approx(1));
    CHECK(point.neuron_density < 0.7);
  }
  CHECK(full);
  CHECK(to_json(findings)["layers"].size() == 2);
  CHECK(to_table(findings).find(findings.verdict.text) != std::string::npos);
}

TEST_CASE("A SiLU model without structure is told to be dense") {
  const Findings findings = analyzed(tiny_llama());
  CHECK_FALSE(findings.exact_zeros);
  CHECK(findings.layers[0].zeros < 0.01);
  CHECK_FALSE(findings.verdict.worthwhile);
  CHECK(findings.verdict.text.starts_with("Not worth switching on"));
}

TEST_CASE("One window is too little to analyze") {
  const auto backend = cpu();
  const DenseLayerFactory dense;
  ProbedLayers layers(dense);
  TransformerOptions options = window_options(8);
  options.layers = &layers;
  const auto model = Transformer::random(tiny_opt(), *backend, options, 1);
  REQUIRE(model);
  const auto windows = random_windows(1, 8, tiny_opt().vocab_size);
  const auto findings = analyze({**model, layers, *backend, windows}, {});
  REQUIRE_FALSE(findings);
  CHECK(findings.error().param == "text");
}

}  // namespace
}  // namespace dejavu
