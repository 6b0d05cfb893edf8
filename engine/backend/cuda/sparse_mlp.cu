// The MLP over the union of the tokens' sets: of each neuron in it the record [gate?, up, down] and
// nothing else. One token: gather_one.cuh; several: gather_many.cuh. Here, for rows that start
// anywhere and for F32: activations of the union's neurons, a warp a neuron; then their down rows,
// as in project, into partial sums that sparse_mlp_add() adds in order.
//
// Scratch: partial sums F32 [splits][T][d], then activations in the compute dtype [T][ffn].
#include <algorithm>

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/columns.cuh"
#include "engine/backend/cuda/dot.cuh"
#include "engine/backend/cuda/gather_many.cuh"
#include "engine/backend/cuda/gather_one.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr std::int64_t kTile = 4;
constexpr int kAddThreads = 512;

// A function of the shape alone: sparse_mlp_add() must come to the same.
int splits_of(int processors, std::int64_t tokens, std::int64_t width) {
  if (tokens == 1) return processors;
  const std::int64_t columns = ceil_div(width, kManyColumns);
  return static_cast<int>(std::clamp<std::int64_t>(2 * processors / columns, 1, 32));
}

std::size_t sum_bytes(int processors, std::int64_t tokens, std::int64_t width) {
  const std::int64_t floats = splits_of(processors, tokens, width) * tokens * width;
  return ceil_div(floats * 4, 16) * 16;
}

template <class E>
__device__ TokenRows<E> tile_of(const ConstMatrix& x, std::int64_t first) {
  const std::int64_t left = x.rows - first;
  return {static_cast<const E*>(x.data) + first * x.stride, x.stride, x.cols,
          static_cast<int>(left < kTile ? left : kTile)};
}

// hidden[t][j] for neuron ids[j]. Blocks go round over the union, whose size only the device knows.
template <class E>
__global__ void __launch_bounds__(kThreads) gather_up_kernel(SparseMlpArgs args, Matrix hidden) {
  const DeviceRows<E> gate(args.up.gate);
  const DeviceRows<E> up(args.up.up);
  const bool gated = args.up.gate.data != nullptr;
  await_inputs();
  const std::int64_t count = *args.union_count;
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kTile;
  const TokenRows<E> tile = tile_of<E>(args.up.x, first_token);
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (std::int64_t j = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; j < count;
       j += std::int64_t{gridDim.x} * kWarps) {
    const std::int64_t n = args.union_ids[j];
    const E* const rows[2] = {gated ? gate.row(n) : up.row(n), up.row(n)};
    float sums[2][kTile];
    plain_dot<E>(rows, tile, sums);
#pragma unroll
    for (int t = 0; t < kTile; ++t) {
      if (lane != t || t >= tile.tokens) continue;
      const std::int64_t token = first_token + t;
      float value = first_factor(args.up, token, n, sums[0][t]);
      if (gated) value = second_factor(args.up, n, value, sums[1][t]);
      static_cast<E*>(hidden.data)[token * hidden.stride + j] = from_float<E>(value);
    }
  }
}

template <class E>
__global__ void __launch_bounds__(kColumnThreads) gather_down_kernel(ColumnsJob job) {
  extern __shared__ float shared[];
  sum_columns<E, kTile, false>(job, shared);
  store_partials<E, kTile>(job, shared);
}

// kShare threads share the splits of a column, and are added in order: many splits (of one token)
// are read side by side, few (of many tokens) by one thread.
template <int kShare>
__global__ void __launch_bounds__(kAddThreads) add_kernel(SparseMlpAddArgs args, int splits) {
  constexpr int kOwn = kAddThreads / kShare;  // columns of a block
  __shared__ float room[kShare][kOwn];
  invite_next();
  const int lane = static_cast<int>(threadIdx.x % kOwn);
  const int share = static_cast<int>(threadIdx.x / kOwn);
  const std::int64_t c = std::int64_t{blockIdx.x} * kOwn + lane;
  const std::int64_t t = blockIdx.y;
  const bool inside = c < args.y.cols;
  const float bias = args.bias != nullptr && inside ? args.bias[c] : 0.0F;
  await_inputs();
  const float* sums = static_cast<const float*>(args.scratch) + t * args.y.cols + c;
  float own = 0;
  if (inside) own = sum_partials<12>(sums, args.y.rows * args.y.cols, splits, share, kShare);
  room[share][lane] = own;
  __syncthreads();
  if (share > 0 || !inside) return;
#pragma unroll
  for (int other = 1; other < kShare; ++other) own += room[other][lane];
  static_cast<float*>(args.y.data)[t * args.y.stride + c] += own + bias;
}

Matrix hidden_of(const Queue& queue, const SparseMlpArgs& args) {
  const std::int64_t tokens = args.up.x.rows;
  const std::int64_t ffn = args.up.up.rows;
  auto* after =
      static_cast<std::byte*>(args.scratch) + sum_bytes(queue.processors, tokens, args.down.cols);
  return {after, args.up.x.dtype, tokens, ffn, ffn};
}

template <class E>
void gather(const Queue& queue, const SparseMlpArgs& args) {
  const std::int64_t tokens = args.up.x.rows;
  const std::int64_t ffn = args.up.up.rows;
  const int splits = splits_of(queue.processors, tokens, args.down.cols);
  const Matrix hidden = hidden_of(queue, args);
  const auto blocks = static_cast<unsigned>(
      std::min<std::int64_t>(ceil_div(ffn, kWarps), std::int64_t{8} * queue.processors));
  launch(queue, grid(dim3(blocks, static_cast<unsigned>(ceil_div(tokens, kTile))), kThreads),
         gather_up_kernel<E>, args, hidden);
  ColumnsJob job;
  job.x = hidden;
  job.w = args.down;
  job.ids = args.union_ids;
  job.count = args.union_count;
  job.skip_zeros = true;
  job.splits = splits;
  job.partials = static_cast<float*>(args.scratch);
  launch(queue, grid(column_blocks<E, kTile>(job), kColumnThreads, kColumnShared<E, kTile>),
         gather_down_kernel<E>, job);
}

// False when the shape is not for it.
bool gather_fast(const Queue& queue, const SparseMlpArgs& args) {
  const bool half = args.up.x.dtype == DType::kF16;
  if (args.up.x.rows == 1) {
    const OneShape shape = one_shape(queue, args);
    if (shape.pieces == 0) return false;
    half ? gather_one<__half>(queue, shape, args) : gather_one<__nv_bfloat16>(queue, shape, args);
    return true;
  }
  GatherManyJob job;
  job.up = args.up;
  job.down = args.down;
  job.hidden = hidden_of(queue, args);
  job.ids = args.union_ids;
  job.count = args.union_count;
  job.partials = static_cast<float*>(args.scratch);
  job.splits = splits_of(queue.processors, args.up.x.rows, args.down.cols);
  job.sets_ready = queue.sets_ready;
  half ? gather_many<__half>(queue, job) : gather_many<__nv_bfloat16>(queue, job);
  return true;
}

}  // namespace

std::size_t sparse_mlp_scratch(int processors, int tokens, int width, int ffn) {
  // Fewer tokens are cut into more splits.
  std::size_t sums = 0;
  for (int t = 1; t <= tokens; ++t) sums = std::max(sums, sum_bytes(processors, t, width));
  return sums + static_cast<std::size_t>(tokens) * static_cast<std::size_t>(ffn) * sizeof(float);
}

void sparse_mlp(const Queue& queue, const SparseMlpArgs& args) {
  if (args.up.x.rows == 0) return;
  const bool packed = packed_rows(args.up.x) && packed_rows(args.up.up) && packed_rows(args.down) &&
                      (args.up.gate.data == nullptr || packed_rows(args.up.gate));
  if (packed && args.up.x.dtype != DType::kF32 && gather_fast(queue, args)) return;
  with_element(args.up.x.dtype, [&](auto e) {
    using E = decltype(e);
    gather<E>(queue, args);
  });
}

void sparse_mlp_add(const Queue& queue, const SparseMlpAddArgs& args) {
  const int splits = splits_of(queue.processors, args.y.rows, args.y.cols);
  const int share = args.y.rows == 1 ? 16 : 1;
  const dim3 blocks(static_cast<unsigned>(ceil_div(args.y.cols * share, kAddThreads)),
                    static_cast<unsigned>(args.y.rows));
  launch(queue, grid(blocks, kAddThreads), share == 16 ? add_kernel<16> : add_kernel<1>, args,
         splits);
}

}  // namespace dejavu::cuda
