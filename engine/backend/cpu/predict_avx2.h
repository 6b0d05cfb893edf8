// 16-bit integers in vectors of 256 bits, for predict_*.h. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/predict_dot.h"
#include "engine/backend/cpu/simd_avx2.h"

namespace dejavu {
namespace {

struct Avx2Int {
  using S = Avx2;
  using V = __m256i;
  static constexpr std::int64_t kInputs = 16;

  static V zero() { return _mm256_setzero_si256(); }
  static V widen(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static V widen(const std::int8_t* p, std::int64_t n) {
    alignas(16) std::int8_t some[16] = {};
    for (std::int64_t i = 0; i < n; ++i) some[i] = p[i];
    return widen(some);
  }
  // Sums of two neighbours' products.
  static V multiply(V w, const std::int16_t* x) {
    return _mm256_madd_epi16(w, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static V add(V a, V b) { return _mm256_add_epi32(a, b); }
  static __m128i sum4(V a, V b, V c, V d) {
    const V lanes = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  }
  static void store_rounded(std::int16_t* to, __m256 v) {
    const __m256i whole = _mm256_cvtps_epi32(v);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to),
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
  }
  static __m256 load_float(const std::int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
};

}  // namespace
}  // namespace dejavu
