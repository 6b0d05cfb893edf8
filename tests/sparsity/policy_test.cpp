#include "sparsity/policy.h"

#include <catch2/catch.hpp>

using namespace dejavu;

namespace {

// A lookahead step at a density where both ways of sparse reading pay.
PolicyInput sparse_step() {
  PolicyInput input;
  input.tokens.lookahead = 4;
  input.expected_union = 0.2;
  input.gather_crossover = 0.6;
  input.exact_union = 0.2;
  input.exact_crossover = 0.8;
  return input;
}

}  // namespace

TEST_CASE("lookahead tokens alone gather below the crossover", "[policy]") {
  PolicyInput input = sparse_step();
  CHECK(choose_mlp_method(input) == MlpMethod::kGather);
  input.expected_union = input.exact_union = 0.7;
  CHECK(choose_mlp_method(input) == MlpMethod::kSkipZeros);
  input.expected_union = input.exact_union = 0.9;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  // A device on which gathering never pays.
  input.expected_union = input.exact_union = 0;
  input.gather_crossover = input.exact_crossover = 0;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
}

TEST_CASE("one dense token makes a step read everything", "[policy]") {
  PolicyInput input = sparse_step();
  input.tokens.dense = 1;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  input.tokens.lookahead = 0;
  input.tokens.exact = 3;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  input.tokens = {.dense = 7};
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  CHECK(choose_mlp_method({}) == MlpMethod::kWhole);
}

TEST_CASE("tokens that compute the first projection cannot be gathered", "[policy]") {
  PolicyInput input = sparse_step();
  input.tokens.exact = 1;
  CHECK(choose_mlp_method(input) == MlpMethod::kSkipZeros);
  input.tokens = {.threshold = 2};
  CHECK(choose_mlp_method(input) == MlpMethod::kSkipZeros);
  input.exact_union = 0.85;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
}

TEST_CASE("a dense layer reads everything for lookahead tokens, but skips zeros for others",
          "[policy]") {
  PolicyInput input = sparse_step();
  input.layer_dense = true;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  input.tokens.exact = 1;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  input.tokens.lookahead = 0;
  CHECK(choose_mlp_method(input) == MlpMethod::kSkipZeros);
}

TEST_CASE("max-density has the last word", "[policy]") {
  PolicyInput input = sparse_step();
  input.max_density = 0.2;
  CHECK(choose_mlp_method(input) == MlpMethod::kGather);
  input.max_density = 0.19;
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
  input.tokens = {.exact = 1};
  CHECK(choose_mlp_method(input) == MlpMethod::kWhole);
}
