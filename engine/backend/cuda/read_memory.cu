// Reads memory as fast as it goes: what weight-reading kernels are held against.
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kLoads = 8;

__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* data, std::int64_t count, unsigned* sink) {
  await_inputs();
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads * kLoads + threadIdx.x;
  unsigned sum = 0;
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    const std::int64_t at = first + std::int64_t{i} * kThreads;
    if (at >= count) continue;
    const uint4 v = load_stream(data + at);
    sum ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x9e3779b9U) *sink = sum;  // keeps the loads; a chance in four billion
}

}  // namespace

void read_memory(const Queue& queue, const void* data, std::size_t bytes) {
  const auto count = static_cast<std::int64_t>(bytes / sizeof(uint4));
  launch(queue, grid(dim3(static_cast<unsigned>(ceil_div(count, kThreads * kLoads))), kThreads),
         read_kernel, static_cast<const uint4*>(data), count, queue.scratch<unsigned>());
}

}  // namespace dejavu::cuda
