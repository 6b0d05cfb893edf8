// What approximate tokens leave behind: nothing that another request, or they themselves after a
// preemption, would notice.
#include <catch2/catch.hpp>

#include "tests/support/sparse_engine.h"
#include "tests/support/tiny_model.h"

using namespace dejavu;

namespace {

constexpr SparsityChoice kDense{};
constexpr SparsityChoice kLookahead{SparsityMode::kLookahead, 1};
constexpr SparsityChoice kThreshold{SparsityMode::kThreshold, 1};

SparseEngine::Setup setup_of(ModelConfig config) {
  SparseEngine::Setup setup;
  config.layers = 4;
  setup.config = std::move(config);
  return setup;
}

}  // namespace

TEST_CASE("a dense request answers the same before and after 100 lookahead requests on its prompt",
          "[cache]") {
  const bool gated = GENERATE(false, true);
  const SparseEngine sparse(setup_of(gated ? tiny_llama() : tiny_opt()));
  const SparseQuestion dense = sparse_question(2, 60, kDense);
  const auto before = bits_of(ask_all(*sparse.engine, {dense}).front());
  SparseQuestion lookahead = sparse_question(2, 60, kLookahead);
  const Answer first = ask_all(*sparse.engine, {lookahead}).front();
  for (unsigned i = 0; i < 9; ++i) {
    std::vector<SparseQuestion> questions;
    for (unsigned j = 0; j < 11; ++j) {
      lookahead.params.seed = 100 * i + j;
      lookahead.params.temperature = j % 2 == 0 ? 0.0F : 0.9F;
      questions.push_back(lookahead);
    }
    ask_all(*sparse.engine, questions);
  }
  CHECK(bits_of(ask_all(*sparse.engine, {dense}).front()) == before);

  // Nor does a dense request on the whole lookahead text meet that text's pages.
  SparseQuestion whole = dense;
  whole.prompt.insert(whole.prompt.end(), first.tokens.begin(), first.tokens.end());
  const auto after = bits_of(ask_all(*sparse.engine, {whole}).front());
  auto fresh = setup_of(gated ? tiny_llama() : tiny_opt());
  CHECK(after == bits_of(ask_all(*SparseEngine(fresh).engine, {whole}).front()));
}

TEST_CASE("preempted at any step, an approximate request gives the undisturbed text", "[cache]") {
  auto setup = setup_of(GENERATE(false, true) ? tiny_llama() : tiny_opt());
  setup.launch_ahead = GENERATE(0, 1);
  setup.prefix_caching = GENERATE(true, false);
  SparseQuestion lookahead = sparse_question(2, 40, kLookahead);
  SparseQuestion threshold = sparse_question(4, 30, kThreshold);
  lookahead.params.max_tokens = threshold.params.max_tokens = 60;
  const SparseEngine roomy(setup);
  const auto lookahead_alone = bits_of(ask_all(*roomy.engine, {lookahead}).front());
  const auto threshold_alone = bits_of(ask_all(*roomy.engine, {threshold}).front());

  setup.kv_pages = 16;  // of the model's 256 tokens
  const SparseEngine tight(setup);
  for (unsigned round = 0; round < 6; ++round) {
    // Others that come first in line and grow into their pages, sooner or later.
    std::vector<SparseQuestion> questions{lookahead, threshold};
    for (unsigned i = 0; i < 2; ++i) {
      questions.push_back(
          sparse_question(10 * round + i, 20 + static_cast<int>(round) * 9, kDense));
      questions.back().params.max_tokens = 60;
      questions.back().priority = -1;
    }
    const auto answers = ask_all(*tight.engine, questions);
    CHECK(bits_of(answers[0]) == lookahead_alone);
    CHECK(bits_of(answers[1]) == threshold_alone);
  }
  CHECK(tight.engine->stats().preemptions >= 3);
}

TEST_CASE("a preempted request does not take back its text from a dense one's pages", "[cache]") {
  auto setup = setup_of(tiny_opt());
  // Every unit in every set: the lookahead text is the dense text, so that their pages have one
  // name.
  setup.artifact.mlp_density = setup.artifact.head_density = {1.0, 1.0};
  setup.kv_pages = 16;
  const SparseEngine sparse(setup);
  SparseQuestion question = sparse_question(2, 20, kDense);
  question.params.max_tokens = 60;
  const auto dense = ask_all(*sparse.engine, {question}).front();
  question.sparsity = kLookahead;
  SparseQuestion urgent = sparse_question(8, 100, kDense);
  urgent.params.max_tokens = 100;
  urgent.priority = -1;
  const std::uint64_t hits = sparse.engine->stats().prefix_hit_tokens;
  const auto answers = ask_all(*sparse.engine, {question, urgent});
  CHECK(answers[0].tokens == dense.tokens);
  CHECK(sparse.engine->stats().prefix_hit_tokens - hits <= 16);
}
