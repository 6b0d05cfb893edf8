// Predictors with a bottleneck on tensor cores: A = 16 rows of 8-bit weights, which bfloat16 holds
// exactly; B = 8 tokens' values, each as the sum of two bfloat16, which leaves 2^-17 of it. The
// order of k within a product is free as long as both operands agree: a lane takes sixteen
// neighbouring weights of a row, and the sixteen values they meet, as four products. What a token's
// sums are made of, and in which order, does not depend on the other tokens.
//   First matrix: a block has 16 rows and 8 tokens, its warps share the columns.
//   Second: a block has 128 units, 16 a warp, and meets up to 32 tokens, whose values lie in shared
//   memory as the products take them. Its weights are loaded before it waits for the first.
// Bytes: each weight once a tile of tokens (8 in the first, from L2 but for the first tile).
#pragma once

#include "engine/backend/cuda/predict_sums.cuh"
#include "engine/backend/cuda/tensor_core.cuh"

namespace dejavu::cuda {
namespace {

constexpr int kTensorStep = 64;   // columns: sixteen of each lane that shares a row
constexpr int kTensorHeld = 4;    // steps that are loaded at once
constexpr int kTensorTokens = 8;  // of a product
constexpr int kLowWarps = 16;
constexpr int kLowThreads = 32 * kLowWarps;
constexpr int kBlockUnits = 16 * kWarps;

// What a product takes of so many tokens: two bfloat16 a value.
std::size_t value_bytes(const PredictorView& p, int tokens) {
  return static_cast<std::size_t>(p.rank) * static_cast<std::size_t>(tokens) * 4;
}

// Rows that start on sixteen bytes, and a rank that shared memory holds.
bool fits_tensor_cores(const Queue& queue, const PredictorView& p) {
  constexpr std::size_t kStatic = std::size_t{8} << 10;
  const auto starts = [](const std::int8_t* rows) {
    return reinterpret_cast<std::uintptr_t>(rows) % 16 == 0;
  };
  return starts(p.down) && starts(p.up) && p.input % kTensorStep == 0 &&
         p.rank % kTensorStep == 0 && value_bytes(p, 32) + kStatic <= queue.shared_bytes;
}

__device__ inline unsigned pair_of(float low, float high) {
  const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&two);
}

// Four 8-bit integers as two pairs of bfloat16.
__device__ inline uint2 widen(unsigned bytes) {
  constexpr unsigned kMagic = 0x4B000000U;  // 2^23: a byte below it is added to it
  constexpr float kOffset = 8388608.0F + 128.0F;
  const unsigned raised = bytes ^ 0x80808080U;
  const auto value = [&](unsigned selector) {
    return __uint_as_float(__byte_perm(raised, kMagic, selector)) - kOffset;
  };
  return {pair_of(value(0x7650), value(0x7651)), pair_of(value(0x7652), value(0x7653))};
}

// Four values, each as the sum of two bfloat16: pairs of the first, pairs of the second.
__device__ inline uint4 split_in_two(const float4& v) {
  const float values[4] = {v.x, v.y, v.z, v.w};
  float rest[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    rest[i] = values[i] - __bfloat162float(__float2bfloat16_rn(values[i]));
  return {pair_of(v.x, v.y), pair_of(v.z, v.w), pair_of(rest[0], rest[1]),
          pair_of(rest[2], rest[3])};
}

// A lane's weights of some steps: rows lane / 4 and lane / 4 + 8 of sixteen.
struct TensorRows {
  uint4 raw[kTensorHeld][2];

  // Steps first, first + apart, ... before `steps`.
  __device__ void load(const std::int8_t* const (&rows)[2], int first, int apart, int steps) {
#pragma unroll
    for (int i = 0; i < kTensorHeld; ++i) {
      const int step = first + i * apart;
#pragma unroll
      for (int r = 0; r < 2; ++r)
        raw[i][r] = step < steps ? load_16(rows[r] + step * kTensorStep) : uint4{0, 0, 0, 0};
    }
  }
  // Product q of held step i.
  __device__ void operands(int i, int q, unsigned (&a)[4]) const {
    const unsigned upper[4] = {raw[i][0].x, raw[i][0].y, raw[i][0].z, raw[i][0].w};
    const unsigned lower[4] = {raw[i][1].x, raw[i][1].y, raw[i][1].z, raw[i][1].w};
    const uint2 first = widen(upper[q]);
    const uint2 second = widen(lower[q]);
    a[0] = first.x;
    a[1] = second.x;
    a[2] = first.y;
    a[3] = second.y;
  }
};

__device__ inline void add_product(float (&sums)[4], const unsigned (&a)[4], const uint4& b) {
  multiply_add(sums, a, b.x, b.y, __nv_bfloat16{});
  multiply_add(sums, a, b.z, b.w, __nv_bfloat16{});
}

__device__ inline float4 load_four(const float* from, bool packed) {
  if (packed) return *reinterpret_cast<const float4*>(from);
  return {from[0], from[1], from[2], from[3]};
}

// low[t][r] = first matrix times x / rms(x). Block (x, y): 16 rows, tile of 8 tokens.
__global__ void __launch_bounds__(kLowThreads) tensor_low_kernel(PredictJob job, bool packed) {
  __shared__ float room[kLowWarps][16][kTensorTokens + 1];
  __shared__ float squares[kLowWarps][kTensorTokens];
  const PredictorView& p = job.args.predictor;
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int steps = p.input / kTensorStep;
  const int first_row = static_cast<int>(blockIdx.x) * 16;
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kTensorTokens;
  const int own = lane % 4 * 16;  // column of a step
  const auto row = [&](int r) { return p.down + std::int64_t{first_row + r} * p.input + own; };
  const std::int8_t* const rows[2] = {row(lane / 4), row(lane / 4 + 8)};
  TensorRows weights;
  weights.load(rows, warp, kLowWarps, steps);
  await_inputs();
  // Steps of many tokens are prompts, most of whose tokens have no level.
  constexpr int kMany = 64;
  if (job.args.x.rows > kMany && !has_levels<kTensorTokens>(job)) return;
  const std::int64_t token = first_token + lane / 4;
  const bool there = token < job.args.x.rows;
  const float* x = static_cast<const float*>(job.args.x.data) + token * job.args.x.stride + own;
  float sums[4] = {};
  float square = 0;
  for (int begin = warp; begin < steps; begin += kTensorHeld * kLowWarps) {
    if (begin > warp) weights.load(rows, begin, kLowWarps, steps);
    float4 values[kTensorHeld][4];
#pragma unroll
    for (int i = 0; i < kTensorHeld; ++i) {
      const int step = begin + i * kLowWarps;
#pragma unroll
      for (int q = 0; q < 4; ++q)
        values[i][q] = there && step < steps ? load_four(x + step * kTensorStep + 4 * q, packed)
                                             : float4{0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < kTensorHeld; ++i) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const float4& v = values[i][q];
        square = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, square))));
        unsigned a[4];
        weights.operands(i, q, a);
        add_product(sums, a, split_in_two(v));
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) room[warp][lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2] = sums[i];
  square = lane_sum<4>(square);
  if (lane % 4 == 0) squares[warp][lane / 4] = square;
  __syncthreads();
  const int r = thread % 16;
  const int t = thread / 16;
  if (t >= kTensorTokens || first_token + t >= job.args.x.rows) return;
  float sum = 0;
  float all = 0;
#pragma unroll
  for (int w = 0; w < kLowWarps; ++w) {
    sum += room[w][r][t];
    all += squares[w][t];
  }
  job.low[(first_token + t) * job.low_stride + first_row + r] =
      sum * p.down_scale[first_row + r] * inverse_rms(all, p.input);
}

// Block (x, y): 128 units, tile of 8 * kGroups tokens.
template <int kGroups>
__global__ void __launch_bounds__(kThreads) tensor_sets_kernel(PredictJob job) {
  constexpr int kTokens = kTensorTokens * kGroups;
  extern __shared__ uint4 values[];  // [steps][4][kGroups][lane]: what a product takes
  __shared__ std::uint8_t flags[kTokens][kBlockUnits];
  const PredictorView& p = job.args.predictor;
  const MaskView& mask = job.args.mask;
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int steps = p.rank / kTensorStep;
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kTokens;
  const int first_unit = static_cast<int>(blockIdx.x) * kBlockUnits + warp * 16;
  const auto unit = [&](int half) {  // of rows past the end the last one
    const int own = first_unit + lane / 4 + 8 * half;
    return own < p.units ? own : p.units - 1;
  };
  const auto row = [&](int half) {
    return p.up + std::int64_t{unit(half)} * p.rank + lane % 4 * 16;
  };
  const std::int8_t* const rows[2] = {row(0), row(1)};
  TensorRows weights;
  weights.load(rows, 0, 1, steps);
  const float scales[2] = {p.up_scale[unit(0)], p.up_scale[unit(1)]};
  const float biases[2] = {p.bias[unit(0)], p.bias[unit(1)]};
  // Levels were there before the first matrix's kernel began.
  float thresholds[kGroups][4];
  bool own_levels = false;
#pragma unroll
  for (int n = 0; n < kGroups; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int level = level_of(job, first_token + 8 * n + lane % 4 * 2 + i % 2);
      own_levels |= level >= 0;
      thresholds[n][i] =
          level < 0 ? -INFINITY : p.thresholds[std::int64_t{level} * p.units + unit(i / 2)];
    }
  }
  const bool any = __syncthreads_or(own_levels ? 1 : 0) != 0;
  await_inputs();
#pragma unroll 4
  for (int i = thread; any && i < steps * 4 * kGroups * 32; i += kThreads) {
    const int step = i / (4 * kGroups * 32);
    const int q = i / (kGroups * 32) % 4;
    const std::int64_t token = first_token + i % (kGroups * 32) / 4;
    const int column = step * kTensorStep + i % 4 * 16 + 4 * q;
    values[i] = split_in_two(token < job.args.x.rows
                                 ? load_four(job.low + token * job.low_stride + column, true)
                                 : float4{0, 0, 0, 0});
  }
  __syncthreads();
  float sums[kGroups][4] = {};
  for (int begin = 0; any && begin < steps; begin += kTensorHeld) {
    if (begin > 0) weights.load(rows, begin, 1, steps);
#pragma unroll
    for (int i = 0; i < kTensorHeld; ++i) {
      if (begin + i >= steps) break;
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        unsigned a[4];
        weights.operands(i, q, a);
#pragma unroll
        for (int n = 0; n < kGroups; ++n)
          add_product(sums[n], a, values[(((begin + i) * 4 + q) * kGroups + n) * 32 + lane]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kGroups; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float score = sums[n][i] * scales[i / 2] + biases[i / 2];
      const int own = lane / 4 + 8 * (i / 2);
      flags[8 * n + lane % 4 * 2 + i % 2][warp * 16 + own] =
          first_unit + own < p.units &&
          (thresholds[n][i] == -INFINITY || score >= thresholds[n][i]);
    }
  }
  __syncthreads();
  constexpr int kWords = kBlockUnits / 32;
  for (int i = warp; i < kTokens * kWords; i += kWarps) {
    const int t = i / kWords;
    const unsigned word = __ballot_sync(kAllLanes, flags[t][i % kWords * 32 + lane] != 0);
    const int to = static_cast<int>(blockIdx.x) * kWords + i % kWords;
    if (lane == 0 && first_token + t < job.args.x.rows && to < mask_words(p.units))
      mask.words[(first_token + t) * mask.stride + to] = word;
  }
}

template <int kGroups>
void launch_tensor_sets(const Queue& queue, const PredictJob& job) {
  constexpr int kTokens = kTensorTokens * kGroups;
  const PredictorView& p = job.args.predictor;
  const std::size_t shared = value_bytes(p, kTokens);
  launch(queue,
         grid(tiles<kTokens>(ceil_div(p.units, kBlockUnits), job.args.x.rows), kThreads, shared),
         tensor_sets_kernel<kGroups>, job);
}

void tensor_low_and_sets(const Queue& queue, const PredictJob& job) {
  const PredictorView& p = job.args.predictor;
  const std::int64_t tokens = job.args.x.rows;
  launch(queue, grid(tiles<kTensorTokens>(p.rank / 16, tokens), kLowThreads), tensor_low_kernel,
         job, packed_floats(job.args.x));
  tokens <= kTensorTokens ? launch_tensor_sets<1>(queue, job) : launch_tensor_sets<4>(queue, job);
}

}  // namespace
}  // namespace dejavu::cuda
