// What attention.cu is made of: a row's softmax so far, and chunks of positions that rows meet.
#pragma once

#include "engine/backend/cuda/activation.cuh"
#include "engine/backend/cuda/element.cuh"
#include "engine/backend/cuda/launch.cuh"
#include "engine/backend/cuda/ops.h"

namespace dejavu::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kDims = 8;              // of a lane
constexpr int kSplitTokens = 128;     // of the shortest split
constexpr int kMostTogether = 8;      // of these in one, where blocks abound
constexpr int kBlocksAProcessor = 6;  // that are enough: two at once, three times
constexpr int kMaxSplits = 64;
constexpr float kLowest = -3.0e38F;

struct AttentionJob {
  AttentionArgs args;
  int tokens = 0;
  int heads = 0;
  int rows_a_block = 0;
  int split_tokens = 0;       // 0: one split
  float* partials = nullptr;  // [T * H][splits][dim + 2]: output, maximum, sum
  unsigned* tickets = nullptr;
  // Decoding: the step's metadata, sets, and all positions but each sequence's last are there
  // before the kernel's predecessor has ended.
  bool early = false;
};

// What one row has seen so far, of kDims elements of its output.
struct Softmax {
  float top = kLowest;
  float sum = 0;
  float out[kDims] = {};
};

// The same of one element, of parts that were computed apart and are joined in order.
struct Joined {
  float top = kLowest;
  float sum = 0;
  float out = 0;

  // `kAtOnce` parts from `first` on, those before `count`: part(i) gives {top, sum, out}.
  template <int kAtOnce, class Part>
  __device__ void add(int first, int count, const Part& part) {
    Joined parts[kAtOnce];
    float now = top;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i < count) parts[i] = part(first + i);
      now = fmaxf(now, parts[i].top);
    }
    const float keep = __expf(top - now);
    sum *= keep;
    out *= keep;
#pragma unroll
    for (const Joined& each : parts) {
      const float scale = __expf(each.top - now);
      sum = fmaf(each.sum, scale, sum);
      out = fmaf(each.out, scale, out);
    }
    top = now;
  }
};

// Eight elements of a head: neighbours when packed (E is of two bytes), else 32 apart.
template <class E, bool kPacked>
struct Head {
  uint4 raw;
  static __device__ int dim(int lane, int i) { return lane * kDims + i; }
  __device__ void load(const E* head, int lane, int dims) {
    raw = lane * kDims < dims ? load_16(head + lane * kDims) : uint4{0, 0, 0, 0};
  }
  __device__ void values(float (&v)[kDims]) const { unpack<E>(raw, v); }
};
template <class E>
struct Head<E, false> {
  float v[kDims];
  static __device__ int dim(int lane, int i) { return lane + 32 * i; }
  __device__ void load(const E* head, int lane, int dims) {
#pragma unroll
    for (int i = 0; i < kDims; ++i)
      v[i] = dim(lane, i) < dims ? to_float(head[dim(lane, i)]) : 0.0F;
  }
  __device__ void values(float (&out)[kDims]) const {
#pragma unroll
    for (int i = 0; i < kDims; ++i) out[i] = v[i];
  }
};

struct Row {
  int token = -1;  // -1: none, or not wanted
  int head = 0;
  int begin = 0;  // positions it sees, of its sequence
  int end = 0;
  int sequence = 0;
};

__device__ Row row_of(const AttentionJob& job, int group, std::int64_t number) {
  const AttentionArgs& args = job.args;
  const int share = job.heads / args.cache.kv_heads;
  Row row;
  const auto token = static_cast<int>(number / share);
  if (token >= job.tokens) return row;
  row.head = group * share + static_cast<int>(number % share);
  int low = 0;  // the last sequence that starts at or before the token
  int high = args.sequences - 1;
  // Most often a step's sequences have a token each: no search then, whose loads wait for another.
  if (token <= high && args.query_start[token] == token && args.query_start[token + 1] == token + 1)
    low = high = token;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (args.query_start[middle] <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  row.token = token;
  row.sequence = low;
  if (!in_set(args.mask, token, group)) return row;
  row.end = args.context_length[low] - args.query_start[low + 1] + token + 1;
  row.begin = args.window > 0 && row.end > args.window ? row.end - args.window : 0;
  return row;
}

__device__ inline int smaller(int a, int b) { return a < b ? a : b; }
__device__ inline int larger(int a, int b) { return a > b ? a : b; }

struct Range {
  int begin = 1 << 28;
  int end = 0;
};

// What the rows of one sequence see together, of the block's split.
template <int kRows>
__device__ Range range_of(const AttentionJob& job, const Row (&rows)[kRows], int sequence) {
  Range range;
#pragma unroll
  for (const Row& row : rows) {
    if (row.end == 0 || row.sequence != sequence) continue;
    range.begin = smaller(range.begin, row.begin);
    range.end = larger(range.end, row.end);
  }
  if (job.split_tokens > 0) {
    const int first = static_cast<int>(blockIdx.z) * job.split_tokens;
    range.begin = larger(range.begin, first);
    range.end = smaller(range.end, first + job.split_tokens);
  }
  return range;
}

template <class E, int kLanes, bool kPacked>
struct Chunk {
  static constexpr int kGroups = 32 / kLanes;
  static constexpr int kSteps = kPacked ? 16 / kGroups < 8 ? 16 / kGroups : 8 : 2;  // in flight
  static constexpr int kPositions = kSteps * kGroups;

  Head<E, kPacked> keys[kSteps];
  Head<E, kPacked> values[kSteps];

  // The warp's first chunk of a range.
  static __device__ int first(const Range& range) {
    const int warp = static_cast<int>(threadIdx.x / 32);
    const int chunk = range.begin / kPositions;
    return chunk + (warp - chunk % kWarps + kWarps) % kWarps;
  }
  static __device__ int position(int chunk, int step) {
    const int part = static_cast<int>(threadIdx.x % 32) / kLanes;
    return chunk * kPositions + step * kGroups + part;
  }

  // In lane i: the page of the warp's i-th chunk from this one on, of those before `end`.
  static __device__ int pages_of(const AttentionArgs& args, int sequence, int chunk, int end) {
    const int first = (chunk + static_cast<int>(threadIdx.x % 32) * kWarps) * kPositions;
    const std::int32_t* pages = args.page_table + std::int64_t{sequence} * args.page_table_stride;
    return first < end ? pages[first / kKvPageTokens] : 0;
  }

  // Loads the chunk's positions within the range; others are zero, or stay as they are.
  __device__ void load(const AttentionJob& job, std::int64_t page, int chunk, const Range& range,
                       bool keep) {
    const AttentionArgs& args = job.args;
    const int lane = static_cast<int>(threadIdx.x % kLanes);
    const int dims = args.cache.head_dim;
    const int first = chunk * kPositions;
    const std::int64_t row = (page * args.cache.kv_heads + blockIdx.y) * kKvPageTokens -
                             first / kKvPageTokens * kKvPageTokens;
    const E* k = static_cast<const E*>(args.cache.k) + row * dims;
    const E* v = static_cast<const E*>(args.cache.v) + row * dims;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const std::int64_t at = position(chunk, s);
      const bool inside = at >= range.begin && at < range.end;
      if (!inside && keep) continue;
      keys[s].load(k + at * dims, lane, inside ? dims : 0);
      values[s].load(v + at * dims, lane, inside ? dims : 0);
    }
  }

  // A row meets the chunk.
  __device__ void use(const Row& row, const Range& range, int chunk, const float (&q)[kDims],
                      Softmax& state) const {
    float scores[kSteps];
    float top = state.top;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      float key[kDims];
      keys[s].values(key);
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kDims; ++i) sum = fmaf(q[i], key[i], sum);
      sum = lane_sum<kLanes>(sum);
      const int at = position(chunk, s);
      const bool seen = at >= larger(range.begin, row.begin) && at < smaller(range.end, row.end);
      scores[s] = seen ? sum : kLowest;
      top = fmaxf(top, scores[s]);
    }
    const float keep = __expf(state.top - top);
    state.top = top;
    state.sum *= keep;
#pragma unroll
    for (float& each : state.out) each *= keep;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const float weight = scores[s] == kLowest ? 0.0F : __expf(scores[s] - top);
      state.sum += weight;
      float value[kDims];
      values[s].values(value);
#pragma unroll
      for (int i = 0; i < kDims; ++i) state.out[i] = fmaf(weight, value[i], state.out[i]);
    }
  }
};

}  // namespace
}  // namespace dejavu::cuda
