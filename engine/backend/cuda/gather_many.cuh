// The gathered MLP of several tokens, 16 or 32 a tile, on tensor cores, in one pass over the
// union: of each neuron the record once a tile of tokens, 2 d (gated: 3 d) weights of two bytes.
// Beside it go, through the L2 cache, 8 bytes a token, neuron and slice (gated: 16), and 8 bytes a
// group, token and column.
//
// A block a multiprocessor. It owns a slice of 512 or 1024 columns, of x, of the records and of the
// output alike; the blocks of all slices make a group, and the groups share out the union evenly.
// So a row's piece is 1 or 2 KB at one place, x stays in registers over the whole first half, and
// the output's sums over the whole second half: all that flows is weights, through a ring some 170
// KB deep that one warp fills. Eight warps multiply, an eighth of the columns each:
//   Up: A = tokens, B = 16 neurons' rows. The warps' sums meet in shared memory and leave as the
//   slice's share of the dot products.
//   Then the blocks of a group wait for each other, twice: each adds up all slices of its part of
//   the neurons and activates them, and takes what the others activated. Meanwhile the down rows
//   come in.
//   Down: A = activations, B = the same neurons' down rows, transposed on the way to registers.
//   The groups' sums are added by sparse_mlp_add().
// All sums are in a fixed order. A group's blocks have consecutive numbers and wait for nobody
// else, so wherever as many blocks fit as there are slices, they all get in.
#pragma once

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/row_ring.cuh"
#include "engine/backend/cuda/tensor_core.cuh"

namespace dejavu::cuda {

constexpr int kManyWarps = 8;  // that multiply; one more fetches
constexpr int kManyThreads = 32 * kManyWarps;
constexpr int kManyRows = 16;  // neurons of a tile, a stage each matrix
// Of a slice; eight rows begin on different banks.
template <int kSlice>
using ManyRing = RowRing<kManyRows, 2 * kSlice + 16>;

struct GatherManyJob {
  MlpUpArgs up;
  ConstMatrix down;
  const std::int32_t* ids = nullptr;
  const std::int32_t* count = nullptr;
  float* partials = nullptr;    // [groups][T][d]
  float* sums = nullptr;        // [tiles of tokens][groups][slices][tiles][gate?, up][kSums]
  void* hidden = nullptr;       // [tiles of tokens][groups][tiles][kSums]
  unsigned* tickets = nullptr;  // [tiles of tokens][groups][3]
  int tiles = 0;                // of neurons, that a group has at most
  int stages = 0;
  bool sets_ready = false;

  __device__ bool gated() const { return up.gate.data != nullptr; }
};

// Of the warps that multiply.
__device__ inline void meet() { asm volatile("bar.sync 1, %0;" ::"n"(kManyThreads) : "memory"); }

// A group's neurons, every groups-th of the union: what all blocks are at lies close together in
// memory. Block (x, y, z): slice of the columns, group, tile of tokens.
struct Share {
  int neurons = 0;
  int tiles = 0;

  __device__ explicit Share(int count) {
    const auto groups = static_cast<int>(gridDim.y);
    neurons = (count - static_cast<int>(blockIdx.y) + groups - 1) / groups;
    tiles = (neurons + kManyRows - 1) / kManyRows;
  }
  // In the union, of the group's neuron j.
  __device__ static int place(int j) {
    return static_cast<int>(blockIdx.y) + j * static_cast<int>(gridDim.y);
  }
};

// What the fetching warp does. Past the last neuron it fetches that one again, for nobody.
template <class E, int kSlice>
__device__ void fetch_share(const GatherManyJob& job, const Share& share,
                            const ManyRing<kSlice>& ring) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int column = static_cast<int>(blockIdx.x) * kSlice;
  const auto width = static_cast<int>(job.up.x.cols);
  const int bytes = 2 * (width - column < kSlice ? width - column : kSlice);
  RingWalk walk(ring);
  const auto write = [&](const ConstMatrix& w, std::int64_t id) {
    walk.write(static_cast<const E*>(w.data) + id * w.stride + column, bytes);
  };
  const auto look_up = [&](int tile) {
    const int j = tile * kManyRows + lane;
    return job.ids[Share::place(j < share.neurons ? j : share.neurons - 1)];
  };
  for (const bool down : {false, true}) {
    int ids[3] = {look_up(0), look_up(2), look_up(4)};  // of two tiles each, well ahead
    for (int tile = 0; tile < share.tiles; ++tile) {
      const int id = __shfl_sync(kAllLanes, ids[0], tile % 2 * kManyRows + lane % kManyRows);
      if (!down && job.gated()) write(job.up.gate, id);
      write(down ? job.down : job.up.up, id);
      if (tile % 2 == 0) continue;
      ids[0] = ids[1];
      ids[1] = ids[2];
      ids[2] = look_up(tile + 5);
    }
  }
}

// What the multiplying warps do.
template <class E, int kTokens, int kSlice>
class GatherMany {
 public:
  using Ring = ManyRing<kSlice>;
  // Of a tile of neurons, as lanes hold them: [16 tokens][8 neurons][lane][4]; and as activations
  // [16 tokens][lane][8 neurons][4], what a lane will multiply side by side.
  static constexpr int kSums = kManyRows * kTokens;
  using Meeting = float4[2][kManyWarps][kSums / 4];

  __device__ GatherMany(const GatherManyJob& job, const Share& share, const Ring& ring)
      : job_(job), share_(share), walk_(ring) {
    const std::int64_t place = std::int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
    slice_apart_ = std::int64_t{job.gated() ? 2 : 1} * job.tiles * kSums;
    sums_ = job.sums + place * gridDim.x * slice_apart_;
    hidden_ = static_cast<E*>(job.hidden) + place * job.tiles * kSums;
    tickets_ = job.tickets + place * 3;
  }

  __device__ void multiply_up(Meeting& meeting) {
    unsigned x[kOwnColumns / 16][kGroups][4];
    load_tokens(x);
    const int row = lane_ / 16 * 8 + lane_ % 8;
    const auto own =
        static_cast<unsigned>(row * Ring::kPitch + (warp_ * kOwnColumns + lane_ / 8 % 2 * 8) * 2);
    float* to = sums_ + blockIdx.x * slice_apart_;
    const int steps = job_.gated() ? 2 * share_.tiles : share_.tiles;
    for (int step = 0; step < steps; ++step, to += kSums) {
      const unsigned from = walk_.await() + own;
      float sums[kGroups][2][4] = {};
#pragma unroll
      for (int k = 0; k < kOwnColumns / 16; ++k) {
        unsigned w[4];
        load_matrices(w, from + k * 32);
#pragma unroll
        for (int m = 0; m < kGroups; ++m) {
          multiply_add(sums[m][0], x[k][m], w[0], w[1], E{});
          multiply_add(sums[m][1], x[k][m], w[2], w[3], E{});
        }
      }
      walk_.release();
      float4* mine = meeting[step % 2][warp_];
#pragma unroll
      for (int m = 0; m < kGroups; ++m)
#pragma unroll
        for (int n = 0; n < 2; ++n)
          mine[(2 * m + n) * 32 + lane_] = {sums[m][n][0], sums[m][n][1], sums[m][n][2],
                                            sums[m][n][3]};
      meet();  // once a step is enough for two meetings by turns
      const auto* all = reinterpret_cast<const float(*)[kSums]>(meeting[step % 2]);
#pragma unroll
      for (int i = thread_; i < kSums; i += kManyThreads) {
        float sum = all[0][i];
#pragma unroll
        for (int w = 1; w < kManyWarps; ++w) sum += all[w][i];
        to[i] = sum;
      }
    }
  }

  // The blocks of a group take its tiles in turns.
  __device__ void activate_share() {
    if (share_.tiles == 0) return;
    await_group(tickets_);
    constexpr int kAtOnce = 4;
    const auto slices = static_cast<int>(gridDim.x);
    for (int i = thread_; i < kSums; i += kManyThreads) {
      const int lane = i / 4 % 32;
      const int neuron = i / 128 % 2 * 8 + lane % 4 * 2 + i % 2;
      const int token = first_token() + i / 256 * 16 + lane / 4 + i % 4 / 2 * 8;
      E* to = hidden_ + i / 256 * 256 + lane * 8 + i / 128 % 2 * 4 + i % 4;
      for (int begin = static_cast<int>(blockIdx.x); begin < share_.tiles;
           begin += kAtOnce * slices) {
        float totals[kAtOnce][2] = {};
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
          const int tile = begin + u * slices;
          if (tile >= share_.tiles) continue;
          totals[u][0] = total(job_.gated() ? 2 * tile : tile, i);
          if (job_.gated()) totals[u][1] = total(2 * tile + 1, i);
        }
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
          const int tile = begin + u * slices;
          if (tile >= share_.tiles) continue;
          const int j = tile * kManyRows + neuron;
          float value = 0;
          if (j < share_.neurons && token < job_.up.x.rows) {
            const std::int64_t id = job_.ids[Share::place(j)];
            value = first_factor(job_.up, token, id, totals[u][0]);
            if (job_.gated()) value = second_factor(job_.up, id, value, totals[u][1]);
          }
          to[tile * kSums] = from_float<E>(value);
        }
      }
    }
    await_group(tickets_ + 1);
  }

  __device__ void multiply_down() {
    float sums[kGroups][kOwnColumns / 8][4] = {};
    const auto own = static_cast<unsigned>(lane_ % 16 * Ring::kPitch +
                                           (warp_ * kOwnColumns + lane_ / 16 * 8) * 2);
    const auto load = [&](unsigned(&h)[kGroups][4], int tile) {
      if (tile >= share_.tiles) return;
      const auto* from = reinterpret_cast<const uint4*>(hidden_ + tile * kSums) + lane_;
#pragma unroll
      for (int m = 0; m < kGroups; ++m) {
        const uint4 raw = __ldcg(from + m * 32);
        h[m][0] = raw.x;
        h[m][1] = raw.y;
        h[m][2] = raw.z;
        h[m][3] = raw.w;
      }
    };
    const auto multiply = [&](const unsigned(&h)[kGroups][4]) {
      const unsigned from = walk_.await() + own;
#pragma unroll
      for (int n = 0; n < kOwnColumns / 16; ++n) {
        unsigned w[4];
        load_transposed(w, from + n * 32);
#pragma unroll
        for (int m = 0; m < kGroups; ++m) {
          multiply_add(sums[m][2 * n], h[m], w[0], w[1], E{});
          multiply_add(sums[m][2 * n + 1], h[m], w[2], w[3], E{});
        }
      }
      walk_.release();
    };
    unsigned even[kGroups][4];
    unsigned odd[kGroups][4];
    load(even, 0);
    load(odd, 1);
    for (int tile = 0; tile < share_.tiles; tile += 2) {
      multiply(even);
      load(even, tile + 2);
      if (tile + 1 == share_.tiles) break;
      multiply(odd);
      load(odd, tile + 3);
    }
    store(sums);
  }

  // For the next kernel; no block of the group waits any more.
  __device__ void reset_tickets() const {
    if (share_.tiles == 0 || thread_ != 0) return;
    if (atomicAdd(tickets_ + 2, 1U) != gridDim.x - 1) return;
    for (int i = 0; i < 3; ++i) tickets_[i] = 0;
  }

 private:
  static constexpr int kGroups = kTokens / 16;             // of tokens
  static constexpr int kOwnColumns = kSlice / kManyWarps;  // of a warp

  __device__ static int first_token() { return static_cast<int>(blockIdx.z) * kTokens; }
  // Of this lane's first pair.
  __device__ int first_column() const {
    return static_cast<int>(blockIdx.x) * kSlice + warp_ * kOwnColumns + lane_ % 4 * 2;
  }

  __device__ float total(int step, int i) const {
    constexpr int kAtOnce = 8;
    const auto slices = static_cast<int>(gridDim.x);
    const float* from = sums_ + std::int64_t{step} * kSums + i;
    float sum = 0;
    for (int begin = 0; begin < slices; begin += kAtOnce) {
      float values[kAtOnce];
#pragma unroll
      for (int s = 0; s < kAtOnce; ++s)
        values[s] = begin + s < slices ? __ldcg(from + (begin + s) * slice_apart_) : 0.0F;
#pragma unroll
      for (const float value : values) sum += value;
    }
    return sum;
  }

  // Nothing where there is no token and no column.
  __device__ void load_tokens(unsigned (&x)[kOwnColumns / 16][kGroups][4]) const {
#pragma unroll
    for (int m = 0; m < kGroups; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = first_token() + 16 * m + lane_ / 4 + i % 2 * 8;
        const auto* row = static_cast<const E*>(job_.up.x.data) + token * job_.up.x.stride;
#pragma unroll
        for (int k = 0; k < kOwnColumns / 16; ++k) {
          const int column = first_column() + 16 * k + i / 2 * 8;
          const bool inside = token < job_.up.x.rows && column < job_.up.x.cols;
          x[k][m][i] = inside ? *reinterpret_cast<const unsigned*>(row + column) : 0U;
        }
      }
  }

  __device__ void store(const float (&sums)[kGroups][kOwnColumns / 8][4]) const {
    const auto width = static_cast<int>(job_.down.cols);
    const auto tokens = static_cast<int>(job_.up.x.rows);
#pragma unroll
    for (int m = 0; m < kGroups; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = first_token() + 16 * m + lane_ / 4 + half * 8;
        if (token >= tokens) continue;
        float* to = job_.partials + (std::int64_t{blockIdx.y} * tokens + token) * width;
#pragma unroll
        for (int n = 0; n < kOwnColumns / 8; ++n) {
          const int column = first_column() + 8 * n;
          if (column < width)
            *reinterpret_cast<float2*>(to + column) = {sums[m][n][2 * half],
                                                       sums[m][n][2 * half + 1]};
        }
      }
  }

  // What the group's blocks wrote before, all of them see afterwards.
  __device__ void await_group(unsigned* ticket) const {
    meet();
    if (thread_ == 0) {
      __threadfence();
      atomicAdd(ticket, 1U);
      unsigned arrived = 0;
      while (arrived < gridDim.x)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
                     : "=r"(arrived)
                     : "l"(ticket)
                     : "memory");
      __threadfence();
    }
    meet();
  }

  const GatherManyJob& job_;
  const Share& share_;
  RingWalk<Ring> walk_;
  std::int64_t slice_apart_;
  float* sums_;  // of the group
  E* hidden_;
  unsigned* tickets_;
  int thread_ = static_cast<int>(threadIdx.x);
  int lane_ = static_cast<int>(threadIdx.x % 32);
  int warp_ = static_cast<int>(threadIdx.x / 32);
};

template <class E, int kTokens, int kSlice>
__global__ void __launch_bounds__(kManyThreads + 32, 1)
    gather_many_kernel(const __grid_constant__ GatherManyJob job) {
  using Work = GatherMany<E, kTokens, kSlice>;
  using Ring = typename Work::Ring;
  extern __shared__ uint4 shared[];  // a meeting, then the ring
  __shared__ typename Ring::Barriers barriers;
  auto& meeting = *reinterpret_cast<typename Work::Meeting*>(shared);
  const Ring ring{reinterpret_cast<char*>(&meeting + 1), &barriers, job.stages};
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread == 0) ring.open(kManyWarps);
  // Of a last slice that is not whole: zeros, as the tokens' own are there.
  if (static_cast<int>(blockIdx.x + 1) * kSlice > job.up.x.cols) {
    for (int i = thread; i < job.stages * Ring::kStageBytes / 16; i += kManyThreads + 32)
      reinterpret_cast<uint4*>(ring.data)[i] = uint4{0, 0, 0, 0};
    Ring::publish();
  }
  __syncthreads();
  if (!job.sets_ready) await_inputs();
  const Share share(*job.count);
  if (thread >= kManyThreads) {
    if (share.tiles > 0) fetch_share<E, kSlice>(job, share, ring);
    return;
  }
  await_inputs();
  Work work(job, share, ring);
  work.multiply_up(meeting);
  work.activate_share();
  work.multiply_down();
  work.reset_tickets();
}

}  // namespace dejavu::cuda
