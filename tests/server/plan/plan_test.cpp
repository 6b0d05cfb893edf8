// Plans for published shapes on machines of our choosing.
#include "server/plan/plan.h"

#include <catch2/catch.hpp>

using namespace dejavu;

namespace {

constexpr std::size_t kGiB = std::size_t{1} << 30;

PlanInput input_for(const char* shape, std::size_t memory) {
  PlanInput input;
  input.model = "some/model";
  input.config = *ModelConfig::named_shape(shape);
  input.stored = input.dtype = DType::kF16;
  input.machine.device = "cpu";
  input.machine.memory_bytes = memory;
  input.machine.memory_source = "a test";
  input.read_gbps = 20;
  return input;
}

const PlanSpeed* speed_of(const Plan& plan, const std::string& mode) {
  for (const PlanSpeed& speed : plan.speeds)
    if (speed.mode == mode) return &speed;
  return nullptr;
}

}  // namespace

TEST_CASE("weights and KV of OPT-6.7B, as published") {
  const Plan plan = make_plan(input_for("opt-6.7b", 64 * kGiB));
  CHECK(plan.fits);
  CHECK(static_cast<double>(plan.weight_bytes) == Approx(2 * 6.66e9).epsilon(0.01));
  CHECK(plan.kv_token_bytes == 2 * 32 * 4096 * 2);  // K and V, layers, width, bytes
  CHECK(plan.max_model_len == 2048);
  CHECK(plan.kv_tokens >= plan.max_model_len);
  const PlanSpeed& dense = plan.speeds.front();
  CHECK(dense.mode == "dense");
  CHECK(dense.tokens_per_second == Approx(20e9 / dense.bytes));
  CHECK(dense.bytes == Approx(static_cast<double>(plan.weight_bytes)).epsilon(0.02));
  const double kv = 2048.0 * static_cast<double>(plan.kv_token_bytes);
  CHECK(dense.at_full_context == Approx(20e9 / (dense.bytes + kv)));
}

TEST_CASE("sparse modes are offered where the activation has zeros") {
  const Plan relu = make_plan(input_for("opt-6.7b", 64 * kGiB));
  REQUIRE(speed_of(relu, "exact"));
  REQUIRE(speed_of(relu, "lookahead"));
  CHECK(speed_of(relu, "exact")->tokens_per_second > relu.speeds[0].tokens_per_second);
  CHECK(speed_of(relu, "lookahead")->tokens_per_second >
        speed_of(relu, "exact")->tokens_per_second);
  CHECK_THAT(speed_of(relu, "lookahead")->basis, Catch::Contains("calibrate"));
  const Plan silu = make_plan(input_for("llama-2-7b", 64 * kGiB));
  CHECK(silu.speeds.size() == 1);
}

TEST_CASE("an artifact's figures stand in for the assumed ones") {
  PlanInput input = input_for("llama-2-7b", 64 * kGiB);
  Artifact artifact;
  LevelFigures level;
  level.mlp_density = 0.3;
  level.head_density = 0.6;
  artifact.lookahead_levels = {level};
  artifact.default_lookahead_level = 0;
  input.artifact = &artifact;
  const Plan plan = make_plan(std::move(input));
  REQUIRE(speed_of(plan, "lookahead"));
  CHECK(speed_of(plan, "lookahead")->mlp_density == Approx(0.3));
  CHECK(speed_of(plan, "lookahead")->head_density == Approx(0.6));
  CHECK_THAT(speed_of(plan, "lookahead")->basis, Catch::Contains("measured"));
  CHECK_FALSE(speed_of(plan, "threshold"));
}

TEST_CASE("what does not fit says by how much and what would") {
  const Plan large = make_plan(input_for("opt-175b", 64 * kGiB));
  CHECK_FALSE(large.fits);
  CHECK_THAT(large.problem, Catch::Contains("weights alone"));
  CHECK(to_json(large)["command"] == "");

  // Room for the weights and half of the context.
  PlanInput tight = input_for("opt-6.7b", 0);
  const Plan roomy = make_plan(input_for("opt-6.7b", 64 * kGiB));
  tight.machine.memory_bytes = roomy.weight_bytes + roomy.kv_token_bytes * 1024;
  const Plan plan = make_plan(tight);
  CHECK_FALSE(plan.fits);
  CHECK_THAT(plan.problem, Catch::Contains("--max-model-len 1024 would fit"));
  tight.max_model_len = 1024;
  const Plan shorter = make_plan(tight);
  CHECK(shorter.fits);
  CHECK(shorter.flags.front() == "--max-model-len 1024");
  CHECK_THAT(to_table(shorter), Catch::Contains("dejavu serve some/model --max-model-len 1024"));

  tight.dtype = DType::kF32;
  CHECK_THAT(make_plan(tight).problem, Catch::Contains("--dtype bfloat16"));
}

TEST_CASE("no more sequences are admitted than the cache holds in their usual length") {
  PlanInput input = input_for("opt-6.7b", 64 * kGiB);
  input.engine.kv_cache_bytes = 2 * kGiB;  // 4096 tokens: two requests of the full length
  const Plan plan = make_plan(std::move(input));
  CHECK(plan.kv_tokens == 4096);
  CHECK(plan.flags == std::vector<std::string>{"--kv-cache-memory 2147483648", "--max-num-seqs 8"});
}
