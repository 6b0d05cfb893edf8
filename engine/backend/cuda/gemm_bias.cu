// cuBLASLt's product with the bias added: by a kernel of its own, since not every way of
// multiplying has a bias in F32 beside inputs of two bytes.
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void add_bias_kernel(Matrix y, const float* bias) {
  await_inputs();
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= y.cols) return;
  const std::int64_t place = blockIdx.y * y.stride + c;
  store_any(y.dtype, y.data, place, load_any(y.dtype, y.data, place) + bias[c]);
}

}  // namespace

void multiply_with_bias(const Queue& queue, const GemmArgs& args, const float* bias) {
  queue.gemm->run(queue, args);
  if (bias == nullptr) return;
  const dim3 blocks(static_cast<unsigned>(ceil_div(args.y.cols, kThreads)),
                    static_cast<unsigned>(args.y.rows));
  launch(queue, grid(blocks, kThreads), add_bias_kernel, args.y, bias);
}

}  // namespace dejavu::cuda
