// Predictors: 8-bit rows times a token in float. Bytes: rank * d for the first matrix, units * rank
// for the second, once; they are small, so what counts is how many loads are in flight at once and
// how few kernels follow one another. A warp takes a row (16 weights a lane and load) and adds up
// the token's square on the way; a block has the 32 units of a set's word. A last kernel counts the
// sets and lists their union, so no count ever visits the host.
#include <algorithm>

#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kListThreads = 1024;
constexpr float kEpsilon = 1e-6F;

// Rows of weights start on sixteen bytes and hold whole sixteens; so do the floats they meet.
bool packed_bytes(const std::int8_t* weights, int columns) {
  return reinterpret_cast<std::uintptr_t>(weights) % 16 == 0 && columns % 16 == 0;
}
bool packed_floats(const ConstMatrix& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride % 4 == 0;
}

// A row's product with x, and x's with itself.
struct Products {
  float dot = 0;
  float square = 0;
};

__device__ inline void add_16(const uint4& raw, const float* x, Products& sums) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const float4 four = *reinterpret_cast<const float4*>(x + 4 * w);
    const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const auto weight = static_cast<std::int8_t>(words[w] >> (8 * b) & 0xffU);
      sums.dot = fmaf(static_cast<float>(weight), values[b], sums.dot);
      sums.square = fmaf(values[b], values[b], sums.square);
    }
  }
}

// A warp's products over columns 32 (or 512) apart from its own `part` on, of `parts`; in every
// lane.
template <bool kPacked>
__device__ Products row_products(const std::int8_t* row, const float* x, int columns, int part = 0,
                                 int parts = 1) {
  const int lane = static_cast<int>(threadIdx.x % 32) + 32 * part;
  Products sums;
  if constexpr (kPacked) {
#pragma unroll 4
    for (int c = 16 * lane; c < columns; c += 512 * parts) add_16(load_16(row + c), x + c, sums);
  } else {
    for (int c = lane; c < columns; c += 32 * parts) {
      sums.dot = fmaf(static_cast<float>(row[c]), x[c], sums.dot);
      sums.square = fmaf(x[c], x[c], sums.square);
    }
  }
  return {lane_sum(sums.dot), lane_sum(sums.square)};
}

__device__ inline float inverse_rms(float square, int columns) {
  return 1.0F / sqrtf(square / static_cast<float>(columns) + kEpsilon);
}

struct PredictJob {
  PredictArgs args;
  float* low = nullptr;  // [T][low_stride]: what the second matrix multiplies
  std::int64_t low_stride = 0;
};

__device__ inline const float* token_of(const PredictJob& job, std::int64_t t) {
  return static_cast<const float*>(job.args.x.data) + t * job.args.x.stride;
}

__device__ inline bool chosen(const PredictorView& p, float dot, int unit, int level) {
  const float score = dot * p.up_scale[unit] + p.bias[unit];
  return score >= p.thresholds[std::int64_t{level} * p.units + unit];
}

// A warp a row of the first matrix.
template <bool kPacked>
__global__ void __launch_bounds__(kThreads) low_kernel(PredictJob job) {
  const PredictorView& p = job.args.predictor;
  const int r = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x / 32);
  await_inputs();
  const std::int64_t t = blockIdx.y;
  if (r >= p.rank || job.args.level[t] < 0) return;
  const Products sums =
      row_products<kPacked>(p.down + std::int64_t{r} * p.input, token_of(job, t), p.input);
  if (threadIdx.x % 32 == 0)
    job.low[t * job.low_stride + r] =
        sums.dot * p.down_scale[r] * inverse_rms(sums.square, p.input);
}

// One word of a token's set: the block's warps share its 32 units.
template <bool kPacked>
__global__ void __launch_bounds__(kThreads) sets_kernel(PredictJob job) {
  __shared__ unsigned bits[kWarps];
  const PredictorView& p = job.args.predictor;
  const MaskView& mask = job.args.mask;
  const int warp = static_cast<int>(threadIdx.x / 32);
  await_inputs();
  const std::int64_t t = blockIdx.y;
  const int level = job.args.level[t];
  unsigned own = 0;
#pragma unroll
  for (int i = 0; i < 32 / kWarps; ++i) {
    const int bit = i * kWarps + warp;
    const int unit = static_cast<int>(blockIdx.x) * 32 + bit;
    if (unit >= p.units) continue;
    bool in = level < 0;
    if (!in) {
      const float dot = row_products<kPacked>(p.up + std::int64_t{unit} * p.rank,
                                              job.low + t * job.low_stride, p.rank)
                            .dot;
      in = chosen(p, dot, unit, level);
    }
    own |= (in ? 1U : 0U) << bit;
  }
  if (threadIdx.x % 32 == 0) bits[warp] = own;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < kWarps; ++w) own |= bits[w];
  mask.words[t * mask.stride + blockIdx.x] = own;
}

// A block a unit, for a router without a first matrix: few units, long rows. Bytes of flags.
template <bool kPacked>
__global__ void __launch_bounds__(kThreads) route_kernel(PredictJob job, std::uint8_t* flags) {
  __shared__ Products parts[kWarps];
  const PredictorView& p = job.args.predictor;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const auto unit = static_cast<int>(blockIdx.x);
  await_inputs();
  const std::int64_t t = blockIdx.y;
  const int level = job.args.level[t];
  bool in = level < 0;
  if (!in) {
    const Products own = row_products<kPacked>(p.up + std::int64_t{unit} * p.rank, token_of(job, t),
                                               p.rank, warp, kWarps);
    if (threadIdx.x % 32 == 0) parts[warp] = own;
    __syncthreads();
    Products sums;
    for (const Products& part : parts) {
      sums.dot += part.dot;
      sums.square += part.square;
    }
    in = chosen(p, sums.dot * inverse_rms(sums.square, p.rank), unit, level);
  }
  if (threadIdx.x == 0) flags[t * p.units + unit] = in ? 1 : 0;
}

// A token's flags as words, a word a thread.
__device__ inline void pack_flags(const MaskView& mask, const std::uint8_t* flags, std::int64_t t) {
  for (int w = static_cast<int>(threadIdx.x); w < mask_words(mask.units); w += kListThreads) {
    unsigned word = 0;
    for (int bit = 0; bit < 32 && 32 * w + bit < mask.units; ++bit)
      word |= static_cast<unsigned>(flags[t * mask.units + 32 * w + bit]) << bit;
    mask.words[t * mask.stride + w] = word;
  }
}

// Sum over the threads before this one, and over all.
struct Scan {
  int before = 0;
  int total = 0;
};
__device__ Scan scan_block(int own, int* room) {
  static_assert(kListThreads == 32 * 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  int sum = own;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += other;
  }
  __syncthreads();
  if (lane == 31) room[warp] = sum;
  __syncthreads();
  const int others = room[lane];  // of the warp of the lane's number
  int total = others;
  int before = lane < warp ? others : 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    total += __shfl_xor_sync(kAllLanes, total, step);
    before += __shfl_xor_sync(kAllLanes, before, step);
  }
  return {before + sum - own, total};
}

// Blocks 0 .. T-1 count a token's set each; block T lists the union. `flags`: sets that are not
// packed yet; null: they are.
__global__ void __launch_bounds__(kListThreads)
    list_kernel(PredictArgs args, const std::uint8_t* flags) {
  __shared__ int room[32];
  await_inputs();
  const MaskView& mask = args.mask;
  const int words = mask_words(mask.units);
  const auto tokens = static_cast<int>(args.x.rows);
  const bool counts = static_cast<int>(blockIdx.x) < tokens;
  if (flags != nullptr) {
    // The union's block packs every token for itself: the same words as the others write.
    for (int t = 0; t < tokens; ++t)
      if (!counts || t == static_cast<int>(blockIdx.x)) pack_flags(mask, flags, t);
    __syncthreads();
  }
  int total = 0;
  for (int begin = 0; begin < words; begin += kListThreads) {
    const int w = begin + static_cast<int>(threadIdx.x);
    unsigned any = 0;
    if (w < words && counts) any = mask.words[std::int64_t{blockIdx.x} * mask.stride + w];
    if (w < words && !counts) {
      for (int t = 0; t < tokens; ++t) any |= mask.words[std::int64_t{t} * mask.stride + w];
    }
    const Scan scan = scan_block(__popc(any), room);
    int place = total + scan.before;
    for (; any != 0 && !counts; any &= any - 1)
      args.union_ids[place++] = 32 * w + __ffs(static_cast<int>(any)) - 1;
    total += scan.total;
  }
  if (threadIdx.x != 0) return;
  if (counts) {
    args.counts[blockIdx.x] = total;
  } else {
    *args.union_count = total;
  }
}

void list(const Queue& queue, const PredictArgs& args, const std::uint8_t* flags) {
  launch(queue, grid(dim3(static_cast<unsigned>(args.x.rows + 1)), kListThreads), list_kernel, args,
         flags);
}

void route(const Queue& queue, const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  PredictJob job;
  job.args = args;
  auto* flags = queue.scratch<std::uint8_t>();
  const dim3 blocks(static_cast<unsigned>(p.units), static_cast<unsigned>(args.x.rows));
  const bool packed = packed_bytes(p.up, p.rank) && packed_floats(args.x);
  launch(queue, grid(blocks, kThreads), packed ? route_kernel<true> : route_kernel<false>, job,
         flags);
  list(queue, args, flags);
}

}  // namespace

void predict(const Queue& queue, const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  if (p.down == nullptr) return route(queue, args);
  PredictJob job;
  job.low_stride = ceil_div(p.rank, 4) * 4;
  job.low = queue.scratch<float>();
  const auto room = static_cast<std::int64_t>(queue.arena_bytes / sizeof(float)) / job.low_stride;
  for (std::int64_t first = 0; first < args.x.rows; first += room) {
    job.args = args;
    job.args.x.data = args.x.row(first);
    job.args.x.rows = std::min(room, args.x.rows - first);
    job.args.level += first;
    job.args.mask.words += first * args.mask.stride;
    const auto tokens = static_cast<unsigned>(job.args.x.rows);
    const bool low_packed = packed_bytes(p.down, p.input) && packed_floats(args.x);
    const dim3 lows(static_cast<unsigned>(ceil_div(p.rank, kWarps)), tokens);
    launch(queue, grid(lows, kThreads), low_packed ? low_kernel<true> : low_kernel<false>, job);
    const dim3 sets(static_cast<unsigned>(mask_words(p.units)), tokens);
    launch(queue, grid(sets, kThreads),
           packed_bytes(p.up, p.rank) ? sets_kernel<true> : sets_kernel<false>, job);
  }
  list(queue, args, nullptr);
}

}  // namespace dejavu::cuda
