// Reductions over a block of kRowThreads threads that share one row of logits.
#pragma once

#include <type_traits>

#include "engine/backend/cuda/element.cuh"

namespace dejavu::cuda {

constexpr int kRowThreads = 1024;
constexpr int kRowWarps = kRowThreads / 32;

// A lane's value from another lane, whatever its type.
template <class T>
__device__ T shuffle_xor(const T& own, int step) {
  static_assert(sizeof(T) % sizeof(int) == 0);
  constexpr int kWords = sizeof(T) / sizeof(int);
  int words[kWords];
  memcpy(words, &own, sizeof(T));
#pragma unroll
  for (int& word : words) word = __shfl_xor_sync(kAllLanes, word, step);
  T other;
  memcpy(&other, words, sizeof(T));
  return other;
}

// join(a, b) over all threads' values, in every thread; join does not mind the order.
template <class T, class Join>
__device__ T block_join(T own, const Join& join) {
  // Shared memory starts as it is: no constructor may run in it.
  static_assert(std::is_trivially_default_constructible_v<T>);
  static_assert(kRowWarps == 32);
  __shared__ T room[kRowWarps];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) own = join(own, shuffle_xor(own, step));
  __syncthreads();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = own;
  __syncthreads();
  T all = room[threadIdx.x % 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) all = join(all, shuffle_xor(all, step));
  return all;
}

__device__ inline int block_total(int own) {
  return block_join(own, [](int a, int b) { return a + b; });
}

// Sum over the threads before this one, and over all.
struct Scan {
  int before;
  int total;
};
// From the warp's own sum and the sum over the thread's predecessors in the warp.
__device__ inline Scan scan_warps(int warp_sum, int before_in_warp) {
  static_assert(kRowWarps == 32);
  __shared__ int room[kRowWarps];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  __syncthreads();
  if (lane == 0) room[warp] = warp_sum;
  __syncthreads();
  const int own = room[lane];  // of the warp of the lane's number
  int total = own;
  int before = lane < warp ? own : 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    total += __shfl_xor_sync(kAllLanes, total, step);
    before += __shfl_xor_sync(kAllLanes, before, step);
  }
  return {before + before_in_warp, total};
}
// How many threads before this one, and in all, raise their flag.
__device__ inline Scan block_flags(bool flag) {
  const unsigned raised = __ballot_sync(kAllLanes, flag);
  return scan_warps(__popc(raised), __popc(raised & ((1U << threadIdx.x % 32) - 1U)));
}
__device__ inline Scan block_scan(int own) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int sum = own;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += other;
  }
  return scan_warps(__shfl_sync(kAllLanes, sum, 31), sum - own);
}

// The largest value, and the lowest index that has it.
struct Best {
  float value;
  int index;
};
__device__ inline bool better(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}
// value(i) over [0, n), of indices that wanted(i, value) takes.
template <class Value, class Wanted>
__device__ Best block_best(int n, const Value& value, const Wanted& wanted) {
  Best own{-INFINITY, 0x7fffffff};
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kRowThreads) {
    const Best here{value(i), i};
    if (wanted(here) && better(here, own)) own = here;
  }
  return block_join(own, [](const Best& a, const Best& b) { return better(b, a) ? b : a; });
}
template <class Value>
__device__ Best block_best(int n, const Value& value) {
  return block_best(n, value, [](const Best&) { return true; });
}

// Sums of term(i), i in [0, n), as engine/sample/reduce.h adds them: 256 at a time in sixteen float
// lanes, the lanes in double. Each block of 256 to sums[block]. Ends with a barrier.
template <class Term>
__device__ void lane_block_sums(int n, const Term& term, double* sums) {
  constexpr int kLanes = 16;
  constexpr int kBlock = 256;
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  const int blocks = (n + kBlock - 1) / kBlock;
  const int rounds = (blocks + kRowThreads / kLanes - 1) / (kRowThreads / kLanes);
  for (int round = 0; round < rounds; ++round) {
    const int block = round * (kRowThreads / kLanes) + static_cast<int>(threadIdx.x) / kLanes;
    float sum = 0;
    for (int i = 0; i < kBlock; i += kLanes) {
      const int at = block * kBlock + i + lane;
      sum += at < n ? term(at) : 0.0F;
    }
    double total = 0;
    for (int other = 0; other < kLanes; ++other)
      total += static_cast<double>(__shfl_sync(kAllLanes, sum, other, kLanes));
    if (lane == 0 && block < blocks) sums[block] = total;
  }
  __syncthreads();
}

}  // namespace dejavu::cuda
