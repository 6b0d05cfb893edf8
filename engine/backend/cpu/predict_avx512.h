// 16-bit integers in vectors of 512 bits, for predict_*.h. Internal linkage: see kernels.h.
#pragma once

#include "engine/backend/cpu/predict_dot.h"
#include "engine/backend/cpu/simd_avx512.h"

namespace dejavu {
namespace {

struct Avx512Int {
  using S = Avx512;
  using V = __m512i;
  static constexpr std::int64_t kInputs = 32;

  static V zero() { return _mm512_setzero_si512(); }
  static V widen(const std::int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static V widen(const std::int8_t* p, std::int64_t n) {
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(static_cast<__mmask32>((1U << n) - 1U), p));
  }
  // Sums of two neighbours' products.
  static V multiply(V w, const std::int16_t* x) {
    return _mm512_madd_epi16(w, _mm512_loadu_si512(x));
  }
  static V add(V a, V b) { return _mm512_add_epi32(a, b); }
  static __m128i sum4(V a, V b, V c, V d) {
    const V ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const V cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const V lanes = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static void store_rounded(std::int16_t* to, __m512 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
  }
  static __m512 load_float(const std::int32_t* p) {
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
  }
};

}  // namespace
}  // namespace dejavu
