// Predictors: 8-bit rows times tokens in float. Bytes: rank * d for the first matrix, units * rank
// for the second, once a tile of tokens; they are small, so what counts is how many loads are in
// flight at once, how few kernels follow one another, and, in batches, how few instructions a unit
// and token take: a warp has four rows and one or eight tokens at a time, and adds up its lanes'
// 32 sums in 31 exchanges. No count ever visits the host. The order of addition depends neither on
// the number of tokens nor on a token's place among them.
#include <algorithm>

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

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
  float* low = nullptr;  // [T][low_stride]: what the second matrix multiplies, then x's square sum
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

// Block (x, y): kRows rows of the first matrix, tile of tokens. The last x adds up the squares.
template <bool kPacked, int kTokens>
__global__ void __launch_bounds__(kThreads) low_kernel(PredictJob job) {
  __shared__ float room[kWarps][32];
  const PredictorView& p = job.args.predictor;
  const Rows rows{p.down, p.rank, p.input};
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  await_inputs();
  if (!has_levels<kTokens>(job)) return;
  const Tile tile = tile_of<kTokens>(static_cast<const float*>(job.args.x.data), job.args.x.stride,
                                     job.args.x.rows);
  const bool squares = first >= p.rank;
  Sums<kTokens> sums;
  if (squares) {
    constexpr int kWidth = kPacked ? kStep : 1;
    for (int c = kWidth * (lane + 32 * warp); c < p.input; c += kThreads * kWidth) {
      for (int t = 0; t < tile.tokens; ++t) {
        float x[kWidth];
        load_values<kWidth>(tile.x + t * tile.stride + c, x);
#pragma unroll
        for (int i = 0; i < kWidth; ++i)
#pragma unroll
          for (int u = 0; u < kTokens; ++u)
            if (u == t) sums.dots[u][0] = fmaf(x[i], x[i], sums.dots[u][0]);
      }
    }
  } else {
    add_up<kPacked, false, kTokens>(rows, first, tile, warp, kWarps, sums);
  }
  const float total = block_total(lane_total<kTokens>(sums.dots), room);
  const int t = lane / kRows;
  const int r = first + lane % kRows;
  if (warp > 0 || t >= tile.tokens) return;
  float* low = job.low + (std::int64_t{blockIdx.y} * kTokens + t) * job.low_stride;
  if (squares && lane % kRows == 0) low[job.low_stride - 1] = total;
  if (!squares && r < p.rank) low[r] = total * p.down_scale[r];
}

// Block (x, y): one word of the sets, its units shared by the warps; tile of tokens.
template <bool kPacked, int kTokens>
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
    add_up<kPacked, false, kTokens>({p.up, p.units, p.rank}, first, tile, 0, 1, sums);
    const float dot = lane_total<kTokens>(sums.dots);
    if (level >= 0 && unit < p.units) {
      const float square = job.low[token * job.low_stride + job.low_stride - 1];
      in = chosen(p, dot * inverse_rms(square, p.input), unit, level);
    }
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
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float square = lane_sum(sums.squares[t]);
      if (lane == 0) square_room[warp][t] = square;
    }
    const float dot = block_total(lane_total<kTokens>(sums.dots), room);
    if (level >= 0 && unit < p.units && lane / kRows < kTokens) {
      float square = square_room[0][lane / kRows % kTokens];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) square += square_room[w][lane / kRows % kTokens];
      in = chosen(p, dot * inverse_rms(square, p.rank), unit, level);
    }
  }
  const unsigned raised = __ballot_sync(kAllLanes, in);
  if (warp == 0 && lane % kRows == 0 && lane / kRows < tile.tokens)
    flags[token * 8 * mask_words(p.units) + blockIdx.x] =
        static_cast<std::uint8_t>(raised >> lane & 15U);
  if (arrives_last(ticket, gridDim.x * gridDim.y)) finish_route(job.args, flags);
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
#pragma unroll 8
      for (int t = 0; t < tokens; ++t) any |= mask.words[std::int64_t{t} * mask.stride + w];
    }
    const Scan scan = block_scan(__popc(any));
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

void list(const Queue& queue, const PredictArgs& args) {
  launch(queue, grid(dim3(static_cast<unsigned>(args.x.rows + 1)), kRowThreads), list_kernel, args);
}

template <int kTokens>
dim3 tiles(std::int64_t items, std::int64_t tokens) {
  return dim3(static_cast<unsigned>(items), static_cast<unsigned>(ceil_div(tokens, kTokens)));
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

template <int kTokens>
void low_and_sets(const Queue& queue, const PredictJob& job) {
  const PredictorView& p = job.args.predictor;
  const std::int64_t tokens = job.args.x.rows;
  const bool low_packed = packed_bytes(p.down, p.input) && packed_floats(job.args.x);
  launch(queue, grid(tiles<kTokens>(ceil_div(p.rank, kRows) + 1, tokens), kThreads),
         low_packed ? low_kernel<true, kTokens> : low_kernel<false, kTokens>, job);
  launch(queue, grid(tiles<kTokens>(mask_words(p.units), tokens), kThreads),
         packed_bytes(p.up, p.rank) ? sets_kernel<true, kTokens> : sets_kernel<false, kTokens>,
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
  job.low_stride = ceil_div(p.rank, 4) * 4 + 4;
  job.low = queue.scratch<float>();
  const auto floats = static_cast<std::int64_t>(queue.arena_bytes / sizeof(float));
  const std::int64_t room = floats / job.low_stride / kTile * kTile;
  for (std::int64_t first = 0; first < tokens; first += room) {
    job.args = args;
    job.args.x.data = args.x.row(first);
    job.args.x.rows = std::min(room, tokens - first);
    job.args.level += first;
    job.args.mask.words += first * args.mask.stride;
    tokens == 1 ? low_and_sets<1>(queue, job) : low_and_sets<kTile>(queue, job);
  }
  list(queue, args);
}

}  // namespace dejavu::cuda
