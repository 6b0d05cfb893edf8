// The table of a path whose arithmetic is F32 multiply-adds on vectors I::S, and integers I.
#pragma once

#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/gather_dot.h"
#include "engine/backend/cpu/gather_lanes.h"
#include "engine/backend/cpu/gather_mlp.h"
#include "engine/backend/cpu/predict_dot.h"
#include "engine/backend/cpu/token_ops.h"

namespace dejavu {
namespace {

template <class S, DType W>
constexpr void add_matrix_kernels(CpuKernels& kernels) {
  kernels.rows[static_cast<int>(W)] = dot_kernel<FmaDot<S, W>>();
  kernels.project[static_cast<int>(W)] = project_kernel<LaneProject<FmaLanes<S, W>>>();
  kernels.gather[static_cast<int>(W)] =
      gather_kernel<DotGather<FmaDot<S, W>>, LaneGather<FmaPicked<S, W>>>();
}

template <class I>
constexpr CpuKernels f32_table() {
  using S = typename I::S;
  CpuKernels kernels;
  add_matrix_kernels<S, DType::kF32>(kernels);
  add_matrix_kernels<S, DType::kF16>(kernels);
  add_matrix_kernels<S, DType::kBF16>(kernels);
  kernels.predict = predict_kernel<PredictDot<I>>();
  kernels.attention = attention_kernel<S>();
  kernels.embed = embed_token<S>;
  kernels.norm = norm_token<S>;
  kernels.store_kv = store_kv_token<S>;
  kernels.read = read_bytes<S>;
  return kernels;
}

}  // namespace
}  // namespace dejavu
