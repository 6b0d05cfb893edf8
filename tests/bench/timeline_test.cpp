// A timeline's ops and times, on the CPU, where ops run one after the other.
#include "bench/timeline.h"

#include <catch2/catch.hpp>
#include <map>

#include "engine/backend/factory.h"
#include "tests/support/tiny_model.h"

using namespace dejavu;

TEST_CASE("a timeline has the ops of two layers in order, predictors on the side stream") {
  const auto cpu = std::move(make_cpu_backend({.threads = 1}).value());
  const auto stamping = std::move(StampingBackend::create(*cpu).value());
  StepBenchOptions options;
  options.batches = {1};
  options.context = 20;
  options.rounds = 3;
  options.mlp_density = 0.3;
  SparseBenchLayers layers(options, 1);
  ModelConfig config = tiny_opt();
  config.layers = 5;
  TransformerOptions model_options;
  model_options.layers = &layers;
  const auto model = std::move(Transformer::random(config, *stamping, model_options, 1).value());
  const auto recorded = record_timeline(*model, *stamping, options, layers);
  REQUIRE(recorded);

  std::map<std::string, int> count;
  double reached = 0;
  for (const Timeline::Op& op : recorded->ops) {
    INFO(op.name << " of layer " << op.layer);
    ++count[op.name];
    CHECK((op.layer == 2 || op.layer == 3));
    CHECK(op.side == (op.name == "predict neurons" || op.name == "predict heads"));
    CHECK(op.begin_us >= reached);
    CHECK(op.end_us > op.begin_us);
    reached = op.end_us;
  }
  for (const char* name : {"Q, K, V", "store K, V", "attention", "output projection",
                           "predict neurons", "predict heads"})
    CHECK(count[name] == 2);
  CHECK(count["norm"] == 4);
  CHECK(count["gathered MLP"] + count["MLP, first half"] == 2);
  CHECK(reached < 1e3 * recorded->stamped_step_ms);
  CHECK(recorded->step_ms > 0);
  CHECK(recorded->tick_ns >= 1);
}
