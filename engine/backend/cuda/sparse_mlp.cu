// The MLP over the union of the tokens' sets: of each neuron in it the record [gate?, up, down] and
// nothing else. Two kernels: activations of the union's neurons, a warp a neuron; then their down
// rows, as in project, into partial sums that sparse_mlp_add() adds in order.
//
// Scratch: partial sums F32 [splits][T][d], then activations in the compute dtype [T][ffn].
#include <algorithm>

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/columns.cuh"
#include "engine/backend/cuda/dot.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr std::int64_t kTile = 4;

// A function of the shape alone: sparse_mlp_add() must come to the same.
int splits_of(int processors, std::int64_t tokens, std::int64_t width) {
  const std::int64_t blocks = ceil_div(width, kColumns<__half>) * ceil_div(tokens, kTile);
  return static_cast<int>(std::clamp<std::int64_t>(4 * processors / blocks, 1, 32));
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
template <class E, bool kPacked>
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
    float sums[2][kTile];
    if (gated) {
      const E* const rows[2] = {gate.row(n), up.row(n)};
      Steps<2> steps;
      if (kPacked) steps.load(rows, 0, tile.in);
      dot<E, kPacked>(rows, tile, steps, sums);
    } else {
      const E* const rows[1] = {up.row(n)};
      Steps<1> steps;
      float own[1][kTile];
      if (kPacked) steps.load(rows, 0, tile.in);
      dot<E, kPacked>(rows, tile, steps, own);
#pragma unroll
      for (int t = 0; t < kTile; ++t) sums[0][t] = own[0][t];
    }
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

template <class E, bool kPacked>
__global__ void __launch_bounds__(kColumnThreads) gather_down_kernel(ColumnsJob job) {
  extern __shared__ float shared[];
  await_inputs();
  sum_columns<E, kTile, kPacked>(job, shared);
  store_partials<E, kTile>(job, shared);
}

__global__ void add_kernel(SparseMlpAddArgs args, int splits) {
  await_inputs();
  const std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= args.y.cols) return;
  const std::int64_t t = blockIdx.y;
  const std::int64_t apart = args.y.rows * args.y.cols;
  float sum =
      sum_partials(static_cast<const float*>(args.scratch), splits, apart, t * args.y.cols + c);
  if (args.bias != nullptr) sum += args.bias[c];
  static_cast<float*>(args.y.data)[t * args.y.stride + c] += sum;
}

template <class E, bool kPacked>
void gather(const Queue& queue, const SparseMlpArgs& args) {
  const std::int64_t tokens = args.up.x.rows;
  const std::int64_t ffn = args.up.up.rows;
  const int splits = splits_of(queue.processors, tokens, args.down.cols);
  auto* sums = static_cast<std::byte*>(args.scratch);
  const Matrix hidden{sums + sum_bytes(queue.processors, tokens, args.down.cols), args.up.x.dtype,
                      tokens, ffn, ffn};
  const auto blocks = static_cast<unsigned>(
      std::min<std::int64_t>(ceil_div(ffn, kWarps), std::int64_t{8} * queue.processors));
  launch(queue, grid(dim3(blocks, static_cast<unsigned>(ceil_div(tokens, kTile))), kThreads),
         gather_up_kernel<E, kPacked>, args, hidden);
  ColumnsJob job;
  job.x = hidden;
  job.w = args.down;
  job.ids = args.union_ids;
  job.count = args.union_count;
  job.skip_zeros = true;
  job.splits = splits;
  job.partials = static_cast<float*>(args.scratch);
  launch(queue, grid(column_blocks<E, kTile>(job), kColumnThreads, kColumnShared<E, kTile>),
         gather_down_kernel<E, kPacked>, job);
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
  with_element(args.up.x.dtype, [&](auto e) {
    using E = decltype(e);
    packed ? gather<E, true>(queue, args) : gather<E, false>(queue, args);
  });
}

void sparse_mlp_add(const Queue& queue, const SparseMlpAddArgs& args) {
  const dim3 blocks(static_cast<unsigned>(ceil_div(args.y.cols, 64)),
                    static_cast<unsigned>(args.y.rows));
  launch(queue, grid(blocks, 64), add_kernel, args,
         splits_of(queue.processors, args.y.rows, args.y.cols));
}

}  // namespace dejavu::cuda
