// A predictor with a bottleneck, and one token: nothing but latency. Every weight is on its way
// before the kernel waits for what it multiplies, spread over as many blocks as there are
// multiprocessors or more.
//   First matrix: a block has two rows, a thread sixteen columns of both at a time.
//   Second: a warp has eight units, sixteen lanes a row; a block makes two words of the set.
#pragma once

#include "engine/backend/cuda/predict_sums.cuh"

namespace dejavu::cuda {
namespace {

constexpr int kOneStep = 16;              // neighbouring weights of a row that a lane takes
constexpr int kOneRows = 2;               // of the first matrix, a block's
constexpr int kOneLoads = 4;              // of the second matrix, a lane's
constexpr int kOneUnits = 2 * kOneLoads;  // a warp's
static_assert(kOneUnits * kWarps % 32 == 0);

bool fits_one(const PredictArgs& args) {
  const PredictorView& p = args.predictor;
  const auto starts = [](const std::int8_t* rows) {
    return reinterpret_cast<std::uintptr_t>(rows) % kOneStep == 0;
  };
  return args.x.rows == 1 && starts(p.down) && starts(p.up) && p.input % kOneStep == 0 &&
         p.rank % kOneStep == 0 && packed_floats(args.x);
}

__device__ inline void widen(const uint4& raw, float (&values)[kOneStep]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < kOneStep; ++i)
    values[i] = static_cast<float>(static_cast<std::int8_t>(words[i / 4] >> (8 * (i % 4)) & 255U));
}
__device__ inline void load_floats(const float* from, float (&values)[kOneStep]) {
#pragma unroll
  for (int i = 0; i < kOneStep; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + i);
    values[i] = four.x;
    values[i + 1] = four.y;
    values[i + 2] = four.z;
    values[i + 3] = four.w;
  }
}
__device__ inline float multiply(const uint4& raw, const float (&x)[kOneStep], float sum) {
  float w[kOneStep];
  widen(raw, w);
#pragma unroll
  for (int i = 0; i < kOneStep; ++i) sum = fmaf(w[i], x[i], sum);
  return sum;
}

__global__ void __launch_bounds__(kThreads) one_low_kernel(PredictJob job) {
  __shared__ float room[kOneRows + 1][kWarps];
  const PredictorView& p = job.args.predictor;
  const auto thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * kOneRows;
  uint4 raw[kOneRows];
  const auto load = [&](int c) {
#pragma unroll
    for (int r = 0; r < kOneRows; ++r) {
      const int row = first + r < p.rank ? first + r : first;
      raw[r] = c < p.input ? load_16(p.down + std::int64_t{row} * p.input + c) : uint4{0, 0, 0, 0};
    }
  };
  load(thread * kOneStep);
  await_inputs();
  const auto* x = static_cast<const float*>(job.args.x.data);
  float sums[kOneRows + 1] = {};  // the last: squares
  for (int c = thread * kOneStep; c < p.input; c += kThreads * kOneStep) {
    if (c > thread * kOneStep) load(c);
    float values[kOneStep];
    load_floats(x + c, values);
#pragma unroll
    for (int r = 0; r < kOneRows; ++r) sums[r] = multiply(raw[r], values, sums[r]);
#pragma unroll
    for (const float value : values) sums[kOneRows] = fmaf(value, value, sums[kOneRows]);
  }
#pragma unroll
  for (int r = 0; r <= kOneRows; ++r) {
    const float sum = lane_sum(sums[r]);
    if (thread % 32 == 0) room[r][thread / 32] = sum;
  }
  __syncthreads();
  const int row = first + thread;
  if (thread >= kOneRows || row >= p.rank) return;
  float sum = 0;
  float square = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    sum += room[thread][w];
    square += room[kOneRows][w];
  }
  job.low[row] = sum * p.down_scale[row] * inverse_rms(square, p.input);
}

__global__ void __launch_bounds__(kThreads) one_sets_kernel(PredictJob job) {
  constexpr int kLanes = 16;  // of a row
  __shared__ bool flags[kWarps * kOneUnits];
  const PredictorView& p = job.args.predictor;
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kLanes;
  const int first = static_cast<int>(blockIdx.x) * kWarps * kOneUnits;
  const int own = thread / 32 * kOneUnits + thread % 32 / kLanes;  // of the block, and every second
  const auto unit_of = [&](int i) {
    const int unit = first + own + 2 * i;
    return unit < p.units ? unit : p.units - 1;
  };
  uint4 raw[kOneLoads];
  const auto load = [&](int c) {
#pragma unroll
    for (int i = 0; i < kOneLoads; ++i)
      raw[i] =
          c < p.rank ? load_16(p.up + std::int64_t{unit_of(i)} * p.rank + c) : uint4{0, 0, 0, 0};
  };
  load(lane * kOneStep);
  // The level was there before the first matrix's kernel began.
  const int level = job.args.level[0];
  float scales[kOneLoads], biases[kOneLoads], thresholds[kOneLoads];
#pragma unroll
  for (int i = 0; i < kOneLoads; ++i) {
    scales[i] = p.up_scale[unit_of(i)];
    biases[i] = p.bias[unit_of(i)];
    thresholds[i] =
        level < 0 ? -INFINITY : p.thresholds[std::int64_t{level} * p.units + unit_of(i)];
  }
  await_inputs();
  float sums[kOneLoads] = {};
  for (int c = lane * kOneStep; c < p.rank; c += kLanes * kOneStep) {
    if (c > lane * kOneStep) load(c);
    float values[kOneStep];
    load_floats(job.low + c, values);
#pragma unroll
    for (int i = 0; i < kOneLoads; ++i) sums[i] = multiply(raw[i], values, sums[i]);
  }
#pragma unroll
  for (int i = 0; i < kOneLoads; ++i) {
    const float score = lane_sum<kLanes>(sums[i]) * scales[i] + biases[i];
    if (lane == 0)
      flags[own + 2 * i] = first + own + 2 * i < p.units && (level < 0 || score >= thresholds[i]);
  }
  __syncthreads();
  if (thread >= kWarps * kOneUnits) return;
  const unsigned word = __ballot_sync(kAllLanes, flags[thread]);
  const int to = (first + thread) / 32;
  if (thread % 32 == 0 && to < mask_words(p.units)) job.args.mask.words[to] = word;
}

void one_low_and_sets(const Queue& queue, const PredictJob& job) {
  const PredictorView& p = job.args.predictor;
  launch(queue, grid(dim3(static_cast<unsigned>(ceil_div(p.rank, kOneRows))), kThreads),
         one_low_kernel, job);
  launch(queue, grid(dim3(static_cast<unsigned>(ceil_div(p.units, kWarps * kOneUnits))), kThreads),
         one_sets_kernel, job);
}

}  // namespace
}  // namespace dejavu::cuda
