// Attention over every head.
#pragma once

#include "engine/model/layer_factory.h"

namespace dejavu {

// The ops of attention over every head. `qkv` is [T][H*D + 2*G*D].
LinearArgs qkv_args(const LayerContext& context, const ConstMatrix& normed, const Matrix& qkv);
StoreKvArgs store_kv_args(const LayerContext& context, const StepBatch& batch, const Matrix& qkv,
                          const KvView& cache);
AttentionArgs attention_args(const LayerContext& context, const StepBatch& batch, const Matrix& qkv,
                             const KvView& cache);
// The output projection, added to `residual`.
ProjectArgs attention_out_args(const LayerContext& context, const ConstMatrix& heads,
                               const Matrix& residual);

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
