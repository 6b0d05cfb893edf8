// The CPU backend's gathered MLP.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/work_sizes.h"

namespace dejavu {

std::size_t CpuBackend::sparse_mlp_scratch(int tokens, int width, int /*ffn*/) const {
  return static_cast<std::size_t>(tokens) * static_cast<std::size_t>(width) * sizeof(float);
}

void CpuBackend::sparse_mlp(const SparseMlpArgs& args, StreamId /*stream*/) {
  finish_predict();
  const GatherKernel& kernel = kernels_.gather[static_cast<std::size_t>(args.down.dtype)];
  const MlpUpArgs& up = args.up;
  const Matrix sums{args.scratch, DType::kF32, up.x.rows, args.down.cols, args.down.cols};
  for (std::int64_t first = 0; first < up.x.rows; first += kGatherTokens) {
    const std::int64_t tokens = std::min(kGatherTokens, up.x.rows - first);
    GatherMlpJob job;
    job.ids = args.union_ids;
    job.count = *args.union_count;
    job.up.x = up.x;
    job.up.x.data = up.x.row(first);
    job.up.x.rows = tokens;
    job.up.w = up.up;
    job.up.gate = up.gate;
    job.up.bias = up.up_bias;
    job.up.gate_bias = up.gate_bias;
    job.up.activated = true;
    job.up.activation = up.activation;
    job.up.threshold = up.threshold;
    job.up.mask = up.mask;
    if (up.mask.words != nullptr) job.up.mask.words += first * up.mask.stride;
    pack_rows(kernel, job.up);
    job.down.x = job.up.x;
    job.down.w = args.down;
    job.down.y = {sums.row(first), DType::kF32, tokens, sums.cols, sums.stride};
    cut_ranges(job.down);
    job.down.partials = partials(job.down);
    pool_.parallel_for(job.down.ranges,
                       [&](std::int64_t range, int) { kernel.mlp_range(job, range); });
    fold(job.down);
  }
}

void CpuBackend::sparse_mlp_add(const SparseMlpAddArgs& args, StreamId /*stream*/) {
  const auto* sums = static_cast<const float*>(args.scratch);
  for_tokens(args.y.rows, args.y.cols, [&](std::int64_t t) {
    auto* y = static_cast<float*>(args.y.row(t));
    const float* row = sums + t * args.y.cols;
    for (std::int64_t i = 0; i < args.y.cols; ++i) {
      y[i] += args.bias == nullptr ? row[i] : row[i] + args.bias[i];
    }
  });
}

}  // namespace dejavu
