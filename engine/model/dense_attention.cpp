#include "engine/model/dense_attention.h"

#include <cmath>

namespace dejavu {

void DenseAttention::look_ahead(const StepBatch& /*batch*/, const ConstMatrix& /*residual*/) {}

void DenseAttention::attend(const StepBatch& batch, const ConstMatrix& normed,
                            const KvView& cache) {
  const ModelConfig& config = context_.config;
  const AttentionWeights& weights = context_.weights.attention;
  const std::int64_t q_width = static_cast<std::int64_t>(config.heads) * config.head_dim;
  const std::int64_t kv_width = static_cast<std::int64_t>(config.kv_heads) * config.head_dim;
  const Matrix qkv = first_rows(context_.workspace.qkv, batch.tokens);
  const Matrix q = columns(qkv, 0, q_width);
  context_.backend.linear({normed, weights.qkv, weights.qkv_bias, qkv}, StreamId::kMain);

  StoreKvArgs store;
  store.q = q;
  store.k = columns(qkv, q_width, kv_width);
  store.v = columns(qkv, q_width + kv_width, kv_width);
  store.positions = batch.positions;
  store.slots = batch.kv_slots;
  store.cos = context_.rope.cos;
  store.sin = context_.rope.sin;
  store.cache = cache;
  context_.backend.store_kv(store, StreamId::kMain);

  AttentionArgs attention;
  attention.q = q;
  attention.cache = cache;
  attention.sequences = batch.sequences;
  attention.query_start = batch.query_start;
  attention.context_length = batch.context_length;
  attention.page_table = batch.page_table;
  attention.page_table_stride = batch.page_table_stride;
  attention.scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  attention.window = config.window(context_.index);
  attention.out = first_rows(context_.workspace.context, batch.tokens);
  context_.backend.attention(attention, StreamId::kMain);
}

void DenseAttention::project(const StepBatch& batch, const Matrix& residual) {
  const AttentionWeights& weights = context_.weights.attention;
  const Matrix context = first_rows(context_.workspace.context, batch.tokens);
  context_.backend.project({context, weights.out, weights.out_bias, residual, true},
                           StreamId::kMain);
}

}  // namespace dejavu
