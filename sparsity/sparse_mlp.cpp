#include "sparsity/sparse_mlp.h"

#include "engine/model/dense_mlp.h"

namespace dejavu {

void SparseMlp::look_ahead(const StepBatch& batch, const ConstMatrix& residual) {
  if (!layer_.plan().neurons_predicted) return;
  PredictArgs args;
  args.x = residual;
  args.level = batch.lookahead_level;
  args.predictor = layer_.model.neurons->view();
  args.mask = layer_.memory.neurons;
  args.counts = layer_.memory.count_of(layer_.step, layer_.context.index, CountKind::kNeurons);
  args.union_ids = layer_.memory.union_ids;
  args.union_count = args.counts + batch.tokens;
  layer_.predict(args, CountKind::kNeurons);
}

// Over every neuron; tokens' sets and thresholds make zeros of the others.
MlpUpArgs SparseMlp::up_args(const StepBatch& batch, const ConstMatrix& normed) const {
  const LayerPlan& plan = layer_.plan();
  MlpUpArgs args = mlp_up_args(layer_.context, normed,
                               first_rows(layer_.context.workspace.hidden, batch.tokens));
  if (plan.neurons_predicted) args.mask = layer_.memory.neurons;
  if (plan.cutoffs) {
    args.cutoffs = layer_.model.device_cutoffs.as<float>();
    args.cutoff_level = batch.threshold_level;
  }
  args.skip_zero_gates = plan.method == MlpMethod::kSkipZeros && args.gate.data != nullptr;
  return args;
}

void SparseMlp::up(const StepBatch& batch, const ConstMatrix& normed) {
  const LayerPlan& plan = layer_.plan();
  Backend& backend = layer_.context.backend;
  const MlpUpArgs args = up_args(batch, normed);
  if (plan.method == MlpMethod::kGather) {
    gather(args);
  } else {
    backend.mlp_up(args, StreamId::kMain);
  }
  if (plan.counted) {
    std::int32_t* counts =
        layer_.memory.count_of(layer_.step, layer_.context.index, CountKind::kActive);
    backend.count_nonzero({args.h, counts, counts + batch.tokens}, StreamId::kMain);
  }
  for (const AuditKind kind : {AuditKind::kNeurons, AuditKind::kCutoffs})
    if (AuditRecord* record = layer_.audit(kind)) audit(args, *record);
}

void SparseMlp::gather(const MlpUpArgs& up) {
  SparseMlpArgs args;
  args.up = up;
  args.down = layer_.context.weights.mlp.down;
  args.union_ids = layer_.memory.union_ids;
  args.union_count =
      layer_.memory.count_of(layer_.step, layer_.context.index, CountKind::kNeurons) + up.x.rows;
  args.scratch = layer_.memory.scratch;
  layer_.context.backend.sparse_mlp(args, StreamId::kMain);
}

void SparseMlp::down(const StepBatch& batch, const Matrix& residual) {
  const LayerContext& context = layer_.context;
  const MlpMethod method = layer_.plan().method;
  if (method == MlpMethod::kGather) {
    context.backend.sparse_mlp_add(
        {layer_.memory.scratch, context.config.ffn_size, context.weights.mlp.down_bias, residual},
        StreamId::kMain);
    return;
  }
  const Matrix hidden = first_rows(context.workspace.hidden, batch.tokens);
  ProjectArgs args = mlp_down_args(context, hidden, residual);
  args.skip_zero_rows = method == MlpMethod::kSkipZeros;
  context.backend.project(args, StreamId::kMain);
}

// The token twice, in one pass over the weights: as served, and with every neuron.
void SparseMlp::audit(const MlpUpArgs& served, AuditRecord& record) {
  const SparseMemory& memory = layer_.memory;
  Backend& backend = layer_.context.backend;
  layer_.gather_audited(served.x, memory.audit_normed);
  MlpUpArgs up = mlp_up_args(layer_.context, memory.audit_normed, memory.audit_hidden);
  if (served.mask.words != nullptr) {
    // Rows as far apart as the token's own set and the one that holds every neuron.
    up.mask = served.mask;
    up.mask.words += static_cast<std::ptrdiff_t>(record.token) * served.mask.stride;
    up.mask.stride = (memory.max_tokens - record.token) * served.mask.stride;
  }
  up.cutoffs = served.cutoffs;
  up.cutoff_level = memory.audit_index + 2;
  backend.mlp_up(up, StreamId::kMain);
  ProjectArgs down = mlp_down_args(layer_.context, memory.audit_hidden, memory.audit_out);
  down.accumulate = false;
  backend.project(down, StreamId::kMain);
  backend.download(record.parts.data(), memory.audit_hidden.data, record.parts.size(),
                   StreamId::kMain);
  backend.download(record.out.data(), memory.audit_out.data, record.out.size() * sizeof(float),
                   StreamId::kMain);
}

}  // namespace dejavu
