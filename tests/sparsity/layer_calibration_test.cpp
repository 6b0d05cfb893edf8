// Calibration on the demo model: what layers show on the way, and that predictors learn from it.
#include "sparsity/calibration/layer_calibration.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/backend/factory.h"
#include "sparsity/evaluation/scores.h"

namespace dejavu {
namespace {

const std::string kModel = DEJAVU_SOURCE_DIR "/models/demo";

// A few windows of any tokens: what matters here is that both ways agree.
std::vector<TokenWindow> windows(int count, int length) {
  std::vector<TokenWindow> all;
  for (int w = 0; w < count; ++w) {
    TokenWindow window;
    for (int t = 0; t < length; ++t) window.push_back(5 + (w * 7919 + t * 104729) % 4000);
    all.push_back(window);
  }
  return all;
}

struct Demo {
  std::unique_ptr<Backend> backend = std::move(*make_cpu_backend({}));
  DenseLayerFactory dense;
  ProbedLayers layers{dense};
  std::unique_ptr<Transformer> model;

  Demo() {
    TransformerOptions options = window_options(64);
    options.layers = &layers;
    auto loaded = Transformer::load(kModel, *backend, options, {});
    REQUIRE(loaded);
    model = std::move(*loaded);
  }
};

class Ignore final : public TokenSink {
 public:
  void look_at(const LayerContext& layer) override { index = layer.index; }
  void neurons(std::int64_t token, const float* /*activations*/) override { last = token; }
  void heads(std::int64_t /*token*/, const float* /*context*/) override {}
  int index = -1;
  std::int64_t last = -1;
};

TEST_CASE("streams pass through the layers as they do in one go") {
  Demo demo;
  const auto text = windows(3, 32);
  auto stream = LayerStream::create({*demo.model, demo.layers, *demo.backend, text});
  REQUIRE(stream);
  CHECK((*stream)->entering().tokens() == 96);
  Ignore sink;
  for (int l = 0; l < demo.model->config().layers; ++l) {
    REQUIRE((*stream)->run_layer(sink, {}));
    CHECK(sink.index == l);
  }
  CHECK(sink.last == 95);
  // The last window's final stream, against a forward pass that never leaves 32 bits.
  auto runner = WindowRunner::create(*demo.model, *demo.backend, 64);
  REQUIRE(runner);
  REQUIRE((*runner)->run(text.back(), {}));
  const HostMatrix whole = download(demo.model->residual(32), *demo.backend);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < whole.values.size(); ++i) {
    const double kept =
        bf16_to_float((*stream)->entering().values[(*stream)->entering().values.size() -
                                                   whole.values.size() + i]);
    error += (kept - whole.values[i]) * (kept - whole.values[i]);
    size += whole.values[i] * whole.values[i];
  }
  // 16 bits at eight boundaries, under a BF16 model; a stream out of its place is off by about 1.
  CHECK(std::sqrt(error / size) < 0.08);
}

TEST_CASE("a layer's predictors are better than their start, with and without training usable") {
  Demo demo;
  const auto text = windows(24, 64);
  auto stream = LayerStream::create({*demo.model, demo.layers, *demo.backend, text});
  REQUIRE(stream);
  Ignore first;
  REQUIRE((*stream)->run_layer(first, {}));
  const Streams before = (*stream)->before();
  const ModelConfig& config = demo.model->config();
  LessonShape shape;
  shape.tokens = token_count(text);
  shape.held_out = 256;
  shape.ffn = config.ffn_size;
  shape.groups = config.kv_heads;
  LayerLesson lesson(shape);
  const auto entering = (*stream)->run_layer(lesson, {});
  REQUIRE(entering);

  PredictorOptions options;
  options.rank = 32;
  options.train = false;
  const auto start = calibrate_neurons(lesson, *entering, options, *demo.backend, {});
  REQUIRE(start);
  CHECK(start->recall > 0.3);  // twice as many as are active, of which a random choice finds 0.1
  options.train = true;
  options.training.steps = 60;
  options.training.batch = 256;
  options.training.check_every = 20;
  const auto trained = calibrate_neurons(lesson, *entering, options, *demo.backend, {});
  REQUIRE(trained);
  CHECK(trained->first_recall == start->recall);
  CHECK(trained->recall > start->recall);
  const ThresholdChoice choice = trained->curves.choose_for_recall(0.9);
  CHECK(choice.recall >= 0.9);
  CHECK(choice.density < 0.9);

  const auto heads = calibrate_heads(lesson, before, options, *demo.backend, {});
  REQUIRE(heads);
  CHECK(heads->weights.down.empty());
  CHECK(heads->weights.up.size() == 6 * 384);
}

}  // namespace
}  // namespace dejavu
