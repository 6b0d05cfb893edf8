// The table of a path whose arithmetic is F32 multiply-adds on vectors S.
#pragma once

#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/rows_dot.h"
#include "engine/backend/cpu/token_ops.h"

namespace dejavu {
namespace {

template <class S, DType W>
constexpr void add_matrix_kernels(CpuKernels& kernels) {
  kernels.rows[static_cast<int>(W)] = dot_kernel<FmaDot<S, W>>();
  kernels.project[static_cast<int>(W)] = project_kernel<LaneProject<FmaLanes<S, W>>>();
}

template <class S>
constexpr CpuKernels f32_table() {
  CpuKernels kernels;
  add_matrix_kernels<S, DType::kF32>(kernels);
  add_matrix_kernels<S, DType::kF16>(kernels);
  add_matrix_kernels<S, DType::kBF16>(kernels);
  kernels.attention = attention_kernel<S>();
  kernels.embed = embed_token<S>;
  kernels.norm = norm_token<S>;
  kernels.store_kv = store_kv_token<S>;
  kernels.read = read_bytes<S>;
  return kernels;
}

}  // namespace
}  // namespace dejavu
