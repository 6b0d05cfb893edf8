// Attention over every head.
#pragma once

#include "engine/model/layer_factory.h"

namespace dejavu {

class DenseAttention final : public Attention {
 public:
  explicit DenseAttention(const LayerContext& context) : context_(context) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override;
  void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) override;
  void project(const StepBatch& batch, const Matrix& residual) override;

 private:
  LayerContext context_;
};

}  // namespace dejavu
