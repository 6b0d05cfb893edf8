// What predictors' kernels are made of: four rows of 8-bit weights a warp, met by one token or
// eight, and the lanes' sums brought together. The order of addition depends neither on the number
// of tokens nor on a token's place among them.
#pragma once

#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kRows = 4;  // of a warp
constexpr int kTile = 8;  // tokens, when there are several: kRows * kTile is a warp's lanes
constexpr int kStep = 8;  // neighbouring weights of a row that a lane takes
constexpr float kEpsilon = 1e-6F;
static_assert(kRows * kTile == 32 && kRows * kWarps == 32);

struct PredictJob {
  PredictArgs args;
  float* low = nullptr;  // [T][low_stride]: what the second matrix multiplies
  std::int64_t low_stride = 0;
};

// Rows of weights start on eight bytes and hold whole eights; the floats they meet on sixteen.
bool packed_bytes(const std::int8_t* weights, int columns) {
  return reinterpret_cast<std::uintptr_t>(weights) % kStep == 0 && columns % kStep == 0;
}
bool packed_floats(const ConstMatrix& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride % 4 == 0;
}

// Tokens of one tile, float rows.
struct Tile {
  const float* x = nullptr;
  std::int64_t stride = 0;
  int tokens = 0;
};

// Rows `first` to first + kRows of a matrix [rows][columns]; those past its end are its last.
struct Rows {
  const std::int8_t* weights = nullptr;
  int rows = 0;
  int columns = 0;

  __device__ const std::int8_t* row(int r) const {
    return weights + std::int64_t{r < rows ? r : rows - 1} * columns;
  }
};

template <int kWidth>
__device__ void load_values(const float* from, float (&values)[kWidth]) {
  if constexpr (kWidth == kStep) {
    const float4 low = *reinterpret_cast<const float4*>(from);
    const float4 high = *reinterpret_cast<const float4*>(from + 4);
    const float all[kStep] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = all[i];
  } else {
    values[0] = *from;
  }
}
template <int kWidth>
__device__ void load_values(const std::int8_t* from, float (&values)[kWidth]) {
  if constexpr (kWidth == kStep) {
    const uint2 raw = *reinterpret_cast<const uint2*>(from);
    const unsigned words[2] = {raw.x, raw.y};
#pragma unroll
    for (int i = 0; i < kStep; ++i)
      values[i] =
          static_cast<float>(static_cast<std::int8_t>(words[i / 4] >> (8 * (i % 4)) & 255U));
  } else {
    values[0] = static_cast<float>(*from);
  }
}

// A lane's sums of its columns: dots[t][r], and each token's with itself when asked.
template <int kTokens>
struct Sums {
  float dots[kTokens][kRows] = {};
  float squares[kTokens] = {};
};

// Columns go round over the lanes of `parts` warps, of which this is number `part`.
template <bool kPacked, bool kSquares, int kTokens>
__device__ void add_up(const Rows& matrix, int first, const Tile& tile, int part, int parts,
                       Sums<kTokens>& sums) {
  constexpr int kWidth = kPacked ? kStep : 1;
  const int lane = static_cast<int>(threadIdx.x % 32) + 32 * part;
#pragma unroll(kTokens == 1 ? 4 : 1)
  for (int c = kWidth * lane; c < matrix.columns; c += 32 * parts * kWidth) {
    float w[kRows][kWidth];
#pragma unroll
    for (int r = 0; r < kRows; ++r) load_values<kWidth>(matrix.row(first + r) + c, w[r]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tile.tokens) break;
      float x[kWidth];
      load_values<kWidth>(tile.x + t * tile.stride + c, x);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) sums.dots[t][r] = fmaf(w[r][i], x[i], sums.dots[t][r]);
        if (kSquares) sums.squares[t] = fmaf(x[i], x[i], sums.squares[t]);
      }
    }
  }
}

// Of the first 2 * kHalf values a lane goes on with kHalf, and the lane kHalf away with the others.
template <int kHalf>
__device__ void halve(float (&values)[32]) {
  const bool upper = (threadIdx.x & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float sent = upper ? values[i] : values[i + kHalf];
    const float kept = upper ? values[i + kHalf] : values[i];
    values[i] = kept + __shfl_xor_sync(kAllLanes, sent, kHalf);
  }
}

// Lane t * kRows + r: the sum over all lanes of dots[t][r]; with one token every lane whose number
// ends in r. The lanes meet in the same order either way.
template <int kTokens>
__device__ float lane_total(const float (&dots)[kTokens][kRows]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  if constexpr (kTokens == 1) {
    float own = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = lane_sum(dots[0][r]);
      if (lane % kRows == r) own = sum;
    }
    return own;
  } else {
    float values[32];
#pragma unroll
    for (int i = 0; i < 32; ++i) values[i] = dots[i / kRows][i % kRows];
    halve<16>(values);
    halve<8>(values);
    halve<4>(values);
    halve<2>(values);
    halve<1>(values);
    return values[0];
  }
}

template <int kTokens>
__device__ Tile tile_of(const float* x, std::int64_t stride, std::int64_t tokens) {
  const std::int64_t first = std::int64_t{blockIdx.y} * kTokens;
  const std::int64_t left = tokens - first;
  return {x + first * stride, stride, static_cast<int>(left < kTokens ? left : kTokens)};
}

__device__ inline int level_of(const PredictJob& job, std::int64_t t) {
  return t < job.args.x.rows ? job.args.level[t] : -1;
}
// Whether some token of the block's tile has a level.
template <int kTokens>
__device__ bool has_levels(const PredictJob& job) {
  bool any = false;
  for (int t = 0; t < kTokens; ++t)
    any |= level_of(job, std::int64_t{blockIdx.y} * kTokens + t) >= 0;
  return any;
}

__device__ inline float inverse_rms(float square, int columns) {
  return 1.0F / sqrtf(square / static_cast<float>(columns) + kEpsilon);
}

__device__ inline bool chosen(const PredictorView& p, float dot, int unit, int level) {
  const float score = dot * p.up_scale[unit] + p.bias[unit];
  return score >= p.thresholds[std::int64_t{level} * p.units + unit];
}

// The block's warps share the columns: their totals in order, in the first warp's lanes, which are
// those of lane_total().
__device__ inline float block_total(float own, float (&room)[kWarps][32]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  room[threadIdx.x / 32][lane] = own;
  __syncthreads();
  float sum = room[0][lane];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) sum += room[w][lane];
  return sum;
}

// Each warp's share of the tokens' square sums, and a token's total, warp by warp.
template <int kTokens>
__device__ void store_squares(const Sums<kTokens>& sums, float (&room)[kWarps][kTokens]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const float square = lane_sum(sums.squares[t]);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32][t] = square;
  }
}
template <int kTokens>
__device__ float square_total(const float (&room)[kWarps][kTokens], int t) {
  float square = room[0][t];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) square += room[w][t];
  return square;
}

template <int kTokens>
dim3 tiles(std::int64_t items, std::int64_t tokens) {
  return dim3(static_cast<unsigned>(items), static_cast<unsigned>(ceil_div(tokens, kTokens)));
}

}  // namespace
}  // namespace dejavu::cuda
