// Paged attention with F32 arithmetic on vectors S. Keys come in splits of kSplit positions that
// begin at multiples of kSplit: a split's K (transposed) and V are widened once into scratch, and
// all queries of the item use them. Each query meets its splits in order, with the running maximum,
// sum and output of the online softmax (Milakov and Gimelshein, 2018), so its bits depend neither
// on the queries beside it nor on how the prompt was cut. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/project_lanes.h"
#include "engine/backend/cpu/simd_math.h"

namespace dejavu {
namespace {

constexpr std::int64_t kSplit = kColumnPanel;

// Where an item's rows are: row r is query r / group, head r % group of the KV head's group.
struct AttentionRows {
  std::int64_t group = 0;
  std::int64_t rows = 0;
  std::int64_t first_token = 0;
  std::int64_t first_position = 0;
  std::int64_t dim = 0;
  std::int64_t stride = 0;  // of q and out: dim in whole panels
  std::int64_t window = 0;

  std::int64_t position(std::int64_t row) const { return first_position + row / group; }
  std::int64_t begin(std::int64_t row) const {
    return window > 0 ? larger(0, position(row) - window + 1) : 0;
  }
};

struct AttentionScratch {
  float* keys;    // [dim][kSplit]
  float* values;  // [stride / kColumnPanel][kSplit][kColumnPanel]
  float* q;       // [rows][stride]
  float* out;     // [rows][stride]
  float* scores;  // [rows][kSplit]
  float* top;     // [rows] largest score so far
  float* total;   // [rows] sum of exp(score - top)
};

inline AttentionRows attention_rows(const AttentionArgs& args, const AttentionItem& item) {
  const std::int64_t queries =
      args.query_start[item.sequence + 1] - args.query_start[item.sequence];
  AttentionRows r;
  r.dim = args.cache.head_dim;
  r.group = args.q.cols / r.dim / args.cache.kv_heads;
  r.rows = item.queries * r.group;
  r.first_token = args.query_start[item.sequence] + item.first_query;
  r.first_position = args.context_length[item.sequence] - queries + item.first_query;
  r.stride = round_up(r.dim, kColumnPanel);
  r.window = args.window;
  return r;
}

template <class S>
std::size_t attention_scratch(const AttentionArgs& args, int queries) {
  const std::int64_t dim = args.cache.head_dim;
  const std::int64_t stride = round_up(dim, kColumnPanel);
  const std::int64_t rows = queries * (args.q.cols / dim / args.cache.kv_heads);
  return static_cast<std::size_t>((round_up(dim, S::kWidth) + stride) * kSplit +
                                  rows * (2 * stride + kSplit + 2));
}

template <class S>
AttentionScratch cut_scratch(const AttentionRows& r, float* scratch) {
  AttentionScratch s;
  s.keys = scratch;
  s.values = s.keys + round_up(r.dim, S::kWidth) * kSplit;
  s.q = s.values + r.stride * kSplit;
  s.out = s.q + r.rows * r.stride;
  s.scores = s.out + r.rows * r.stride;
  s.top = s.scores + r.rows * kSplit;
  s.total = s.top + r.rows;
  return s;
}

// Pages of K and V for one sequence and KV head.
struct KvPages {
  const KvView* cache;
  const std::int32_t* table;
  std::int64_t kv_head;

  std::int64_t offset(std::int64_t position) const {  // bytes from the cache's start
    const std::int64_t page = table[position / kKvPageTokens];
    const std::int64_t row =
        (page * cache->kv_heads + kv_head) * kKvPageTokens + position % kKvPageTokens;
    return row * cache->head_dim * element_bytes(cache->dtype);
  }
};

inline KvPages kv_pages(const AttentionArgs& args, const AttentionItem& item) {
  const std::int64_t row = static_cast<std::int64_t>(item.sequence) * args.page_table_stride;
  return {&args.cache, args.page_table + row, item.kv_head};
}

// Fetches K and V of positions [begin, end): a page of a head is a short run of memory, over before
// the hardware has noticed it.
inline void fetch_positions(const KvPages& pages, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = pages.cache->head_dim * element_bytes(pages.cache->dtype);
  const auto* k = static_cast<const char*>(pages.cache->k);
  const auto* v = static_cast<const char*>(pages.cache->v);
  for (std::int64_t next = 0; begin < end; begin = next) {
    next = smaller(end, round_up(begin + 1, kKvPageTokens));
    const std::int64_t first = pages.offset(begin);
    for (std::int64_t i = first; i < first + (next - begin) * bytes; i += 64) {
      _mm_prefetch(k + i, _MM_HINT_T1);
      _mm_prefetch(v + i, _MM_HINT_T1);
      __asm__ volatile("");  // a loop that only prefetches would be left out
    }
  }
}

// Fetches the split of an item that begins at `split` or, past its end, the first one of the next.
inline void fetch_split(const AttentionArgs& args, const AttentionItem& item, std::int64_t split) {
  const AttentionRows r = attention_rows(args, item);
  const std::int64_t end = r.position(r.rows - 1) + 1;
  if (split < end) {
    return fetch_positions(kv_pages(args, item), larger(split, r.begin(0)),
                           smaller(end, split + kSplit));
  }
  if (item.next == nullptr) return;
  const std::int64_t first = attention_rows(args, *item.next).begin(0) / kSplit * kSplit;
  AttentionItem alone = *item.next;
  alone.next = nullptr;
  fetch_split(args, alone, first);
}

// Widens positions [split, split + kSplit); those outside [begin, end) become zeros and are not
// read.
template <class S, DType K>
void load_split(const KvPages& pages, std::int64_t split, std::int64_t begin, std::int64_t end,
                const AttentionScratch& s) {
  using V = typename S::V;
  constexpr std::int64_t kBytes = K == DType::kF32 ? 4 : 2;
  const std::int64_t dim = pages.cache->head_dim;
  const std::int64_t stride = round_up(dim, kColumnPanel);
  const char* k[S::kWidth];
  for (std::int64_t first = 0; first < kSplit; first += S::kWidth) {
    for (std::int64_t j = 0; j < S::kWidth; ++j) {
      const std::int64_t position = split + first + j;
      const bool live = position >= begin && position < end;
      const std::int64_t offset = live ? pages.offset(position) : 0;
      k[j] = live ? static_cast<const char*>(pages.cache->k) + offset : nullptr;
      const char* v = static_cast<const char*>(pages.cache->v) + offset;
      for (std::int64_t i = 0; i < stride; i += S::kWidth) {
        const std::int64_t left = live ? larger(0, smaller(S::kWidth, dim - i)) : 0;
        float* to = s.values + (i / kColumnPanel * kSplit + first + j) * kColumnPanel;
        S::store(to + i % kColumnPanel,
                 left == S::kWidth
                     ? S::template load_as<K>(v + i * kBytes)
                     : S::template load_as<K>(v + i * kBytes, static_cast<int>(left)));
      }
    }
    for (std::int64_t i = 0; i < dim; i += S::kWidth) {
      const int n = static_cast<int>(smaller(S::kWidth, dim - i));
      V block[S::kWidth];
#pragma GCC unroll 16
      for (int j = 0; j < S::kWidth; ++j) {
        block[j] = k[j] == nullptr  ? S::zero()
                   : n == S::kWidth ? S::template load_as<K>(k[j] + i * kBytes)
                                    : S::template load_as<K>(k[j] + i * kBytes, n);
      }
      S::transpose(block);
#pragma GCC unroll 16
      for (int j = 0; j < S::kWidth; ++j) S::store(s.keys + (i + j) * kSplit + first, block[j]);
    }
  }
}

template <class S>
void load_any_split(const KvPages& pages, std::int64_t split, const AttentionRows& r,
                    const AttentionScratch& s) {
  const std::int64_t begin = r.begin(0);
  const std::int64_t end = r.position(r.rows - 1) + 1;
  switch (pages.cache->dtype) {
    case DType::kF32:
      return load_split<S, DType::kF32>(pages, split, begin, end, s);
    case DType::kF16:
      return load_split<S, DType::kF16>(pages, split, begin, end, s);
    case DType::kBF16:
      return load_split<S, DType::kBF16>(pages, split, begin, end, s);
  }
}

// Turns a row's scores of this split into weights, and brings its sum and output up to date.
template <class S>
void soften(const AttentionRows& r, std::int64_t row, std::int64_t split,
            const AttentionScratch& s) {
  using V = typename S::V;
  float* scores = s.scores + row * kSplit;
  const std::int64_t begin = r.begin(row) - split;
  const std::int64_t end = r.position(row) + 1 - split;
  const V minus_infinity = S::set1(-__builtin_inff());
  V top = minus_infinity;
  for (std::int64_t i = 0; i < kSplit; i += S::kWidth) {
    const int from = static_cast<int>(smaller(S::kWidth, larger(0, begin - i)));
    const int to = static_cast<int>(smaller(S::kWidth, larger(0, end - i)));
    const V v = S::keep(S::load(scores + i), from, to, minus_infinity);
    S::store(scores + i, v);
    top = S::max(top, v);
  }
  const V largest = S::max(S::set1(S::largest(top)), S::set1(s.top[row]));
  const V shrink = exp_of<S>(S::sub(S::set1(s.top[row]), largest));
  V sum = S::zero();
  for (std::int64_t i = 0; i < kSplit; i += S::kWidth) {
    const V weight = exp_of<S>(S::sub(S::load(scores + i), largest));
    S::store(scores + i, weight);
    sum = S::add(sum, weight);
  }
  float factor[S::kWidth];
  S::store(factor, shrink);
  s.total[row] = s.total[row] * factor[0] + S::sum(sum);
  S::store(factor, largest);
  s.top[row] = factor[0];
  for (std::int64_t i = 0; i < r.stride; i += S::kWidth) {
    float* out = s.out + row * r.stride + i;
    S::store(out, S::mul(S::load(out), shrink));
  }
}

template <class S>
void attend_split(const AttentionRows& r, std::int64_t split, const AttentionScratch& s) {
  using Multiply = LaneProject<FmaLanes<S, DType::kF32>>;
  // Rows that see something of this split are neighbours.
  std::int64_t first = 0;
  while (first < r.rows && r.position(first) < split) ++first;
  std::int64_t last = first;
  while (last < r.rows && r.begin(last) < split + kSplit) ++last;
  if (first == last) return;

  PanelTile<Multiply> tile;
  tile.tokens = last - first;
  tile.panel = s.keys;
  tile.x = s.q + first * r.stride;
  tile.x_stride = r.stride;
  tile.steps = r.dim;
  tile.to = s.scores + first * kSplit;
  tile.stride = kSplit;
  Multiply::multiply(tile);

  for (std::int64_t row = first; row < last; ++row) soften<S>(r, row, split, s);

  tile.x = s.scores + first * kSplit;
  tile.x_stride = kSplit;
  tile.steps = kSplit;
  tile.stride = r.stride;
  for (std::int64_t i = 0; i < r.stride; i += kColumnPanel) {
    tile.panel = s.values + i * kSplit;
    tile.to = s.out + first * r.stride + i;
    tile.from = tile.to;
    Multiply::multiply(tile);
  }
}

template <class S>
void attention_run(const AttentionArgs& args, const AttentionItem& item, float* scratch) {
  const AttentionRows r = attention_rows(args, item);
  const AttentionScratch s = cut_scratch<S>(r, scratch);
  const auto column = [&](std::int64_t row) {
    return (item.kv_head * r.group + row % r.group) * r.dim;
  };
  const auto scale = S::set1(args.scale);
  for (std::int64_t row = 0; row < r.rows; ++row) {
    const auto* q =
        static_cast<const float*>(at(args.q, r.first_token + row / r.group, column(row)));
    for_vectors<S>(r.dim, [&](std::int64_t i, int n) {
      S::store(s.q + row * r.stride + i, S::mul(S::load(q + i, n), scale), n);
    });
    for_vectors<S>(r.stride, [&](std::int64_t i, int /*n*/) {
      S::store(s.out + row * r.stride + i, S::zero());
    });
    s.top[row] = -__builtin_inff();
    s.total[row] = 0;
  }
  const KvPages pages = kv_pages(args, item);
  const std::int64_t last = r.position(r.rows - 1);
  for (std::int64_t split = r.begin(0) / kSplit * kSplit; split <= last; split += kSplit) {
    load_any_split<S>(pages, split, r, s);
    fetch_split(args, item, split + kSplit);
    attend_split<S>(r, split, s);
  }
  for (std::int64_t row = 0; row < r.rows; ++row) {
    const auto inverse = S::div(S::set1(1.0F), S::set1(s.total[row]));
    for_vectors<S>(r.dim, [&](std::int64_t i, int n) {
      const auto v = S::mul(S::load(s.out + row * r.stride + i), inverse);
      store_any<S>(args.out.dtype, at(args.out, r.first_token + row / r.group, column(row) + i), v,
                   n);
    });
  }
}

template <class S>
constexpr AttentionKernel attention_kernel() {
  return {attention_scratch<S>, attention_run<S>};
}

}  // namespace
}  // namespace dejavu
