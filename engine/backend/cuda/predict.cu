// Predictors: 8-bit rows times a token in float. Bytes: rank * d for the first matrix, units * rank
// for the second, once; they are small, so what counts is how many loads are in flight at once. A
// warp takes a row (16 weights a lane and load), a block the 32 units of a set's word. A last
// kernel counts the sets and lists their union, so no count ever visits the host.
#include <algorithm>

#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kScanThreads = 1024;
constexpr float kEpsilon = 1e-6F;

// Rows of `rows` weights that start on sixteen bytes and hold whole sixteens.
bool packed_bytes(const std::int8_t* weights, int columns) {
  return reinterpret_cast<std::uintptr_t>(weights) % 16 == 0 && columns % 16 == 0;
}

__device__ inline float dot_16(const uint4& raw, const float* x) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
  float sum = 0;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const float4 four = *reinterpret_cast<const float4*>(x + 4 * w);
    const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const auto weight = static_cast<std::int8_t>(words[w] >> (8 * b) & 0xffU);
      sum = fmaf(static_cast<float>(weight), values[b], sum);
    }
  }
  return sum;
}

// A warp's dot of one row with x, in every lane.
template <bool kPacked>
__device__ float row_dot(const std::int8_t* row, const float* x, int columns) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float sum = 0;
  if constexpr (kPacked) {
#pragma unroll 4
    for (int c = 16 * lane; c < columns; c += 512) sum += dot_16(load_16(row + c), x + c);
  } else {
    for (int c = lane; c < columns; c += 32) sum = fmaf(static_cast<float>(row[c]), x[c], sum);
  }
  return lane_sum(sum);
}

struct PredictJob {
  PredictArgs args;
  float* z = nullptr;    // [T][stride]: x / rms(x)
  float* low = nullptr;  // [T][stride]: what the second matrix multiplies
  std::int64_t z_stride = 0;
  std::int64_t low_stride = 0;
};

__global__ void __launch_bounds__(kScanThreads) normalise_kernel(PredictJob job) {
  __shared__ float room[33];
  await_inputs();
  const std::int64_t t = blockIdx.x;
  if (job.args.level[t] < 0) return;
  const float* x = static_cast<const float*>(job.args.x.data) + t * job.args.x.stride;
  const auto width = static_cast<int>(job.args.x.cols);
  float square = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kScanThreads) square += x[i] * x[i];
  const float mean = block_sum(square, room) / static_cast<float>(width);
  const float inverse = 1.0F / sqrtf(mean + kEpsilon);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kScanThreads)
    job.z[t * job.z_stride + i] = x[i] * inverse;
}

template <bool kPacked>
__global__ void __launch_bounds__(kThreads) low_kernel(PredictJob job) {
  const PredictorView& p = job.args.predictor;
  const int r = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x / 32);
  await_inputs();
  const std::int64_t t = blockIdx.y;
  if (r >= p.rank || job.args.level[t] < 0) return;
  const float sum =
      row_dot<kPacked>(p.down + std::int64_t{r} * p.input, job.z + t * job.z_stride, p.input);
  if (threadIdx.x % 32 == 0) job.low[t * job.low_stride + r] = sum * p.down_scale[r];
}

// One word of a token's set: the block's warps share its 32 units.
template <bool kPacked>
__global__ void __launch_bounds__(kScanThreads) sets_kernel(PredictJob job) {
  __shared__ unsigned bits[32];
  const PredictorView& p = job.args.predictor;
  const MaskView& mask = job.args.mask;
  await_inputs();
  const std::int64_t t = blockIdx.y;
  const int first = static_cast<int>(blockIdx.x) * 32;
  const int level = job.args.level[t];
  const int warps = static_cast<int>(blockDim.x / 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  unsigned own = 0;
  for (int u = warp; u < 32; u += warps) {
    const int unit = first + u;
    if (unit >= p.units) break;
    bool in = level < 0;
    if (!in) {
      const float sum = row_dot<kPacked>(p.up + std::int64_t{unit} * p.rank,
                                         job.low + t * job.low_stride, p.rank);
      const float score = sum * p.up_scale[unit] + p.bias[unit];
      in = score >= p.thresholds[std::int64_t{level} * p.units + unit];
    }
    own |= (in ? 1U : 0U) << u;
  }
  if (threadIdx.x % 32 == 0) bits[warp] = own;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < warps; ++w) own |= bits[w];
  mask.words[t * mask.stride + blockIdx.x] = own;
}

// Sum over the threads before this one, and over all. `room`: 33 ints of shared memory.
struct Scan {
  int before = 0;
  int total = 0;
};
__device__ Scan scan_block(int own, int* room) {
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
  Scan scan;
  for (int w = 0; w < static_cast<int>(blockDim.x / 32); ++w) {
    if (w < warp) scan.before += room[w];
    scan.total += room[w];
  }
  scan.before += sum - own;
  return scan;
}

// Blocks 0 .. T-1 count a token's set each; block T lists the union.
__global__ void __launch_bounds__(kScanThreads) list_kernel(PredictArgs args) {
  __shared__ int room[33];
  await_inputs();
  const MaskView& mask = args.mask;
  const int words = mask_words(mask.units);
  const auto tokens = static_cast<int>(args.x.rows);
  const bool counts = static_cast<int>(blockIdx.x) < tokens;
  int total = 0;
  for (int begin = 0; begin < words; begin += kScanThreads) {
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

void score(const Queue& queue, const PredictJob& job) {
  const PredictorView& p = job.args.predictor;
  const auto tokens = static_cast<unsigned>(job.args.x.rows);
  launch(queue, grid(dim3(tokens), kScanThreads), normalise_kernel, job);
  if (p.down != nullptr) {
    const dim3 blocks(static_cast<unsigned>(ceil_div(p.rank, kWarps)), tokens);
    launch(queue, grid(blocks, kThreads),
           packed_bytes(p.down, p.input) ? low_kernel<true> : low_kernel<false>, job);
  }
  const dim3 blocks(static_cast<unsigned>(mask_words(p.units)), tokens);
  const int threads = p.rank > 1024 ? kScanThreads : kThreads;
  launch(queue, grid(blocks, threads),
         packed_bytes(p.up, p.rank) ? sets_kernel<true> : sets_kernel<false>, job);
}

}  // namespace

void predict(const Queue& queue, const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  const auto padded = [](std::int64_t floats) { return ceil_div(floats, 4) * 4; };
  PredictJob job;
  job.z_stride = padded(args.x.cols);
  job.low_stride = p.down != nullptr ? padded(p.rank) : job.z_stride;
  const std::int64_t token_floats = job.z_stride + (p.down != nullptr ? job.low_stride : 0);
  const auto room = static_cast<std::int64_t>(queue.arena_bytes / sizeof(float)) / token_floats;
  for (std::int64_t first = 0; first < args.x.rows; first += room) {
    job.args = args;
    job.args.x.data = args.x.row(first);
    job.args.x.rows = std::min(room, args.x.rows - first);
    job.args.level += first;
    job.args.mask.words += first * args.mask.stride;
    job.z = queue.scratch<float>();
    job.low = p.down != nullptr ? job.z + job.args.x.rows * job.z_stride : job.z;
    score(queue, job);
  }
  launch(queue, grid(dim3(static_cast<unsigned>(args.x.rows + 1)), kScanThreads), list_kernel,
         args);
}

}  // namespace dejavu::cuda
