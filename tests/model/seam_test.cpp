// The seams: a factory's own implementations are called in the documented order, and look-ahead
// sees the residual stream that enters the block before.
#include <catch2/catch.hpp>

#include "engine/backend/factory.h"
#include "engine/model/dense_attention.h"
#include "engine/model/dense_mlp.h"
#include "tests/support/model_driver.h"
#include "tests/support/tiny_model.h"

namespace dejavu {
namespace {

struct Event {
  std::string name;
  int layer = 0;
  float residual = 0;  // its first element
};
using Log = std::vector<Event>;

float first(const ConstMatrix& residual) { return *static_cast<const float*>(residual.data); }

class LoggedAttention final : public Attention {
 public:
  LoggedAttention(const LayerContext& context, Log& log)
      : dense_(context), layer_(context.index), log_(log) {}
  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override {
    log_.push_back({"heads ahead", layer_, first(residual)});
    dense_.look_ahead(batch, residual);
  }
  void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) override {
    log_.push_back({"attend", layer_});
    dense_.attend(batch, normed, cache);
  }
  void project(const StepBatch& batch, const Matrix& residual) override {
    log_.push_back({"project", layer_, first(residual)});
    dense_.project(batch, residual);
  }

 private:
  DenseAttention dense_;
  int layer_;
  Log& log_;
};

class LoggedMlp final : public Mlp {
 public:
  LoggedMlp(const LayerContext& context, Log& log)
      : dense_(context), layer_(context.index), log_(log) {}
  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override {
    log_.push_back({"neurons ahead", layer_, first(residual)});
    dense_.look_ahead(batch, residual);
  }
  void up(const StepBatch& batch, const ConstMatrix& normed) override {
    log_.push_back({"up", layer_});
    dense_.up(batch, normed);
  }
  void down(const StepBatch& batch, const Matrix& residual) override {
    log_.push_back({"down", layer_, first(residual)});
    dense_.down(batch, residual);
  }

 private:
  DenseMlp dense_;
  int layer_;
  Log& log_;
};

class LoggedFactory final : public LayerFactory {
 public:
  explicit LoggedFactory(Log& log) : log_(log) {}
  Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const override {
    return std::make_unique<LoggedAttention>(context, log_);
  }
  Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const override {
    return std::make_unique<LoggedMlp>(context, log_);
  }

 private:
  Log& log_;
};

TEST_CASE("Layers run through the factory's implementations, looking one block ahead") {
  BackendOptions cpu;
  cpu.device = DeviceChoice::kCpu;
  const auto backend = make_backend(cpu);
  REQUIRE(backend);
  Log log;
  const LoggedFactory factory(log);
  TransformerOptions options;
  options.dtype = DType::kF32;
  const auto dense = Transformer::random(tiny_opt(), **backend, options, 1);
  options.layers = &factory;
  const auto logged = Transformer::random(tiny_opt(), **backend, options, 1);
  REQUIRE(dense);
  REQUIRE(logged);

  const std::vector<std::int32_t> prompt{5, 9, 2};
  ModelDriver plain(**dense, **backend, 1);
  ModelDriver driver(**logged, **backend, 1);
  const auto logits = driver.prompt(driver.add_sequence(), prompt, 3);
  CHECK(logits == plain.prompt(plain.add_sequence(), prompt, 3));

  const std::pair<std::string, int> expected[] = {
      {"attend", 0}, {"neurons ahead", 0}, {"project", 0},       {"up", 0},      {"heads ahead", 1},
      {"down", 0},   {"attend", 1},        {"neurons ahead", 1}, {"project", 1}, {"up", 1},
      {"down", 1}};
  REQUIRE(log.size() == std::size(expected));
  for (std::size_t i = 0; i < log.size(); ++i) {
    CHECK(log[i].name == expected[i].first);
    CHECK(log[i].layer == expected[i].second);
  }
  // Each look-ahead reads the stream before the block it overlaps adds to it.
  CHECK(log[1].residual == log[2].residual);
  CHECK(log[4].residual == log[5].residual);
  CHECK(log[1].residual != log[4].residual);
  CHECK(log[4].residual != log[7].residual);
}

}  // namespace
}  // namespace dejavu
