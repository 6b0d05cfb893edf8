// Calibration on the demo model: what layers show on the way, and that predictors learn from it.
#include "sparsity/calibration/layer_calibration.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/backend/factory.h"
#include "sparsity/calibration/calibrate.h"
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

class Watch final : public LayerSink {
 public:
  void heads_computed(const LayerContext& layer, int /*tokens*/) override { index = layer.index; }
  void mlp_input(const LayerContext& /*layer*/, int /*tokens*/) override {}
  void neurons_computed(const LayerContext& /*layer*/, int tokens) override { seen += tokens; }
  int index = -1;
  std::int64_t seen = 0;
};

TEST_CASE("streams pass through the layers as they do in one go") {
  Demo demo;
  const auto text = windows(3, 32);
  auto stream = LayerStream::create({*demo.model, demo.layers, *demo.backend, text});
  REQUIRE(stream);
  CHECK((*stream)->entering().tokens() == 96);
  Watch sink;
  for (int l = 0; l < demo.model->config().layers; ++l) {
    REQUIRE((*stream)->run_layer(&sink, {}));
    CHECK(sink.index == l);
    CHECK(sink.seen == 96 * (l + 1));
  }
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
  REQUIRE((*stream)->run_layer(nullptr, {}));
  const Streams before = (*stream)->before();
  const ModelConfig& config = demo.model->config();
  LessonShape shape;
  shape.tokens = token_count(text);
  shape.ffn = config.ffn_size;
  shape.groups = config.kv_heads;
  LayerLesson lesson(shape);
  const auto entering = (*stream)->run_layer(&lesson, {});
  REQUIRE(entering);

  PredictorOptions options;
  options.rank = 32;
  options.held_out = 256;
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

TEST_CASE("the three parts of a text share no window and leave none out") {
  for (const int count : {8, 9, 100, 2048}) {
    const auto text = windows(count, 2);
    const TextSplits splits = split_text(text);
    CHECK_FALSE(splits.choose.empty());
    CHECK(splits.train.size() > splits.choose.size());
    CHECK(splits.train.data() == text.data());
    CHECK(splits.train.data() + splits.train.size() == splits.choose.data());
    CHECK(splits.choose.data() + splits.choose.size() == splits.measure.data());
    CHECK(splits.measure.data() + splits.measure.size() == text.data() + text.size());
    CHECK(splits.train_and_choose.size() == splits.train.size() + splits.choose.size());
  }
}

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("dejavu-calibration-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

TEST_CASE("an interrupted calibration goes on where it was and ends the same") {
  Demo demo;
  const auto text = windows(10, 64);
  CalibrationOptions options;
  options.rank = 8;
  std::vector<std::string> stages;
  const auto watch = [&](const std::string& what, int, int) {
    if (stages.empty() || stages.back() != what) stages.push_back(what);
  };
  const auto calibrate = [&](const SavedLayers& saved) {
    stages.clear();
    auto layers = calibrate_layers(
        {{*demo.model, demo.layers, *demo.backend, text}, 128, options, saved}, watch);
    REQUIRE(layers);
    return make_levels(*layers, {{0.9, 0.99}, 64});
  };
  const auto trained = [&stages](const std::string& layer) {
    return std::find(stages.begin(), stages.end(), layer + ": training neurons") != stages.end();
  };
  const Folder folder;
  const SavedLayers saved(folder.path, "text A");
  const Artifact whole = calibrate(saved);
  CHECK(trained("layer 1 of 8"));
  CHECK(trained("layer 8 of 8"));
  // As if it had stopped in layer 7, with half a file of it written.
  std::filesystem::remove(folder.path / "unfinished" / "layer-7.safetensors");
  std::filesystem::resize_file(folder.path / "unfinished" / "layer-6.safetensors", 5000);
  const Artifact resumed = calibrate(saved);
  CHECK_FALSE(trained("layer 1 of 8"));
  CHECK_FALSE(trained("layer 6 of 8"));
  CHECK(trained("layer 7 of 8"));
  CHECK(trained("layer 8 of 8"));
  for (std::size_t l = 0; l < 8; ++l) {
    REQUIRE(resumed.layers[l].mlp.has_value() == whole.layers[l].mlp.has_value());
    if (!whole.layers[l].mlp) continue;
    CHECK(resumed.layers[l].mlp->up == whole.layers[l].mlp->up);
    CHECK(resumed.layers[l].mlp->down == whole.layers[l].mlp->down);
    CHECK(resumed.layers[l].mlp->thresholds == whole.layers[l].mlp->thresholds);
  }
  // What was made from something else is not used.
  calibrate(SavedLayers(folder.path, "text B"));
  CHECK(trained("layer 1 of 8"));
  saved.remove();
  CHECK(std::filesystem::is_empty(folder.path));
}

}  // namespace
}  // namespace dejavu
