// The gathered MLP of 2 to 16 tokens a tile, on tensor cores: of each neuron in the union the
// record once a tile, its share of the tokens' activations beside it (from L2). Both products are
// mma.m16n8k16 with F32 sums. The order of k within a product is free as long as both operands
// agree, so each lane loads sixteen neighbouring bytes of a row and takes them for its k's: no
// shared memory, no transposition.
//   Up: A = 16 neurons' rows, B = tokens; the block's warps share the width.
//   Down: A = tokens' activations, B = 16 neurons' down rows; pairs along k come from two rows and
//   are put together in registers. Splits of the union go to partial sums, added in order later.
#pragma once

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {

constexpr int kManyTokens = 16;
constexpr int kManyWarps = 8;
constexpr int kManyThreads = 32 * kManyWarps;
constexpr int kManyNeurons = 32;  // rows of a block: 32 neurons', or 16 neurons' gates and ups
constexpr int kManyColumns = 256;
constexpr int kColumnGroups = 4;  // warps side by side, 64 columns each
constexpr int kRowGroups = kManyWarps / kColumnGroups;

__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                    __half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                    __nv_bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

struct GatherManyJob {
  MlpUpArgs up;
  ConstMatrix down;
  Matrix hidden;  // [T][ffn], by place in the union
  const std::int32_t* ids = nullptr;
  const std::int32_t* count = nullptr;
  float* partials = nullptr;  // [splits][T][d]
  int splits = 1;
};

// Block (x, y): rows of the union, tile of tokens.
template <class E, bool kGated>
__global__ void __launch_bounds__(kManyThreads) many_up_kernel(GatherManyJob job) {
  constexpr int kNeurons = kGated ? kManyNeurons / 2 : kManyNeurons;
  constexpr int kUnroll = 4;
  __shared__ float meeting[kManyWarps][kManyNeurons][kManyTokens + 1];
  await_inputs();
  const int count = *job.count;
  const int first = static_cast<int>(blockIdx.x) * kNeurons;
  if (first >= count) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int row = lane / 4;
  const std::int64_t width = job.up.x.cols;
  const auto tokens = static_cast<int>(job.up.x.rows);
  const int first_token = static_cast<int>(blockIdx.y) * kManyTokens;

  const E* rows[2][2];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int j = first + row + 8 * half + (kGated ? 0 : 16 * m);
      if (j >= count) j = first;
      const ConstMatrix& w = kGated && m == 0 ? job.up.gate : job.up.up;
      rows[m][half] = static_cast<const E*>(w.data) + job.ids[j] * w.stride;
    }
  }
  const E* inputs[2];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const int token = first_token + row + 8 * n;
    inputs[n] = static_cast<const E*>(job.up.x.data) +
                (token < tokens ? token : first_token) * job.up.x.stride;
  }
  float sums[2][2][4] = {};
  const int own = lane % 4 * 8;
  for (std::int64_t k = std::int64_t{warp} * 32; k < width;
       k += std::int64_t{kUnroll} * kManyWarps * 32) {
    uint4 a[kUnroll][2][2];
    uint4 b[kUnroll][2];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::int64_t c = k + std::int64_t{u} * kManyWarps * 32 + own;
      const bool inside = c < width;
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          a[u][m][half] = inside ? load_stream(rows[m][half] + c) : uint4{0, 0, 0, 0};
#pragma unroll
      for (int n = 0; n < 2; ++n) b[u][n] = inside ? load_16(inputs[n] + c) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const unsigned low[4] = {a[u][m][0].x, a[u][m][1].x, a[u][m][0].y, a[u][m][1].y};
        const unsigned high[4] = {a[u][m][0].z, a[u][m][1].z, a[u][m][0].w, a[u][m][1].w};
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          multiply_add(sums[m][n], low, {b[u][n].x, b[u][n].y}, E{});
          multiply_add(sums[m][n], high, {b[u][n].z, b[u][n].w}, E{});
        }
      }
    }
  }
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        meeting[warp][16 * m + row + 8 * (i / 2)][8 * n + lane % 4 * 2 + i % 2] = sums[m][n][i];
  __syncthreads();
  const auto total = [&](int r, int t) {
    float sum = meeting[0][r][t];
    for (int w = 1; w < kManyWarps; ++w) sum += meeting[w][r][t];
    return sum;
  };
  for (int i = static_cast<int>(threadIdx.x); i < kNeurons * kManyTokens; i += kManyThreads) {
    const int r = i % kNeurons;
    const int t = i / kNeurons;
    const int token = first_token + t;
    if (first + r >= count || token >= tokens) continue;
    const std::int64_t n = job.ids[first + r];
    float value = first_factor(job.up, token, n, total(r, t));
    if (kGated) value = second_factor(job.up, n, value, total(r + kNeurons, t));
    static_cast<E*>(job.hidden.data)[token * job.hidden.stride + first + r] = from_float<E>(value);
  }
}

// Elements i of two rows' packs, as one register.
__device__ inline unsigned pair(const uint4& low, const uint4& high, int i) {
  const unsigned lows[4] = {low.x, low.y, low.z, low.w};
  const unsigned highs[4] = {high.x, high.y, high.z, high.w};
  return __byte_perm(lows[i / 2], highs[i / 2], i % 2 == 0 ? 0x5410 : 0x7632);
}

// Block (x, y, z): columns, split of the union, tile of tokens.
template <class E>
__global__ void __launch_bounds__(kManyThreads) many_down_kernel(GatherManyJob job) {
  constexpr int kRows = 16;  // of a step
  __shared__ float meeting[kManyTokens][kManyColumns];
  await_inputs();
  const int count = *job.count;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int group = warp / kColumnGroups;
  const auto width = static_cast<int>(job.down.cols);
  const auto tokens = static_cast<int>(job.up.x.rows);
  const int first_token = static_cast<int>(blockIdx.z) * kManyTokens;
  const int base = static_cast<int>(blockIdx.x) * kManyColumns + warp % kColumnGroups * 64;
  const int column = base + lane / 4 * 8;
  const bool inside = column < width;

  const int steps = (count + kRows - 1) / kRows;
  const int parts = job.splits * kRowGroups;
  const int each = (steps + parts - 1) / parts;
  const int begin = (static_cast<int>(blockIdx.y) * kRowGroups + group) * each;
  const int end = begin + each < steps ? begin + each : steps;
  const auto hidden_of = [&](int half) {
    const int token = first_token + lane / 4 + 8 * half;
    return token < tokens ? static_cast<const E*>(job.hidden.data) + token * job.hidden.stride
                          : nullptr;
  };
  const E* const hidden[2] = {hidden_of(0), hidden_of(1)};
  const bool whole = job.hidden.stride % 4 == 0;  // four activations lie on eight bytes
  float sums[8][4] = {};
#pragma unroll 2
  for (int s = begin; s < end; ++s) {
    const int j = s * kRows + lane % 4 * 4;
    uint4 w[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      w[r] = uint4{0, 0, 0, 0};
      if (j + r < count && inside)
        w[r] = load_stream(static_cast<const E*>(job.down.data) + job.ids[j + r] * job.down.stride +
                           column);
    }
    unsigned a[4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (hidden[half] == nullptr) {
        a[half] = a[2 + half] = 0;
      } else if (whole && j + 4 <= count) {
        const uint2 four = *reinterpret_cast<const uint2*>(hidden[half] + j);
        a[half] = four.x;
        a[2 + half] = four.y;
      } else {
        unsigned h[4] = {};
        for (int r = 0; r < 4 && j + r < count; ++r)
          h[r] = reinterpret_cast<const unsigned short*>(hidden[half])[j + r];
        a[half] = h[0] | h[1] << 16;
        a[2 + half] = h[2] | h[3] << 16;
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
      multiply_add(sums[i], a, {pair(w[0], w[1], i), pair(w[2], w[3], i)}, E{});
  }
  // c0 of product i: token lane / 4, column (2 (lane % 4)) * 8 + i; c1 the next eight columns.
  const auto place = [&](int i, int c) {
    return warp % kColumnGroups * 64 + (lane % 4 * 2 + c % 2) * 8 + i;
  };
  if (group > 0) {
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int c = 0; c < 4; ++c) meeting[lane / 4 + 8 * (c / 2)][place(i, c)] = sums[i][c];
  }
  __syncthreads();
  if (group > 0) return;
  float* out = job.partials + std::int64_t{blockIdx.y} * tokens * width;
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const int token = first_token + lane / 4 + 8 * (c / 2);
    const int to = static_cast<int>(blockIdx.x) * kManyColumns + place(0, c);
    if (token >= tokens || to >= width) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i)
      out[std::int64_t{token} * width + to + i] =
          sums[i][c] + meeting[lane / 4 + 8 * (c / 2)][place(i, c)];
  }
}

template <class E>
void gather_many(const Queue& queue, const GatherManyJob& job) {
  const bool gated = job.up.gate.data != nullptr;
  const auto tiles = static_cast<unsigned>(ceil_div(job.up.x.rows, kManyTokens));
  const int neurons = gated ? kManyNeurons / 2 : kManyNeurons;
  const dim3 up(static_cast<unsigned>(ceil_div(job.up.up.rows, neurons)), tiles);
  launch(queue, grid(up, kManyThreads), gated ? many_up_kernel<E, true> : many_up_kernel<E, false>,
         job);
  const dim3 down(static_cast<unsigned>(ceil_div(job.down.cols, kManyColumns)),
                  static_cast<unsigned>(job.splits), tiles);
  launch(queue, grid(down, kManyThreads), many_down_kernel<E>, job);
}

}  // namespace dejavu::cuda
