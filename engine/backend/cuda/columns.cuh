// Sums over weight rows, y[t] = sum of x[t][i] row(i): what project and the gathered MLP's second
// half share. A warp runs down its own stretch of rows in 512-byte steps (256 columns), kBatch rows
// in flight; the block's warps meet in shared memory, the blocks of a column in partial sums that
// are added in order. Rows whose inputs are zero for every token may be left out: what is added,
// and in which order, stays the same.
#pragma once

#include "engine/backend/backend.h"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"

namespace dejavu::cuda {

constexpr int kColumnWarps = 8;
constexpr int kColumnThreads = 32 * kColumnWarps;
constexpr int kBatch = 8;

struct ColumnsJob {
  ConstMatrix x;                        // [T][inputs]
  ConstMatrix w;                        // [rows][out]
  const std::int32_t* ids = nullptr;    // input i meets row ids[i]; null: row i
  const std::int32_t* count = nullptr;  // inputs in use; null: x.cols
  bool skip_zeros = false;
  int splits = 1;             // of the inputs
  float* partials = nullptr;  // [splits][T][out]
};

// The inputs of one warp: windows of kBatch, a block's warps side by side.
struct Stretch {
  int first = 0;    // of the warp's first window
  int inputs = 0;   // in all
  int windows = 0;  // that begin before the end

  // Input k of window `window`.
  __device__ int input(int window, int k) const {
    return first + window * (kColumnWarps * kBatch) + k;
  }
};
// Of the block's split, which has as many windows as any other.
__device__ inline Stretch stretch_of(int inputs, int splits) {
  const int all = (inputs + kBatch - 1) / kBatch;
  const int each = (all + splits - 1) / splits;
  const int begin = static_cast<int>(blockIdx.y) * each;
  const int end = begin + each < all ? begin + each : all;
  const int own = begin + static_cast<int>(threadIdx.x / 32);
  return {own * kBatch, inputs, own < end ? (end - own + kColumnWarps - 1) / kColumnWarps : 0};
}
__device__ inline int inputs_of(const ColumnsJob& job) {
  return job.count != nullptr ? *job.count : static_cast<int>(job.x.cols);
}

// The next kBatch inputs that count, from four windows at a time. The same in every lane.
template <class E, int kTokens>
class InputList {
 public:
  __device__ InputList(const ColumnsJob& job, const Stretch& stretch, std::int64_t token,
                       int tokens)
      : x_(static_cast<const E*>(job.x.data) + token * job.x.stride),
        stride_(job.x.stride),
        stretch_(stretch),
        tokens_(tokens) {}

  // Fills `inputs`, padded with -1; false when none are left.
  __device__ bool next(int (&inputs)[kBatch]) {
    int filled = 0;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      while (waiting_ == 0 && window_ + kAtOnce < stretch_.windows) refill();
      const bool any = waiting_ != 0;
      const int bit = __ffs(static_cast<int>(waiting_)) - 1;
      inputs[i] = any ? stretch_.input(window_ + bit / kBatch, bit % kBatch) : -1;
      waiting_ &= waiting_ - 1;
      filled += any ? 1 : 0;
    }
    return filled > 0;
  }

 private:
  static constexpr int kAtOnce = 32 / kBatch;

  __device__ void refill() {
    window_ += kAtOnce;
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int window = window_ + lane / kBatch;
    const int own = stretch_.input(window, lane % kBatch);
    bool live = false;
    if (window < stretch_.windows && own < stretch_.inputs) {
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        if (t < tokens_) live |= to_float(x_[t * stride_ + own]) != 0;
    }
    waiting_ = __ballot_sync(kAllLanes, live);
  }

  const E* x_;
  std::int64_t stride_;
  Stretch stretch_;
  int window_ = -kAtOnce;
  unsigned waiting_ = 0;
  int tokens_;
};

// A pack of a row's columns from c on, zeros past the end.
template <class E, bool kPacked>
__device__ uint4 load_columns(const E* row, std::int64_t c, std::int64_t columns) {
  if constexpr (kPacked) {
    return c < columns ? load_stream(row + c) : uint4{0, 0, 0, 0};
  } else {
    uint4 raw{0, 0, 0, 0};
    E* elements = reinterpret_cast<E*>(&raw);
#pragma unroll
    for (int i = 0; i < kPack<E>; ++i)
      if (c + i < columns) elements[i] = row[c + i];
    return raw;
  }
}

template <class E>
constexpr int kColumns = 32 * kPack<E>;  // of a block

// What a lane adds up: packs of kBatch rows into its columns.
template <class E, int kTokens>
struct ColumnSums {
  float sums[kTokens][kPack<E>] = {};

  __device__ void add(const uint4 (&raw)[kBatch], const int (&inputs)[kBatch], const E* x,
                      std::int64_t stride, int tokens) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (inputs[i] < 0) continue;
      float row[kPack<E>];
      unpack<E>(raw[i], row);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (t >= tokens) continue;
        const float value = to_float(x[t * stride + inputs[i]]);
#pragma unroll
        for (int c = 0; c < kPack<E>; ++c) sums[t][c] = fmaf(value, row[c], sums[t][c]);
      }
    }
  }
};

// The block's sums for its columns and its tile of tokens: [kTokens][kColumns] in shared memory.
// Block (x, y, z): columns, split, tile. Waits for its inputs itself, and loads weights before that
// when it may.
template <class E, int kTokens, bool kPacked>
__device__ void sum_columns(const ColumnsJob& job, float* shared) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const std::int64_t column = std::int64_t{blockIdx.x} * kColumns<E> + lane * kPack<E>;
  const std::int64_t token = std::int64_t{blockIdx.z} * kTokens;
  const auto tokens = static_cast<int>(job.x.rows - token < kTokens ? job.x.rows - token : kTokens);
  const DeviceRows<E> w(job.w);
  const E* x = static_cast<const E*>(job.x.data) + token * job.x.stride;
  ColumnSums<E, kTokens> lane_sums;
  int inputs[kBatch];
  uint4 raw[kBatch];
  const auto load = [&] {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      raw[i] = uint4{0, 0, 0, 0};
      if (inputs[i] < 0) continue;
      const int row = job.ids != nullptr ? job.ids[inputs[i]] : inputs[i];
      raw[i] = load_columns<E, kPacked>(w.row(row), column, job.w.cols);
    }
  };
  if (job.skip_zeros) {
    await_inputs();
    InputList<E, kTokens> list(job, stretch_of(inputs_of(job), job.splits), token, tokens);
    while (list.next(inputs)) {
      load();
      lane_sums.add(raw, inputs, x, job.x.stride, tokens);
    }
  } else {
    const Stretch stretch = stretch_of(inputs_of(job), job.splits);
    for (int window = 0; window < stretch.windows; ++window) {
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        inputs[i] = stretch.input(window, i);
        if (inputs[i] >= stretch.inputs) inputs[i] = -1;
      }
      load();
      if (window == 0) await_inputs();
      lane_sums.add(raw, inputs, x, job.x.stride, tokens);
    }
    if (stretch.windows == 0) await_inputs();
  }
  // [warp][token][column], then the warps in order.
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int c = 0; c < kPack<E>; ++c)
      shared[(warp * kTokens + t) * kColumns<E> + lane * kPack<E> + c] = lane_sums.sums[t][c];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kColumns<E>; i += kColumnThreads) {
    float sum = shared[i];
    for (int other = 1; other < kColumnWarps; ++other)
      sum += shared[other * kTokens * kColumns<E> + i];
    shared[i] = sum;
  }
  __syncthreads();
}

template <class E, int kTokens>
constexpr std::size_t kColumnShared = sizeof(float) * kColumnWarps* kTokens* kColumns<E>;

// Calls use(token, column, index into shared) for each sum of the block.
template <class E, int kTokens, class Use>
__device__ void for_sums(const ColumnsJob& job, const Use& use) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kColumns<E>; i += kColumnThreads) {
    const std::int64_t token = std::int64_t{blockIdx.z} * kTokens + i / kColumns<E>;
    const std::int64_t column = std::int64_t{blockIdx.x} * kColumns<E> + i % kColumns<E>;
    if (token < job.x.rows && column < job.w.cols) use(token, column, i);
  }
}

template <class E, int kTokens>
__device__ void store_partials(const ColumnsJob& job, const float* shared) {
  float* own = job.partials + std::int64_t{blockIdx.y} * job.x.rows * job.w.cols;
  for_sums<E, kTokens>(job, [&](std::int64_t token, std::int64_t column, int i) {
    own[token * job.w.cols + column] = shared[i];
  });
}

// Partials first, first + step, ... in order; kAtOnce of them are on their way together.
template <int kAtOnce = 16>
__device__ float sum_partials(const float* partials, std::int64_t apart, int splits, int first = 0,
                              int step = 1) {
  float sum = 0;
  for (int begin = first; begin < splits; begin += kAtOnce * step) {
    float values[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int s = begin + i * step;
      values[i] = s < splits ? __ldcg(partials + s * apart) : 0.0F;
    }
#pragma unroll
    for (const float value : values) sum += value;
  }
  return sum;
}

template <class E, int kTokens>
dim3 column_blocks(const ColumnsJob& job) {
  return dim3(static_cast<unsigned>(ceil_div(job.w.cols, kColumns<E>)),
              static_cast<unsigned>(job.splits),
              static_cast<unsigned>(ceil_div(job.x.rows, kTokens)));
}

}  // namespace dejavu::cuda
