// project of one token whose inputs are groups of a set (heads that were kept): their rows once, a
// few megabytes, so what counts is that all of them are under way at once and how little follows.
// A block has a narrow stripe of columns, as wide as gives each multiprocessor one block, and all
// rows of it: no partial sums between blocks. A thread owns sixteen bytes of the stripe and every
// some hundredth row. The first of them are loaded before the token is there.
#pragma once

#include "engine/backend/backend.h"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {

constexpr int kStripeThreads = 512;
constexpr int kStripeHeld = 8;        // rows that a thread has under way
constexpr int kMostStripePacks = 64;  // of a stripe's row

// The units of a set, in shared memory.
constexpr int kMostGroups = 512;
struct GroupList {
  std::uint16_t units[kMostGroups];
  int count;
};
__device__ inline void list_groups(const MaskView& groups, GroupList& list) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 32) {
    int count = 0;
    for (int base = 0; base < groups.units; base += 32) {
      const unsigned word = groups.words[base / 32];
      if ((word >> lane & 1U) != 0)
        list.units[count + __popc(word & ((1U << lane) - 1U))] =
            static_cast<std::uint16_t>(base + lane);
      count += __popc(word);
    }
    if (lane == 0) list.count = count;
  }
  __syncthreads();
}

// Threads of a block: `packs` side by side, as many rows of them as there is room for.
template <class E>
__global__ void __launch_bounds__(kStripeThreads, 2)
    project_groups_kernel(ProjectArgs args, int packs, bool sets_ready) {
  constexpr int kOwn = kPack<E>;
  extern __shared__ float inputs[];  // of the groups, in order
  __shared__ GroupList groups;
  __shared__ float room[kStripeThreads * kOwn];
  if (!sets_ready) await_inputs();
  list_groups(args.row_mask, groups);
  const auto thread = static_cast<int>(threadIdx.x);
  const int at_once = kStripeThreads / packs;
  const int rows = groups.count * args.group_rows;
  const auto width = static_cast<int>(args.w.cols);
  const int column = (static_cast<int>(blockIdx.x) * packs + thread % packs) * kOwn;
  const bool inside = thread < at_once * packs && column < width;
  const DeviceRows<E> w(args.w);
  const auto place = [&](int row) {  // of the groups' row among all
    return groups.units[row / args.group_rows] * args.group_rows + row % args.group_rows;
  };
  uint4 raw[kStripeHeld];
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < kStripeHeld; ++i) {
      const int row = first + i * at_once;
      raw[i] = inside && row < rows ? load_stream(w.row(place(row)) + column) : uint4{0, 0, 0, 0};
    }
  };
  const int own_row = thread / packs;
  load(own_row);
  const int columns = packs * kOwn;
  const int own = thread % columns;  // of what the thread adds up in the end
  const int out = static_cast<int>(blockIdx.x) * columns + own;
  float* const y = static_cast<float*>(args.y.data) + out;
  const bool ends = thread < columns && out < width;
  float before = ends && args.bias != nullptr ? args.bias[out] : 0.0F;
  await_inputs();
  if (ends && args.accumulate) before += *y;
  const E* x = static_cast<const E*>(args.x.data);
  for (int row = thread; row < rows; row += kStripeThreads) inputs[row] = to_float(x[place(row)]);
  __syncthreads();
  float sums[kOwn] = {};
  for (int first = own_row; first < rows; first += kStripeHeld * at_once) {
    if (first > own_row) load(first);
#pragma unroll
    for (int i = 0; i < kStripeHeld; ++i) {
      const int row = first + i * at_once;
      const float value = row < rows ? inputs[row] : 0.0F;
      float weights[kOwn];
      unpack<E>(raw[i], weights);
#pragma unroll
      for (int c = 0; c < kOwn; ++c) sums[c] = fmaf(value, weights[c], sums[c]);
    }
  }
  // [row of threads][column], added up by as many threads a column as there are, then by one.
  if (thread < at_once * packs) {
#pragma unroll
    for (int c = 0; c < kOwn; ++c) room[own_row * columns + thread % packs * kOwn + c] = sums[c];
  }
  __syncthreads();
  const int parts = kStripeThreads / columns;
  const int part = thread / columns;
  float sum = 0;
  for (int row = part; part < parts && row < at_once; row += parts)
    sum += room[row * columns + own];
  __syncthreads();
  if (part < parts) room[part * columns + own] = sum;
  __syncthreads();
  if (!ends) return;
  for (int other = 1; other < parts; ++other) sum += room[other * columns + own];
  *y = before + sum;
}

// Packs of a stripe; 0: not by this kernel.
inline int stripe_packs(const Queue& queue, const ProjectArgs& args) {
  constexpr std::size_t kStatic = std::size_t{20} << 10;
  const MaskView& mask = args.row_mask;
  if (mask.words == nullptr || args.x.rows != 1 || mask.units > kMostGroups ||
      std::int64_t{mask.units} * args.group_rows != args.w.rows ||
      static_cast<std::size_t>(args.w.rows) * sizeof(float) + kStatic > queue.shared_bytes)
    return 0;
  const auto pack = static_cast<std::int64_t>(16 / dtype_size(args.w.dtype));
  const std::int64_t packs = ceil_div(args.w.cols / pack, queue.processors);
  return packs <= kMostStripePacks ? static_cast<int>(packs) : 0;
}

template <class E>
void project_groups(const Queue& queue, const ProjectArgs& args, int packs) {
  const auto blocks = static_cast<unsigned>(ceil_div(args.w.cols, packs * kPack<E>));
  launch(queue,
         grid(dim3(blocks), kStripeThreads, static_cast<std::size_t>(args.w.rows) * sizeof(float)),
         project_groups_kernel<E>, args, packs, queue.sets_ready);
}

}  // namespace dejavu::cuda
