// A token's output follows from its mode, its artifact and its own residual stream: to the bit the
// same whatever is computed beside it and however layers are read.
#include <catch2/catch.hpp>

#include "tests/support/sparse_engine.h"
#include "tests/support/tiny_model.h"

using namespace dejavu;

namespace {

constexpr SparsityChoice kDense{};
constexpr SparsityChoice kExact{SparsityMode::kExact, -1};
constexpr SparsityChoice kLookahead0{SparsityMode::kLookahead, 0};
constexpr SparsityChoice kLookahead1{SparsityMode::kLookahead, 1};
constexpr SparsityChoice kThreshold0{SparsityMode::kThreshold, 0};
constexpr SparsityChoice kThreshold1{SparsityMode::kThreshold, 1};

ModelConfig four_layers(ModelConfig config) {
  config.layers = 4;
  return config;
}

// Plain ReLU; gated SiLU with grouped queries; gated ReLU.
std::vector<ModelConfig> models() {
  ModelConfig gated_relu = four_layers(tiny_llama());
  gated_relu.activation = Activation::kRelu;
  return {four_layers(tiny_opt()), four_layers(tiny_llama()), gated_relu};
}

std::vector<SparseQuestion> ours() {
  return {sparse_question(1, 1, kLookahead0),  sparse_question(2, 37, kLookahead1),
          sparse_question(3, 50, kThreshold0), sparse_question(4, 70, kThreshold1),
          sparse_question(5, 20, kExact),      sparse_question(6, 33, kDense)};
}

using Bits = std::vector<std::vector<std::uint32_t>>;

Bits one_by_one(Engine& engine, const std::vector<SparseQuestion>& questions) {
  Bits bits;
  for (const SparseQuestion& question : questions)
    bits.push_back(bits_of(ask_all(engine, {question}).front()));
  return bits;
}

}  // namespace

TEST_CASE("with every neuron and head in the sets, lookahead gives the dense bits", "[bits]") {
  SparseEngine::Setup setup;
  setup.config = models()[GENERATE(0U, 1U, 2U)];
  setup.dtype = GENERATE(DType::kF32, DType::kBF16);
  setup.method = GENERATE(ReadMethod::kGather, ReadMethod::kSkipZeros, ReadMethod::kWhole);
  setup.artifact.mlp_density = setup.artifact.head_density = {1.0};
  const SparseEngine sparse(setup);
  for (const unsigned seed : {1U, 2U}) {
    const auto dense = ask_all(*sparse.engine, {sparse_question(seed, 30, kDense)});
    const auto lookahead = ask_all(*sparse.engine, {sparse_question(seed, 30, kLookahead0)});
    CHECK(bits_of(lookahead.front()) == bits_of(dense.front()));
    CHECK(lookahead.front().events.back().density.mlp == 1);
  }
  const BlockStatus mlp = sparse.runtime->status().layers[1].mlp;
  CHECK((setup.method != ReadMethod::kGather || mlp.gather_steps == 2 * 23));
}

TEST_CASE("exact gives the dense bits, whether zeros are skipped or not", "[bits]") {
  SparseEngine::Setup setup;
  setup.config = models()[GENERATE(0U, 2U)];
  setup.dtype = GENERATE(DType::kF32, DType::kBF16);
  setup.method = GENERATE(ReadMethod::kSkipZeros, ReadMethod::kWhole);
  const SparseEngine sparse(setup);
  const auto dense = ask_all(*sparse.engine, {sparse_question(1, 30, kDense)});
  const auto exact = ask_all(*sparse.engine, {sparse_question(1, 30, kExact)});
  CHECK(bits_of(exact.front()) == bits_of(dense.front()));
  CHECK(dense.front().events.back().density.mlp == 1);
  CHECK(exact.front().events.back().density.mlp < 0.8F);
  CHECK(exact.front().events.back().density.mlp > 0.2F);
}

TEST_CASE("approximate modes give other text than dense, and each level its own", "[bits]") {
  SparseEngine::Setup setup;
  setup.config = models()[GENERATE(0U, 1U, 2U)];
  const SparseEngine sparse(setup);
  Bits seen;
  for (const SparsityChoice choice : {kDense, kLookahead0, kLookahead1, kThreshold0, kThreshold1}) {
    seen.push_back(one_by_one(*sparse.engine, {sparse_question(2, 30, choice)}).front());
    for (std::size_t i = 0; i + 1 < seen.size(); ++i) CHECK(seen[i] != seen.back());
  }
}

TEST_CASE("among 31 others in mixed modes and prompt chunks an answer keeps its bits", "[bits]") {
  SparseEngine::Setup setup;
  setup.config = models()[GENERATE(0U, 1U, 2U)];
  setup.dtype = GENERATE(DType::kF32, DType::kBF16);
  setup.method = ReadMethod::kWhole;
  const Bits alone = one_by_one(*SparseEngine(setup).engine, ours());

  setup.method = GENERATE(ReadMethod::kGather, ReadMethod::kSkipZeros, ReadMethod::kWhole);
  setup.threads = 2;
  SparseEngine sparse(setup);
  CHECK(one_by_one(*sparse.engine, ours()) == alone);

  setup.step_seconds = GENERATE(1e-9, 1000.0);  // prompts in chunks beside decoding
  setup.launch_ahead = 1;
  SparseEngine crowded(setup);
  const SparsityChoice modes[] = {kDense,      kExact,      kLookahead0,
                                  kLookahead1, kThreshold0, kThreshold1};
  std::vector<SparseQuestion> questions = ours();
  for (unsigned i = 0; i < 26; ++i)
    questions.push_back(sparse_question(100 + i, 1 + static_cast<int>(i * 37 % 120), modes[i % 6]));
  const auto answers = ask_all(*crowded.engine, questions);
  for (std::size_t i = 0; i < alone.size(); ++i) CHECK(bits_of(answers[i]) == alone[i]);
}

TEST_CASE("among 31 others of its own mode an answer keeps its bits, gathered or not", "[bits]") {
  SparseEngine::Setup setup;
  setup.config = models()[GENERATE(0U, 1U)];
  setup.dtype = GENERATE(DType::kF32, DType::kBF16);
  setup.method = ReadMethod::kWhole;
  setup.artifact.dense_layer = 2;
  const SparseQuestion own = sparse_question(7, 10, kLookahead1);
  const auto alone = one_by_one(*SparseEngine(setup).engine, {own}).front();
  setup.method = GENERATE(ReadMethod::kGather, ReadMethod::kWhole);
  SparseEngine sparse(setup);
  std::vector<SparseQuestion> questions{own};
  for (unsigned i = 0; i < 31; ++i) questions.push_back(sparse_question(50 + i, 10, kLookahead1));
  CHECK(bits_of(ask_all(*sparse.engine, questions).front()) == alone);
  const auto layers = sparse.runtime->status().layers;
  CHECK(layers[2].mlp.dense_steps >= 23);
  // All but the few steps that hold prompts too.
  const BlockStatus& mlp = layers[1].mlp;
  CHECK((setup.method == ReadMethod::kGather ? mlp.gather_steps : mlp.whole_read_steps) > 20);
}
