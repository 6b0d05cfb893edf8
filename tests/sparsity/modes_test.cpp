#include "sparsity/modes.h"

#include <catch2/catch.hpp>

#include "tests/support/random_artifact.h"
#include "tests/support/tiny_model.h"

using namespace dejavu;

namespace {

// Asks, expects a refusal, and returns its text.
std::string refused(const SparsityModes& modes, const SparsityWish& wish) {
  const auto choice = modes.resolve(wish);
  REQUIRE_FALSE(choice);
  CHECK(choice.error().code == ErrorCode::kInvalidArgument);
  return choice.error().param + ": " + choice.error().message;
}

bool same(const Result<SparsityChoice>& choice, SparsityMode mode, int level) {
  return choice && choice->mode == mode && choice->level == level;
}

}  // namespace

TEST_CASE("a request gets the mode and level it names, or the server's", "[modes]") {
  const ModelConfig config = tiny_opt();
  const Artifact artifact = random_artifact(config, {});
  SparsityOptions options;
  options.target_recall = 0.98;
  const auto modes = SparsityModes::create(config, &artifact, options);
  REQUIRE(modes);
  CHECK(same(modes->resolve({}), SparsityMode::kLookahead, 1));
  CHECK(same(modes->resolve({"auto", {}}), SparsityMode::kLookahead, 1));
  CHECK(same(modes->resolve({"lookahead", {}}), SparsityMode::kLookahead, 1));
  CHECK(same(modes->resolve({"", 0.99}), SparsityMode::kLookahead, 0));
  CHECK(same(modes->resolve({"dense", {}}), SparsityMode::kDense, -1));
  CHECK(same(modes->resolve({"exact", {}}), SparsityMode::kExact, -1));
  CHECK(same(modes->resolve({"threshold", {}}), SparsityMode::kThreshold, 0));
  CHECK(same(modes->resolve({"threshold", 0.98}), SparsityMode::kThreshold, 1));
  CHECK_THAT(refused(*modes, {"sparse", {}}),
             Catch::Contains("sparsity.mode: 'sparse'") &&
                 Catch::Contains("allowed: auto, dense, exact, threshold, lookahead"));
  CHECK_THAT(refused(*modes, {"lookahead", 0.5}),
             Catch::Contains("sparsity.target_recall") && Catch::Contains("allowed: 0.99, 0.98"));
  CHECK_THAT(refused(*modes, {"dense", 0.99}), Catch::Contains("no levels"));
}

TEST_CASE("sparsity-allow bounds what a request may choose", "[modes]") {
  const ModelConfig config = tiny_opt();
  const Artifact artifact = random_artifact(config, {});
  SparsityOptions options;
  options.allow = {"dense", "lookahead"};
  const auto modes = SparsityModes::create(config, &artifact, options);
  REQUIRE(modes);
  CHECK(same(modes->resolve({"lookahead", 0.98}), SparsityMode::kLookahead, 1));
  CHECK_THAT(
      refused(*modes, {"threshold", {}}),
      Catch::Contains("--sparsity-allow") && Catch::EndsWith("allowed: auto, dense, lookahead"));
  options.mode = SparsityDefault::kLookahead;
  CHECK(SparsityModes::create(config, &artifact, options));
  options.allow = {"dense"};
  const auto contradiction = SparsityModes::create(config, &artifact, options);
  REQUIRE_FALSE(contradiction);
  CHECK_THAT(contradiction.error().message,
             Catch::Contains("lookahead") && Catch::Contains("--sparsity-allow"));
}

TEST_CASE("exact needs exact zeros, the others an artifact", "[modes]") {
  const ModelConfig silu = tiny_llama();
  const auto bare = SparsityModes::create(silu, nullptr, {});
  REQUIRE(bare);
  CHECK(bare->standard().mode == SparsityMode::kDense);
  CHECK_THAT(refused(*bare, {"exact", {}}),
             Catch::Contains("threshold") && Catch::EndsWith("allowed: auto, dense"));
  CHECK_THAT(refused(*bare, {"lookahead", {}}),
             Catch::Contains("dejavu calibrate") && Catch::EndsWith("allowed: auto, dense"));
  SparsityOptions options;
  options.mode = SparsityDefault::kExact;
  const auto exact = SparsityModes::create(silu, nullptr, options);
  REQUIRE_FALSE(exact);
  CHECK_THAT(exact.error().message, Catch::Contains("--sparsity") && Catch::Contains("threshold"));

  const auto relu = SparsityModes::create(tiny_opt(), nullptr, {});
  REQUIRE(relu);
  CHECK(relu->standard().mode == SparsityMode::kExact);

  Artifact artifact = random_artifact(silu, {.cutoffs = {}});
  artifact.recommended = SparsityMode::kDense;
  const auto dense = SparsityModes::create(silu, &artifact, {});
  REQUIRE(dense);
  CHECK(same(dense->resolve({}), SparsityMode::kDense, -1));
  CHECK(same(dense->resolve({"lookahead", {}}), SparsityMode::kLookahead, 0));
  CHECK_THAT(refused(*dense, {"threshold", {}}), Catch::Contains("not in this model's"));
  options.mode = SparsityDefault::kLookahead;
  options.target_recall = 0.4;
  const auto level = SparsityModes::create(silu, &artifact, options);
  REQUIRE_FALSE(level);
  CHECK_THAT(level.error().message, Catch::Contains("--target-recall: 0.4"));
}
