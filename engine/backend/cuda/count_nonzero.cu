// count_nonzero: activations of a step, a few hundred kilobytes. Blocks count columns of their own;
// integers add up to the same in any order.
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void clear_kernel(CountNonzeroArgs args) {
  await_inputs();
  for (std::int64_t t = threadIdx.x; t < args.x.rows; t += kThreads) args.counts[t] = 0;
  if (threadIdx.x == 0) *args.union_count = 0;
}

__global__ void __launch_bounds__(kThreads) count_kernel(CountNonzeroArgs args) {
  await_inputs();
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  bool any = false;
  for (std::int64_t t = 0; t < args.x.rows; ++t) {
    const bool there =
        c < args.x.cols && load_any(args.x.dtype, args.x.data, t * args.x.stride + c) != 0;
    any |= there;
    const int count = __popc(__ballot_sync(kAllLanes, there));
    if (threadIdx.x % 32 == 0 && count > 0) atomicAdd(args.counts + t, count);
  }
  const int count = __popc(__ballot_sync(kAllLanes, any));
  if (threadIdx.x % 32 == 0 && count > 0) atomicAdd(args.union_count, count);
}

}  // namespace

void count_nonzero(const Queue& queue, const CountNonzeroArgs& args) {
  launch(queue, grid(dim3(1), kThreads), clear_kernel, args);
  launch(queue, grid(dim3(static_cast<unsigned>(ceil_div(args.x.cols, kThreads))), kThreads),
         count_kernel, args);
}

}  // namespace dejavu::cuda
