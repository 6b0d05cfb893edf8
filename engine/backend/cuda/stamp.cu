// When a stream has come so far, by the clock that all multiprocessors share.
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

__global__ void stamp_kernel(std::int64_t* out) {
  await_inputs();
  std::int64_t now = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  *out = now;
}

}  // namespace

void stamp(const Queue& queue, std::int64_t* out) {
  launch(queue, grid(dim3(1), 1), stamp_kernel, out);
}

}  // namespace dejavu::cuda
