// Sums over weight rows, y[t] = sum of x[t][i] row(i): what project and the gathered MLP's second
// half share. A warp runs down its own stretch of rows in 512-byte steps (256 columns), kBatch rows
// in flight; the block's warps meet in shared memory, the blocks of a column in partial sums that
// are added in order. Rows whose inputs are zero for every token may be left out: what is added,
// and in which order, stays the same.
#pragma once

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

// Inputs of one block's warp: an equal share of the split's.
struct Stretch {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
__device__ inline Stretch stretch_of(const ColumnsJob& job, int split, int warp) {
  const std::int64_t inputs = job.count != nullptr ? *job.count : job.x.cols;
  const std::int64_t parts = std::int64_t{job.splits} * kColumnWarps;
  const std::int64_t each = ceil_div(ceil_div(inputs, parts), kBatch) * kBatch;
  const std::int64_t begin = (std::int64_t{split} * kColumnWarps + warp) * each;
  const std::int64_t end = begin + each;
  return {begin < inputs ? begin : inputs, end < inputs ? end : inputs};
}

// The next kBatch inputs that count, from a window of 32 at a time. The same in every lane.
template <class E, int kTokens>
class InputList {
 public:
  __device__ InputList(const ColumnsJob& job, Stretch stretch, std::int64_t token, int tokens)
      : x_(static_cast<const E*>(job.x.data) + token * job.x.stride),
        stride_(job.x.stride),
        at_(stretch.begin),
        end_(stretch.end),
        tokens_(tokens),
        skip_(job.skip_zeros) {}

  // Fills `inputs`, padded with -1; false when none are left.
  __device__ bool next(std::int64_t (&inputs)[kBatch]) {
    int filled = 0;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      while (waiting_ == 0 && at_ < end_) refill();
      const bool any = waiting_ != 0;
      inputs[i] = any ? window_ + __ffs(static_cast<int>(waiting_)) - 1 : -1;
      waiting_ &= waiting_ - 1;
      filled += any ? 1 : 0;
    }
    return filled > 0;
  }

 private:
  __device__ void refill() {
    window_ = at_;
    const std::int64_t own = at_ + threadIdx.x % 32;
    at_ += 32;
    bool live = own < end_;
    if (skip_ && live) {
      live = false;
#pragma unroll
      for (int t = 0; t < kTokens; ++t)
        if (t < tokens_) live |= to_float(x_[t * stride_ + own]) != 0;
    }
    waiting_ = __ballot_sync(kAllLanes, live);
  }

  const E* x_;
  std::int64_t stride_;
  std::int64_t at_;
  std::int64_t end_;
  std::int64_t window_ = 0;
  unsigned waiting_ = 0;
  int tokens_;
  bool skip_;
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

// The block's sums for its columns and its tile of tokens: [kTokens][kColumns] in shared memory.
// Block (x, y, z): columns, split, tile.
template <class E, int kTokens, bool kPacked>
__device__ void sum_columns(const ColumnsJob& job, float* shared) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const std::int64_t column = std::int64_t{blockIdx.x} * kColumns<E> + lane * kPack<E>;
  const std::int64_t token = std::int64_t{blockIdx.z} * kTokens;
  const auto tokens = static_cast<int>(job.x.rows - token < kTokens ? job.x.rows - token : kTokens);
  const DeviceRows<E> w(job.w);
  const E* x = static_cast<const E*>(job.x.data) + token * job.x.stride;
  InputList<E, kTokens> list(job, stretch_of(job, static_cast<int>(blockIdx.y), warp), token,
                             tokens);
  float sums[kTokens][kPack<E>] = {};
  std::int64_t inputs[kBatch];
  while (list.next(inputs)) {
    uint4 raw[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      raw[i] = uint4{0, 0, 0, 0};
      if (inputs[i] < 0) continue;
      const std::int64_t row = job.ids != nullptr ? job.ids[inputs[i]] : inputs[i];
      raw[i] = load_columns<E, kPacked>(w.row(row), column, job.w.cols);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (inputs[i] < 0) continue;
      float row[kPack<E>];
      unpack<E>(raw[i], row);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (t >= tokens) continue;
        const float value = to_float(x[t * job.x.stride + inputs[i]]);
#pragma unroll
        for (int c = 0; c < kPack<E>; ++c) sums[t][c] = fmaf(value, row[c], sums[t][c]);
      }
    }
  }
  // [warp][token][column], then the warps in order.
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int c = 0; c < kPack<E>; ++c)
      shared[(warp * kTokens + t) * kColumns<E> + lane * kPack<E> + c] = sums[t][c];
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

__device__ inline float sum_partials(const float* partials, int splits, std::int64_t apart,
                                     std::int64_t place) {
  float sum = 0;
#pragma unroll 8
  for (int s = 0; s < splits; ++s) sum += __ldcg(partials + s * apart + place);
  return sum;
}

template <class E, int kTokens>
dim3 column_blocks(const ColumnsJob& job) {
  return dim3(static_cast<unsigned>(ceil_div(job.w.cols, kColumns<E>)),
              static_cast<unsigned>(job.splits),
              static_cast<unsigned>(ceil_div(job.x.rows, kTokens)));
}

}  // namespace dejavu::cuda
