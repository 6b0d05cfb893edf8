#include "sparsity/sparse_step.h"

#include <algorithm>
#include <chrono>

namespace dejavu {

Result<SparseMemory> SparseMemory::create(const LayerContext& context) {
  const ModelConfig& config = context.config;
  const Workspace& workspace = context.workspace;
  Backend& backend = context.backend;
  SparseMemory memory;
  Status failed;
  const auto take = [&](std::size_t bytes) -> void* {
    auto buffer = backend.allocate(bytes);
    if (!buffer) {
      failed = tl::unexpected(buffer.error());
      return nullptr;
    }
    memory.storage.push_back(std::move(*buffer));
    return memory.storage.back().data();
  };
  const auto words = [&](std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(std::int32_t);
  };
  const auto matrix = [&](DType dtype, std::int64_t rows, std::int64_t cols) {
    void* data = take(static_cast<std::size_t>(rows * cols) * dtype_size(dtype));
    return Matrix{data, dtype, rows, cols, cols};
  };
  const std::int64_t tokens = workspace.residual.rows;
  memory.max_tokens = static_cast<int>(tokens);
  const auto mask = [&](int units, std::int64_t rows) {
    const int stride = mask_words(units);
    return MaskView{static_cast<std::uint32_t*>(take(words(rows * stride))), units, stride};
  };
  memory.neurons = mask(config.ffn_size, tokens + 1);
  memory.heads = mask(config.kv_heads, tokens);
  memory.union_ids = static_cast<std::int32_t*>(take(words(config.ffn_size)));
  memory.head_union_ids = static_cast<std::int32_t*>(take(words(config.kv_heads)));
  const int gathered = std::min(memory.max_tokens, kMaxGatherTokens);
  memory.scratch = take(backend.sparse_mlp_scratch(gathered, config.hidden_size, config.ffn_size));
  memory.counts =
      static_cast<std::int32_t*>(take(words(config.layers * kCountKinds * (tokens + 1))));

  memory.stamps = static_cast<PredictStamps*>(
      take(static_cast<std::size_t>(config.layers * kPredictors) * sizeof(PredictStamps)));

  const DType dtype = workspace.normed.dtype;
  memory.audit_normed = matrix(dtype, 2, config.hidden_size);
  memory.audit_hidden = matrix(dtype, 2, config.ffn_size);
  memory.audit_qkv = matrix(DType::kF32, 1, workspace.qkv.cols);
  memory.audit_heads = matrix(dtype, 2, workspace.context.cols);
  memory.audit_out = matrix(DType::kF32, 2, config.hidden_size);
  memory.audit_index = static_cast<std::int32_t*>(take(sizeof(AuditRecord::index)));
  if (!failed) return tl::unexpected(failed.error());

  std::vector<std::uint32_t> every(static_cast<std::size_t>(memory.neurons.stride), ~0U);
  if (config.ffn_size % 32 != 0) every.back() = (1U << (config.ffn_size % 32)) - 1;
  backend.upload(memory.neurons.words + tokens * memory.neurons.stride, every.data(),
                 words(memory.neurons.stride), StreamId::kMain);
  if (Status done = backend.synchronize(StreamId::kMain); !done)
    return tl::unexpected(done.error());
  return memory;
}

PredictTime predict_time(const std::vector<LayerPlan>& plans,
                         const std::vector<PredictStamps>& stamps) {
  std::int64_t whole = 0;
  std::int64_t beside = 0;
  const auto add = [&](const PredictStamps& one) {
    const std::int64_t taken = std::max<std::int64_t>(one.end - one.begin, 0);
    whole += taken;
    beside += std::clamp<std::int64_t>(one.main_done - one.begin, 0, taken);
  };
  for (std::size_t l = 0; l < plans.size(); ++l) {
    if (plans[l].neurons_predicted) add(stamps[kPredictors * l]);
    if (plans[l].heads_predicted) add(stamps[kPredictors * l + 1]);
  }
  return {1e-9 * static_cast<double>(whole), 1e-9 * static_cast<double>(beside)};
}

AuditRecord* SparseLayer::audit(AuditKind kind) const {
  AuditRecord* record = step.audit;
  return record != nullptr && record->layer == context.index && record->kind == kind ? record
                                                                                     : nullptr;
}

void SparseLayer::predict(const PredictArgs& args, CountKind kind) const {
  Backend& backend = context.backend;
  if (backend.info().asynchronous) return predict_asynchronously(args, kind);
  const double deferred = backend.deferred_predict_time().alone;
  const auto start = std::chrono::steady_clock::now();
  backend.predict(args, step.predict_stream);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  step.predict_seconds += taken.count() - (backend.deferred_predict_time().alone - deferred);
}

void SparseLayer::predict_asynchronously(const PredictArgs& args, CountKind kind) const {
  Backend& backend = context.backend;
  if (!step.stamped) return backend.predict(args, step.predict_stream);
  PredictStamps* stamps = memory.stamps_of(context.index, kind);
  backend.stamp(&stamps->main_done, StreamId::kMain);
  backend.stamp(&stamps->begin, step.predict_stream);
  backend.predict(args, step.predict_stream);
  backend.stamp(&stamps->end, step.predict_stream);
}

void SparseLayer::gather_audited(const ConstMatrix& from, const Matrix& to) const {
  EmbedArgs args;
  args.ids = memory.audit_index;
  args.token_table = from;
  args.out = to;
  context.backend.embed(args, StreamId::kMain);
}

}  // namespace dejavu
