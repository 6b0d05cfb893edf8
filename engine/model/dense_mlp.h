// The MLP over every neuron.
#pragma once

#include "engine/model/layer_factory.h"

namespace dejavu {

// The first half over every neuron of `normed`'s tokens, into `hidden`.
MlpUpArgs mlp_up_args(const LayerContext& context, const ConstMatrix& normed, const Matrix& hidden);
// The second half, added to `residual`.
ProjectArgs mlp_down_args(const LayerContext& context, const ConstMatrix& hidden,
                          const Matrix& residual);

class DenseMlp final : public Mlp {
 public:
  explicit DenseMlp(const LayerContext& context) : context_(context) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override;
  void up(const StepBatch& batch, const ConstMatrix& normed) override;
  void down(const StepBatch& batch, const Matrix& residual) override;

 private:
  LayerContext context_;
};

}  // namespace dejavu
