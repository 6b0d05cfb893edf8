#include "sparsity/evaluation/probe.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace dejavu {
namespace {

class ProbedAttention final : public Attention {
 public:
  ProbedAttention(const LayerContext& context, std::unique_ptr<Attention> inner,
                  LayerProbe* const& probe)
      : context_(context), inner_(std::move(inner)), probe_(probe) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override {
    inner_->look_ahead(batch, residual);
  }
  void attend(const StepBatch& batch, const ConstMatrix& normed, const KvView& cache) override {
    if (probe_ != nullptr) probe_->attention_input(context_, batch.tokens);
    inner_->attend(batch, normed, cache);
    if (probe_ != nullptr) probe_->heads_computed(context_, batch.tokens);
  }
  void project(const StepBatch& batch, const Matrix& residual) override {
    inner_->project(batch, residual);
  }

 private:
  LayerContext context_;
  std::unique_ptr<Attention> inner_;
  LayerProbe* const& probe_;
};

class ProbedMlp final : public Mlp {
 public:
  ProbedMlp(const LayerContext& context, std::unique_ptr<Mlp> inner, LayerProbe* const& probe)
      : context_(context), inner_(std::move(inner)), probe_(probe) {}

  void look_ahead(const StepBatch& batch, const ConstMatrix& residual) override {
    inner_->look_ahead(batch, residual);
  }
  void up(const StepBatch& batch, const ConstMatrix& normed) override {
    if (probe_ != nullptr) probe_->mlp_input(context_, batch.tokens);
    inner_->up(batch, normed);
    if (probe_ != nullptr) probe_->neurons_computed(context_, batch.tokens);
  }
  void down(const StepBatch& batch, const Matrix& residual) override {
    inner_->down(batch, residual);
  }

 private:
  LayerContext context_;
  std::unique_ptr<Mlp> inner_;
  LayerProbe* const& probe_;
};

}  // namespace

Result<std::unique_ptr<Attention>> ProbedLayers::attention(const LayerContext& context) const {
  auto inner = inner_.attention(context);
  if (!inner) return tl::unexpected(inner.error());
  return std::make_unique<ProbedAttention>(context, *std::move(inner), probe_);
}

Result<std::unique_ptr<Mlp>> ProbedLayers::mlp(const LayerContext& context) const {
  auto inner = inner_.mlp(context);
  if (!inner) return tl::unexpected(inner.error());
  return std::make_unique<ProbedMlp>(context, *std::move(inner), probe_);
}

namespace {

// How many pieces in one go a matrix is in memory, and each piece's bytes: rows, or all of it.
struct Pieces {
  explicit Pieces(const ConstMatrix& matrix)
      : count(matrix.stride == matrix.cols ? std::min<std::int64_t>(matrix.rows, 1) : matrix.rows),
        bytes(static_cast<std::size_t>(matrix.rows * matrix.cols) * dtype_size(matrix.dtype) /
              static_cast<std::size_t>(std::max<std::int64_t>(count, 1))) {}
  std::int64_t count;
  std::size_t bytes;
};

}  // namespace

HostMatrix download(const ConstMatrix& matrix, Backend& backend) {
  HostMatrix out(static_cast<std::size_t>(matrix.rows), static_cast<std::size_t>(matrix.cols));
  const Pieces pieces(matrix);
  std::vector<std::byte> raw(out.values.size() * dtype_size(matrix.dtype));
  for (std::int64_t p = 0; p < pieces.count; ++p)
    backend.download(raw.data() + static_cast<std::size_t>(p) * pieces.bytes, matrix.row(p),
                     pieces.bytes, StreamId::kMain);
  // A failed device shows itself to whoever waits for the step.
  static_cast<void>(backend.synchronize(StreamId::kMain));
  if (matrix.dtype == DType::kF32) {
    std::memcpy(out.values.data(), raw.data(), raw.size());
  } else if (matrix.dtype == DType::kBF16) {
    std::uint16_t half = 0;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      std::memcpy(&half, raw.data() + i * sizeof half, sizeof half);
      out.values[i] = bf16_to_float(half);
    }
  } else {
    for (std::size_t i = 0; i < out.values.size(); ++i)
      out.values[i] = load_element(raw.data(), matrix.dtype, i);
  }
  return out;
}

void upload(const HostMatrix& from, const Matrix& to, Backend& backend) {
  std::vector<std::byte> raw(from.values.size() * dtype_size(to.dtype));
  for (std::size_t i = 0; i < from.values.size(); ++i)
    store_element(raw.data(), to.dtype, i, from.values[i]);
  const Pieces pieces(to);
  for (std::int64_t p = 0; p < pieces.count; ++p)
    backend.upload(to.row(p), raw.data() + static_cast<std::size_t>(p) * pieces.bytes, pieces.bytes,
                   StreamId::kMain);
  static_cast<void>(backend.synchronize(StreamId::kMain));
}

}  // namespace dejavu
