// The MLP over every neuron.
#pragma once

#include "engine/model/layer_factory.h"

namespace dejavu {

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
