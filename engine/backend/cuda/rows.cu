// linear and mlp_up: weights whose rows are outputs. One token reads every weight once, 2 bytes a
// multiplication, so a warp streams a row or two past the token (which stays in L1) and nothing
// else matters. Several tokens go through cuBLASLt, whose F32 sums are finished by a second kernel.
#include <algorithm>

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/dot.cuh"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

template <class E, int kTokens>
__device__ TokenRows<E> tile_of(const ConstMatrix& x) {
  const std::int64_t first = std::int64_t{blockIdx.y} * kTokens;
  const std::int64_t left = x.rows - first;
  return {static_cast<const E*>(x.data) + first * x.stride, x.stride, x.cols,
          static_cast<int>(left < kTokens ? left : kTokens)};
}

__device__ inline std::int64_t warp_number() {
  return std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
}

// One token, a row a warp: when the last rows are taken, what is left to wait for is short.
template <class E>
__global__ void __launch_bounds__(kThreads) linear_one_kernel(LinearArgs args, bool mask_ready) {
  const DeviceRows<E> w(args.w);
  const std::int64_t out = warp_number();
  if (out >= args.w.rows) return await_inputs();
  const E* const rows[1] = {w.row(out)};
  const bool masked = args.row_mask.words != nullptr;
  if (masked && !mask_ready) await_inputs();
  const std::int64_t unit = masked ? out / args.group_rows : 0;
  const bool wanted = !masked || unit >= args.row_mask.units || in_set(args.row_mask, 0, unit);
  Steps<1, 2 * kUnroll> steps;
  if (wanted) steps.load(rows, 0, args.x.cols);
  if (!masked || mask_ready) await_inputs();
  if (!wanted) return;
  const TokenRows<E> tile = tile_of<E, 1>(args.x);
  float sums[1][1];
  dot<E, true>(rows, tile, steps, sums);
  if (threadIdx.x % 32 != 0) return;
  const float value = args.bias != nullptr ? sums[0][0] + args.bias[out] : sums[0][0];
  store_any(args.y.dtype, args.y.data, out, value);
}

// Two rows a warp.
template <class E, int kTokens, bool kPacked>
__global__ void __launch_bounds__(kThreads) linear_kernel(LinearArgs args, bool mask_ready) {
  const DeviceRows<E> w(args.w);
  const std::int64_t first = 2 * warp_number();
  if (first >= args.w.rows) return await_inputs();
  const std::int64_t second = first + 1 < args.w.rows ? first + 1 : first;
  const E* rows[2] = {w.row(first), w.row(second)};
  Steps<2> steps;
  const bool masked = args.row_mask.words != nullptr;
  if (masked && !mask_ready) await_inputs();
  const auto wanted = [&](std::int64_t row) {
    const std::int64_t unit = masked ? row / args.group_rows : 0;
    return !masked || unit >= args.row_mask.units || in_set(args.row_mask, 0, unit);
  };
  const bool wants[2] = {wanted(first), second > first && wanted(second)};
  const bool any = wants[0] || wants[1];
  if (!wants[0]) rows[0] = rows[1];
  if (!wants[1]) rows[1] = rows[0];
  if (kPacked && any) steps.load(rows, 0, args.x.cols);
  if (!masked || mask_ready) await_inputs();
  if (!any) return;
  const TokenRows<E> tile = tile_of<E, kTokens>(args.x);
  float sums[2][kTokens];
  dot<E, kPacked>(rows, tile, steps, sums);
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (lane != 2 * t + r || t >= tile.tokens || !wants[r]) continue;
      const std::int64_t out = first + r;
      const float value = args.bias != nullptr ? sums[r][t] + args.bias[out] : sums[r][t];
      const std::int64_t token = std::int64_t{blockIdx.y} * kTokens + t;
      store_any(args.y.dtype, args.y.data, token * args.y.stride + out, value);
    }
  }
}

__device__ inline void store_hidden(const MlpUpArgs& args, std::int64_t t, std::int64_t n,
                                    float value) {
  store_any(args.h.dtype, args.h.data, t * args.h.stride + n, value);
}

// Two neurons a warp.
template <class E, int kTokens, bool kPacked>
__global__ void __launch_bounds__(kThreads) up_kernel(MlpUpArgs args) {
  const DeviceRows<E> up(args.up);
  const std::int64_t first = 2 * warp_number();
  if (first >= args.up.rows) return await_inputs();
  const std::int64_t second = first + 1 < args.up.rows ? first + 1 : first;
  const E* const rows[2] = {up.row(first), up.row(second)};
  Steps<2> steps;
  if (kPacked) steps.load(rows, 0, args.x.cols);
  await_inputs();
  const TokenRows<E> tile = tile_of<E, kTokens>(args.x);
  float sums[2][kTokens];
  dot<E, kPacked>(rows, tile, steps, sums);
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (lane != 2 * t + r || t >= tile.tokens || first + r > second) continue;
      const std::int64_t token = std::int64_t{blockIdx.y} * kTokens + t;
      store_hidden(args, token, first + r, first_factor(args, token, first + r, sums[r][t]));
    }
  }
}

// A neuron's gate and up rows a warp; its up row only when some gate is open, if so asked.
template <class E, int kTokens, bool kPacked>
__global__ void __launch_bounds__(kThreads) gated_kernel(MlpUpArgs args) {
  const DeviceRows<E> gate(args.gate);
  const DeviceRows<E> up(args.up);
  const std::int64_t n = warp_number();
  if (n >= args.up.rows) return await_inputs();
  const E* const both[2] = {gate.row(n), up.row(n)};
  const E* const gate_row[1] = {both[0]};
  const E* const up_row[1] = {both[1]};
  Steps<2> steps;
  Steps<1> one;
  if (kPacked && !args.skip_zero_gates) steps.load(both, 0, args.x.cols);
  if (kPacked && args.skip_zero_gates) one.load(gate_row, 0, args.x.cols);
  await_inputs();
  const TokenRows<E> tile = tile_of<E, kTokens>(args.x);
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kTokens;
  float sums[2][kTokens];
  if (!args.skip_zero_gates) {
    dot<E, kPacked>(both, tile, steps, sums);
  } else {
    float own[1][kTokens];
    dot<E, kPacked>(gate_row, tile, one, own);
    bool open = false;
    for (int t = 0; t < kTokens; ++t) {
      sums[0][t] = own[0][t];
      sums[1][t] = 0;
      if (t < tile.tokens) open |= first_factor(args, first_token + t, n, own[0][t]) != 0;
    }
    if (open) {
      if (kPacked) one.load(up_row, 0, args.x.cols);
      dot<E, kPacked>(up_row, tile, one, own);
      for (int t = 0; t < kTokens; ++t) sums[1][t] = own[0][t];
    }
  }
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (lane != t || t >= tile.tokens) continue;
    const float factor = first_factor(args, first_token + t, n, sums[0][t]);
    store_hidden(args, first_token + t, n, second_factor(args, n, factor, sums[1][t]));
  }
}

// h from cuBLASLt's sums, a block's threads along one token's neurons.
__global__ void finish_up_kernel(MlpUpArgs args, const float* gate_sums, const float* up_sums) {
  await_inputs();
  const std::int64_t n = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t t = blockIdx.y;
  if (n >= args.up.rows) return;
  const std::int64_t place = t * args.up.rows + n;
  const bool gated = gate_sums != nullptr;
  float value = first_factor(args, t, n, gated ? gate_sums[place] : up_sums[place]);
  if (gated) value = second_factor(args, n, value, up_sums[place]);
  store_hidden(args, t, n, value);
}

Matrix rows_from(const Matrix& m, std::int64_t first, std::int64_t rows) {
  return {m.row(first), m.dtype, rows, m.cols, m.stride};
}
ConstMatrix rows_from(const ConstMatrix& m, std::int64_t first, std::int64_t rows) {
  return {m.row(first), m.dtype, rows, m.cols, m.stride};
}

// Products of many tokens into the arena, finished some hundred tokens at a time.
void mlp_up_gemm(const Queue& queue, const MlpUpArgs& args) {
  const bool gated = args.gate.data != nullptr;
  const std::int64_t ffn = args.up.rows;
  const auto room =
      static_cast<std::int64_t>((queue.arena_bytes - Gemm::kWorkspaceBytes) / sizeof(float));
  const std::int64_t most = std::max<std::int64_t>(1, room / (ffn * (gated ? 2 : 1)));
  for (std::int64_t first = 0; first < args.x.rows; first += most) {
    const std::int64_t tokens = std::min(most, args.x.rows - first);
    MlpUpArgs part = args;
    part.x = rows_from(args.x, first, tokens);
    part.h = rows_from(args.h, first, tokens);
    if (part.mask.words != nullptr) part.mask.words += first * part.mask.stride;
    if (part.cutoff_level != nullptr) part.cutoff_level += first;
    float* up_sums = queue.scratch<float>();
    float* gate_sums = gated ? up_sums + tokens * ffn : nullptr;
    queue.gemm->run(queue, {part.x, part.up, false, {up_sums, DType::kF32, tokens, ffn, ffn}});
    if (gated)
      queue.gemm->run(queue,
                      {part.x, part.gate, false, {gate_sums, DType::kF32, tokens, ffn, ffn}});
    const dim3 blocks(static_cast<unsigned>(ceil_div(ffn, 256)), static_cast<unsigned>(tokens));
    launch(queue, grid(blocks, 256), finish_up_kernel, part, gate_sums, up_sums);
  }
}

template <int kTokens>
dim3 warps_for(std::int64_t items, std::int64_t tokens) {
  return dim3(static_cast<unsigned>(ceil_div(items, kWarps)),
              static_cast<unsigned>(ceil_div(tokens, kTokens)));
}

template <class E, int kTokens, bool kPacked>
void launch_linear(const Queue& queue, const LinearArgs& args) {
  launch(queue, grid(warps_for<kTokens>(ceil_div(args.w.rows, 2), args.x.rows), kThreads),
         linear_kernel<E, kTokens, kPacked>, args, queue.sets_ready);
}

template <class E, int kTokens, bool kPacked>
void launch_up(const Queue& queue, const MlpUpArgs& args) {
  if (args.gate.data != nullptr) {
    launch(queue, grid(warps_for<kTokens>(args.up.rows, args.x.rows), kThreads),
           gated_kernel<E, kTokens, kPacked>, args);
  } else {
    launch(queue, grid(warps_for<kTokens>(ceil_div(args.up.rows, 2), args.x.rows), kThreads),
           up_kernel<E, kTokens, kPacked>, args);
  }
}

}  // namespace

void linear(const Queue& queue, const LinearArgs& args) {
  if (args.x.rows == 0) return;
  const bool packed = packed_rows(args.x) && packed_rows(args.w);
  const GemmArgs gemm{args.x, args.w, false, args.y};
  if (packed && Gemm::takes(queue, gemm)) return multiply_with_bias(queue, gemm, args.bias);
  with_element(args.x.dtype, [&](auto e) {
    using E = decltype(e);
    if (!packed) return launch_linear<E, 4, false>(queue, args);
    if (args.x.rows == 1)
      return launch(queue, grid(warps_for<1>(args.w.rows, 1), kThreads), linear_one_kernel<E>, args,
                    queue.sets_ready);
    launch_linear<E, 4, true>(queue, args);
  });
}

void mlp_up(const Queue& queue, const MlpUpArgs& args) {
  if (args.x.rows == 0) return;
  const bool packed = packed_rows(args.x) && packed_rows(args.up) &&
                      (args.gate.data == nullptr || packed_rows(args.gate));
  const bool skips = args.skip_zero_gates && args.x.rows <= kSkipTokens;
  if (args.x.rows > 1 && queue.gemm != nullptr && packed && !skips) {
    return mlp_up_gemm(queue, args);
  }
  with_element(args.x.dtype, [&](auto e) {
    using E = decltype(e);
    if (!packed) return launch_up<E, 4, false>(queue, args);
    if (args.x.rows == 1) return launch_up<E, 1, true>(queue, args);
    launch_up<E, 4, true>(queue, args);
  });
}

}  // namespace dejavu::cuda
