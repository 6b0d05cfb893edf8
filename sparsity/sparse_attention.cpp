#include "sparsity/sparse_attention.h"

#include "engine/model/dense_attention.h"

namespace dejavu {

void SparseAttention::look_ahead(const StepBatch& batch, const ConstMatrix& residual) {
  if (!layer_.plan().heads_predicted) return;
  PredictArgs args;
  args.x = residual;
  args.level = batch.lookahead_level;
  args.predictor = layer_.model.heads->view();
  args.mask = layer_.memory.heads;
  args.counts = layer_.memory.count_of(layer_.step, layer_.context.index, CountKind::kHeads);
  args.union_ids = layer_.memory.head_union_ids;
  args.union_count = args.counts + batch.tokens;
  layer_.predict(args, CountKind::kHeads);
}

void SparseAttention::attend(const StepBatch& batch, const ConstMatrix& normed,
                             const KvView& cache) {
  const LayerContext& context = layer_.context;
  Backend& backend = context.backend;
  const bool masked = layer_.plan().heads_predicted;
  const AuditRecord* record = layer_.audit(AuditKind::kHeads);
  if (record != nullptr) audit_query(batch, normed, cache);

  const Matrix qkv = first_rows(context.workspace.qkv, batch.tokens);
  LinearArgs linear = qkv_args(context, normed, qkv);
  if (masked && batch.tokens == 1) {
    linear.row_mask = layer_.memory.heads;
    linear.group_rows = group_rows();
  }
  backend.linear(linear, StreamId::kMain);
  backend.store_kv(store_kv_args(context, batch, qkv, cache), StreamId::kMain);
  AttentionArgs attention = attention_args(context, batch, qkv, cache);
  if (masked) attention.mask = layer_.memory.heads;
  backend.attention(attention, StreamId::kMain);

  if (record != nullptr) audit_heads(batch, cache);
}

int SparseAttention::group_rows() const {
  const ModelConfig& config = layer_.context.config;
  return config.heads / config.kv_heads * config.head_dim;
}

void SparseAttention::project(const StepBatch& batch, const Matrix& residual) {
  const LayerContext& context = layer_.context;
  ProjectArgs args =
      attention_out_args(context, first_rows(context.workspace.context, batch.tokens), residual);
  if (layer_.plan().heads_predicted && batch.tokens == 1) {
    args.skip_zero_rows = true;
    args.row_mask = layer_.memory.heads;
    args.group_rows = group_rows();
  }
  context.backend.project(args, StreamId::kMain);
  if (AuditRecord* record = layer_.audit(AuditKind::kHeads)) audit_output(*record);
}

// The audited token alone; each sequence of the step has one token.
static StepBatch only(const StepBatch& batch, const AuditRecord& record,
                      const std::int32_t* query_start) {
  StepBatch one = batch;
  one.tokens = one.sequences = 1;
  one.positions += record.token;
  one.kv_slots += record.token;
  one.context_length += record.token;
  one.page_table += static_cast<std::ptrdiff_t>(record.token) * batch.page_table_stride;
  one.query_start = query_start;
  return one;
}

// Before the step stores its K and V: what is stored in the end is the step's own.
void SparseAttention::audit_query(const StepBatch& batch, const ConstMatrix& normed,
                                  const KvView& cache) {
  const SparseMemory& memory = layer_.memory;
  Backend& backend = layer_.context.backend;
  const StepBatch one = only(batch, *layer_.step.audit, memory.audit_index + 4);
  const Matrix row = first_rows(memory.audit_normed, 1);
  layer_.gather_audited(normed, row);
  backend.linear(qkv_args(layer_.context, row, memory.audit_qkv), StreamId::kMain);
  backend.store_kv(store_kv_args(layer_.context, one, memory.audit_qkv, cache), StreamId::kMain);
}

void SparseAttention::audit_heads(const StepBatch& batch, const KvView& cache) {
  const SparseMemory& memory = layer_.memory;
  const StepBatch one = only(batch, *layer_.step.audit, memory.audit_index + 4);
  AttentionArgs args = attention_args(layer_.context, one, memory.audit_qkv, cache);
  args.out = first_rows(memory.audit_heads, 1);
  args.out.data = memory.audit_heads.row(1);
  layer_.context.backend.attention(args, StreamId::kMain);
  const Matrix served = first_rows(layer_.context.workspace.context, batch.tokens);
  layer_.gather_audited(served, first_rows(memory.audit_heads, 1));
}

void SparseAttention::audit_output(AuditRecord& record) {
  const SparseMemory& memory = layer_.memory;
  Backend& backend = layer_.context.backend;
  ProjectArgs args = attention_out_args(layer_.context, memory.audit_heads, memory.audit_out);
  args.accumulate = false;
  backend.project(args, StreamId::kMain);
  backend.download(record.parts.data(), memory.audit_heads.data, record.parts.size(),
                   StreamId::kMain);
  backend.download(record.out.data(), memory.audit_out.data, record.out.size() * sizeof(float),
                   StreamId::kMain);
}

}  // namespace dejavu
