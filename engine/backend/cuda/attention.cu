// Paged attention. A row is a (token, query head); a block takes up to kRows rows of one KV head,
// so that heads of a group, or neighbours of a prompt, share what is read. It reads K and V of the
// positions those rows see, 2 * head_dim * 2 bytes each, once. A group of kLanes lanes holds a
// position's head, 8 elements a lane; chunks of positions, at fixed places, go round over the
// warps, and each lane group keeps its own running maximum, sum and output (online softmax; Milakov
// and Gimelshein, 2018), so a row's bits depend neither on its neighbours nor on how a prompt was
// cut. Decoding also splits the positions over blocks ("flash decoding", Dao et al., 2023), the
// more the fewer sequences there are: the one that arrives last merges the splits in order.
#include <algorithm>

#include "engine/backend/cuda/attention_chunk.cuh"

namespace dejavu::cuda {
namespace {

// Room for every lane group's state of one row.
template <int kLanes>
struct Meeting {
  float top[kThreads / kLanes];
  float sum[kThreads / kLanes];
  float out[kThreads / kLanes][kLanes * kDims];
};

// The block's lane groups in order; true in the lanes that hold the result.
template <int kLanes>
__device__ bool meet(Meeting<kLanes>& room, Softmax& state) {
  const int party = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  __syncthreads();
  if (lane == 0) {
    room.top[party] = state.top;
    room.sum[party] = state.sum;
  }
#pragma unroll
  for (int i = 0; i < kDims; ++i) room.out[party][lane * kDims + i] = state.out[i];
  __syncthreads();
  if (party != 0) return false;
  for (int other = 1; other < kThreads / kLanes; ++other) {
    float out[kDims];
#pragma unroll
    for (int i = 0; i < kDims; ++i) out[i] = room.out[other][lane * kDims + i];
    state.merge(room.top[other], room.sum[other], out);
  }
  return true;
}

template <int kLanes, bool kPacked>
__device__ void store_row(const AttentionJob& job, const Row& row, const Softmax& state) {
  const Matrix& out = job.args.out;
  const int dims = job.args.cache.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const float inverse = state.sum > 0 ? 1.0F / state.sum : 0.0F;
#pragma unroll
  for (int i = 0; i < kDims; ++i) {
    const int dim = Head<__half, kPacked>::dim(lane, i);
    if (dim >= dims) continue;
    const std::int64_t place = row.token * out.stride + std::int64_t{row.head} * dims + dim;
    store_any(out.dtype, out.data, place, state.out[i] * inverse);
  }
}

// Where the lane's part of a row's split lies: kDims floats a lane, maximum and sum after them.
template <int kLanes>
__device__ float* partial_of(const AttentionJob& job, const Row& row, unsigned split) {
  const std::int64_t number = std::int64_t{row.token} * job.heads + row.head;
  return job.partials + (number * gridDim.z + split) * (kLanes * kDims + 2);
}

template <class E, int kLanes, int kRows, bool kPacked>
__global__ void __launch_bounds__(kThreads) attention_kernel(AttentionJob job) {
  __shared__ Meeting<kLanes> room;
  if (!job.early) await_inputs();
  const int group = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  Row rows[kRows];
  int first = 0x7fffffff;
  int last = -1;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const std::int64_t number = std::int64_t{blockIdx.x} * job.rows_a_block + r;
    if (r < job.rows_a_block) rows[r] = row_of(job, group, number);
    if (rows[r].end == 0) continue;
    first = smaller(first, rows[r].sequence);
    last = larger(last, rows[r].sequence);
  }
  if (first > last) {  // the same in every split
    await_inputs();
    const bool stores = blockIdx.z == 0 && static_cast<int>(threadIdx.x) < kLanes;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (stores && rows[r].token >= 0) store_row<kLanes, kPacked>(job, rows[r], Softmax());
    return;
  }
  using Positions = Chunk<E, kLanes, kPacked>;
  Positions chunk;
  if (job.early) {
    Range old = range_of(job, rows, first);
    const int at = Positions::first(old);
    // All rows are of one token, the sequence's last.
    old.end = smaller(old.end, rows[0].end - 1);
    chunk.load(job, first, at, old, false);
    await_inputs();
  }
  float q[kRows][kDims];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const Row& row = rows[r];
    const ConstMatrix& all = job.args.q;
    const int dims = row.end > 0 ? job.args.cache.head_dim : 0;
    const float* from = static_cast<const float*>(all.data) + row.token * all.stride +
                        std::int64_t{row.head} * job.args.cache.head_dim;
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int dim = Head<__half, kPacked>::dim(lane, i);
      q[r][i] = dim < dims ? from[dim] * job.args.scale : 0.0F;
    }
  }
  Softmax states[kRows];
  bool loaded = job.early;
  for (int s = first; s <= last; ++s) {
    const Range range = range_of(job, rows, s);
    for (int c = Positions::first(range); c * Positions::kPositions < range.end; c += kWarps) {
      const int fresh = loaded ? rows[0].end - 1 : range.begin;
      chunk.load(job, s, c, {larger(range.begin, fresh), range.end}, loaded);
      loaded = false;
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        if (rows[r].end > 0 && rows[r].sequence == s) chunk.use(rows[r], range, c, q[r], states[r]);
    }
  }

  const unsigned splits = gridDim.z;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (rows[r].token < 0) continue;
    const bool holds = meet(room, states[r]);
    if (!holds) continue;
    if (splits == 1) {
      store_row<kLanes, kPacked>(job, rows[r], states[r]);
      continue;
    }
    float* own = partial_of<kLanes>(job, rows[r], blockIdx.z);
#pragma unroll
    for (int i = 0; i < kDims; ++i) own[lane * kDims + i] = states[r].out[i];
    if (lane == 0) {
      own[kLanes * kDims] = states[r].top;
      own[kLanes * kDims + 1] = states[r].sum;
    }
  }
  if (splits == 1) return;
  if (!arrives_last(job.tickets + blockIdx.y * gridDim.x + blockIdx.x, splits)) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int party = static_cast<int>(threadIdx.x) / kLanes;
    if (rows[r].token < 0 || party != r % (kThreads / kLanes)) continue;
    Softmax state;
    for (unsigned s = 0; s < splits; ++s) {
      const float* own = partial_of<kLanes>(job, rows[r], s);
      float out[kDims];
#pragma unroll
      for (int i = 0; i < kDims; ++i) out[i] = __ldcg(own + lane * kDims + i);
      state.merge(__ldcg(own + kLanes * kDims), __ldcg(own + kLanes * kDims + 1), out);
    }
    store_row<kLanes, kPacked>(job, rows[r], state);
  }
}

template <class E, int kLanes, int kRows, bool kPacked>
void launch_attention(const Queue& queue, AttentionJob job) {
  const AttentionArgs& args = job.args;
  const int share = job.heads / args.cache.kv_heads;
  const bool decode = job.tokens == args.sequences;
  job.rows_a_block = decode ? std::min(share, kRows) : kRows;
  // A group that does not fit is cut evenly: the rows of a block stay with one token.
  while (decode && share % job.rows_a_block != 0) --job.rows_a_block;
  const std::int64_t blocks = ceil_div(std::int64_t{job.tokens} * share, job.rows_a_block);
  const int longest = args.page_table_stride * kKvPageTokens;
  int splits = 1;
  if (decode && blocks * args.cache.kv_heads <= queue.ticket_count) {
    const auto pieces = static_cast<int>(ceil_div(longest, kSplitTokens));
    // Longer splits where there are enough blocks all the same: each costs a merge.
    const std::int64_t enough = std::int64_t{kBlocksAProcessor} * queue.processors;
    const std::int64_t spare = blocks * args.cache.kv_heads * pieces / enough;
    const auto together = static_cast<int>(
        std::max(ceil_div(pieces, kMaxSplits), std::clamp<std::int64_t>(spare, 1, kMostTogether)));
    const std::size_t row_bytes = (kLanes * kDims + 2) * sizeof(float);
    const std::size_t rows = static_cast<std::size_t>(job.tokens) * job.heads;
    splits = static_cast<int>(ceil_div(pieces, together));
    job.split_tokens = kSplitTokens * together;
    if (rows * row_bytes * static_cast<std::size_t>(splits) > queue.arena_bytes) splits = 1;
  }
  if (splits == 1) job.split_tokens = 0;
  job.early = decode && queue.sets_ready;
  job.partials = queue.scratch<float>();
  job.tickets = queue.tickets;
  const dim3 shape(static_cast<unsigned>(blocks), static_cast<unsigned>(args.cache.kv_heads),
                   static_cast<unsigned>(splits));
  launch(queue, grid(shape, kThreads), attention_kernel<E, kLanes, kRows, kPacked>, job);
}

template <class E, int kLanes, bool kPacked>
void choose_rows(const Queue& queue, const AttentionJob& job) {
  const bool alone = job.tokens == job.args.sequences && job.heads == job.args.cache.kv_heads;
  alone ? launch_attention<E, kLanes, 1, kPacked>(queue, job)
        : launch_attention<E, kLanes, 4, kPacked>(queue, job);
}

template <class E>
void choose_lanes(const Queue& queue, const AttentionJob& job) {
  const KvView& cache = job.args.cache;
  const bool packed = cache.head_dim % kDims == 0 &&
                      reinterpret_cast<std::uintptr_t>(cache.k) % 16 == 0 &&
                      reinterpret_cast<std::uintptr_t>(cache.v) % 16 == 0;
  if (!packed) return choose_rows<E, 32, false>(queue, job);
  if (cache.head_dim <= 64) return choose_rows<E, 8, true>(queue, job);
  if (cache.head_dim <= 128) return choose_rows<E, 16, true>(queue, job);
  choose_rows<E, 32, true>(queue, job);
}

}  // namespace

void attention(const Queue& queue, const AttentionArgs& args) {
  AttentionJob job;
  job.args = args;
  job.tokens = static_cast<int>(args.q.rows);
  job.heads = static_cast<int>(args.q.cols / args.cache.head_dim);
  if (job.tokens == 0 || args.sequences == 0) return;
  switch (args.cache.dtype) {
    case DType::kF32:
      return choose_rows<float, 32, false>(queue, job);
    case DType::kF16:
      return choose_lanes<__half>(queue, job);
    case DType::kBF16:
      return choose_lanes<__nv_bfloat16>(queue, job);
  }
}

}  // namespace dejavu::cuda
