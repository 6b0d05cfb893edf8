#include "engine/model/dense_attention.h"

#include <cmath>

namespace dejavu {

LinearArgs qkv_args(const LayerContext& context, const ConstMatrix& normed, const Matrix& qkv) {
  const AttentionWeights& weights = context.weights.attention;
  return {normed, weights.qkv, weights.qkv_bias, qkv};
}

StoreKvArgs store_kv_args(const LayerContext& context, const StepBatch& batch, const Matrix& qkv,
                          const KvView& cache) {
  const ModelConfig& config = context.config;
  const std::int64_t q_width = static_cast<std::int64_t>(config.heads) * config.head_dim;
  const std::int64_t kv_width = static_cast<std::int64_t>(config.kv_heads) * config.head_dim;
  StoreKvArgs args;
  args.q = columns(qkv, 0, q_width);
  args.k = columns(qkv, q_width, kv_width);
  args.v = columns(qkv, q_width + kv_width, kv_width);
  args.positions = batch.positions;
  args.slots = batch.kv_slots;
  args.cos = context.rope.cos;
  args.sin = context.rope.sin;
  args.cache = cache;
  return args;
}

AttentionArgs attention_args(const LayerContext& context, const StepBatch& batch, const Matrix& qkv,
                             const KvView& cache) {
  const ModelConfig& config = context.config;
  AttentionArgs args;
  args.q = columns(qkv, 0, static_cast<std::int64_t>(config.heads) * config.head_dim);
  args.cache = cache;
  args.sequences = batch.sequences;
  args.query_start = batch.query_start;
  args.context_length = batch.context_length;
  args.page_table = batch.page_table;
  args.page_table_stride = batch.page_table_stride;
  args.scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  args.window = config.window(context.index);
  args.out = first_rows(context.workspace.context, batch.tokens);
  return args;
}

ProjectArgs attention_out_args(const LayerContext& context, const ConstMatrix& heads,
                               const Matrix& residual) {
  const AttentionWeights& weights = context.weights.attention;
  return {heads, weights.out, weights.out_bias, residual, true};
}

void DenseAttention::look_ahead(const StepBatch& /*batch*/, const ConstMatrix& /*residual*/) {}

void DenseAttention::attend(const StepBatch& batch, const ConstMatrix& normed,
                            const KvView& cache) {
  const Matrix qkv = first_rows(context_.workspace.qkv, batch.tokens);
  context_.backend.linear(qkv_args(context_, normed, qkv), StreamId::kMain);
  context_.backend.store_kv(store_kv_args(context_, batch, qkv, cache), StreamId::kMain);
  context_.backend.attention(attention_args(context_, batch, qkv, cache), StreamId::kMain);
}

void DenseAttention::project(const StepBatch& batch, const Matrix& residual) {
  const Matrix heads = first_rows(context_.workspace.context, batch.tokens);
  context_.backend.project(attention_out_args(context_, heads, residual), StreamId::kMain);
}

}  // namespace dejavu
