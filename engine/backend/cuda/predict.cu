// Predictors: 8-bit rows times tokens. Bytes: rank * d for the first matrix, units * rank for the
// second, once a tile of tokens; they are small, so what counts is how many loads are in flight at
// once, how few kernels follow one another, and, in batches, how few instructions a unit and token
// take. With a bottleneck: one token in predict_one.cuh, several on tensor cores in
// predict_tensor.cuh. Routers, without one, and odd shapes in float: a warp has four rows and one
// or eight tokens at a time, and adds up its lanes' 32 sums in 31 exchanges. No count ever visits
// the host.
#include <algorithm>

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/ops.h"
#include "engine/backend/cuda/predict_one.cuh"
#include "engine/backend/cuda/predict_route.cuh"
#include "engine/backend/cuda/predict_tensor.cuh"

namespace dejavu::cuda {
namespace {

// Where the shape is not for tensor cores. Block (x, y): kRows rows of the first matrix, tile of
// tokens.
template <int kTokens>
__global__ void __launch_bounds__(kThreads) low_kernel(PredictJob job) {
  __shared__ float room[kWarps][32];
  __shared__ float square_room[kWarps][kTokens];
  const PredictorView& p = job.args.predictor;
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  await_inputs();
  if (!has_levels<kTokens>(job)) return;
  const Tile tile = tile_of<kTokens>(static_cast<const float*>(job.args.x.data), job.args.x.stride,
                                     job.args.x.rows);
  Sums<kTokens> sums;
  add_up<false, true, kTokens>({p.down, p.rank, p.input}, first, tile, warp, kWarps, sums);
  store_squares(sums, square_room);
  const float total = block_total(lane_total<kTokens>(sums.dots), room);
  const int t = lane / kRows;
  const int r = first + lane % kRows;
  if (warp > 0 || t >= tile.tokens || r >= p.rank) return;
  job.low[(std::int64_t{blockIdx.y} * kTokens + t) * job.low_stride + r] =
      total * p.down_scale[r] * inverse_rms(square_total(square_room, t), p.input);
}

// Block (x, y): one word of the sets, its units shared by the warps; tile of tokens.
template <int kTokens>
__global__ void __launch_bounds__(kThreads) sets_kernel(PredictJob job) {
  __shared__ unsigned bits[kWarps];
  const PredictorView& p = job.args.predictor;
  const MaskView& mask = job.args.mask;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int first = static_cast<int>(blockIdx.x) * 32 + warp * kRows;
  const std::int64_t token = std::int64_t{blockIdx.y} * kTokens + lane / kRows;
  const int unit = first + lane % kRows;
  await_inputs();
  const Tile tile = tile_of<kTokens>(job.low, job.low_stride, job.args.x.rows);
  const int level = level_of(job, token);
  bool in = level < 0;
  if (has_levels<kTokens>(job) && first < p.units) {
    Sums<kTokens> sums;
    add_up<false, false, kTokens>({p.up, p.units, p.rank}, first, tile, 0, 1, sums);
    const float dot = lane_total<kTokens>(sums.dots);
    if (level >= 0 && unit < p.units) in = chosen(p, dot, unit, level);
  }
  const unsigned raised = __ballot_sync(kAllLanes, in && unit < p.units);
  if (lane == 0) bits[warp] = raised;
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x);
  if (t >= tile.tokens) return;
  unsigned word = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) word |= (bits[w] >> (kRows * t) & 15U) << (kRows * w);
  mask.words[(std::int64_t{blockIdx.y} * kTokens + t) * mask.stride + blockIdx.x] = word;
}

// Blocks 0 .. T-1 count a token's set each; block T lists the union.
__global__ void __launch_bounds__(kRowThreads) list_kernel(PredictArgs args) {
  await_inputs();
  const MaskView& mask = args.mask;
  const int words = mask_words(mask.units);
  const auto tokens = static_cast<int>(args.x.rows);
  const bool counts = static_cast<int>(blockIdx.x) < tokens;
  int total = 0;
  for (int begin = 0; begin < words; begin += kRowThreads) {
    const int w = begin + static_cast<int>(threadIdx.x);
    unsigned any = 0;
    if (w < words && counts) any = mask.words[std::int64_t{blockIdx.x} * mask.stride + w];
    if (w < words && !counts) {
#pragma unroll 16
      for (int t = 0; t < tokens; ++t) any |= mask.words[std::int64_t{t} * mask.stride + w];
    }
    const Scan scan = block_scan(__popc(any));
    // Word by word, its units in the warp's lanes: neighbours in the list too.
    const int place = total + scan.before;
    const int lane = static_cast<int>(threadIdx.x % 32);
    for (int i = 0; i < 32 && !counts; ++i) {
      const unsigned word = __shfl_sync(kAllLanes, any, i);
      const int to = __shfl_sync(kAllLanes, place, i) + __popc(word & ((1U << lane) - 1U));
      if ((word >> lane & 1U) != 0) args.union_ids[to] = 32 * (w - lane + i) + lane;
    }
    total += scan.total;
  }
  if (threadIdx.x != 0) return;
  if (counts) {
    args.counts[blockIdx.x] = total;
  } else {
    *args.union_count = total;
  }
}

void list(const Queue& queue, const PredictArgs& args) {
  launch(queue, grid(dim3(static_cast<unsigned>(args.x.rows + 1)), kRowThreads), list_kernel, args);
}

template <int kTokens>
void low_and_sets(const Queue& queue, const PredictJob& job) {
  const PredictorView& p = job.args.predictor;
  const std::int64_t tokens = job.args.x.rows;
  launch(queue, grid(tiles<kTokens>(ceil_div(p.rank, kRows), tokens), kThreads),
         low_kernel<kTokens>, job);
  launch(queue, grid(tiles<kTokens>(mask_words(p.units), tokens), kThreads), sets_kernel<kTokens>,
         job);
}

}  // namespace

void predict(const Queue& queue, const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  const std::int64_t tokens = args.x.rows;
  // An empty step has a union too: an empty one.
  if (tokens == 0) return list(queue, args);
  if (p.down == nullptr) return tokens == 1 ? route<1>(queue, args) : route<kTile>(queue, args);
  PredictJob job;
  job.low_stride = ceil_div(p.rank, 4) * 4;
  job.low = queue.scratch<float>();
  const auto floats = static_cast<std::int64_t>(queue.arena_bytes / sizeof(float));
  const std::int64_t room = floats / job.low_stride / kTile * kTile;
  for (std::int64_t first = 0; first < tokens; first += room) {
    job.args = args;
    job.args.x.data = args.x.row(first);
    job.args.x.rows = std::min(room, tokens - first);
    job.args.level += first;
    job.args.mask.words += first * args.mask.stride;
    if (fits_one(args)) {
      one_low_and_sets(queue, job);
    } else if (fits_tensor_cores(queue, p)) {
      tensor_low_and_sets(queue, job);
    } else {
      tokens == 1 ? low_and_sets<1>(queue, job) : low_and_sets<kTile>(queue, job);
    }
  }
  list(queue, args);
}

}  // namespace dejavu::cuda
