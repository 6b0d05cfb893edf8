#include "engine/model/dense_mlp.h"

namespace dejavu {

void DenseMlp::look_ahead(const StepBatch& /*batch*/, const ConstMatrix& /*residual*/) {}

void DenseMlp::up(const StepBatch& batch, const ConstMatrix& normed) {
  const MlpWeights& weights = context_.weights.mlp;
  MlpUpArgs args;
  args.x = normed;
  args.gate = weights.gate;
  args.up = weights.up;
  args.gate_bias = weights.gate_bias;
  args.up_bias = weights.up_bias;
  args.activation = context_.config.activation;
  args.threshold = context_.config.activation_threshold;
  args.h = first_rows(context_.workspace.hidden, batch.tokens);
  context_.backend.mlp_up(args, StreamId::kMain);
}

void DenseMlp::down(const StepBatch& batch, const Matrix& residual) {
  const MlpWeights& weights = context_.weights.mlp;
  const Matrix hidden = first_rows(context_.workspace.hidden, batch.tokens);
  context_.backend.project({hidden, weights.down, weights.down_bias, residual, true},
                           StreamId::kMain);
}

}  // namespace dejavu
