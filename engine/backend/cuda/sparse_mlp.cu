// The MLP over the union of the tokens' sets: of each neuron in it the record [gate?, up, down] and
// nothing else. One token: gather_one.cuh; several: gather_many.cuh. Here, for rows that start
// anywhere and for F32: activations of the union's neurons, a warp a neuron; then their down rows,
// as in project, into partial sums that sparse_mlp_add() adds in order.
//
// Scratch: partial sums F32 [splits][T][d], then activations in the compute dtype, and before them
// what else gather_many keeps.
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
constexpr int kAddThreads = 256;
constexpr int kFewTokens = 16;  // gather_many's lesser tile

// Columns of a slice in gather_many: wide ones are read faster, but each group has partial sums,
// and there are more groups.
int slice_of(std::int64_t width) { return width <= 4096 ? 512 : 1024; }
int slices_of(std::int64_t width) { return static_cast<int>(ceil_div(width, slice_of(width))); }
int groups_of(int processors, std::int64_t width) {
  return std::max(1, processors / slices_of(width));
}

// A function of the shape alone: sparse_mlp_add() must come to the same.
int splits_of(int processors, std::int64_t tokens, std::int64_t width) {
  return tokens == 1 ? processors : groups_of(processors, width);
}

std::size_t sum_bytes(int processors, std::int64_t tokens, std::int64_t width) {
  const std::int64_t floats = splits_of(processors, tokens, width) * tokens * width;
  return ceil_div(floats * 4, 16) * 16;
}

// What gather_many needs after its partial sums.
struct ManyRoom {
  int tiles = 0;  // of a group's neurons
  std::size_t sums_bytes = 0;
  std::size_t hidden_bytes = 0;
};
ManyRoom many_room(int processors, std::int64_t tokens, std::int64_t width, std::int64_t ffn) {
  const std::int64_t tile = tokens <= kFewTokens ? kFewTokens : 2 * kFewTokens;
  const std::int64_t groups = groups_of(processors, width);
  const std::int64_t tiles = ceil_div(ceil_div(ffn, groups), kManyRows);
  const auto values =
      static_cast<std::size_t>(ceil_div(tokens, tile) * tile * groups * tiles * kManyRows);
  const auto slices = static_cast<std::size_t>(slices_of(width));
  return {static_cast<int>(tiles), values * 2 * slices * sizeof(float),
          values * sizeof(std::uint16_t)};
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

// Partial sums kPack columns at a time. kShare threads share the splits, and are added in order.
template <int kShare, int kPack>
__global__ void __launch_bounds__(kAddThreads) add_kernel(SparseMlpAddArgs args, int splits) {
  constexpr int kOwn = kAddThreads / kShare;  // threads that begin a block's columns
  constexpr int kAtOnce = 9;
  using Pack = std::conditional_t<kPack == 4, float4, float>;
  union Values {
    Pack pack;
    float each[kPack];
  };
  __shared__ Values room[kShare][kOwn];
  invite_next();
  const int lane = static_cast<int>(threadIdx.x % kOwn);
  const int share = static_cast<int>(threadIdx.x / kOwn);
  const std::int64_t c = (std::int64_t{blockIdx.x} * kOwn + lane) * kPack;
  const std::int64_t t = blockIdx.y;
  const bool inside = c < args.y.cols;
  Values own = {};
  if (share == 0 && inside && args.bias != nullptr) {
#pragma unroll
    for (int i = 0; i < kPack; ++i) own.each[i] = args.bias[c + i];
  }
  await_inputs();
  if (inside) {
    const float* sums = static_cast<const float*>(args.scratch) + t * args.y.cols + c;
    for (int begin = share; begin < splits; begin += kAtOnce * kShare) {
      Values values[kAtOnce] = {};
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int s = begin + i * kShare;
        if (s < splits)
          values[i].pack =
              __ldcg(reinterpret_cast<const Pack*>(sums + s * args.y.rows * args.y.cols));
      }
#pragma unroll
      for (const Values& value : values)
#pragma unroll
        for (int i = 0; i < kPack; ++i) own.each[i] += value.each[i];
    }
  }
  room[share][lane] = own;
  __syncthreads();
  if (share > 0 || !inside) return;
#pragma unroll
  for (int other = 1; other < kShare; ++other)
#pragma unroll
    for (int i = 0; i < kPack; ++i) own.each[i] += room[other][lane].each[i];
  float* y = static_cast<float*>(args.y.data) + t * args.y.stride + c;
#pragma unroll
  for (int i = 0; i < kPack; ++i) y[i] += own.each[i];
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

template <class E, int kTokens, int kSlice>
void launch_many(const Queue& queue, GatherManyJob job) {
  using Ring = ManyRing<kSlice>;
  constexpr std::size_t kMeeting = sizeof(typename GatherMany<E, kTokens, kSlice>::Meeting);
  constexpr std::size_t kStatic = 1024;
  const std::size_t room = queue.shared_bytes - kStatic - kMeeting;
  job.stages = static_cast<int>(std::min<std::size_t>(room / Ring::kStageBytes, Ring::kMostStages));
  const dim3 blocks(static_cast<unsigned>(slices_of(job.up.x.cols)),
                    static_cast<unsigned>(groups_of(queue.processors, job.up.x.cols)),
                    static_cast<unsigned>(ceil_div(job.up.x.rows, kTokens)));
  launch(queue,
         grid(blocks, kManyThreads + 32,
              kMeeting + static_cast<std::size_t>(job.stages) * Ring::kStageBytes),
         gather_many_kernel<E, kTokens, kSlice>, job);
}

template <class E, int kTokens>
void launch_many(const Queue& queue, const GatherManyJob& job) {
  slice_of(job.up.x.cols) == 512 ? launch_many<E, kTokens, 512>(queue, job)
                                 : launch_many<E, kTokens, 1024>(queue, job);
}

template <class E>
void gather_many(const Queue& queue, const SparseMlpArgs& args) {
  const std::int64_t tokens = args.up.x.rows;
  const std::int64_t width = args.down.cols;
  const ManyRoom room = many_room(queue.processors, tokens, width, args.up.up.rows);
  auto* after = static_cast<std::byte*>(args.scratch) + sum_bytes(queue.processors, tokens, width);
  GatherManyJob job;
  job.up = args.up;
  job.down = args.down;
  job.ids = args.union_ids;
  job.count = args.union_count;
  job.partials = static_cast<float*>(args.scratch);
  job.sums = reinterpret_cast<float*>(after);
  job.hidden = after + room.sums_bytes;
  job.tickets = queue.tickets;
  job.tiles = room.tiles;
  job.sets_ready = queue.sets_ready;
  tokens <= kFewTokens ? launch_many<E, kFewTokens>(queue, job)
                       : launch_many<E, 2 * kFewTokens>(queue, job);
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
  if (ceil_div(args.up.x.rows, kFewTokens) * queue.processors * 3 > queue.ticket_count)
    return false;
  half ? gather_many<__half>(queue, args) : gather_many<__nv_bfloat16>(queue, args);
  return true;
}

}  // namespace

std::size_t sparse_mlp_scratch(int processors, int tokens, int width, int ffn) {
  // Fewer tokens are cut into more splits.
  std::size_t most = 0;
  for (int t = 1; t <= tokens; ++t) {
    const ManyRoom room = many_room(processors, t, width, ffn);
    const std::size_t plain =
        static_cast<std::size_t>(t) * static_cast<std::size_t>(ffn) * sizeof(float);
    most = std::max(most, sum_bytes(processors, t, width) +
                              std::max(plain, room.sums_bytes + room.hidden_bytes));
  }
  return most;
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

template <int kShare, int kPack>
void launch_add(const Queue& queue, const SparseMlpAddArgs& args) {
  const int splits = splits_of(queue.processors, args.y.rows, args.y.cols);
  const dim3 blocks(static_cast<unsigned>(ceil_div(args.y.cols * kShare, kAddThreads * kPack)),
                    static_cast<unsigned>(args.y.rows));
  launch(queue, grid(blocks, kAddThreads), add_kernel<kShare, kPack>, args, splits);
}

void sparse_mlp_add(const Queue& queue, const SparseMlpAddArgs& args) {
  if (args.y.cols % 4 != 0) return launch_add<1, 1>(queue, args);
  args.y.rows == 1 ? launch_add<16, 4>(queue, args) : launch_add<2, 4>(queue, args);
}

}  // namespace dejavu::cuda
