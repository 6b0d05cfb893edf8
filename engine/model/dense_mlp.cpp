#include "engine/model/dense_mlp.h"

namespace dejavu {

MlpUpArgs mlp_up_args(const LayerContext& context, const ConstMatrix& normed,
                      const Matrix& hidden) {
  const MlpWeights& weights = context.weights.mlp;
  MlpUpArgs args;
  args.x = normed;
  args.gate = weights.gate;
  args.up = weights.up;
  args.gate_bias = weights.gate_bias;
  args.up_bias = weights.up_bias;
  args.activation = context.config.activation;
  args.threshold = context.config.activation_threshold;
  args.h = hidden;
  return args;
}

ProjectArgs mlp_down_args(const LayerContext& context, const ConstMatrix& hidden,
                          const Matrix& residual) {
  const MlpWeights& weights = context.weights.mlp;
  return {hidden, weights.down, weights.down_bias, residual, true};
}

void DenseMlp::look_ahead(const StepBatch& /*batch*/, const ConstMatrix& /*residual*/) {}

void DenseMlp::up(const StepBatch& batch, const ConstMatrix& normed) {
  const Matrix hidden = first_rows(context_.workspace.hidden, batch.tokens);
  context_.backend.mlp_up(mlp_up_args(context_, normed, hidden), StreamId::kMain);
}

void DenseMlp::down(const StepBatch& batch, const Matrix& residual) {
  const Matrix hidden = first_rows(context_.workspace.hidden, batch.tokens);
  context_.backend.project(mlp_down_args(context_, hidden, residual), StreamId::kMain);
}

}  // namespace dejavu
