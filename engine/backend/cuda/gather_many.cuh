// The gathered MLP of several tokens, 16 or 32 a tile, on tensor cores: of each neuron in the union
// the record once a tile, the tokens' activations beside it (from L2). Both products are
// mma.m16n8k16 with F32 sums. The order of k within a product is free as long as both operands
// agree, so each lane takes sixteen neighbouring bytes of a row for its k's: no transposition. A
// thread multiplies what it copied itself into a ring in shared memory, stages ahead: no barrier.
//   Up: A = neurons' rows, B = tokens; a block a multiprocessor, with an equal share of the union,
//   some rows a pass; the block's warps share the width.
//   Down: A = tokens' activations, B = 16 neurons' down rows; pairs along k come from two rows and
//   are put together in registers. Splits of the union go to partial sums, added in order later.
#pragma once

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/async_copy.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {

constexpr int kManyWarps = 8;
constexpr int kManyThreads = 32 * kManyWarps;
constexpr int kManyRows = 64;  // of a pass: 64 neurons', or 32 neurons' gates and ups
constexpr int kManyColumns = 256;
constexpr int kColumnGroups = 4;  // warps side by side, 64 columns each
constexpr int kRowGroups = kManyWarps / kColumnGroups;
constexpr int kDownStages = 6;

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
  bool sets_ready = false;
};

// Pieces of sixteen bytes that a thread copies in a step.
template <int kTokens>
constexpr int kUpPieces = kManyRows / 8 + kTokens / 8;

// A block's share of the union, pass by pass.
struct Passes {
  int first = 0;  // of the pass, in the union
  int end = 0;    // of the share
  int each = 0;   // neurons of a pass

  __device__ Passes(int count, int most) {
    const auto border = [count](unsigned block) {
      return static_cast<int>(std::int64_t{count} * block / gridDim.x);
    };
    first = border(blockIdx.x);
    end = border(blockIdx.x + 1);
    const int passes = (end - first + most - 1) / most;
    each = passes > 0 ? (end - first + passes - 1) / passes : 0;
  }
  __device__ int neurons() const { return end - first < each ? end - first : each; }
};

// Block (x, y): share of the union, tile of tokens.
template <class E, bool kGated, int kTokens, int kStages>
__global__ void __launch_bounds__(kManyThreads, 1) many_up_kernel(GatherManyJob job) {
  constexpr int kTiles = kManyRows / 16;
  constexpr int kGroups = kTokens / 8;
  constexpr int kNeurons = kGated ? kManyRows / 2 : kManyRows;
  constexpr int kPieces = kUpPieces<kTokens>;
  constexpr int kStep = 32 * kManyWarps;  // columns
  using Meeting = float[kManyRows][kTokens + 1];
  extern __shared__ uint4 ring[];  // [stages][pieces][threads]; between passes: Meeting[warps]
  if (!job.sets_ready) await_inputs();
  const int count = *job.count;
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  const int row = lane / 4;
  const auto width = static_cast<int>(job.up.x.cols);
  const auto tokens = static_cast<int>(job.up.x.rows);
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const int steps = (width + kStep - 1) / kStep;
  const int own = warp * 32 + lane % 4 * 8;  // column of a step

  const E* inputs[kGroups];
#pragma unroll
  for (int n = 0; n < kGroups; ++n) {
    const int token = first_token + row + 8 * n;
    inputs[n] = static_cast<const E*>(job.up.x.data) +
                (token < tokens ? token : first_token) * job.up.x.stride;
  }
  const auto place = [&](int step, int piece) {
    return ring + (step % kStages * kPieces + piece) * kManyThreads + thread;
  };
  for (Passes pass(count, kNeurons); pass.first < pass.end; pass.first += pass.each) {
    const int neurons = pass.neurons();
    const E* rows[2 * kTiles];  // null: none
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const int tile = i / 2;
      const int j = (kGated ? tile % (kTiles / 2) : tile) * 16 + i % 2 * 8 + row;
      const ConstMatrix& w = kGated && tile < kTiles / 2 ? job.up.gate : job.up.up;
      rows[i] = j < neurons
                    ? static_cast<const E*>(w.data) + job.ids[pass.first + j] * w.stride + own
                    : nullptr;
    }
    const auto fetch_rows = [&](int step) {
      if (step * kStep + own >= width) return;
#pragma unroll
      for (int i = 0; i < 2 * kTiles; ++i)
        if (rows[i] != nullptr) copy_async_16(place(step, i), rows[i] + step * kStep);
    };
    const auto fetch_tokens = [&](int step) {
      if (step * kStep + own < width) {
#pragma unroll
        for (int n = 0; n < kGroups; ++n)
          copy_async_16(place(step, 2 * kTiles + n), inputs[n] + step * kStep + own);
      }
      close_copies();  // empty ones keep the count
    };
    for (int step = 0; step < kStages - 1; ++step) fetch_rows(step);
    await_inputs();
    for (int step = 0; step < kStages - 1; ++step) fetch_tokens(step);
    float sums[kTiles][kGroups][4] = {};
    for (int step = 0; step < steps; ++step) {
      await_copies<kStages - 2>();
      fetch_rows(step + kStages - 1);  // into the stage before this one
      fetch_tokens(step + kStages - 1);
      const bool inside = step * kStep + own < width;
      const auto taken = [&](int piece) {
        return inside ? *place(step, piece) : uint4{0, 0, 0, 0};
      };
      uint4 b[kGroups];
#pragma unroll
      for (int n = 0; n < kGroups; ++n) b[n] = taken(2 * kTiles + n);
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        if ((kGated ? m % (kTiles / 2) : m) * 16 >= neurons) continue;
        // What stands in a row that is not there reaches that row's sums only.
        const uint4 upper = taken(2 * m);
        const uint4 lower = taken(2 * m + 1);
        const unsigned low[4] = {upper.x, lower.x, upper.y, lower.y};
        const unsigned high[4] = {upper.z, lower.z, upper.w, lower.w};
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
          multiply_add(sums[m][n], low, {b[n].x, b[n].y}, E{});
          multiply_add(sums[m][n], high, {b[n].z, b[n].w}, E{});
        }
      }
    }
    await_copies<0>();
    __syncthreads();
    auto* meeting = reinterpret_cast<Meeting*>(ring);
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int n = 0; n < kGroups; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          meeting[warp][16 * m + row + 8 * (i / 2)][8 * n + lane % 4 * 2 + i % 2] = sums[m][n][i];
    __syncthreads();
    const auto total = [&](int r, int t) {
      float sum = meeting[0][r][t];
#pragma unroll
      for (int w = 1; w < kManyWarps; ++w) sum += meeting[w][r][t];
      return sum;
    };
    for (int i = thread; i < kNeurons * kTokens; i += kManyThreads) {
      const int r = i % kNeurons;
      const int token = first_token + i / kNeurons;
      if (r >= neurons || token >= tokens) continue;
      const std::int64_t n = job.ids[pass.first + r];
      float value = first_factor(job.up, token, n, total(r, i / kNeurons));
      if (kGated) value = second_factor(job.up, n, value, total(r + kNeurons, i / kNeurons));
      static_cast<E*>(job.hidden.data)[token * job.hidden.stride + pass.first + r] =
          from_float<E>(value);
    }
    __syncthreads();
  }
  await_inputs();  // blocks without a share too
}

// Elements i of two rows' packs, as one register.
__device__ inline unsigned pair(const uint4& low, const uint4& high, int i) {
  const unsigned lows[4] = {low.x, low.y, low.z, low.w};
  const unsigned highs[4] = {high.x, high.y, high.z, high.w};
  return __byte_perm(lows[i / 2], highs[i / 2], i % 2 == 0 ? 0x5410 : 0x7632);
}

// Block (x, y, z): columns, split of the union, tile of tokens.
template <class E, int kTokens>
__global__ void __launch_bounds__(kManyThreads, 2) many_down_kernel(GatherManyJob job) {
  constexpr int kRows = 16;             // of a step
  constexpr int kTiles = kTokens / 16;  // of tokens
  constexpr int kOwn = 4;               // neighbouring rows of a lane
  extern __shared__ uint4 ring[];  // [stages][kOwn][threads]; in the end: [kTokens][kManyColumns]
  if (!job.sets_ready) await_inputs();
  const int count = *job.count;
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  const int group = warp / kColumnGroups;
  const auto width = static_cast<int>(job.down.cols);
  const auto tokens = static_cast<int>(job.up.x.rows);
  const int first_token = static_cast<int>(blockIdx.z) * kTokens;
  const int base = static_cast<int>(blockIdx.x) * kManyColumns + warp % kColumnGroups * 64;
  const int column = base + lane / 4 * 8;
  const int first_row = lane % 4 * kOwn;

  const int steps = (count + kRows - 1) / kRows;
  const int parts = job.splits * kRowGroups;
  const int each = (steps + parts - 1) / parts;
  const int begin = (static_cast<int>(blockIdx.y) * kRowGroups + group) * each;
  const int end = begin + each < steps ? begin + each : steps;

  std::int32_t ids[kOwn];  // of the step to be fetched next; -1: none
  const auto look_up = [&](int step) {
    const int j = step * kRows + first_row;
#pragma unroll
    for (int r = 0; r < kOwn; ++r)
      ids[r] = step < end && j + r < count && column < width ? job.ids[j + r] : -1;
  };
  const auto place = [&](int step, int r) {
    return ring + ((step - begin) % kDownStages * kOwn + r) * kManyThreads + thread;
  };
  const auto fetch = [&](int step) {
#pragma unroll
    for (int r = 0; r < kOwn; ++r)
      if (ids[r] >= 0)
        copy_async_16(place(step, r),
                      static_cast<const E*>(job.down.data) + ids[r] * job.down.stride + column);
    close_copies();
    look_up(step + 1);
  };
  look_up(begin);
  for (int s = 0; s < kDownStages - 1; ++s) fetch(begin + s);
  await_inputs();

  const bool whole = job.hidden.stride % kOwn == 0;  // four activations lie on eight bytes
  // Token lane / 4 + 8 * q's activations of the lane's rows.
  const auto activations = [&](int step, int q) {
    const int token = first_token + lane / 4 + 8 * q;
    const int j = step * kRows + first_row;
    if (token >= tokens || step >= end) return uint2{0, 0};
    const E* from = static_cast<const E*>(job.hidden.data) + token * job.hidden.stride + j;
    if (whole && j + kOwn <= count) return *reinterpret_cast<const uint2*>(from);
    unsigned h[kOwn] = {};
#pragma unroll
    for (int r = 0; r < kOwn; ++r)
      if (j + r < count) h[r] = reinterpret_cast<const unsigned short*>(from)[r];
    return uint2{h[0] | h[1] << 16, h[2] | h[3] << 16};
  };
  uint2 next[2 * kTiles];
#pragma unroll
  for (int q = 0; q < 2 * kTiles; ++q) next[q] = activations(begin, q);
  float sums[kTiles][8][4] = {};
  for (int s = begin; s < end; ++s) {
    uint2 now[2 * kTiles];
#pragma unroll
    for (int q = 0; q < 2 * kTiles; ++q) {
      now[q] = next[q];
      next[q] = activations(s + 1, q);
    }
    await_copies<kDownStages - 2>();
    fetch(s + kDownStages - 1);  // into the stage before this one
    uint4 w[kOwn];
#pragma unroll
    for (int r = 0; r < kOwn; ++r)
      w[r] = s * kRows + first_row + r < count ? *place(s, r) : uint4{0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const unsigned b[2] = {pair(w[0], w[1], i), pair(w[2], w[3], i)};
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const unsigned a[4] = {now[2 * m].x, now[2 * m + 1].x, now[2 * m].y, now[2 * m + 1].y};
        multiply_add(sums[m][i], a, b, E{});
      }
    }
  }
  await_copies<0>();
  __syncthreads();
  // c0 of product i: token lane / 4, column (2 (lane % 4)) * 8 + i; c1 the next eight columns.
  const auto place_of = [&](int i, int c) {
    return warp % kColumnGroups * 64 + (lane % 4 * 2 + c % 2) * 8 + i;
  };
  auto* meeting = reinterpret_cast<float(*)[kManyColumns]>(ring);
  if (group > 0) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m)
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int c = 0; c < 4; ++c)
          meeting[16 * m + lane / 4 + 8 * (c / 2)][place_of(i, c)] = sums[m][i][c];
  }
  __syncthreads();
  if (group > 0) return;
  float* out = job.partials + std::int64_t{blockIdx.y} * tokens * width;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const int t = 16 * m + lane / 4 + 8 * (c / 2);
      const int to = static_cast<int>(blockIdx.x) * kManyColumns + place_of(0, c);
      if (first_token + t >= tokens || to >= width) continue;
#pragma unroll
      for (int i = 0; i < 8; ++i)
        out[std::int64_t{first_token + t} * width + to + i] =
            sums[m][i][c] + meeting[t][place_of(i, c)];
    }
  }
}

template <class E, bool kGated, int kTokens>
void launch_many_up(const Queue& queue, const GatherManyJob& job, unsigned tiles) {
  constexpr std::size_t kStage = std::size_t{16} * kUpPieces<kTokens> * kManyThreads;
  const bool roomy = queue.shared_bytes >= 4 * kStage;
  const dim3 blocks(static_cast<unsigned>(queue.processors), tiles);
  launch(queue, grid(blocks, kManyThreads, (roomy ? 4 : 2) * kStage),
         roomy ? many_up_kernel<E, kGated, kTokens, 4> : many_up_kernel<E, kGated, kTokens, 2>,
         job);
}

template <class E, int kTokens>
void gather_tiles(const Queue& queue, const GatherManyJob& job) {
  const auto tiles = static_cast<unsigned>(ceil_div(job.up.x.rows, kTokens));
  job.up.gate.data != nullptr ? launch_many_up<E, true, kTokens>(queue, job, tiles)
                              : launch_many_up<E, false, kTokens>(queue, job, tiles);
  constexpr std::size_t kRing = std::size_t{16} * kDownStages * 4 * kManyThreads;
  const dim3 down(static_cast<unsigned>(ceil_div(job.down.cols, kManyColumns)),
                  static_cast<unsigned>(job.splits), tiles);
  launch(queue, grid(down, kManyThreads, kRing), many_down_kernel<E, kTokens>, job);
}

template <class E>
void gather_many(const Queue& queue, const GatherManyJob& job) {
  job.up.x.rows <= 16 ? gather_tiles<E, 16>(queue, job) : gather_tiles<E, 32>(queue, job);
}

}  // namespace dejavu::cuda
