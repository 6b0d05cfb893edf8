// Vectors of 8 floats. For translation units compiled for AVX2, FMA and F16C only: everything here
// has internal linkage, so that no other unit can end up running it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "engine/core/dtype.h"

namespace dejavu {
namespace {

struct Avx2 {
  using V = __m256;
  static constexpr int kWidth = 8;
  static constexpr int kTileTokens = 2;  // 4 vectors x 2 tokens of sums fit the 16 registers

  static V zero() { return _mm256_setzero_ps(); }
  static V set1(float v) { return _mm256_set1_ps(v); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static void store(float* p, V v, int n) { _mm256_maskstore_ps(p, first(n), v); }

  template <DType D>
  static V load_as(const void* p) {
    if constexpr (D == DType::kF32) {
      return _mm256_loadu_ps(static_cast<const float*>(p));
    } else {
      return widen<D>(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    }
  }
  template <DType D>
  static V load_as(const void* p, int n) {
    if constexpr (D == DType::kF32) {
      return load(static_cast<const float*>(p), n);
    } else {
      if (n >= kWidth) return load_as<D>(p);
      alignas(16) std::uint16_t raw[8] = {};
      for (int i = 0; i < n; ++i) raw[i] = static_cast<const std::uint16_t*>(p)[i];
      return widen<D>(_mm_load_si128(reinterpret_cast<const __m128i*>(raw)));
    }
  }
  template <DType D>
  static void store_as(void* p, V v) {
    if constexpr (D == DType::kF32) {
      _mm256_storeu_ps(static_cast<float*>(p), v);
    } else {
      _mm_storeu_si128(static_cast<__m128i*>(p), narrow<D>(v));
    }
  }
  template <DType D>
  static void store_as(void* p, V v, int n) {
    if constexpr (D == DType::kF32) {
      store(static_cast<float*>(p), v, n);
    } else {
      if (n >= kWidth) return store_as<D>(p, v);
      alignas(16) std::uint16_t raw[8];
      _mm_store_si128(reinterpret_cast<__m128i*>(raw), narrow<D>(v));
      for (int i = 0; i < n; ++i) static_cast<std::uint16_t*>(p)[i] = raw[i];
    }
  }

  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V sqrt(V a) { return _mm256_sqrt_ps(a); }
  static V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // a > b ? x : y
  static V select_greater(V a, V b, V x, V y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
  }
  // Lanes [begin, end) of a, the others of b.
  static V keep(V a, int begin, int end, V b) {
    const __m256i mask = _mm256_andnot_si256(first(begin), first(end));
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask));
  }
  // Lanes whose bit is 1; zeros elsewhere.
  static V keep_bits(V v, std::uint32_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane)));
  }
  // A bit a lane: not zero; a >= b.
  static std::uint32_t nonzero(V v) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, zero(), _CMP_NEQ_UQ)));
  }
  static std::uint32_t at_least(V a, V b) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
  }
  // v * 2^n for whole n in [-126, 127].
  static V scale_by_power(V v, V n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }

  static float sum(V v) {
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  // The sums of four vectors, in order.
  static __m128 sum4(V a, V b, V c, V d) {
    const V lanes = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  }
  static float largest(V v) {
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
  }

  // rows[i][j] becomes rows[j][i].
  static void transpose(V rows[8]) {
    V t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    V u[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      rows[c] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
      rows[c + 4] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
    }
  }

 private:
  static __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  template <DType D>
  static V widen(__m128i raw) {
    if constexpr (D == DType::kF16) {
      return _mm256_cvtph_ps(raw);
    } else {
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
    }
  }
  // Rounds to nearest even; NaN stays NaN.
  template <DType D>
  static __m128i narrow(V v) {
    if constexpr (D == DType::kF16) {
      return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    } else {
      const __m256i bits = _mm256_castps_si256(v);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i rounded =
          _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
      const __m256 quiet = _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x400000)));
      const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
      const __m256i kept =
          _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(rounded), quiet, nan));
      const __m256i top = _mm256_srli_epi32(kept, 16);
      return _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    }
  }
};

}  // namespace
}  // namespace dejavu
