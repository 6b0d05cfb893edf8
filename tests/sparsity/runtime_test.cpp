// The runtime's figures and its audit, seen from outside.
#include "sparsity/runtime.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/backend/factory.h"
#include "sparsity/layer_bytes.h"
#include "tests/support/sparse_engine.h"
#include "tests/support/tiny_model.h"

using namespace dejavu;

namespace {

constexpr SparsityChoice kDense{};
constexpr SparsityChoice kLookahead{SparsityMode::kLookahead, 0};
constexpr SparsityChoice kThreshold{SparsityMode::kThreshold, 0};

SparseEngine::Setup setup_of(ModelConfig config) {
  SparseEngine::Setup setup;
  config.layers = 3;
  setup.config = std::move(config);
  return setup;
}

// One lookahead level of these densities.
RandomArtifactSpec level(double mlp, double heads) {
  RandomArtifactSpec spec;
  spec.mlp_density = {mlp};
  spec.head_density = {heads};
  return spec;
}

}  // namespace

TEST_CASE("densities of tokens add up to the layers' counters", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact = level(0.4, 0.6);
  setup.method = GENERATE(ReadMethod::kGather, ReadMethod::kWhole);
  setup.launch_ahead = GENERATE(0, 1);
  const SparseEngine sparse(setup);
  const auto answers =
      ask_all(*sparse.engine, {sparse_question(1, 20, kLookahead),
                               sparse_question(2, 20, kLookahead), sparse_question(3, 20, kDense)});
  double mlp = 0;
  double heads = 0;
  for (std::size_t a = 0; a < 2; ++a) {
    CHECK(answers[a].events[0].density.mlp == 1);  // the prompt's last token
    for (std::size_t i = 1; i < 24; ++i) {
      mlp += static_cast<double>(answers[a].events[i].density.mlp);
      heads += static_cast<double>(answers[a].events[i].density.heads);
    }
  }
  for (const TokenEvent& event : answers[2].events) CHECK(event.density.mlp == 1);
  const SparsityStatus status = sparse.runtime->status();
  std::uint64_t neurons = 0;
  std::uint64_t groups = 0;
  // A step launched ahead of an answer's end is computed, and counted, but not sent.
  const std::uint64_t tokens = status.layers[0].mlp.candidate_units / 150;
  CHECK(tokens >= 46);
  CHECK(tokens <= 48);
  for (const LayerStatus& layer : status.layers) {
    CHECK(layer.mlp.candidate_units == tokens * 150);
    CHECK(layer.heads.candidate_units == tokens * 6);
    neurons += layer.mlp.selected_units;
    groups += layer.heads.selected_units;
  }
  CHECK(status.layers[0].heads.selected_units == tokens * 6);
  if (tokens == 46) {
    CHECK(mlp * 150 * 3 == Approx(static_cast<double>(neurons)));
    CHECK(heads * 6 * 3 == Approx(static_cast<double>(groups)));
  }
  CHECK(mlp / 46 > 0.2);
  CHECK(mlp / 46 < 0.7);
  CHECK(heads / 46 < 1);
  CHECK(status.predictor_seconds > 0);
}

TEST_CASE("who asks gets each token layer by layer, and what the audit found", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact = level(0.4, 0.6);
  setup.options.audit_interval = 4;
  setup.options.audit_error_limit = 1e9;
  const SparseEngine sparse(setup);
  SparsityChoice detailed = kLookahead;
  detailed.detailed = true;
  const auto answers = ask_all(
      *sparse.engine, {sparse_question(1, 20, detailed), sparse_question(2, 20, kLookahead)});
  for (const TokenEvent& event : answers[1].events) CHECK_FALSE(event.density.detail);
  CHECK_FALSE(answers[0].events[0].density.detail);  // from the prompt: dense
  std::size_t audited = 0;
  for (std::size_t i = 1; i < answers[0].events.size(); ++i) {
    const TokenDensity& density = answers[0].events[i].density;
    REQUIRE(density.detail);
    const TokenDetail& detail = *density.detail;
    REQUIRE(detail.mlp.size() == 3);
    REQUIRE(detail.heads.size() == 3);
    CHECK((detail.mlp[0] + detail.mlp[1] + detail.mlp[2]) / 3 == Approx(density.mlp));
    CHECK((detail.heads[0] + detail.heads[1] + detail.heads[2]) / 3 == Approx(density.heads));
    CHECK(detail.heads[0] == 1);
    CHECK(detail.weight_share > 0);
    CHECK(detail.weight_share < 1);
    audited += static_cast<std::size_t>(detail.audit.has_value());
  }
  const std::vector<TokenAudit> audits = sparse.runtime->status().audits;
  CHECK(audits.size() >= 5);
  CHECK(audited > 0);
  CHECK(audited <= audits.size());
  for (const TokenAudit& audit : audits) {
    CHECK(audit.layer < 3);
    CHECK(audit.recall <= 1);
    CHECK(audit.error >= 0);
  }
}

TEST_CASE("the share of the weights that a token takes", "[runtime]") {
  ModelConfig config = tiny_opt();
  config.layers = 2;
  config.hidden_size = config.embedding_size = 8;
  config.heads = config.kv_heads = 2;
  config.head_dim = 4;
  config.ffn_size = 32;
  config.vocab_size = 64;
  // In elements: vocabulary 512, a layer's attention 256 (half of it Q and output), its MLP 512.
  const double all = 512 + 2 * (256 + 512);
  using Mode = SparsityMode;
  CHECK(weight_share(config, Mode::kDense, {}) == 1);
  CHECK(weight_share(config, Mode::kLookahead, {0.25F, 0.5F}) ==
        Approx((512 + 2 * (128 + 64 + 128)) / all));
  CHECK(weight_share(config, Mode::kExact, {0.25F, 1}) ==
        Approx((512 + 2 * (256 + 256 + 64)) / all));
  config.gated_mlp = true;
  CHECK(weight_share(config, Mode::kExact, {0, 1}) ==
        Approx((512 + 2 * (256 + 256)) / (512 + 2 * (256 + 768.0))));
}

TEST_CASE("the status tells what is served", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact.dense_layer = 1;
  setup.options.target_recall = 0.98;
  const SparseEngine sparse(setup);
  const SparsityStatus status = sparse.runtime->status();
  CHECK(status.mode == SparsityMode::kLookahead);
  CHECK(status.target_recall == Approx(0.98));
  CHECK(status.reason == "random predictors");
  CHECK(status.allowed.size() == 4);
  CHECK(status.lookahead_levels.size() == 2);
  CHECK(status.layers[0].mlp.mode == SparsityMode::kLookahead);
  CHECK(status.layers[0].heads.mode == SparsityMode::kDense);
  CHECK(status.layers[1].mlp.mode == SparsityMode::kDense);
  CHECK(status.layers[2].heads.mode == SparsityMode::kLookahead);
  CHECK(status.layers[2].mlp.density == Approx(0.2));
  CHECK(status.layers[2].mlp.recall == Approx(0.9));
  CHECK(status.layers[2].mlp.threshold_low > 0);
}

TEST_CASE("the audit leaves what is served as it is", "[runtime]") {
  auto setup = setup_of(GENERATE(false, true) ? tiny_llama() : tiny_opt());
  setup.dtype = GENERATE(DType::kF32, DType::kBF16);
  setup.method = GENERATE(ReadMethod::kGather, ReadMethod::kWhole);
  const std::vector<SparseQuestion> questions = {
      sparse_question(1, 20, kLookahead), sparse_question(2, 30, kLookahead),
      sparse_question(3, 30, kThreshold), sparse_question(4, 10, kDense)};
  const auto plain = ask_all(*SparseEngine(setup).engine, questions);
  setup.options.audit_interval = 1;
  setup.options.audit_error_limit = 1e9;
  const SparseEngine audited(setup);
  const auto answers = ask_all(*audited.engine, questions);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(bits_of(answers[i]) == bits_of(plain[i]));
  const auto alone = ask_all(*audited.engine, {questions[0]});  // a step of one token
  CHECK(bits_of(alone[0]) == bits_of(plain[0]));

  const SparsityStatus status = audited.runtime->status();
  for (std::size_t l = 1; l < 3; ++l) {
    for (const BlockStatus& block : {status.layers[l].mlp, status.layers[l].heads}) {
      CHECK(block.audits > 0);
      CHECK(block.audit_error_sum > 0);
      CHECK(block.audit_missed_mass_sum > 0);
      CHECK(block.audit_recalled_units < block.audit_active_units);
      CHECK(block.audit_recalled_units > 0);
      CHECK_FALSE(block.fallen_back);
    }
  }
  CHECK(status.events.empty());
}

TEST_CASE("predictors inline give the same, with nothing beside other work", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.threads = 2;
  const std::vector<SparseQuestion> questions = {sparse_question(1, 20, kLookahead),
                                                 sparse_question(2, 30, kLookahead)};
  const SparseEngine beside(setup);
  setup.options.inline_predictors = true;
  const SparseEngine in_line(setup);
  const auto plain = ask_all(*beside.engine, questions);
  const auto answers = ask_all(*in_line.engine, questions);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(bits_of(answers[i]) == bits_of(plain[i]));
  CHECK(beside.runtime->status().overlapped_seconds > 0);
  CHECK(beside.runtime->status().overlapped_seconds < beside.runtime->status().predictor_seconds);
  CHECK(in_line.runtime->status().predictor_seconds > 0);
  CHECK(in_line.runtime->status().overlapped_seconds == 0);
}

TEST_CASE("an asynchronous backend's predictors are timed where they run, in audited steps",
          "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.simulated = true;
  setup.launch_ahead = GENERATE(0, 1);
  setup.options.audit_interval = GENERATE(0, 1, 4);
  setup.options.audit_error_limit = 1e9;
  setup.options.inline_predictors = GENERATE(false, true);
  const SparseEngine sparse(setup);
  ask_all(*sparse.engine, {sparse_question(1, 20, kLookahead)});
  const SparsityStatus status = sparse.runtime->status();
  // Neurons in three layers, beside attention, which takes no time; heads in two, beside an MLP.
  const double step = 1e-9 * 5 * SimulatedDevice::kPredict;
  const double hidden = setup.options.inline_predictors ? 0 : 1e-9 * 2 * SimulatedDevice::kMlp;
  const double steps = status.predictor_seconds / step;
  CHECK(steps == Approx(std::round(steps)));
  CHECK(status.overlapped_seconds == Approx(steps * hidden));
  const auto all = static_cast<double>(status.layers[0].mlp.gather_steps);
  CHECK(all >= 23);
  const int interval = setup.options.audit_interval;
  CHECK(std::round(steps) <= all);
  CHECK(steps > (interval == 0 ? -1 : all - 2 * interval));
  CHECK((interval > 0 || steps == 0));
}

TEST_CASE("an audit of a perfect predictor finds nothing amiss", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact = level(1, 1);
  setup.options.audit_interval = 1;
  const SparseEngine sparse(setup);
  ask_all(*sparse.engine, {sparse_question(1, 20, kLookahead)});
  for (const LayerStatus& layer : sparse.runtime->status().layers) {
    CHECK(layer.mlp.audits > 0);
    CHECK(layer.mlp.audit_error_sum == 0);
    CHECK(layer.mlp.audit_recalled_units == layer.mlp.audit_active_units);
    CHECK(layer.heads.audit_error_sum == 0);
  }
}

TEST_CASE("a bad predictor is widened, then its layer is made dense", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact = level(0, 0);  // no threshold that a step of lowering could reach
  setup.options.audit_interval = 1;
  const SparseEngine sparse(setup);
  SparseQuestion question = sparse_question(2, 20, kLookahead);
  const SparseQuestion dense = sparse_question(2, 20, kDense);
  const auto expected = bits_of(ask_all(*sparse.engine, {dense}).front());
  CHECK(bits_of(ask_all(*sparse.engine, {question}).front()) != expected);
  // Five sparse blocks, three verdicts each.
  for (int i = 0; i < 10; ++i) ask_all(*sparse.engine, {question});
  const SparsityStatus status = sparse.runtime->status();
  for (std::size_t l = 0; l < 3; ++l) {
    const LayerStatus& layer = status.layers[l];
    CHECK(layer.mlp.widened == 2);
    CHECK(layer.mlp.fallen_back);
    CHECK(layer.mlp.mode == SparsityMode::kDense);
    CHECK(layer.mlp.dense_steps > 0);
    CHECK(layer.mlp.gather_steps > 0);
    CHECK(layer.heads.fallen_back == (l > 0));
  }
  CHECK(status.events.size() == 15);
  CHECK_THAT(status.events.back().message, Catch::Contains("dense until restart"));
  CHECK(bits_of(ask_all(*sparse.engine, {question}).front()) == expected);
}

TEST_CASE("widening adds units to the sets", "[runtime]") {
  auto setup = setup_of(tiny_opt());
  setup.artifact = level(0.1, 1);
  setup.options.audit_interval = 1;
  setup.options.audit_error_limit = 0.01;
  const SparseEngine sparse(setup);
  SparseQuestion question = sparse_question(2, 20, kLookahead);
  question.params.max_tokens = 36;  // three blocks; room for one verdict each
  const auto answer = ask_all(*sparse.engine, {question}).front();
  const SparsityStatus status = sparse.runtime->status();
  for (const LayerStatus& layer : status.layers) {
    CHECK(layer.mlp.widened == 1);
    CHECK_FALSE(layer.mlp.fallen_back);
  }
  CHECK(answer.events.back().density.mlp > answer.events[1].density.mlp + 0.1F);
}

TEST_CASE("an artifact of another shape is refused with the layer's name", "[runtime]") {
  auto backend = make_backend({.device = DeviceChoice::kCpu, .threads = 1});
  REQUIRE(backend);
  const auto refused = [&](Artifact artifact) {
    SparsityRuntime::Parts parts;
    parts.artifact = std::move(artifact);
    SparsityRuntime runtime(std::move(parts));
    TransformerOptions options;
    options.layers = &runtime;
    const auto model = Transformer::random(tiny_opt(), **backend, options, 1);
    REQUIRE_FALSE(model);
    return model.error().message;
  };
  CHECK_THAT(refused(random_artifact(tiny_llama(), {})), Catch::Contains("layer 0"));
  ModelConfig deeper = tiny_opt();
  deeper.layers = 3;
  CHECK_THAT(refused(random_artifact(deeper, {})), Catch::Contains("3 layers"));
  Artifact torn = random_artifact(tiny_opt(), {});
  torn.layers[1].mlp->bias.pop_back();
  CHECK_THAT(refused(torn), Catch::Contains("layer 1") && Catch::Contains("calibrate"));
}

TEST_CASE("crossovers are measured when none are given", "[runtime]") {
  auto backend = make_backend({.device = DeviceChoice::kCpu, .threads = 1});
  REQUIRE(backend);
  for (const ModelConfig& config : {tiny_opt(), tiny_llama()}) {
    SparsityRuntime::Parts parts;
    parts.artifact = random_artifact(config, {});
    SparsityRuntime runtime(std::move(parts));
    TransformerOptions options;
    options.layers = &runtime;
    auto model = Transformer::random(config, **backend, options, 1);
    REQUIRE(model);
    REQUIRE(runtime.prepare());
    for (const double share : runtime.crossover().gather) {
      CHECK(share >= 0);
      CHECK(share <= 1);
    }
  }
}

TEST_CASE("the memory it has taken holds at least its predictors and cutoffs", "[runtime]") {
  auto setup = setup_of(tiny_llama());
  const auto bytes = [&setup] { return SparseEngine(setup).runtime->memory_bytes(); };
  const std::size_t two_levels = bytes();
  setup.artifact.cutoffs.push_back(0.2F);
  CHECK(bytes() == two_levels + std::size_t{3} * 131 * sizeof(float));
  setup.artifact.rank += 16;
  setup.artifact.cutoffs.pop_back();
  CHECK(bytes() >= two_levels + std::size_t{3} * 16 * (90 + 131));
}
