// A router: a predictor without a bottleneck, of few units and long rows. One kernel, whose last
// block makes sets, counts and union.
#pragma once

#include "engine/backend/cuda/predict_sums.cuh"

namespace dejavu::cuda {
namespace {

// The sets of a router, from four bits a byte: [T][8 * words]. One block.
__device__ void finish_route(const PredictArgs& args, const std::uint8_t* flags) {
  __shared__ unsigned united[kWarps];
  const MaskView& mask = args.mask;
  const int words = mask_words(mask.units);
  const auto tokens = static_cast<int>(args.x.rows);
  const auto thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < tokens * words; i += kThreads) {
    const uint2 raw = __ldcg(reinterpret_cast<const uint2*>(flags) + i);
    unsigned word = 0;
#pragma unroll
    for (int b = 0; b < 8; ++b)
      word |= ((b < 4 ? raw.x : raw.y) >> (8 * (b % 4)) & 15U) << (kRows * b);
    const int left = mask.units - i % words * 32;
    if (left < 32) word &= (1U << left) - 1U;
    mask.words[std::int64_t{i / words} * mask.stride + i % words] = word;
  }
  __syncthreads();
  for (int t = thread; t < tokens; t += kThreads) {
    int count = 0;
    for (int w = 0; w < words; ++w) count += __popc(mask.words[std::int64_t{t} * mask.stride + w]);
    args.counts[t] = count;
  }
  int listed = 0;
  for (int w = 0; w < words; ++w) {
    unsigned own = 0;
    for (int t = thread; t < tokens; t += kThreads)
      own |= mask.words[std::int64_t{t} * mask.stride + w];
    own = __reduce_or_sync(kAllLanes, own);
    __syncthreads();
    if (thread % 32 == 0) united[thread / 32] = own;
    __syncthreads();
    unsigned any = 0;
#pragma unroll
    for (const unsigned each : united) any |= each;
    if (thread < 32 && (any >> thread & 1U) != 0)
      args.union_ids[listed + __popc(any & ((1U << thread) - 1U))] = 32 * w + thread;
    listed += __popc(any);
  }
  if (thread == 0) *args.union_count = listed;
}

// Block (x, y): kRows units of a router, which has no first matrix, few units and long rows; tile
// of tokens. The block that arrives last makes the sets.
template <bool kPacked, int kTokens>
__global__ void __launch_bounds__(kThreads)
    route_kernel(PredictJob job, std::uint8_t* flags, unsigned* ticket) {
  __shared__ float room[kWarps][32];
  __shared__ float square_room[kWarps][kTokens];
  const PredictorView& p = job.args.predictor;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int unit = static_cast<int>(blockIdx.x) * kRows + lane % kRows;
  const std::int64_t token = std::int64_t{blockIdx.y} * kTokens + lane / kRows;
  await_inputs();
  const Tile tile = tile_of<kTokens>(static_cast<const float*>(job.args.x.data), job.args.x.stride,
                                     job.args.x.rows);
  const int level = level_of(job, token);
  bool in = level < 0;
  if (has_levels<kTokens>(job)) {
    Sums<kTokens> sums;
    add_up<kPacked, true, kTokens>({p.up, p.units, p.rank}, static_cast<int>(blockIdx.x) * kRows,
                                   tile, warp, kWarps, sums);
    store_squares(sums, square_room);
    const float dot = block_total(lane_total<kTokens>(sums.dots), room);
    if (level >= 0 && unit < p.units && lane / kRows < kTokens) {
      const float square = square_total(square_room, lane / kRows % kTokens);
      in = chosen(p, dot * inverse_rms(square, p.rank), unit, level);
    }
  }
  const unsigned raised = __ballot_sync(kAllLanes, in);
  if (warp == 0 && lane % kRows == 0 && lane / kRows < tile.tokens)
    flags[token * 8 * mask_words(p.units) + blockIdx.x] =
        static_cast<std::uint8_t>(raised >> lane & 15U);
  if (arrives_last(ticket, gridDim.x * gridDim.y)) finish_route(job.args, flags);
}

template <int kTokens>
void route(const Queue& queue, const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  PredictJob job;
  job.args = args;
  const bool packed = packed_bytes(p.up, p.rank) && packed_floats(args.x);
  launch(queue, grid(tiles<kTokens>(ceil_div(p.units, kRows), args.x.rows), kThreads),
         packed ? route_kernel<true, kTokens> : route_kernel<false, kTokens>, job,
         queue.scratch<std::uint8_t>(), queue.tickets);
}

}  // namespace
}  // namespace dejavu::cuda
