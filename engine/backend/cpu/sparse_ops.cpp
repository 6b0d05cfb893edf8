// The CPU backend's ops for contextual sparsity.
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/token_sets.h"

namespace dejavu {
namespace {

// One token's scores; adds in index order.
void score(const PredictorView& p, const float* x, std::vector<float>& low, float* scores) {
  float square = 0;
  for (int i = 0; i < p.input; ++i) square += x[i] * x[i];
  const float scale = 1.0F / std::sqrt(square / static_cast<float>(p.input) + 1e-6F);
  low.resize(static_cast<std::size_t>(p.rank));
  for (int r = 0; r < p.rank; ++r) {
    float sum = 0;
    if (p.down == nullptr) {
      sum = x[r];
    } else {
      const std::int8_t* row = p.down + static_cast<std::int64_t>(r) * p.input;
      for (int i = 0; i < p.input; ++i) sum += x[i] * static_cast<float>(row[i]);
      sum *= p.down_scale[r];
    }
    low[static_cast<std::size_t>(r)] = sum * scale;
  }
  for (int u = 0; u < p.units; ++u) {
    const std::int8_t* row = p.up + static_cast<std::int64_t>(u) * p.rank;
    float sum = 0;
    for (int r = 0; r < p.rank; ++r)
      sum += low[static_cast<std::size_t>(r)] * static_cast<float>(row[r]);
    scores[u] = sum * p.up_scale[u] + p.bias[u];
  }
}

}  // namespace

void CpuBackend::predict(const PredictArgs& args, StreamId /*stream*/) {
  const PredictorView& p = args.predictor;
  const auto units = static_cast<std::size_t>(p.units);
  pool_.parallel_for(args.x.rows, [&](std::int64_t t, int) {
    std::uint32_t* words = args.mask.words + t * args.mask.stride;
    std::fill(words, words + args.mask.stride, 0U);
    const std::int32_t level = args.level[t];
    std::vector<float> low, scores(units);
    if (level >= 0) score(p, static_cast<const float*>(args.x.row(t)), low, scores.data());
    std::int32_t count = 0;
    for (std::size_t u = 0; u < units; ++u) {
      const bool in =
          level < 0 || scores[u] >= p.thresholds[static_cast<std::size_t>(level) * units + u];
      if (!in) continue;
      words[u / 32] |= 1U << (u % 32);
      ++count;
    }
    args.counts[t] = count;
  });
  std::int32_t count = 0;
  for (int u = 0; u < p.units; ++u) {
    bool any = false;
    for (std::int64_t t = 0; t < args.x.rows && !any; ++t) any = in_set(args.mask, t, u);
    if (any) args.union_ids[count++] = u;
  }
  *args.union_count = count;
}

std::size_t CpuBackend::sparse_mlp_scratch(int tokens, int width, int /*ffn*/) const {
  return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(width) * sizeof(float);
}

void CpuBackend::sparse_mlp(const SparseMlpArgs& args, StreamId stream) {
  const std::int64_t tokens = args.up.x.rows;
  const std::int64_t ffn = args.down.rows;
  MlpUpArgs up = args.up;
  up.h = {hidden_.get(static_cast<std::size_t>(tokens * ffn) * dtype_size(up.x.dtype)), up.x.dtype,
          tokens, ffn, ffn};
  mlp_up(up, stream);
  ProjectArgs down;
  down.x = up.h;
  down.w = args.down;
  down.y = {args.scratch, DType::kF32, tokens, args.down.cols, args.down.cols};
  down.skip_zero_rows = true;
  project(down, stream);
}

void CpuBackend::sparse_mlp_add(const SparseMlpAddArgs& args, StreamId /*stream*/) {
  const auto* sums = static_cast<const float*>(args.scratch);
  for (std::int64_t t = 0; t < args.y.rows; ++t) {
    auto* y = static_cast<float*>(args.y.row(t));
    for (std::int64_t i = 0; i < args.y.cols; ++i) {
      float sum = sums[t * args.y.cols + i];
      if (args.bias != nullptr) sum += args.bias[i];
      y[i] += sum;
    }
  }
}

}  // namespace dejavu
