// The gathered MLP of one token, in one pass over the neurons' records: of each neuron in the set
// 2 d (gated: 3 d) weights of two bytes, once, and nothing else that grows with the set. One block
// a multiprocessor takes every processors-th neuron of the list. A thread owns the same few columns
// of x, of every record and of the output: it copies its own pieces of the records to come into a
// ring in shared memory (asynchronously, some 200 KB ahead, which hides the latency of scattered
// rows and needs no barrier), multiplies its piece of the up row, and once the block has added up
// the dot product, adds its piece of the down row to its sums in registers. The blocks' sums, d
// floats each, are added by sparse_mlp_add() in order.
#pragma once

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/async_copy.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {

constexpr int kOneThreads = 512;   // at most
constexpr int kOneNeurons = 1024;  // of a block, at most

struct GatherOneJob {
  MlpUpArgs up;
  ConstMatrix down;
  const std::int32_t* ids = nullptr;
  const std::int32_t* count = nullptr;
  float* partials = nullptr;  // [blocks][d]
  bool sets_ready = false;
};

constexpr int kOneWarps = kOneThreads / 32;

// Sum of every warp's value, in order; what warps that are not there left is zero.
__device__ inline float sum_warps(const float* room) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kOneWarps; w += 4) {
    const float4 four = *reinterpret_cast<const float4*>(room + w);
    sum += four.x + four.y + four.z + four.w;
  }
  return sum;
}

// kPieces: 16-byte pieces of a row that a thread owns, a block's width apart.
template <class E, int kPieces, int kParts, int kStages>
__global__ void __launch_bounds__(kOneThreads, 1) gather_one_kernel(GatherOneJob job) {
  extern __shared__ uint4 ring[];  // [stages][parts][pieces][threads]
  __shared__ std::int32_t ids[kOneNeurons];
  __shared__ float biases[kOneNeurons];
  __shared__ float gate_biases[kOneNeurons];
  // Of each warp: the gate's or only dot product, and the gated up row's; by turns.
  __shared__ alignas(16) float room[2][2][kOneWarps];
  if (!job.sets_ready) await_inputs();
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  for (int i = thread; i < 4 * kOneWarps; i += threads) (&room[0][0][0])[i] = 0;
  const std::int64_t width = job.up.x.cols;
  const auto ffn = static_cast<int>(job.up.up.rows);
  const int count = *job.count;
  const int first = static_cast<int>(blockIdx.x);
  const int step = static_cast<int>(gridDim.x);
  const int own = count > first ? (count - first - 1) / step + 1 : 0;
  for (int i = thread; first + i * step < ffn; i += threads) ids[i] = job.ids[first + i * step];

  bool inside[kPieces];
#pragma unroll
  for (int p = 0; p < kPieces; ++p) inside[p] = (std::int64_t{p} * threads + thread) * 8 < width;
  __syncthreads();

  constexpr bool kGated = kParts == 3;
  const E* const matrices[3] = {static_cast<const E*>(kGated ? job.up.gate.data : job.up.up.data),
                                static_cast<const E*>(kGated ? job.up.up.data : job.down.data),
                                static_cast<const E*>(job.down.data)};
  const std::int64_t strides[3] = {kGated ? job.up.gate.stride : job.up.up.stride,
                                   kGated ? job.up.up.stride : job.down.stride, job.down.stride};
  const auto place = [&](int stage, int part, int piece) {
    return ring + ((stage * kParts + part) * kPieces + piece) * threads + thread;
  };
  const auto fetch = [&](int i) {
    if (i < own) {
      const std::int64_t n = ids[i];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
          if (!inside[p]) continue;
          const std::int64_t c = (std::int64_t{p} * threads + thread) * 8;
          copy_async_16(place(i % kStages, part, p), matrices[part] + n * strides[part] + c);
        }
      }
    }
    close_copies();  // empty ones keep the count
  };
  for (int i = 0; i < kStages - 1; ++i) fetch(i);
  if (job.sets_ready) await_inputs();
  const E* x = static_cast<const E*>(job.up.x.data);
  float token[kPieces][8];
  float sums[kPieces][8] = {};
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const std::int64_t c = (std::int64_t{p} * threads + thread) * 8;
    unpack<E>(inside[p] ? load_16(x + c) : uint4{0, 0, 0, 0}, token[p]);
  }
  for (int i = thread; i < own; i += threads) {
    biases[i] = job.up.up_bias != nullptr ? job.up.up_bias[ids[i]] : 0.0F;
    if (kGated) gate_biases[i] = job.up.gate_bias != nullptr ? job.up.gate_bias[ids[i]] : 0.0F;
  }
  __syncthreads();

  const auto piece_dot = [&](int stage, int part) {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      if (!inside[p]) continue;
      float w[8];
      unpack<E>(*place(stage, part, p), w);
#pragma unroll
      for (int c = 0; c < 8; ++c) sum = fmaf(w[c], token[p][c], sum);
    }
    return sum;
  };
  for (int i = 0; i < own; ++i) {
    await_copies<kStages - 2>();
    const int stage = i % kStages;
    float(&meeting)[2][kOneWarps] = room[i % 2];
#pragma unroll
    for (int part = 0; part < kParts - 1; ++part) {
      const float sum = lane_sum(piece_dot(stage, part));
      if (thread % 32 == 0) meeting[part][thread / 32] = sum;
    }
    __syncthreads();
    const float first_bias = kGated ? gate_biases[i] : biases[i];
    float h = activate(job.up.activation, sum_warps(meeting[0]) + first_bias, job.up.threshold);
    if (kGated) h *= sum_warps(meeting[1]) + biases[i];
    h = to_float(from_float<E>(h));  // as the whole MLP keeps it
    if (h != 0) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        if (!inside[p]) continue;
        float w[8];
        unpack<E>(*place(stage, kParts - 1, p), w);
#pragma unroll
        for (int c = 0; c < 8; ++c) sums[p][c] = fmaf(h, w[c], sums[p][c]);
      }
    }
    fetch(i + kStages - 1);  // into the stage before this one
  }
  float* out = job.partials + std::int64_t{blockIdx.x} * width;
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const std::int64_t c = (std::int64_t{p} * threads + thread) * 8;
    if (!inside[p]) continue;
    auto* to = reinterpret_cast<float4*>(out + c);
    to[0] = {sums[p][0], sums[p][1], sums[p][2], sums[p][3]};
    to[1] = {sums[p][4], sums[p][5], sums[p][6], sums[p][7]};
  }
}

struct OneShape {
  int pieces = 0;
  int threads = 0;
  int stages = 0;
  std::size_t shared_bytes = 0;
};

// How a row is shared out; no pieces: not by this kernel.
inline OneShape one_shape(const Queue& queue, const SparseMlpArgs& args) {
  constexpr int kMostPieces = 2;
  constexpr std::size_t kStatic = std::size_t{16} << 10;
  OneShape shape;
  const std::int64_t packs = args.up.x.cols / 8;
  const std::int64_t pieces = ceil_div(packs, kOneThreads);
  if (pieces > kMostPieces || ceil_div(args.up.up.rows, queue.processors) > kOneNeurons)
    return shape;
  const int parts = args.up.gate.data != nullptr ? 3 : 2;
  shape.pieces = static_cast<int>(pieces);
  shape.threads = static_cast<int>(ceil_div(ceil_div(packs, pieces), 32) * 32);
  const std::size_t stage = static_cast<std::size_t>(parts * shape.pieces * shape.threads) * 16;
  const std::size_t room = queue.shared_bytes - kStatic;
  shape.stages = room >= 7 * stage ? 7 : room >= 4 * stage ? 4 : 0;
  if (shape.stages == 0) shape.pieces = 0;
  shape.shared_bytes = static_cast<std::size_t>(shape.stages) * stage;
  return shape;
}

template <class E, int kPieces, int kParts>
void launch_one(const Queue& queue, const OneShape& shape, const GatherOneJob& job) {
  const auto kernel = shape.stages == 7 ? gather_one_kernel<E, kPieces, kParts, 7>
                                        : gather_one_kernel<E, kPieces, kParts, 4>;
  launch(queue,
         grid(dim3(static_cast<unsigned>(queue.processors)), shape.threads, shape.shared_bytes),
         kernel, job);
}

template <class E>
void gather_one(const Queue& queue, const OneShape& shape, const SparseMlpArgs& args) {
  GatherOneJob job;
  job.up = args.up;
  job.down = args.down;
  job.ids = args.union_ids;
  job.count = args.union_count;
  job.partials = static_cast<float*>(args.scratch);
  job.sets_ready = queue.sets_ready;
  const bool gated = args.up.gate.data != nullptr;
  if (shape.pieces == 1)
    return gated ? launch_one<E, 1, 3>(queue, shape, job) : launch_one<E, 1, 2>(queue, shape, job);
  gated ? launch_one<E, 2, 3>(queue, shape, job) : launch_one<E, 2, 2>(queue, shape, job);
}

}  // namespace dejavu::cuda
