// Text on its way through a model, layer by layer: between two layers only the residual streams at
// that boundary are kept, in 16 bits.
#pragma once

#include <functional>
#include <memory>

#include "sparsity/evaluation/probe.h"
#include "sparsity/evaluation/window_runner.h"

namespace dejavu {

// BF16 [tokens][width], windows one after the other.
struct Streams {
  std::int64_t width = 0;
  std::vector<std::uint16_t> values;

  std::int64_t tokens() const { return static_cast<std::int64_t>(values.size()) / width; }
  // x / rms(x) of every token, as predictors read it (PredictorView).
  std::vector<std::uint16_t> normalized() const;
};

// Sees what a layer computes, in calls as LayerProbe's; windows come in order.
class LayerSink {
 public:
  LayerSink() = default;
  LayerSink(const LayerSink&) = delete;
  LayerSink& operator=(const LayerSink&) = delete;
  virtual ~LayerSink() = default;
  virtual void heads_computed(const LayerContext& layer, int tokens) = 0;
  virtual void mlp_input(const LayerContext& layer, int tokens) = 0;
  virtual void neurons_computed(const LayerContext& layer, int tokens) = 0;
};

class LayerStream {
 public:
  // `model` was made with `layers` and window_options(); all outlive the stream.
  struct Args {
    Transformer& model;
    ProbedLayers& layers;
    Backend& backend;
    std::span<const TokenWindow> windows;
  };
  // Embeds the text.
  static Result<std::unique_ptr<LayerStream>> create(const Args& args);

  // The streams that enter the next layer's attention block.
  const Streams& entering() const { return entering_; }
  // Those that entered the MLP block of the layer before; empty before layer 1.
  const Streams& before() const { return before_; }

  // Runs the next layer: `sink` (null: nobody) sees every window, then entering() and before() move
  // on. The streams that entered this layer are returned.
  Result<Streams> run_layer(LayerSink* sink, const std::function<void(int, int)>& progress);

 private:
  explicit LayerStream(const Args& args) : args_(args) {}

  Args args_;
  std::unique_ptr<WindowRunner> runner_;
  int layer_ = 0;
  Streams entering_, before_;
};

}  // namespace dejavu
