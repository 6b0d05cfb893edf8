// Layers that show, and let change, what they compute on the way.
#pragma once

#include "engine/model/layer_factory.h"

namespace dejavu {

// Called on the engine thread, between queued ops of the main stream. What a stage names lies in
// the first `tokens` rows of the layer's workspace (backend memory).
class LayerProbe {
 public:
  LayerProbe() = default;
  LayerProbe(const LayerProbe&) = delete;
  LayerProbe& operator=(const LayerProbe&) = delete;
  virtual ~LayerProbe() = default;

  // `residual` enters the block, `normed` is what the block reads.
  virtual void attention_input(const LayerContext& /*layer*/, int /*tokens*/) {}
  virtual void mlp_input(const LayerContext& /*layer*/, int /*tokens*/) {}
  // `context` holds the heads' outputs, `hidden` the neurons' activations (a layer that gathers its
  // neurons does not fill it); both may be changed.
  virtual void heads_computed(const LayerContext& /*layer*/, int /*tokens*/) {}
  virtual void neurons_computed(const LayerContext& /*layer*/, int /*tokens*/) {}
};

// Makes the layers that another factory makes, such that they call whichever probe is set at the
// time. Outlives the transformer; `inner` is used while that is made.
class ProbedLayers final : public LayerFactory {
 public:
  explicit ProbedLayers(const LayerFactory& inner) : inner_(inner) {}
  void set(LayerProbe* probe) { probe_ = probe; }

  Result<std::unique_ptr<Attention>> attention(const LayerContext& context) const override;
  Result<std::unique_ptr<Mlp>> mlp(const LayerContext& context) const override;

 private:
  const LayerFactory& inner_;
  LayerProbe* probe_ = nullptr;
};

// A matrix of at most a few megabytes on the host, as floats, row-major without gaps.
struct HostMatrix {
  std::size_t rows = 0, cols = 0;
  std::vector<float> values;

  HostMatrix() = default;
  HostMatrix(std::size_t row_count, std::size_t col_count)
      : rows(row_count), cols(col_count), values(row_count * col_count) {}
  float* row(std::size_t r) { return values.data() + r * cols; }
  const float* row(std::size_t r) const { return values.data() + r * cols; }
};

HostMatrix download(const ConstMatrix& matrix, Backend& backend);
// `to` has the shape of `from`.
void upload(const HostMatrix& from, const Matrix& to, Backend& backend);

}  // namespace dejavu
