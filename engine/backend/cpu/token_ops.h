// embed, norm and store_kv for one token, on vectors S. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/kernel_common.h"

namespace dejavu {
namespace {

template <class S>
void embed_token(const EmbedArgs& args, std::int64_t t) {
  const std::int32_t id = args.ids[t] < 0 ? args.last_tokens[~args.ids[t]] : args.ids[t];
  for_vectors<S>(args.out.cols, [&](std::int64_t i, int n) {
    auto v = load_any<S>(args.token_table.dtype, at(args.token_table, id, i), n);
    if (args.position_table.data != nullptr) {
      const ConstMatrix& table = args.position_table;
      const std::int64_t place = args.positions[t] + args.position_offset;
      v = S::add(v, load_any<S>(table.dtype, at(table, place, i), n));
    }
    store_any<S>(args.out.dtype, at(args.out, t, i), v, n);
  });
}

template <class S>
void norm_token(const NormArgs& args, std::int64_t t) {
  using V = typename S::V;
  const auto* x = static_cast<const float*>(at(args.x, t, 0));
  const std::int64_t width = args.x.cols;
  const auto count = static_cast<float>(width);
  V mean = S::zero();
  if (args.kind == NormKind::kLayerNorm) {
    V sum = S::zero();
    for_vectors<S>(width, [&](std::int64_t i, int n) { sum = S::add(sum, S::load(x + i, n)); });
    mean = S::set1(S::sum(sum) / count);
  }
  V square = S::zero();
  for_vectors<S>(width, [&](std::int64_t i, int n) {
    const V centred = S::keep(S::sub(S::load(x + i, n), mean), 0, n, S::zero());
    square = S::fma(centred, centred, square);
  });
  const V variance = S::set1(S::sum(square) / count);
  const V deviation = S::sqrt(S::add(variance, S::set1(args.epsilon)));
  const V inverse = S::div(S::set1(1.0F), deviation);
  for_vectors<S>(width, [&](std::int64_t i, int n) {
    V v = S::mul(S::sub(S::load(x + i, n), mean), inverse);
    if (args.weight != nullptr) v = S::mul(v, S::load(args.weight + i, n));
    if (args.bias != nullptr) v = S::add(v, S::load(args.bias + i, n));
    store_any<S>(args.out.dtype, at(args.out, t, i), v, n);
  });
}

// RoPE of one head, half-split: element i pairs with i + D/2. put(i, lanes, n) takes the result.
template <class S, class Put>
void rotate_head(const StoreKvArgs& args, std::int64_t t, const float* head, const Put& put) {
  const std::int64_t half = args.cache.head_dim / 2;
  const float* cosine = args.cos + args.positions[t] * half;
  const float* sine = args.sin + args.positions[t] * half;
  for_vectors<S>(half, [&](std::int64_t i, int n) {
    const auto c = S::load(cosine + i, n);
    const auto s = S::load(sine + i, n);
    const auto x = S::load(head + i, n);
    const auto y = S::load(head + half + i, n);
    put(i, S::sub(S::mul(x, c), S::mul(y, s)), n);
    put(half + i, S::add(S::mul(y, c), S::mul(x, s)), n);
  });
}

template <class S>
void store_kv_token(const StoreKvArgs& args, std::int64_t t) {
  using V = typename S::V;
  const KvView& cache = args.cache;
  const std::int64_t dim = cache.head_dim;
  const bool rotary = args.cos != nullptr;
  if (rotary) {
    for (std::int64_t head = 0; head + dim <= args.q.cols; head += dim) {
      auto* q = static_cast<float*>(at(args.q, t, head));
      rotate_head<S>(args, t, q, [&](std::int64_t i, V v, int n) { S::store(q + i, v, n); });
    }
  }
  const std::int64_t page = args.slots[t] / kKvPageTokens;
  const std::int64_t place = args.slots[t] % kKvPageTokens;
  for (std::int64_t g = 0; g < cache.kv_heads; ++g) {
    const std::int64_t row = (page * cache.kv_heads + g) * kKvPageTokens + place;
    const auto put = [&](void* pages, std::int64_t i, V v, int n) {
      char* to = static_cast<char*>(pages) + (row * dim + i) * element_bytes(cache.dtype);
      store_any<S>(cache.dtype, to, v, n);
    };
    const auto put_k = [&](std::int64_t i, V v, int n) { put(cache.k, i, v, n); };
    const auto* k = static_cast<const float*>(at(args.k, t, g * dim));
    const auto* v = static_cast<const float*>(at(args.v, t, g * dim));
    for_vectors<S>(dim, [&](std::int64_t i, int n) { put(cache.v, i, S::load(v + i, n), n); });
    if (rotary) {
      rotate_head<S>(args, t, k, put_k);
    } else {
      for_vectors<S>(dim, [&](std::int64_t i, int n) { put_k(i, S::load(k + i, n), n); });
    }
  }
}

// Adds up every 4-byte word; several sums, so that loads do not wait for additions.
template <class S>
float read_bytes(const void* data, std::size_t bytes) {
  constexpr std::size_t kVectors = 8;
  constexpr std::size_t kBlock = kVectors * S::kWidth;
  typename S::V sums[kVectors];
  for (auto& sum : sums) sum = S::zero();
  const auto* words = static_cast<const float*>(data);
  for (std::size_t i = 0; i + kBlock <= bytes / sizeof(float); i += kBlock) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      // The hardware loses the stream at the end of a page; this does not.
      _mm_prefetch(reinterpret_cast<const char*>(words + i + v * S::kWidth) + 1024, _MM_HINT_T0);
      sums[v] = S::add(sums[v], S::load(words + i + v * S::kWidth));
    }
  }
  for (std::size_t v = 1; v < kVectors; ++v) sums[0] = S::add(sums[0], sums[v]);
  return S::sum(sums[0]);
}

}  // namespace
}  // namespace dejavu
