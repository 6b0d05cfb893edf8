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
  static constexpr int kParties = kThreads / kLanes;
  float top[kParties];
  float sum[kParties];
  float out[kParties][kLanes * kDims];
};

// The block's lane groups in order: thread i ends up with element i of a row, lane group by lane
// group, where there is one.
template <int kLanes>
__device__ Joined meet(Meeting<kLanes>& room, const Softmax& state) {
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
  Joined own;
  const auto element = static_cast<int>(threadIdx.x);
  if (element >= kLanes * kDims) return own;
  own.add<Meeting<kLanes>::kParties>(0, Meeting<kLanes>::kParties, [&](int p) {
    return Joined{room.top[p], room.sum[p], room.out[p][element]};
  });
  return own;
}

template <int kLanes, bool kPacked>
__device__ void store_row(const AttentionJob& job, const Row& row, const Joined& own) {
  const Matrix& out = job.args.out;
  const auto element = static_cast<int>(threadIdx.x);
  const int dim = Head<__half, kPacked>::dim(element / kDims, element % kDims);
  if (element >= kLanes * kDims || dim >= job.args.cache.head_dim) return;
  const std::int64_t place =
      row.token * out.stride + std::int64_t{row.head} * job.args.cache.head_dim + dim;
  store_any(out.dtype, out.data, place, own.sum > 0 ? own.out / own.sum : 0.0F);
}

// Where a row's split lies: its elements, maximum and sum after them.
template <int kLanes>
__device__ float* partial_of(const AttentionJob& job, const Row& row, std::int64_t split) {
  const std::int64_t number = std::int64_t{row.token} * job.heads + row.head;
  return job.partials + (number * gridDim.z + split) * (kLanes * kDims + 2);
}

template <class E, int kLanes, int kRows, bool kPacked>
__global__ void __launch_bounds__(kThreads, kRows == 1 ? 2 : 1) attention_kernel(AttentionJob job) {
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
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (blockIdx.z == 0 && rows[r].token >= 0) store_row<kLanes, kPacked>(job, rows[r], Joined());
    return;
  }
  using Positions = Chunk<E, kLanes, kPacked>;
  Positions chunk;
  int pages = 0;
  if (job.early) {
    Range old = range_of(job, rows, first);
    const int at = Positions::first(old);
    pages = Positions::pages_of(job.args, first, at, old.end);
    // All rows are of one token, the sequence's last.
    old.end = smaller(old.end, rows[0].end - 1);
    chunk.load(job, __shfl_sync(kAllLanes, pages, 0), at, old, false);
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
    const int begin = Positions::first(range);
    for (int i = 0, c = begin; c * Positions::kPositions < range.end; ++i, c += kWarps) {
      if (i % 32 == 0 && !loaded) pages = Positions::pages_of(job.args, s, c, range.end);
      const int page = __shfl_sync(kAllLanes, pages, i % 32);
      const int fresh = loaded ? rows[0].end - 1 : range.begin;
      chunk.load(job, page, c, {larger(range.begin, fresh), range.end}, loaded);
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
    const Joined joined = meet(room, states[r]);
    if (splits == 1) {
      store_row<kLanes, kPacked>(job, rows[r], joined);
      continue;
    }
    float* own = partial_of<kLanes>(job, rows[r], blockIdx.z);
    const auto element = static_cast<int>(threadIdx.x);
    if (element < kLanes * kDims) own[element] = joined.out;
    if (element == 0) {
      own[kLanes * kDims] = joined.top;
      own[kLanes * kDims + 1] = joined.sum;
    }
  }
  if (splits == 1) return;
  if (!arrives_last(job.tickets + blockIdx.y * gridDim.x + blockIdx.x, splits)) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const auto element = static_cast<int>(threadIdx.x);
    if (rows[r].token < 0 || element >= kLanes * kDims) continue;
    Joined all;
    constexpr int kAtOnce = 8;
    for (int split = 0; split < static_cast<int>(splits); split += kAtOnce)
      all.add<kAtOnce>(split, static_cast<int>(splits), [&](int s) {
        const float* own = partial_of<kLanes>(job, rows[r], s);
        return Joined{__ldcg(own + kLanes * kDims), __ldcg(own + kLanes * kDims + 1),
                      __ldcg(own + element)};
      });
    store_row<kLanes, kPacked>(job, rows[r], all);
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
    const auto most = static_cast<int>(
        std::max(ceil_div(pieces, kMaxSplits), std::clamp<std::int64_t>(spare, 1, kMostTogether)));
    const std::size_t row_bytes = (kLanes * kDims + 2) * sizeof(float);
    const std::size_t rows = static_cast<std::size_t>(job.tokens) * job.heads;
    splits = static_cast<int>(ceil_div(pieces, most));
    job.split_tokens = kSplitTokens * static_cast<int>(ceil_div(pieces, splits));
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
